//! A definition with what its names stood for when it was applied, and whom it means.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_domain::id::{ProfileId, TeamId, UserId};
use gatehouse_domain::role::Scope;
use gatehouse_domain::rollout::{Cohort, Definition, Person, Progress, stratified};
use gatehouse_domain::settings::audience::MAX_MEMBERS;
use gatehouse_domain::settings::{StepKind, Target};
use gatehouse_store::rollout::{Active, Rollout};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::act::ActError;
use crate::app::App;
use crate::settings::{profile, review};
use crate::{team, user};

/// A definition that was applied. Stored with the rollout, and never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// As it was given.
    pub given: Value,
    /// What makes shares of all people differ from those of other rollouts.
    pub salt: String,
    /// The people that are named.
    pub users: BTreeMap<String, UserId>,
    /// The teams that are named.
    pub teams: BTreeMap<String, TeamId>,
    /// The overlays, with their names and versions.
    pub settings: Vec<(ProfileId, String, u32)>,
    /// The people who wrote these versions.
    pub writers: Vec<String>,
}

/// Whom a phase means today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The phase.
    pub phase: String,
    /// People who get it in this phase.
    pub new: u64,
    /// People who have it then.
    pub total: u64,
    /// From how many teams these are.
    pub teams: u64,
}

impl Plan {
    /// Reads the plan of a rollout.
    ///
    /// # Errors
    /// It was changed in the database.
    pub fn parse(rollout: &Rollout) -> Result<Self, ActError> {
        serde_json::from_str(&rollout.definition).map_err(|why| corrupt(&rollout.name, &why))
    }

    /// The definition.
    ///
    /// # Errors
    /// It was changed in the database.
    pub fn definition(&self) -> Result<Definition, ActError> {
        Definition::read(&self.given).map_err(|mistakes| corrupt("definition", &format!("{mistakes:?}")))
    }

    /// Finds out what the names of a definition stand for.
    ///
    /// # Errors
    /// Something that does not exist, or cannot be rolled out; the database.
    pub(super) async fn make(app: &App, given: &Value, definition: &Definition) -> Result<Self, ActError> {
        let mut plan = Self {
            given: given.clone(),
            salt: format!("{:032x}", app.random_bits()),
            users: BTreeMap::new(),
            teams: BTreeMap::new(),
            settings: Vec::new(),
            writers: Vec::new(),
        };
        let cohorts = definition.phases.iter().map(|phase| &phase.cohort);
        for name in cohorts.clone().flat_map(|cohort| &cohort.users).chain(&definition.exclude_users) {
            let found = user::named(app, Scope::Organization, "definition", name).await?;
            plan.users.insert(name.clone(), found.id);
        }
        for name in cohorts.flat_map(|cohort| &cohort.teams).chain(&definition.exclude_teams) {
            let found = team::named(app, Scope::Organization, "definition", name).await?;
            plan.teams.insert(name.clone(), found.id);
        }
        for overlay in &definition.settings {
            plan.add(app, &overlay.profile, overlay.version).await?;
        }
        Ok(plan)
    }

    async fn add(&mut self, app: &App, given: &str, number: u32) -> Result<(), ActError> {
        let refused = |why: String| ActError::field("definition", format!("settings: `{given}` {why}"));
        let found = profile::get(app, given).await;
        if found.as_ref().is_err_and(ActError::is_not_found) {
            return Err(refused("does not exist".to_owned()));
        }
        let profile = found?;
        if profile.target != Target::Rollout {
            return Err(refused(
                "is no overlay: make a profile with `gatehouse settings new NAME --for rollout`".to_owned(),
            ));
        }
        if profile.published != Some(number) {
            let now =
                profile.published.map_or_else(|| "no version".to_owned(), |now| format!("version {now}"));
            return Err(refused(format!(
                "has {now} published, and not version {number}: publish that first"
            )));
        }
        let assigned = app.store.settings_audience(app.org, profile.id).await?;
        let is_taken = |assigned: &gatehouse_store::settings::Assigned| {
            !assigned.audience.is_over(app.now())
                && (!assigned.members.is_empty() || assigned.audience.percent.get() > 0)
        };
        if assigned.as_ref().is_some_and(is_taken) {
            let why = "is with people already: `gatehouse settings audience withdraw` it first, or make another overlay";
            return Err(refused(why.to_owned()));
        }
        let version = app.store.settings_version(app.org, &profile, number).await?;
        review::must_be_deliverable(app, &profile, &version.content).await?;
        let wrote = |step: &&gatehouse_domain::settings::Step| step.kind == StepKind::Written;
        for step in version.steps.iter().filter(wrote) {
            if !self.writers.contains(&step.by) {
                self.writers.push(step.by.clone());
            }
        }
        self.settings.push((profile.id, profile.name, number));
        Ok(())
    }

    /// As it is stored.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("a plan has text keys only")
    }

    /// The overlays and their versions.
    pub(super) fn overlays(&self) -> Vec<(ProfileId, u32)> {
        self.settings.iter().map(|(id, _, number)| (*id, *number)).collect()
    }

    /// The overlays and their versions, in words.
    pub(super) fn told(&self) -> Vec<String> {
        self.settings.iter().map(|(_, name, number)| format!("{name}@{number}")).collect()
    }

    /// Who is to have it once these phases have begun.
    pub(super) fn wanted(
        &self,
        definition: &Definition,
        progress: &Progress,
        phases: usize,
        people: &[Active],
        volunteers: &BTreeSet<UserId>,
    ) -> BTreeSet<UserId> {
        let ids = |names: &[String]| -> BTreeSet<UserId> {
            names.iter().filter_map(|name| self.users.get(name).copied()).collect()
        };
        let teams = |names: &[String]| -> BTreeSet<TeamId> {
            names.iter().filter_map(|name| self.teams.get(name).copied()).collect()
        };
        let without = ids(&definition.exclude_users);
        let mut without_teams = teams(&definition.exclude_teams);
        without_teams.extend(&progress.without_teams);
        let is_in =
            |teams: &BTreeSet<TeamId>, person: &Active| person.teams.iter().any(|team| teams.contains(team));
        let may = |person: &&Active| !without.contains(&person.user) && !is_in(&without_teams, person);
        let people: Vec<&Active> = people.iter().filter(may).collect();
        let strata: Vec<Person> = people
            .iter()
            .map(|person| Person { user: person.user, team: person.teams.first().copied() })
            .collect();
        let mut wanted = BTreeSet::new();
        for phase in definition.phases.iter().take(phases) {
            let Cohort { users, teams: names, volunteers: with, percent, everyone } = &phase.cohort;
            let (named, named_teams) = (ids(users), teams(names));
            let share =
                if *percent > 0 { stratified(&strata, &self.salt, *percent) } else { BTreeSet::new() };
            let fits = |person: &Active| {
                *everyone
                    || named.contains(&person.user)
                    || share.contains(&person.user)
                    || (*with && volunteers.contains(&person.user))
                    || is_in(&named_teams, person)
            };
            wanted.extend(people.iter().filter(|person| fits(person)).map(|person| person.user));
        }
        wanted
    }

    /// Whom each phase means today.
    ///
    /// # Errors
    /// More people than an overlay can name; the database.
    pub(super) async fn preview(&self, app: &App, definition: &Definition) -> Result<Vec<Preview>, ActError> {
        let people = app.store.active_people(app.org).await?;
        let volunteers = app.store.volunteers(app.org).await?;
        let nothing = Progress::new(app.now());
        let (mut previews, mut before) = (Vec::new(), 0);
        for (phase, n) in definition.phases.iter().zip(1..) {
            let wanted = self.wanted(definition, &nothing, n, &people, &volunteers);
            let total = wanted.len();
            if total > MAX_MEMBERS {
                let told = format!(
                    "phase `{}` has {total} people; an overlay goes to at most {MAX_MEMBERS}",
                    phase.id
                );
                return Err(ActError::field("definition", told));
            }
            let teams: BTreeSet<TeamId> = people
                .iter()
                .filter(|person| wanted.contains(&person.user))
                .filter_map(|person| person.teams.first().copied())
                .collect();
            let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
            previews.push(Preview {
                phase: phase.id.clone(),
                new: count(total.saturating_sub(before)),
                total: count(total),
                teams: count(teams.len()),
            });
            before = total;
        }
        Ok(previews)
    }
}

fn corrupt(given: &str, why: &dyn std::fmt::Display) -> ActError {
    ActError::Store(gatehouse_store::StoreError::Corrupt {
        noun: "rollout",
        given: given.to_owned(),
        why: why.to_string(),
    })
}

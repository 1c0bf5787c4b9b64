//! Rollouts: defined, followed, stopped, taken back. What moves them is the [`controller`].

pub mod controller;
mod deploy;
mod look;
mod plan;
mod show;

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_domain::audit::Object;
use gatehouse_domain::id::{RolloutId, UserId};
use gatehouse_domain::role::Scope;
use gatehouse_domain::rollout::{Definition, Progress, Refused, State};
use gatehouse_store::StoreError;
use gatehouse_store::rollout::{
    Agreed, Approval, Assignment, AssignmentState, Event, Happened, NewRollout, Rollout, Step,
};
use gatehouse_store::{Listed, Page};
use serde_json::Value;

use crate::act::{ActError, Caller, Changed, shortened};
use crate::app::App;
use crate::{team, user};

pub use plan::{Plan, Preview};
pub use show::{PhaseShown, Shown, result, show};

/// Longest reason or comment, in characters.
const MAX_SAID: usize = 1000;
/// How often an act tries again when the controller did a step meanwhile.
const TRIES: usize = 5;

/// What became of a definition.
#[derive(Debug, Clone)]
pub enum Applied {
    /// It was made.
    Made(Rollout),
    /// It is there, as it is.
    Same(Rollout),
    /// What would be, since only that was asked for.
    Previewed(Vec<Preview>),
}

/// Makes a rollout from its definition, or only says what it would do. The same definition again changes nothing.
///
/// # Errors
/// The definition's mistakes; people, teams or overlays that do not exist; an overlay that is not published in that version,
/// or that people have already; another definition under way by that name; the database.
pub async fn apply(app: &App, caller: &Caller, given: &Value, dry_run: DryRun) -> Result<Applied, ActError> {
    let definition = Definition::read(given).map_err(|mistakes| {
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        ActError::field("definition", told.join("\n"))
    })?;
    if let Ok(before) = app.store.rollout(app.org, &definition.name).await
        && !before.progress.state.is_over()
    {
        let plan = Plan::parse(&before)?;
        if plan.given == *given {
            return Ok(Applied::Same(before));
        }
        let told = format!(
            "`{}` is under way ({}) and never changes: end it with `gatehouse rollout abort` or `rollback`, or use another name",
            before.name,
            before.progress.state.as_str()
        );
        return Err(ActError::Store(StoreError::Invalid { field: "definition", why: told }));
    }
    let plan = Plan::make(app, given, &definition).await?;
    let previews = plan.preview(app, &definition).await?;
    if dry_run == DryRun::Yes {
        return Ok(Applied::Previewed(previews));
    }
    let now = app.now();
    let new = NewRollout {
        id: RolloutId::new(now, app.random_bits()),
        name: definition.name.clone(),
        definition: plan.text(),
        progress: Progress::new(now),
        overlays: plan.overlays(),
        next_at: now,
    };
    let act = caller
        .draft(now, "rollout.apply", Object::new("rollout", new.id, new.name.as_str()))
        .with("phases", definition.phases.iter().map(|phase| phase.id.clone()).collect::<Vec<_>>())
        .with("settings", plan.told());
    app.store.create_rollout(app.org, &new, &act).await?;
    Ok(Applied::Made(app.store.rollout(app.org, &new.id.to_string()).await?))
}

/// Whether something is only asked, and not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// Only asked.
    Yes,
    /// Done.
    No,
}

/// Looks a rollout up, by name or id.
///
/// # Errors
/// There is none; the database.
pub async fn get(app: &App, given: &str) -> Result<Rollout, ActError> {
    let found = app.store.rollout(app.org, given).await;
    if matches!(&found, Err(StoreError::NotFound { .. })) {
        return Err(ActError::NotFound { noun: "rollout", given: shortened(given) });
    }
    Ok(found?)
}

/// Lists rollouts, the newest first.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, page: &Page) -> Result<Listed<Rollout>, ActError> {
    Ok(app.store.rollouts(app.org, page).await?)
}

/// What happened to a rollout, in its order.
///
/// # Errors
/// There is none; a bad page; the database.
pub async fn history(app: &App, given: &str, page: &Page) -> Result<Listed<Event>, ActError> {
    let rollout = get(app, given).await?;
    Ok(app.store.rollout_events(app.org, rollout.id, page).await?)
}

/// The names of a rollout's phases, and everybody who got it, in the order in which they did; or only those in a state.
///
/// # Errors
/// There is no such state; the database.
pub async fn assignments(
    app: &App,
    rollout: &Rollout,
    state: Option<&str>,
) -> Result<(Vec<String>, Vec<Assignment>), ActError> {
    if let Some(state) = state
        && AssignmentState::ALL.iter().all(|known| known.as_str() != state)
    {
        let all = AssignmentState::ALL.map(AssignmentState::as_str).join(", ");
        return Err(ActError::field("state", format!("`{}` is none of {all}", shortened(state))));
    }
    let definition = Plan::parse(rollout)?.definition()?;
    let mut all = app.store.rollout_assignments(app.org, rollout.id).await?;
    all.retain(|one| state.is_none_or(|state| one.state.as_str() == state));
    Ok((definition.phases.into_iter().map(|phase| phase.id).collect(), all))
}

/// Who has agreed to what.
///
/// # Errors
/// The database.
pub async fn approvals(app: &App, rollout: &Rollout) -> Result<Vec<Agreed>, ActError> {
    Ok(app.store.rollout_approvals(app.org, rollout.id).await?)
}

/// What somebody does to a rollout that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It waits.
    Pause,
    /// It goes on.
    Resume,
    /// It ends, and who has it keeps it.
    Abort,
    /// It is taken back from everybody.
    RollBack,
}

impl Deed {
    const fn action(self) -> &'static str {
        match self {
            Self::Pause => "rollout.pause",
            Self::Resume => "rollout.resume",
            Self::Abort => "rollout.abort",
            Self::RollBack => "rollout.rollback",
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Abort => "aborted",
            Self::RollBack => "rollback_asked",
        }
    }

    fn to(self, progress: &mut Progress, why: &str, app: &App) -> Result<(), Refused> {
        match self {
            Self::Pause => progress.pause(why, app.now()),
            Self::Resume => progress.resume(app.now()),
            Self::Abort => progress.abort(why, app.now()),
            Self::RollBack => progress.roll_back(why, app.now()),
        }
    }
}

/// Pauses, resumes, aborts a rollout, or has it taken back.
///
/// # Errors
/// There is none; it is in a state that does not allow it; the database.
pub async fn act_on(
    app: &App,
    caller: &Caller,
    given: &str,
    deed: Deed,
    why: Option<&str>,
) -> Result<Rollout, ActError> {
    let why = said(why.unwrap_or_default())?;
    for _ in 0..TRIES {
        let rollout = get(app, given).await?;
        let plan = Plan::parse(&rollout)?;
        let mut progress = rollout.progress.clone();
        deed.to(&mut progress, &why, app).map_err(|refused| no(&rollout, refused))?;
        let mut draft = caller.draft(app.now(), deed.action(), object(&rollout)).with("reason", why.as_str());
        draft.detail = draft.detail.with_some("phase", phase_name(&rollout));
        let step = Step {
            overlays: plan.overlays(),
            next_at: progress.next_at(&plan.definition()?, app.now()),
            happened: Some(Happened { kind: deed.kind(), text: why.clone(), node: String::new() }),
            ..Step::default()
        };
        if app.store.step_rollout(app.org, &rollout, &progress, &step, None, &draft).await? {
            return get(app, &rollout.id.to_string()).await;
        }
    }
    Err(busy(given))
}

/// Agrees that a phase is done with. As many people as the phase asks for must, none of whom made the rollout or wrote its
/// settings.
///
/// # Errors
/// There is none; it does not wait for approval; this person may not, or has; no comment; the database.
pub async fn approve(app: &App, caller: &Caller, given: &str, comment: &str) -> Result<Rollout, ActError> {
    let comment = said(comment)?;
    if comment.is_empty() {
        return Err(ActError::field("comment", "is empty: say what was looked at, and why it may go on"));
    }
    for _ in 0..TRIES {
        let rollout = get(app, given).await?;
        let plan = Plan::parse(&rollout)?;
        let definition = plan.definition()?;
        rollout.progress.asked(&definition).map_err(|refused| no(&rollout, refused))?;
        let now = app.now();
        let draft = caller
            .draft(now, "rollout.approve", object(&rollout))
            .with("phase", phase_name(&rollout).unwrap_or_default())
            .with("comment", comment.as_str());
        let barred: Vec<String> = plan.writers.iter().chain([&rollout.author]).cloned().collect();
        let approval = Approval { phase: rollout.progress.phase, comment: &comment, barred: &barred };
        let becomes = |count: u32| {
            let mut progress = rollout.progress.clone();
            progress.approved(&definition, count, now).map_err(|_| StoreError::Refused {
                noun: "rollout",
                given: rollout.name.clone(),
                why: "does not wait for approval any more",
            })?;
            let happened = Happened { kind: "approved", text: comment.clone(), node: String::new() };
            let share = look::share(&definition, &progress);
            let next_at = progress.next_at(&definition, now);
            Ok((
                progress,
                Step {
                    overlays: plan.overlays(),
                    next_at,
                    share,
                    happened: Some(happened),
                    ..Step::default()
                },
            ))
        };
        if app.store.approve_rollout(app.org, &rollout, &approval, becomes, &draft).await? {
            return get(app, &rollout.id.to_string()).await;
        }
    }
    Err(busy(given))
}

/// Takes a rollout back from the members of a team, at once, and keeps it from them.
///
/// # Errors
/// There is no such rollout or team; it was taken back; the database.
pub async fn roll_back_team(
    app: &App,
    caller: &Caller,
    given: &str,
    team: &str,
    why: Option<&str>,
) -> Result<Changed<Rollout>, ActError> {
    let why = said(why.unwrap_or_default())?;
    let team = team::named(app, Scope::Organization, "team", team).await?;
    for _ in 0..TRIES {
        let rollout = get(app, given).await?;
        if matches!(rollout.progress.state, State::RollingBack | State::RolledBack) {
            return Err(no(&rollout, Refused::Undone));
        }
        let plan = Plan::parse(&rollout)?;
        let members: BTreeSet<UserId> = app
            .store
            .active_people(app.org)
            .await?
            .into_iter()
            .filter(|person| person.teams.contains(&team.id))
            .map(|person| person.user)
            .collect();
        let assigned = app.store.rollout_assignments(app.org, rollout.id).await?;
        let has_it = assigned.iter().rev().filter(|one| one.state.has_it() && members.contains(&one.user));
        let undo: Vec<UserId> = has_it.map(|one| one.user).collect();
        let mut progress = rollout.progress.clone();
        if !progress.without_teams.contains(&team.id) {
            progress.without_teams.push(team.id);
        }
        let draft = caller
            .draft(app.now(), "rollout.rollback_team", object(&rollout))
            .with("team", team.name.as_str())
            .with("people", u64::try_from(undo.len()).unwrap_or(u64::MAX))
            .with("reason", why.as_str());
        let text = format!("{} of {}: {why}", undo.len(), team.name);
        let step = Step {
            overlays: plan.overlays(),
            notify: undo.iter().map(|user| deploy::told(app, &rollout, *user, "rollout_undone")).collect(),
            undo,
            next_at: rollout.next_at,
            happened: Some(Happened { kind: "team_rolled_back", text, node: String::new() }),
            ..Step::default()
        };
        if app.store.step_rollout(app.org, &rollout, &progress, &step, None, &draft).await? {
            let in_force = (app.house.policy_changed)().await;
            return Ok(Changed { now: get(app, &rollout.id.to_string()).await?, in_force });
        }
    }
    Err(busy(given))
}

/// Notes that somebody wants to be among the first, or does so no more.
///
/// # Errors
/// There is no such person; the database.
pub async fn volunteer(app: &App, caller: &Caller, given: &str, wants: Wants) -> Result<(), ActError> {
    let user = user::named(app, Scope::Organization, "user", given).await?;
    let action = match wants {
        Wants::In => "rollout.volunteer",
        Wants::Out => "rollout.unvolunteer",
    };
    let act = caller.draft(app.now(), action, Object::new("user", user.id, user.email.as_str()));
    Ok(app.store.set_volunteer(app.org, user.id, wants == Wants::In, &act).await?)
}

/// Whether somebody wants to be among the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// They do.
    In,
    /// They do not any more.
    Out,
}

/// Who has a rollout now.
pub(crate) async fn having(app: &App, rollout: &Rollout) -> Result<BTreeSet<UserId>, ActError> {
    let all = app.store.rollout_assignments(app.org, rollout.id).await?;
    Ok(all.into_iter().filter(|one| one.state.has_it()).map(|one| one.user).collect())
}

/// Who got a rollout, in all or in one phase.
pub(crate) async fn people(
    app: &App,
    given: &str,
    phase: Option<&str>,
) -> Result<BTreeSet<UserId>, ActError> {
    let rollout = get(app, given).await?;
    let definition = Plan::parse(&rollout)?.definition()?;
    let place = match phase {
        None => None,
        Some(id) => {
            let found = definition.phases.iter().position(|phase| phase.id == id);
            Some(found.ok_or_else(|| ActError::NotFound { noun: "phase", given: shortened(id) })?)
        }
    };
    let all = app.store.rollout_assignments(app.org, rollout.id).await?;
    let is_in = |one: &Assignment| place.is_none_or(|place| one.phase == place);
    Ok(all.iter().filter(|one| is_in(one)).map(|one| one.user).collect())
}

/// Who is in which phase of a rollout, by the names of phases; without those that nobody is in.
pub(crate) async fn people_by_phase(
    app: &App,
    rollout: &Rollout,
) -> Result<BTreeMap<String, BTreeSet<UserId>>, ActError> {
    let definition = Plan::parse(rollout)?.definition()?;
    let mut people: BTreeMap<String, BTreeSet<UserId>> = BTreeMap::new();
    for one in app.store.rollout_assignments(app.org, rollout.id).await? {
        if let Some(phase) = definition.phases.get(one.phase) {
            people.entry(phase.id.clone()).or_default().insert(one.user);
        }
    }
    Ok(people)
}

/// The name of the phase that a rollout is in.
pub(crate) fn phase_name(rollout: &Rollout) -> Option<String> {
    let definition = Plan::parse(rollout).ok()?.definition().ok()?;
    definition.phases.get(rollout.progress.phase).map(|phase| phase.id.clone())
}

fn object(rollout: &Rollout) -> Object {
    Object::new("rollout", rollout.id, rollout.name.as_str())
}

fn no(rollout: &Rollout, refused: Refused) -> ActError {
    let why = format!("`{}` {refused}", rollout.name);
    ActError::Store(StoreError::Invalid { field: "rollout", why })
}

fn busy(given: &str) -> ActError {
    ActError::Busy(format!("the rollout `{}` moves at this moment; try again", shortened(given)))
}

fn said(text: &str) -> Result<String, ActError> {
    let text = text.trim();
    if text.chars().count() > MAX_SAID || text.chars().any(|c| c.is_control() && c != '\n') {
        let told = format!("must have at most {MAX_SAID} characters, and none that control");
        return Err(ActError::field("comment", told));
    }
    Ok(text.to_owned())
}

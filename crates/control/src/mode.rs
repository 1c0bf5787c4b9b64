//! The deployment mode of the organization and its teams: what is in force, what a change would mean, changing it.
//!
//! The mode says which way people's clients are meant to go; what they are told when they begin follows from it. It does not
//! reach out to machines: a change is done when their settings have changed as the plan says.

pub mod report;

use std::collections::BTreeMap;

use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::{User, UserState};
use gatehouse_domain::id::{ModeChangeId, TeamId};
use gatehouse_domain::mode::{Difference, Mode, difference};
use gatehouse_domain::role::Scope;
use gatehouse_store::mode::ModeChange;
use gatehouse_store::user::UserFilter;
use gatehouse_store::{Listed, MAX_LIMIT, Page};

use crate::act::{ActError, Caller, read};
use crate::app::{App, Ways};
use crate::{team, user};

/// The organization's mode until somebody sets one.
pub const DEFAULT: Mode = Mode::Gateway;
/// People that a plan names; the rest it counts.
pub const NAMED: usize = 50;

/// What decides somebody's mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decider {
    /// Nothing was ever set.
    Default,
    /// The organization's.
    Organization,
    /// That of the team of this name.
    Team(String),
}

/// The modes in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modes {
    /// The organization's, if one was set.
    pub organization: Option<ModeChange>,
    /// Those of teams, by their names.
    pub teams: BTreeMap<String, ModeChange>,
}

impl Modes {
    /// The organization's mode.
    pub fn general(&self) -> Mode {
        self.organization.as_ref().and_then(|change| change.mode).unwrap_or(DEFAULT)
    }

    /// The mode of who is in these teams, and what decides it. Of several teams the one with the tightest mode does.
    pub fn of(&self, teams: &[String]) -> (Mode, Decider) {
        let own = teams.iter().filter_map(|name| Some((self.teams.get(name)?.mode?, name)));
        match own.max_by_key(|(mode, _)| *mode) {
            Some((mode, team)) => (mode, Decider::Team(team.clone())),
            None if self.organization.is_some() => (self.general(), Decider::Organization),
            None => (DEFAULT, Decider::Default),
        }
    }
}

/// What a change would mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The mode now, of the organization or team.
    pub from: Mode,
    /// The mode after it.
    pub to: Mode,
    /// What changes on machines.
    pub difference: Difference,
    /// How many people's mode changes.
    pub affected: u64,
    /// The addresses of the first of them.
    pub people: Vec<String>,
    /// What is missing for it on this server.
    pub missing: Vec<&'static str>,
}

/// What somebody is told when they begin.
#[derive(Debug, Clone)]
pub struct Onboarding {
    /// Who.
    pub user: User,
    /// Their mode.
    pub mode: Mode,
    /// What decides it.
    pub decider: Decider,
    /// Where things are.
    pub ways: Ways,
}

/// The modes in force.
///
/// # Errors
/// The database.
pub async fn modes(app: &App) -> Result<Modes, ActError> {
    let mut modes = Modes::default();
    for change in app.store.modes(app.org).await? {
        match (change.team, &change.team_name) {
            (None, _) => modes.organization = Some(change),
            (Some(_), Some(name)) => {
                modes.teams.insert(name.clone(), change);
            }
            // The team is no more.
            (Some(_), None) => {}
        }
    }
    modes.teams.retain(|_, change| change.mode.is_some());
    Ok(modes)
}

/// How the mode changed, the newest change first.
///
/// # Errors
/// A bad page; the database.
pub async fn changes(app: &App, page: &Page) -> Result<Listed<ModeChange>, ActError> {
    Ok(app.store.mode_changes(app.org, page).await?)
}

/// A change as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The mode; none lets a team go by the organization again.
    pub mode: Option<String>,
    /// The team, by name or id; none is the organization.
    pub team: Option<String>,
}

async fn understood(
    app: &App,
    wanted: &Wanted,
) -> Result<(Option<Mode>, Option<(TeamId, String)>), ActError> {
    let mode = wanted.mode.as_deref().map(str::parse::<Mode>).transpose();
    let mode = read("mode", mode)?;
    let team = match wanted.team.as_deref() {
        None => None,
        Some(given) => {
            let team = team::named(app, Scope::Organization, "team", given).await?;
            Some((team.id, team.name))
        }
    };
    if mode.is_none() && team.is_none() {
        return Err(ActError::field("mode", "the organization has a mode; only a team can go without"));
    }
    Ok((mode, team))
}

/// Says what a change would mean, and changes nothing.
///
/// # Errors
/// A bad mode, an unknown team; the database.
pub async fn plan(app: &App, wanted: &Wanted) -> Result<Plan, ActError> {
    let (mode, team) = understood(app, wanted).await?;
    let before = modes(app).await?;
    let mut after = before.clone();
    let change = ModeChange {
        id: ModeChangeId::new(app.now(), 0),
        team: team.as_ref().map(|(id, _)| *id),
        team_name: team.as_ref().map(|(_, name)| name.clone()),
        mode,
        actor: String::new(),
        at: app.now(),
    };
    let (from, to) = match &team {
        None => {
            after.organization = Some(change);
            (before.general(), after.general())
        }
        Some((_, name)) => {
            after.teams.insert(name.clone(), change);
            let only = std::slice::from_ref(name);
            (before.of(only).0, after.of(only).0)
        }
    };
    let (affected, people) = affected(app, team.map(|(id, _)| id), &before, &after).await?;
    let missing = missing(to, &(app.house.ways)());
    Ok(Plan { from, to, difference: difference(from, to), affected, people, missing })
}

/// What the configuration does not say although a mode needs it, by setting.
fn missing(mode: Mode, ways: &Ways) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !ways.is_public {
        missing.push("listen.public_url");
    }
    if mode.uses_proxy() && ways.proxy_url.is_none() {
        missing.push("mode.proxy_url");
    }
    missing
}

/// Whose mode is another one after a change: how many, and the first of them.
async fn affected(
    app: &App,
    team: Option<TeamId>,
    before: &Modes,
    after: &Modes,
) -> Result<(u64, Vec<String>), ActError> {
    let filter = UserFilter { team, state: Some(UserState::Active), ..UserFilter::default() };
    let (mut count, mut names) = (0, Vec::new());
    let mut page = Page::first(MAX_LIMIT);
    loop {
        let listed = app.store.users(app.org, &filter, &page).await?;
        for user in listed.items {
            if before.of(&user.teams).0 != after.of(&user.teams).0 {
                count += 1;
                if names.len() < NAMED {
                    names.push(user.email.clone());
                }
            }
        }
        match listed.next {
            Some(next) => page = Page::after(next, MAX_LIMIT),
            None => return Ok((count, names)),
        }
    }
}

/// Changes the mode of the organization or of a team. What was before stays in the history.
///
/// # Errors
/// A bad mode, an unknown team, the mode that it has already; the database.
pub async fn set(app: &App, caller: &Caller, wanted: &Wanted) -> Result<Modes, ActError> {
    let (mode, team) = understood(app, wanted).await?;
    let now = app.now();
    let before = modes(app).await?;
    let had = match &team {
        None => before.organization.as_ref().and_then(|change| change.mode),
        Some((_, name)) => before.teams.get(name).and_then(|change| change.mode),
    };
    if had == mode {
        return Err(ActError::field("mode", "it is so already"));
    }
    let text = |mode: Option<Mode>| mode.map_or("", Mode::as_str);
    let object = match &team {
        None => Object::new("organization", app.org, "mode"),
        Some((id, name)) => Object::new("team", id, name.as_str()),
    };
    let act = caller.draft(now, "mode.set", object).with("before", text(had)).with("mode", text(mode));
    let id = ModeChangeId::new(now, app.random_bits());
    app.store.set_mode(app.org, id, team.map(|(id, _)| id), mode, &act).await?;
    modes(app).await
}

/// What somebody needs to begin.
///
/// # Errors
/// There is no such user within the scope; the database.
pub async fn onboarding(app: &App, scope: Scope, given: &str) -> Result<Onboarding, ActError> {
    let user = user::within(app, scope, given).await?;
    let (mode, decider) = modes(app).await?.of(&user.teams);
    Ok(Onboarding { user, mode, decider, ways: (app.house.ways)() })
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::time::UnixMillis;

    use super::*;

    fn change(mode: Option<Mode>) -> ModeChange {
        ModeChange {
            id: ModeChangeId::new(UnixMillis(1), 1),
            team: None,
            team_name: None,
            mode,
            actor: String::new(),
            at: UnixMillis(1),
        }
    }

    #[test]
    fn the_tightest_of_ones_teams_decides_then_the_organization() {
        let teams = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut modes = Modes::default();
        assert_eq!(modes.of(&teams(&["a"])), (Mode::Gateway, Decider::Default));
        modes.organization = Some(change(Some(Mode::Proxy)));
        modes.teams.insert("a".to_owned(), change(Some(Mode::Direct)));
        modes.teams.insert("b".to_owned(), change(Some(Mode::Hybrid)));
        modes.teams.insert("c".to_owned(), change(None));
        for (of, expected) in [
            (&[][..], (Mode::Proxy, Decider::Organization)),
            (&["z"][..], (Mode::Proxy, Decider::Organization)),
            (&["c"][..], (Mode::Proxy, Decider::Organization)),
            (&["a"][..], (Mode::Direct, Decider::Team("a".to_owned()))),
            (&["a", "b"][..], (Mode::Hybrid, Decider::Team("b".to_owned()))),
        ] {
            assert_eq!(modes.of(&teams(of)), expected, "{of:?}");
        }
    }
}

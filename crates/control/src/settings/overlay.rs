//! Overlays: who gets one, and when. A rollout assigns, widens and withdraws them.
//!
//! What an overlay says goes the way of every profile: draft, review, approval, publication. Whom it concerns is apart from
//! that, so that it can change without another review: nobody at first, then whoever is assigned. Who is in at a moment
//! follows from the audience, the time and the person alone; every node works it out by itself.

use std::collections::{BTreeSet, HashSet};

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::UserId;
use gatehouse_domain::role::Scope;
use gatehouse_domain::settings::audience::BadAudience;
use gatehouse_domain::settings::{Audience, Member, Percent, Target};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::settings::{Assigned, NewAudience, Profile};
use gatehouse_store::{MAX_LIMIT, Page, StoreError};

use super::{profile, review};
use crate::act::{ActError, Caller, Changed, read};
use crate::app::App;
use crate::period::ahead_of;
use crate::{team, user};

/// Most people and teams that one call may name.
pub const MAX_NAMED: usize = 1000;
/// Most names that an audit entry has.
const MAX_TOLD: usize = 50;

/// An audience, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// People, by address or id.
    pub users: Vec<String>,
    /// Teams, by name or id.
    pub teams: Vec<String>,
    /// The share of all people, in percent.
    pub percent: Option<u64>,
    /// From when on: a span from now, or a UTC time; now if not given.
    pub starts: Option<String>,
    /// Until when; until it is withdrawn if not given.
    pub ends: Option<String>,
}

/// An overlay with its audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The profile.
    pub profile: Profile,
    /// Its audience; `None` if it never had one.
    pub assigned: Option<Assigned>,
    /// How far that is.
    pub state: OverlayState,
    /// How many active users are in it, whenever it holds.
    pub people: u64,
}

/// How far an audience is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayState {
    /// It was never assigned.
    Unassigned,
    /// It has not begun.
    Waiting,
    /// It holds.
    Open,
    /// It is over.
    Over,
}

/// Gives an overlay the audience that is named, in place of the one it has.
///
/// # Errors
/// There is no such profile, or it is no overlay; an unknown person or team; nobody is in it, or never; somebody's settings
/// could not be delivered with it; the database.
pub async fn assign(
    app: &App,
    caller: &Caller,
    given: &str,
    wanted: &Wanted,
) -> Result<Changed<Shown>, ActError> {
    let now = app.now();
    let profile = overlay(app, given).await?;
    let members = members(app, wanted).await?;
    let time = |field, text: &Option<String>| {
        read(field, text.as_deref().map(|text| ahead_of(now, text)).transpose())
    };
    let audience = Audience {
        percent: percent_of(wanted.percent)?.unwrap_or_default(),
        starts_at: time("starts", &wanted.starts)?.unwrap_or(now),
        ends_at: time("ends", &wanted.ends)?,
    };
    must_be_deliverable(app, &profile).await?;
    let mut act = act(app, caller, "settings.audience_assign", &profile, wanted)
        .with("percent", u32::from(audience.percent.get()))
        .with("starts_at", audience.starts_at.to_string());
    act.detail = act.detail.with_some("ends_at", audience.ends_at.map(|end| end.to_string()));
    change(app, profile, &act, |_| {
        audience.check(&members)?;
        Ok((audience, members))
    })
    .await
}

/// Adds people, teams or a greater share to an overlay's audience. Nobody leaves it by this.
///
/// # Errors
/// As [`assign`]; it has no audience, or that is over; the share is smaller than it is.
pub async fn widen(
    app: &App,
    caller: &Caller,
    given: &str,
    wanted: &Wanted,
) -> Result<Changed<Shown>, ActError> {
    let now = app.now();
    let profile = overlay(app, given).await?;
    let more = members(app, wanted).await?;
    let percent = percent_of(wanted.percent)?;
    must_be_deliverable(app, &profile).await?;
    let mut act = act(app, caller, "settings.audience_widen", &profile, wanted);
    act.detail = act.detail.with_some("percent", percent.map(|percent| u32::from(percent.get())));
    change(app, profile, &act, |before| {
        let before = before.ok_or(BadAudience::NotAssigned)?;
        let audience = before.audience.widened(percent, now)?;
        let members: BTreeSet<Member> = before.members.keys().copied().chain(more).collect();
        audience.check(&members).map(|()| (audience, members))
    })
    .await
}

/// Takes an overlay from everybody: it is over. What it says stays published, for nobody.
///
/// # Errors
/// There is no such profile, or it is no overlay; it was never assigned; the database.
pub async fn withdraw(app: &App, caller: &Caller, given: &str) -> Result<Changed<Shown>, ActError> {
    let now = app.now();
    let profile = overlay(app, given).await?;
    let act = act(app, caller, "settings.audience_withdraw", &profile, &Wanted::default());
    change(app, profile, &act, |before| {
        let before = before.ok_or(BadAudience::NotAssigned)?;
        Ok((before.audience.withdrawn(now), before.members.keys().copied().collect()))
    })
    .await
}

/// Looks an overlay's audience up.
///
/// # Errors
/// There is no such profile, or it is no overlay; the database.
pub async fn show(app: &App, given: &str) -> Result<Shown, ActError> {
    let profile = overlay(app, given).await?;
    let assigned = app.store.settings_audience(app.org, profile.id).await?;
    shown(app, profile, assigned).await
}

async fn overlay(app: &App, given: &str) -> Result<Profile, ActError> {
    let profile = profile::get(app, given).await?;
    if profile.target == Target::Rollout {
        return Ok(profile);
    }
    let why = format!(
        "`{}` is no overlay: whom it concerns follows from its target; make a profile with the target `rollout`",
        profile.name
    );
    Err(ActError::field("profile", why))
}

async fn change(
    app: &App,
    profile: Profile,
    act: &Draft,
    becomes: impl FnOnce(Option<&Assigned>) -> Result<NewAudience, BadAudience> + Send,
) -> Result<Changed<Shown>, ActError> {
    let assigned = app.store.change_settings_audience(app.org, &profile, becomes, act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: shown(app, profile, Some(assigned)).await?, in_force })
}

/// Whoever comes into the audience, their settings must stay deliverable.
async fn must_be_deliverable(app: &App, profile: &Profile) -> Result<(), ActError> {
    let Some(number) = profile.published else { return Ok(()) };
    let version = app.store.settings_version(app.org, profile, number).await?;
    review::must_be_deliverable(app, profile, &version.content).await
}

fn act(app: &App, caller: &Caller, action: &'static str, profile: &Profile, wanted: &Wanted) -> Draft {
    let mut act = caller.draft(app.now(), action, profile::object(profile));
    for (count, names, given) in
        [("users", "user_names", &wanted.users), ("teams", "team_names", &wanted.teams)]
    {
        if !given.is_empty() {
            let told: Vec<String> = given.iter().take(MAX_TOLD).cloned().collect();
            act = act.with(count, u64::try_from(given.len()).unwrap_or(u64::MAX)).with(names, told);
        }
    }
    act.detail = act.detail.with_some("version", profile.published);
    act
}

fn percent_of(given: Option<u64>) -> Result<Option<Percent>, ActError> {
    read("percent", given.map(Percent::new).transpose())
}

async fn members(app: &App, wanted: &Wanted) -> Result<BTreeSet<Member>, ActError> {
    let count = wanted.users.len() + wanted.teams.len();
    if count > MAX_NAMED {
        let told = format!(
            "{count} people and teams are named; at most {MAX_NAMED} are taken at once, so widen it step by step"
        );
        return Err(ActError::field("users", told));
    }
    let mut members = BTreeSet::new();
    for given in &wanted.users {
        members.insert(Member::User(user::named(app, Scope::Organization, "users", given).await?.id));
    }
    for given in &wanted.teams {
        members.insert(Member::Team(team::named(app, Scope::Organization, "teams", given).await?.id));
    }
    Ok(members)
}

async fn shown(app: &App, profile: Profile, assigned: Option<Assigned>) -> Result<Shown, ActError> {
    let state = assigned
        .as_ref()
        .map_or(OverlayState::Unassigned, |assigned| state_of(&assigned.audience, app.now()));
    let people = match &assigned {
        Some(assigned) => people(app, &profile, assigned).await?,
        None => 0,
    };
    Ok(Shown { profile, assigned, state, people })
}

fn state_of(audience: &Audience, now: UnixMillis) -> OverlayState {
    if audience.is_over(now) {
        OverlayState::Over
    } else if audience.is_open(now) {
        OverlayState::Open
    } else {
        OverlayState::Waiting
    }
}

async fn people(app: &App, profile: &Profile, assigned: &Assigned) -> Result<u64, StoreError> {
    let assignments = app.store.settings_assignments(app.org, None).await?;
    let named: HashSet<UserId> =
        assignments.into_iter().filter(|one| one.profile == profile.id).map(|one| one.user).collect();
    let is_in = |user| named.contains(&user) || assigned.audience.percent.includes(profile.id, user);
    let (mut count, mut page) = (0, Page::first(MAX_LIMIT));
    loop {
        let users = app.store.settings_reach(app.org, &page).await?;
        count += users.items.iter().filter(|reach| is_in(reach.user)).count();
        let Some(next) = users.next else { return Ok(u64::try_from(count).unwrap_or(u64::MAX)) };
        page = Page::after(next, MAX_LIMIT);
    }
}

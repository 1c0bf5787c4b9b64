//! Daily snapshots of the figures: taking them, reading them, deleting old ones.
//!
//! Of each UTC day the figures of the organization, of every team, of every phase of a rollout under way and of every mode are
//! kept, once, an hour after its end (`GRACE_MS`); by one node, under a lease that every write checks. Who belongs to what
//! is read when a day is taken. What comes into the ledger afterwards is in the sums and reports, not in the snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use gatehouse_domain::id::{TeamId, UserId};
use gatehouse_domain::metrics::snapshot::{CATCH_UP_DAYS, Measured, ScopeKind, Snapshot, due};
use gatehouse_domain::mode::Mode;
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::rollout::{Active, Lease};
use gatehouse_store::snapshot::SnapshotDay;
use gatehouse_store::{MAX_LIMIT, Page};

use super::reading::{Reading, Span};
use super::{MOST_RECORDS, people_by_mode};
use crate::act::{ActError, Range, read, shortened};
use crate::app::App;
use crate::{mode, rollout, team};

/// What the lease is called.
const LEASE: &str = "metric snapshots";
/// For how long the work is one node's, in milliseconds: longer than a day's exchanges are read.
const LEASE_MS: i64 = 600_000;
/// Snapshots that are written in one transaction.
const BATCH: usize = 50;
/// Most deletions of one run; the next one goes on.
const DELETIONS: u32 = 100;
/// Longest range that can be asked for, in days.
pub const LONGEST_DAYS: i64 = 366;
/// The range, where none is given, in days.
const RANGE_DAYS: i64 = 30;

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ran {
    /// Days that are kept now and were not before.
    pub days: u64,
    /// Snapshots that were deleted because of their age.
    pub deleted: u64,
}

/// The snapshots of a scope.
#[derive(Debug, Clone)]
pub struct History {
    /// Of what.
    pub scope: String,
    /// The first day that was asked for.
    pub since: UnixMillis,
    /// The day after the last.
    pub until: UnixMillis,
    /// One for each kept day, in their order.
    pub snapshots: Vec<Snapshot>,
}

/// Whose figures are taken.
struct Group {
    scope: Measured,
    people: BTreeSet<UserId>,
}

/// Takes what is due and deletes what is older than it is kept, unless another node is at it. For a job that calls it every few
/// minutes; called again, it does nothing.
///
/// # Errors
/// The database; this node's journal could not be brought in. What was not done is done at the next call.
pub async fn run_due(app: &App) -> Result<Ran, ActError> {
    let now = app.now();
    let days = due_days(app, now).await?;
    let before = (app.house.retention)().snapshots_before(now);
    let old = match before {
        Some(before) => app.store.old_snapshots(app.org, before).await?,
        None => 0,
    };
    if days.is_empty() && old == 0 {
        return Ok(Ran::default());
    }
    let holder = format!("{} {:032x}", app.node, app.random_bits());
    if !extend(app, &holder).await? {
        return Ok(Ran::default());
    }
    let done = run_alone(app, &holder, before.filter(|_| old > 0)).await;
    app.store.give_lease_back(app.org, LEASE, &holder).await?;
    done
}

async fn due_days(app: &App, now: UnixMillis) -> Result<Vec<UnixMillis>, ActError> {
    let born = app.store.org(app.org).await?.created_at;
    let since = now.plus_millis(-(CATCH_UP_DAYS + 2) * DAY_MS);
    Ok(due(now, born, &app.store.snapshot_days(app.org, since).await?))
}

async fn extend(app: &App, holder: &str) -> Result<bool, ActError> {
    let now = app.now();
    Ok(app.store.take_lease(app.org, LEASE, holder, now, now.plus_millis(LEASE_MS)).await?)
}

async fn run_alone(app: &App, holder: &str, before: Option<UnixMillis>) -> Result<Ran, ActError> {
    let mut ran = Ran::default();
    // Anew: another node may have taken some before the lease was ours.
    let days = due_days(app, app.now()).await?;
    if !days.is_empty() {
        (app.house.flush_ledger)().await?;
        let everybody = app.store.active_people(app.org).await?;
        let groups = groups(app, &everybody).await?;
        for day in days {
            ran.days += u64::from(take(app, holder, day, &everybody, &groups).await?);
        }
    }
    if let Some(before) = before {
        for _ in 0..DELETIONS {
            let turn = Instant::now();
            let gone = app.store.forget_snapshots(app.org, before).await?;
            ran.deleted += gone;
            if gone == 0 || !extend(app, holder).await? {
                break;
            }
            tokio::time::sleep(turn.elapsed()).await;
        }
    }
    Ok(ran)
}

/// Takes a day. Says no when another node has the lease by now.
async fn take(
    app: &App,
    holder: &str,
    day: UnixMillis,
    everybody: &[Active],
    groups: &[Group],
) -> Result<bool, ActError> {
    if !extend(app, holder).await? {
        return Ok(false);
    }
    let lease = Lease { name: LEASE, holder };
    let all = everybody.iter().map(|person| person.user).collect();
    let span = Span { since: day, until: day.plus_millis(DAY_MS), is_over: true };
    let reading = Reading::read(app, &all, span, MOST_RECORDS).await?;
    let (taken_at, from_rollups) = (app.now(), reading.is_from_rollups());
    for batch in groups.chunks(BATCH) {
        let turn = Instant::now();
        let snapshots: Vec<Snapshot> =
            batch.iter().map(|group| snapshot(group, &reading, day, taken_at)).collect();
        if !app.store.put_snapshots(app.org, lease, app.now(), day, &snapshots).await?
            || !extend(app, holder).await?
        {
            return Ok(false);
        }
        if groups.len() > BATCH {
            // Whoever waits to write has as long as this took.
            tokio::time::sleep(turn.elapsed()).await;
        }
    }
    let scopes = u64::try_from(groups.len()).unwrap_or(u64::MAX);
    let kept = SnapshotDay { day, taken_at, from_rollups, scopes };
    Ok(app.store.keep_snapshot_day(app.org, lease, app.now(), &kept).await?)
}

fn snapshot(group: &Group, reading: &Reading, day: UnixMillis, taken_at: UnixMillis) -> Snapshot {
    let (mut counts, _, _) = reading.of(&group.people);
    let (durations, first_bytes) = (counts.durations(), counts.first_bytes());
    (counts.durations_ms, counts.first_bytes_ms) = (Vec::new(), Vec::new());
    Snapshot {
        scope: group.scope.clone(),
        day,
        taken_at,
        from_rollups: reading.is_from_rollups(),
        counts,
        durations,
        first_bytes,
    }
}

/// Of what there are snapshots now.
async fn groups(app: &App, everybody: &[Active]) -> Result<Vec<Group>, ActError> {
    let group = |kind, id: String, name: String, people| Group { scope: Measured { kind, id, name }, people };
    let all = everybody.iter().map(|person| person.user).collect();
    let mut groups = vec![group(ScopeKind::Organization, String::new(), "org".to_owned(), all)];
    for (mode, people) in people_by_mode(&mode::modes(app).await?, everybody) {
        groups.push(group(ScopeKind::Mode, mode.to_string(), format!("mode:{mode}"), people));
    }
    let mut members: BTreeMap<TeamId, BTreeSet<UserId>> = BTreeMap::new();
    for person in everybody {
        for team in &person.teams {
            members.entry(*team).or_default().insert(person.user);
        }
    }
    let mut page = Page::first(MAX_LIMIT);
    loop {
        let listed = app.store.teams(app.org, &page).await?;
        for team in listed.items {
            let people = members.remove(&team.id).unwrap_or_default();
            groups.push(group(ScopeKind::Team, team.id.to_string(), format!("team:{}", team.name), people));
        }
        match listed.next {
            Some(next) => page = Page::after(next, MAX_LIMIT),
            None => break,
        }
    }
    let enabled: BTreeSet<UserId> = everybody.iter().map(|person| person.user).collect();
    let mut page = Page::first(MAX_LIMIT);
    loop {
        let listed = rollout::list(app, &page).await?;
        for rollout in listed.items.iter().filter(|rollout| !rollout.progress.state.is_over()) {
            for (phase, people) in rollout::people_by_phase(app, rollout).await? {
                let people = people.intersection(&enabled).copied().collect();
                let (id, name) =
                    (format!("{}/{phase}", rollout.id), format!("rollout:{}/{phase}", rollout.name));
                groups.push(group(ScopeKind::Phase, id, name, people));
            }
        }
        match listed.next {
            Some(next) => page = Page::after(next, MAX_LIMIT),
            None => return Ok(groups),
        }
    }
}

/// The snapshots of a scope in a range of days: `org`, `team:NAME`, `rollout:NAME/PHASE` or `mode:MODE`; without one, of what
/// the caller is limited to. Whoever sees the whole organization also sees teams that are no more, by name or identifier.
///
/// # Errors
/// A scope of which there are none, that does not exist, or that is outside of what the caller is limited to; a bad range, or
/// one of more than [`LONGEST_DAYS`]; the database.
pub async fn history(
    app: &App,
    limit: Scope,
    scope: Option<&str>,
    range: &Range,
) -> Result<History, ActError> {
    let now = app.now();
    let (since, until) = range.read(now)?;
    let until = until.unwrap_or(now).plus_millis(DAY_MS - 1).day();
    let since = since.map_or_else(|| until.plus_millis(-RANGE_DAYS * DAY_MS), UnixMillis::day);
    if until.0 - since.0 > LONGEST_DAYS * DAY_MS {
        let told = format!("the range has more than {LONGEST_DAYS} days; ask for a shorter one");
        return Err(ActError::field("since", told));
    }
    let scope = measured(app, limit, scope).await?;
    let snapshots = app.store.snapshots(app.org, scope.kind, &scope.id, since, until).await?;
    Ok(History { scope: scope.name, since, until, snapshots })
}

async fn measured(app: &App, limit: Scope, given: Option<&str>) -> Result<Measured, ActError> {
    let is_whole = limit == Scope::Organization;
    let text = match (given, limit) {
        (Some(text), _) => text.to_owned(),
        (None, Scope::Organization) => "org".to_owned(),
        (None, Scope::Team(id)) => format!("team:{}", app.store.team(app.org, id).await?.name),
        (None, Scope::User(_)) => String::new(),
    };
    let found = |kind, id: String, name: String| Ok(Measured { kind, id, name });
    match text.split_once(':') {
        None if text == "org" && is_whole => found(ScopeKind::Organization, String::new(), text),
        Some(("team", name)) => match team::named(app, limit, "scope", name).await {
            Ok(team) => found(ScopeKind::Team, team.id.to_string(), format!("team:{}", team.name)),
            Err(none) if is_whole => {
                // One that is no more.
                let id = match name.parse::<TeamId>() {
                    Ok(id) => Some(id.to_string()),
                    Err(_) => app.store.measured_scope(app.org, ScopeKind::Team, &text).await?,
                };
                found(ScopeKind::Team, id.ok_or(none)?, text)
            }
            Err(none) => Err(none),
        },
        Some(("rollout", name)) if is_whole && name.contains('/') => {
            let id = app.store.measured_scope(app.org, ScopeKind::Phase, &text).await?;
            let none =
                || ActError::field("scope", format!("there are no snapshots of `{}`", shortened(&text)));
            let id = id.ok_or_else(none)?;
            found(ScopeKind::Phase, id, text)
        }
        Some(("mode", name)) if is_whole => {
            let mode = read("scope", name.parse::<Mode>())?;
            found(ScopeKind::Mode, mode.to_string(), text)
        }
        None | Some(_) => {
            let told = format!(
                "there are no snapshots of `{}` for you; expected org, team:NAME, rollout:NAME/PHASE or mode:MODE (none are \
                 kept of single people)",
                shortened(&text)
            );
            Err(ActError::field("scope", told))
        }
    }
}

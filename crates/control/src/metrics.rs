//! The six figures of a scope in a window, and those beside them.
//!
//! They rest on the recorded exchanges, since no sum tells a client's own retries and what a user gave up from errors. Where
//! there are too many of them, the sums stand in, and it is said that they do. Who went to the provider without us has none:
//! of them counts what telemetry tells, else what the provider's client analytics tell ([`told`]).

mod reading;
pub mod snapshot;
pub mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gatehouse_domain::feedback::Summary as Said;
use gatehouse_domain::id::UserId;
use gatehouse_domain::metrics::Counts;
use gatehouse_domain::mode::Mode;
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::rollout::Active;

use self::reading::{Reading, Span, Tallies};
use self::told::Told;
use crate::act::{ActError, read, shortened};
use crate::app::App;
use crate::mode::Modes;
use crate::period::span_ms;
use crate::{mode, rollout, team, user};

/// Most exchanges that are looked at to judge a rollout, in the background.
pub const MOST_RECORDS: u64 = 500_000;
/// Most exchanges that are looked at while somebody waits for the answer: about half a second's worth.
pub const MOST_WAITED_FOR: u64 = 100_000;
/// The window, where none is given.
const WINDOW: &str = "30d";

/// Figures of a scope.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Of what: `org`, `team:core`, `user:ada@example.com`, `rollout:opus`, `rollout:opus/pilot`, `mode:gateway`.
    pub scope: String,
    /// From when on.
    pub since: UnixMillis,
    /// Until when.
    pub until: UnixMillis,
    /// What they rest on: `exchanges`, or `rollups` where there are too many of those.
    pub basis: &'static str,
    /// What was counted.
    pub counts: Counts,
    /// What of it no exchange shows.
    pub told: Told,
    /// What people said, few answers withheld.
    pub feedback: Said,
}

/// What is known of people in a window.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// What was counted, without feedback and without who was active lately.
    pub counts: Counts,
    /// Requests and failures of each person on each day.
    pub groups: Vec<(u64, u64)>,
    /// Each person's 95th percentile of the time to the end, in milliseconds.
    pub p95s: Vec<f64>,
    /// When somebody last had an answer.
    pub answered: HashMap<UserId, UnixMillis>,
    /// Whether the sums stand in.
    pub from_rollups: bool,
}

/// Reckons the figures of a scope: `org`, `team:NAME`, `user:EMAIL`, `rollout:NAME`, `rollout:NAME/PHASE` or `mode:MODE`. Without
/// one, of what the caller is limited to. With more than so many exchanges in the window, the sums stand in.
///
/// # Errors
/// A scope that does not exist, or that is outside of what the caller is limited to; a bad window; the database.
pub async fn summary(
    app: &App,
    limit: Scope,
    scope: Option<&str>,
    window: Option<&str>,
    most: u64,
) -> Result<Summary, ActError> {
    let now = app.now();
    let span = read("window", span_ms(window.unwrap_or(WINDOW)))?;
    let since = now.plus_millis(-span);
    (app.house.flush_ledger)().await?;
    let everybody = app.store.active_people(app.org).await?;
    let (scope, people) = people_of(app, limit, scope, &everybody).await?;
    let reading = Reading::read(app, &people, Span { since, until: now, is_over: false }, most).await?;
    Ok(summary_of(scope, &reading, &people, (since, now)))
}

fn summary_of(
    scope: String,
    reading: &Reading,
    people: &BTreeSet<UserId>,
    (since, until): (UnixMillis, UnixMillis),
) -> Summary {
    let (counts, told, feedback) = reading.of(people);
    let basis = if reading.is_from_rollups() { "rollups" } else { "exchanges" };
    Summary { scope, since, until, basis, counts, told, feedback }
}

/// Reckons the figures of the whole organization and of each mode, in this order, of one reading.
///
/// # Errors
/// A bad window; the database.
pub async fn by_mode(
    app: &App,
    window: &str,
    most: u64,
) -> Result<(Summary, Vec<(Mode, Summary)>), ActError> {
    let now = app.now();
    let since = now.plus_millis(-read("window", span_ms(window))?);
    (app.house.flush_ledger)().await?;
    let everybody = app.store.active_people(app.org).await?;
    let all: BTreeSet<UserId> = everybody.iter().map(|person| person.user).collect();
    let reading = Reading::read(app, &all, Span { since, until: now, is_over: false }, most).await?;
    let mut modes = Vec::new();
    for (mode, people) in people_by_mode(&mode::modes(app).await?, &everybody) {
        modes.push((mode, summary_of(format!("mode:{mode}"), &reading, &people, (since, now))));
    }
    Ok((summary_of("org".to_owned(), &reading, &all, (since, now)), modes))
}

/// Whose clients are meant to go which way; all modes are there.
fn people_by_mode(modes: &Modes, everybody: &[Active]) -> BTreeMap<Mode, BTreeSet<UserId>> {
    let own: HashMap<_, _> =
        modes.teams.values().filter_map(|change| Some((change.team?, change.mode?))).collect();
    let mut out: BTreeMap<Mode, BTreeSet<UserId>> =
        Mode::ALL.into_iter().map(|mode| (mode, BTreeSet::new())).collect();
    for person in everybody {
        // Of several teams the one with the tightest mode decides.
        let mode = person.teams.iter().filter_map(|team| own.get(team)).max().copied();
        out.entry(mode.unwrap_or(modes.general())).or_default().insert(person.user);
    }
    out
}

async fn people_of(
    app: &App,
    limit: Scope,
    given: Option<&str>,
    everybody: &[Active],
) -> Result<(String, BTreeSet<UserId>), ActError> {
    let own = match limit {
        Scope::Organization => "org".to_owned(),
        Scope::Team(id) => format!("team:{}", app.store.team(app.org, id).await?.name),
        Scope::User(id) => format!("user:{}", app.store.user(app.org, id).await?.email),
    };
    let text = given.map_or(own, str::to_owned);
    let is_whole = limit == Scope::Organization;
    let chosen = |is_in: &dyn Fn(&Active) -> bool| {
        everybody.iter().filter(|person| is_in(person)).map(|person| person.user).collect()
    };
    let people = match text.split_once(':') {
        None if text == "org" && is_whole => chosen(&|_| true),
        Some(("team", name)) => {
            let team = team::named(app, limit, "scope", name).await?;
            chosen(&|person| person.teams.contains(&team.id))
        }
        Some(("user", name)) => {
            let user = user::named(app, limit, "scope", name).await?;
            chosen(&|person| person.user == user.id)
        }
        Some(("rollout", name)) if is_whole => {
            let (name, phase) =
                name.split_once('/').map_or((name, None), |(name, phase)| (name, Some(phase)));
            let who = rollout::people(app, name, phase).await?;
            chosen(&|person| who.contains(&person.user))
        }
        Some(("mode", name)) if is_whole => {
            let mode = read("scope", name.parse::<Mode>())?;
            people_by_mode(&mode::modes(app).await?, everybody).remove(&mode).unwrap_or_default()
        }
        None | Some(_) => {
            let told = format!(
                "`{}` is no scope that can be asked for; expected org, team:NAME, user:EMAIL, rollout:NAME, rollout:NAME/PHASE \
                 or mode:MODE",
                shortened(&text)
            );
            return Err(ActError::field("scope", told));
        }
    };
    Ok((text, people))
}

/// Collects what is known of people in a window. With more than so many exchanges in it, the sums stand in.
///
/// # Errors
/// The database.
pub async fn collect(
    app: &App,
    people: &BTreeSet<UserId>,
    since: UnixMillis,
    until: UnixMillis,
    most: u64,
) -> Result<Collected, ActError> {
    Ok(Tallies::read(app, people, since, until, most).await?.of(people))
}

/// The six figures under the names that the brief gives them, with what each rests on.
pub fn six(counts: &Counts, said: &Said) -> serde_json::Value {
    use serde_json::json;
    let figure = |figure: gatehouse_domain::metrics::Figure| json!({"value": figure.value, "n": figure.n, "no_data": figure.no_data});
    let cost = counts.cost_per_user();
    let score = counts.satisfaction();
    let value = if said.withheld { serde_json::Value::Null } else { json!(score.value) };
    json!({
        "user_adoption": figure(counts.adoption()),
        "usage_frequency": usage_frequency(counts),
        "error_rate": figure(counts.error_rate()),
        "response_time": figure(counts.response_time()),
        "cost_per_user": {"value": cost.value.to_string(), "nanos": cost.value.0, "n": cost.n, "no_data": cost.no_data},
        "satisfaction_score": {"value": value, "n": score.n, "no_data": score.no_data, "withheld": said.withheld},
    })
}

/// What the frequency counts is said with it: where nobody's requests are known, it is sessions.
fn usage_frequency(counts: &Counts) -> serde_json::Value {
    let figure = counts.frequency();
    let of = if counts.is_told_alone() { "sessions" } else { "requests" };
    serde_json::json!({"value": figure.value, "n": figure.n, "no_data": figure.no_data, "of": of})
}

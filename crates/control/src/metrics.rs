//! The six figures of a scope in a window, and those beside them.
//!
//! They rest on the recorded exchanges, since no sum tells a client's own retries and what a user gave up from errors. Where
//! there are too many of them, the sums stand in, and it is said that they do. Who went to the provider without us has none:
//! of them counts what telemetry tells, else what the provider's client analytics tell ([`told`]).

pub mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use gatehouse_domain::exchange::{Exchange, Kind};
use gatehouse_domain::feedback::Summary as Said;
use gatehouse_domain::id::UserId;
use gatehouse_domain::metrics::{Counts, Outcome, Seen, outcomes, per_user_p95};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::feedback::Wanted;
use gatehouse_store::ledger::{By, RECORDS};
use gatehouse_store::rollout::Active;

use crate::act::{ActError, read, shortened};
use crate::app::App;
use crate::period::span_ms;
use crate::{rollout, team, user};
use told::Told;

/// Most exchanges that are looked at to judge a rollout, in the background.
pub const MOST_RECORDS: u64 = 500_000;
/// Most exchanges that are looked at while somebody waits for the answer: about half a second's worth.
pub const MOST_WAITED_FOR: u64 = 100_000;
/// The window, where none is given.
const WINDOW: &str = "30d";

/// Figures of a scope.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Of what: `org`, `team:core`, `user:ada@example.com`, `rollout:opus`, `rollout:opus/pilot`.
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

/// Reckons the figures of a scope: `org`, `team:NAME`, `user:EMAIL`, `rollout:NAME` or `rollout:NAME/PHASE`. Without one, of
/// what the caller is limited to. With more than so many exchanges in the window, the sums stand in.
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
    let collected = collect(app, &people, since, now, most).await?;
    let mut counts = collected.counts;
    let answered: HashSet<UserId> = collected.answered.keys().copied().collect();
    let told = told::add(app, &people, &answered, [since, now], &mut counts).await?;
    counts.active_in = active_in(app, &people, now).await?;
    told::add_clients(app, &people, [since, now], &mut counts).await?;
    let said = app.store.feedback(app.org, &Wanted { since: Some(since), ..Wanted::default() }).await?;
    let said: Vec<_> = said.into_iter().filter(|one| people.contains(&one.user)).collect();
    counts.answers = u64::try_from(said.len()).unwrap_or(u64::MAX);
    counts.score_sum = said.iter().map(|one| u64::from(one.answer.score.get())).sum();
    let feedback = Said::of(said.iter().map(|one| (one.answer.score, one.answer.nps)));
    let basis = if collected.from_rollups { "rollups" } else { "exchanges" };
    Ok(Summary { scope, since, until: now, basis, counts, told, feedback })
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
        None | Some(_) => {
            let told = format!(
                "`{}` is no scope that can be asked for; expected org, team:NAME, user:EMAIL, rollout:NAME or rollout:NAME/PHASE",
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
    let total = app.store.usage(app.org, Scope::Organization, By::Total, Some(since), Some(until)).await?;
    let mut found = if total.first().is_some_and(|sum| sum.requests > most) {
        from_rollups(app, people, since, until).await?
    } else {
        from_records(app, people, since, until).await?
    };
    found.counts.total_users = u64::try_from(people.len()).unwrap_or(u64::MAX);
    Ok(found)
}

/// What of an exchange is kept until all were read.
struct Kept {
    duration_ms: u32,
    first_byte_ms: Option<u32>,
}

async fn from_records(
    app: &App,
    people: &BTreeSet<UserId>,
    since: UnixMillis,
    until: UnixMillis,
) -> Result<Collected, ActError> {
    let (mut seen, mut kept, mut counts) = (Vec::new(), Vec::new(), Counts::default());
    let mut cost: i128 = 0;
    let mut after = None;
    loop {
        let records = app.store.exchange_records(app.org, since, until, after).await?;
        for exchange in &records {
            let Some(user) = exchange.principal.map(|whose| whose.user).filter(|user| people.contains(user))
            else {
                continue;
            };
            cost += i128::from(exchange.cost.nanos.0);
            let used = exchange.usage.total();
            counts.tokens = gatehouse_domain::usage::Tokens {
                input: counts.tokens.input.saturating_add(used.input),
                cache_write_5m: counts.tokens.cache_write_5m.saturating_add(used.cache_write_5m),
                cache_write_1h: counts.tokens.cache_write_1h.saturating_add(used.cache_write_1h),
                cache_read: counts.tokens.cache_read.saturating_add(used.cache_read),
                output: counts.tokens.output.saturating_add(used.output),
            };
            if exchange.kind == Kind::Messages {
                seen.push(seen_of(user, exchange));
                kept.push(Kept { duration_ms: exchange.duration_ms, first_byte_ms: exchange.first_byte_ms });
            }
        }
        after = records.last().map(|exchange| exchange.id);
        if records.len() < usize::try_from(RECORDS).unwrap_or(usize::MAX) {
            break;
        }
    }
    counts.total_cost = Nanos(i64::try_from(cost).unwrap_or(i64::MAX));
    Ok(counted(counts, &seen, &kept))
}

fn seen_of(user: UserId, exchange: &Exchange) -> Seen {
    let mut request = DefaultHasher::new();
    (&exchange.session, &exchange.model, exchange.bytes_in, exchange.stream).hash(&mut request);
    Seen {
        user,
        started_at: exchange.started_at,
        duration_ms: exchange.duration_ms,
        ended: exchange.ended,
        request: request.finish(),
    }
}

fn counted(mut counts: Counts, seen: &[Seen], kept: &[Kept]) -> Collected {
    let mut groups: BTreeMap<(UserId, UnixMillis), (u64, u64)> = BTreeMap::new();
    let mut days: BTreeSet<(UserId, UnixMillis)> = BTreeSet::new();
    let mut answered: HashMap<UserId, UnixMillis> = HashMap::new();
    let mut durations = Vec::new();
    for ((one, kept), outcome) in seen.iter().zip(kept).zip(outcomes(seen)) {
        let failed = match outcome {
            Outcome::Answered => 0,
            Outcome::Failed => 1,
            Outcome::Retried => {
                counts.retried_requests += 1;
                continue;
            }
            Outcome::Refused => {
                counts.refused_requests += 1;
                continue;
            }
            Outcome::Abandoned => {
                counts.abandoned_requests += 1;
                continue;
            }
        };
        let day = one.started_at.day();
        let group = groups.entry((one.user, day)).or_default();
        (group.0, group.1) = (group.0 + 1, group.1 + failed);
        counts.total_requests += 1;
        counts.failed_requests += failed;
        counts.total_time_ms += u64::from(kept.duration_ms);
        durations.push((one.user, kept.duration_ms));
        counts.first_bytes_ms.extend(kept.first_byte_ms);
        if failed == 0 {
            days.insert((one.user, day));
            answered.insert(one.user, one.started_at);
        }
    }
    counts.active_users = u64::try_from(answered.len()).unwrap_or(u64::MAX);
    counts.active_days = u64::try_from(days.len()).unwrap_or(u64::MAX);
    counts.durations_ms = durations.iter().map(|(_, ms)| *ms).collect();
    counts.durations_ms.sort_unstable();
    counts.first_bytes_ms.sort_unstable();
    Collected {
        counts,
        groups: groups.into_values().collect(),
        p95s: per_user_p95(durations),
        answered,
        from_rollups: false,
    }
}

/// Clients that gave up count among the errors here, and so do their retries.
async fn from_rollups(
    app: &App,
    people: &BTreeSet<UserId>,
    since: UnixMillis,
    until: UnixMillis,
) -> Result<Collected, ActError> {
    let mut found = Collected { from_rollups: true, ..Collected::default() };
    let counts = &mut found.counts;
    let mut cost: i128 = 0;
    for sum in app.store.usage(app.org, Scope::Organization, By::User, Some(since), Some(until)).await? {
        let Some(user) = sum.id.parse::<UserId>().ok().filter(|user| people.contains(user)) else { continue };
        let requests = sum.requests.saturating_sub(sum.refusals);
        counts.total_requests += requests;
        counts.failed_requests += sum.errors;
        counts.refused_requests += sum.refusals;
        counts.total_time_ms = counts.total_time_ms.saturating_add(sum.duration_ms);
        cost += i128::from(sum.cost.0);
        counts.tokens.input = counts.tokens.input.saturating_add(sum.input_tokens);
        counts.tokens.cache_read = counts.tokens.cache_read.saturating_add(sum.cache_read_tokens);
        counts.tokens.cache_write_5m = counts.tokens.cache_write_5m.saturating_add(sum.cache_write_5m_tokens);
        counts.tokens.cache_write_1h = counts.tokens.cache_write_1h.saturating_add(sum.cache_write_1h_tokens);
        counts.tokens.output = counts.tokens.output.saturating_add(sum.output_tokens);
        found.groups.push((requests, sum.errors));
        if requests > sum.errors {
            counts.active_users += 1;
            // To the end of the window: when exactly, the sums do not tell.
            found.answered.insert(user, until);
        }
    }
    counts.total_cost = Nanos(i64::try_from(cost).unwrap_or(i64::MAX));
    Ok(found)
}

/// How many were active in the last day, seven days and thirty days.
async fn active_in(app: &App, people: &BTreeSet<UserId>, now: UnixMillis) -> Result<[u64; 3], ActError> {
    let mut out = [0; 3];
    for (count, days) in out.iter_mut().zip([1, 7, 30]) {
        let since = now.plus_millis(-days * DAY_MS);
        let sums = app.store.usage(app.org, Scope::Organization, By::User, Some(since), None).await?;
        let answered = sums.iter().filter(|sum| sum.requests > sum.errors.saturating_add(sum.refusals));
        let mut users = told::users(app, since, now.plus_millis(1)).await?;
        users.extend(answered.filter_map(|sum| sum.id.parse::<UserId>().ok()));
        let count_of = users.iter().filter(|user| people.contains(user)).count();
        *count = u64::try_from(count_of).unwrap_or(u64::MAX);
    }
    Ok(out)
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

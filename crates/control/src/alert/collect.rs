//! What the rules look at: the nodes' own values, and what is derived from the database.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_domain::alert::{Plan, Sample, Seen};
use gatehouse_domain::exchange::{Ended, Exchange, Kind, PriceBasis};
use gatehouse_domain::role::Scope;
use gatehouse_domain::rollout::State;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::alert::{DeliveryFilter, DeliveryState};
use gatehouse_store::audit::{AuditFilter, AuditKind};
use gatehouse_store::ledger::{ExchangeFilter, Order};
use gatehouse_store::report::Side;
use gatehouse_store::sync_run::SyncOutcome;
use gatehouse_store::{MAX_LIMIT, Page};

use super::Engine;
use crate::act::ActError;
use crate::app::App;
use crate::{budget, report, rollout};

/// How far back requests, and failed sign-ins, are looked at.
const WINDOW_MS: i64 = 10 * 60_000;
/// Fewer requests are no rate.
const FEWEST: usize = 20;
/// How often what is dear to look at is looked at.
const DEAR_MS: i64 = 10 * 60_000;
/// Most budgets that are looked at, the newest.
const MOST_BUDGETS: usize = 5000;
/// After so long a node that is not heard of counts as removed.
const GONE_MS: i64 = DAY_MS;
/// How long a failed delivery counts.
const DELIVERY_MS: i64 = 60 * 60_000;

/// Looks at everything that a rule asks for. What cannot be looked at is named, so that nothing changes of it.
pub(super) async fn all(app: &App, engine: &mut Engine, plan: &Plan) -> Seen {
    let wanted: BTreeSet<&str> = plan.rules.iter().map(|rule| rule.signal.as_str()).collect();
    let asked = |names: &[&str]| names.iter().any(|name| wanted.contains(name));
    let mut seen = Seen::default();
    match app.store.readings(app.org, app.now()).await {
        Ok(samples) => seen.samples.extend(samples),
        Err(error) => {
            tracing::warn!(%error, "what nodes see cannot be read; alerts about it stay as they are");
            let derived = |name: &&&str| !OF_DATABASE.contains(*name);
            seen.unknown.extend(wanted.iter().filter(derived).map(|name| (*name).to_owned()));
        }
    }
    let requests =
        ["error_ratio", "response_time_p95_seconds", "first_byte_p95_seconds", "unknown_price_requests"];
    if asked(&requests) {
        note(&mut seen, &requests, self::requests(app).await);
    }
    if asked(&["budget_used_ratio"]) {
        note(&mut seen, &["budget_used_ratio"], budgets(app).await);
    }
    if asked(&["spend_anomaly_ratio"]) {
        note(&mut seen, &["spend_anomaly_ratio"], anomalies(app, engine).await);
    }
    if asked(&["directory_sync_failures"]) {
        note(&mut seen, &["directory_sync_failures"], directories(app).await);
    }
    if asked(&["sign_in_failures"]) {
        note(&mut seen, &["sign_in_failures"], sign_ins(app).await);
    }
    if asked(&["rollout_gate_failed"]) {
        note(&mut seen, &["rollout_gate_failed"], rollouts(app).await);
    }
    if asked(&["node_silent_seconds"]) {
        note(&mut seen, &["node_silent_seconds"], nodes(app).await);
    }
    if asked(&["alert_delivery_failures"]) {
        note(&mut seen, &["alert_delivery_failures"], deliveries(app).await);
    }
    seen
}

/// Signals that are looked at here, and not told by nodes or acts.
const OF_DATABASE: &[&str] = &[
    "error_ratio",
    "response_time_p95_seconds",
    "first_byte_p95_seconds",
    "unknown_price_requests",
    "budget_used_ratio",
    "spend_anomaly_ratio",
    "directory_sync_failures",
    "sign_in_failures",
    "rollout_gate_failed",
    "node_silent_seconds",
    "alert_delivery_failures",
];

fn note(seen: &mut Seen, names: &[&str], found: Result<Vec<Sample>, ActError>) {
    match found {
        Ok(samples) => seen.samples.extend(samples),
        Err(error) => {
            tracing::warn!(%error, signals = ?names, "signals cannot be looked at; alerts about them stay as they are");
            seen.unknown.extend(names.iter().map(|name| (*name).to_owned()));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count or an amount beyond 2^53 need not be exact")]
fn ratio(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

async fn requests(app: &App) -> Result<Vec<Sample>, ActError> {
    let since = Some(app.now().plus_millis(-WINDOW_MS));
    let filter = ExchangeFilter { since, ..ExchangeFilter::default() };
    let rows = app.store.exchanges(app.org, &filter, Order::Newest, &Page::first(MAX_LIMIT)).await?.items;
    let all: Vec<Exchange> = rows
        .into_iter()
        .map(|row| row.exchange)
        .filter(|exchange| exchange.kind == Kind::Messages && exchange.ended != Ended::Refused)
        .collect();
    let mut samples = Vec::new();
    let mut unpriced: BTreeMap<&str, u32> = BTreeMap::new();
    for exchange in all.iter().filter(|exchange| exchange.cost.basis == PriceBasis::Default) {
        *unpriced.entry(exchange.model.as_deref().unwrap_or("unknown")).or_default() += 1;
    }
    samples.extend(
        unpriced.into_iter().map(|(model, count)| {
            Sample::new("unknown_price_requests", &[("model", model)], f64::from(count))
        }),
    );
    if all.len() < FEWEST {
        return Ok(samples);
    }
    let is_failed = |exchange: &&Exchange| {
        matches!(exchange.ended, Ended::UpstreamError | Ended::UpstreamFailed | Ended::Interrupted)
    };
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let failed = all.iter().filter(is_failed).count();
    samples.push(Sample::new("error_ratio", &[], ratio(count(failed), count(all.len()))));
    let durations = all.iter().map(|exchange| exchange.duration_ms).collect();
    let first_bytes: Vec<u32> = all.iter().filter_map(|exchange| exchange.first_byte_ms).collect();
    for (name, times) in [("response_time_p95_seconds", durations), ("first_byte_p95_seconds", first_bytes)] {
        if let Some(ms) = p95(times) {
            samples.push(Sample::new(name, &[], f64::from(ms) / 1000.0));
        }
    }
    Ok(samples)
}

/// The value that 95 of 100 do not exceed (nearest rank).
fn p95(mut values: Vec<u32>) -> Option<u32> {
    values.sort_unstable();
    let rank = (values.len() * 95).div_ceil(100).max(1);
    values.get(rank - 1).copied()
}

async fn budgets(app: &App) -> Result<Vec<Sample>, ActError> {
    let (mut samples, mut page) = (Vec::new(), Page::first(MAX_LIMIT));
    loop {
        let listed = budget::list(app, Scope::Organization, &page).await?;
        for shown in &listed.items {
            let Some(standing) = &shown.standing else { continue };
            let of = &shown.row.budget;
            let (id, holder) = (of.id.to_string(), shown.row.holder_name.as_deref());
            let holder = holder.unwrap_or("the organization");
            let labels = [("budget", id.as_str()), ("holder", holder), ("period", of.period.as_str())];
            let used = i64::try_from(standing.used()).unwrap_or(i64::MAX);
            samples.push(Sample::new("budget_used_ratio", &labels, ratio(used, 10_000)));
        }
        match listed.next {
            Some(next) if samples.len() < MOST_BUDGETS => page.after = Some(next),
            Some(_) | None => return Ok(samples),
        }
    }
}

async fn anomalies(app: &App, engine: &mut Engine) -> Result<Vec<Sample>, ActError> {
    let now = app.now();
    if let Some((at, kept)) = engine.kept.get("anomalies")
        && now.0 - at.0 < DEAR_MS
        && at.day() == now.day()
    {
        return Ok(kept.clone());
    }
    let (day, found) = report::outlook::anomalies(app, Side::Team, None).await?;
    let day = day.to_string();
    let samples: Vec<Sample> = found
        .iter()
        .map(|standout| {
            let name = if standout.name.is_empty() { "none" } else { standout.name.as_str() };
            let labels = [("team", name), ("day", day.get(..10).unwrap_or(&day))];
            // Where nothing is usual, any amount is more than that.
            let usual = standout.anomaly.median.0.max(1_000_000);
            Sample::new("spend_anomaly_ratio", &labels, ratio(standout.spent.0, usual))
        })
        .collect();
    engine.kept.insert("anomalies", (now, samples.clone()));
    Ok(samples)
}

async fn directories(app: &App) -> Result<Vec<Sample>, ActError> {
    let mut samples = Vec::new();
    for directory in (app.house.directories)() {
        let runs = app.store.sync_runs(app.org, &directory.source, &Page::first(100)).await?.items;
        let failed = runs.iter().take_while(|run| run.outcome != SyncOutcome::Done).count();
        let name = directory.source.name().to_owned();
        let count = u32::try_from(failed).unwrap_or(u32::MAX);
        samples.push(Sample::new("directory_sync_failures", &[("directory", &name)], f64::from(count)));
    }
    Ok(samples)
}

async fn sign_ins(app: &App) -> Result<Vec<Sample>, ActError> {
    let filter = AuditFilter {
        kind: AuditKind::Acts,
        action: Some("sign_in.fail".to_owned()),
        since: Some(app.now().plus_millis(-WINDOW_MS)),
        ..AuditFilter::default()
    };
    let found = app.store.audit_entries(app.org, &filter, &Page::first(MAX_LIMIT)).await?.items.len();
    Ok(vec![Sample::new("sign_in_failures", &[], f64::from(u32::try_from(found).unwrap_or(u32::MAX)))])
}

async fn rollouts(app: &App) -> Result<Vec<Sample>, ActError> {
    let recent = app.now().plus_millis(-DAY_MS);
    let mut samples = Vec::new();
    for rollout in rollout::list(app, &Page::first(MAX_LIMIT)).await?.items {
        let state = rollout.progress.state;
        let is_bad = match state {
            State::Paused | State::RollingBack | State::RollbackIncomplete => true,
            State::RolledBack => rollout.progress.since >= recent,
            State::AwaitingStart
            | State::Deploying
            | State::Soaking
            | State::Evaluating
            | State::AwaitingApproval
            | State::Succeeded
            | State::Aborted => false,
        };
        if is_bad {
            let labels = [("rollout", rollout.name.as_str()), ("state", state.as_str())];
            samples.push(Sample::new("rollout_gate_failed", &labels, 1.0));
        }
    }
    Ok(samples)
}

async fn nodes(app: &App) -> Result<Vec<Sample>, ActError> {
    let now: UnixMillis = app.now();
    let nodes = app.store.nodes(now.plus_millis(-GONE_MS)).await?;
    let one = |node: &gatehouse_store::node::Node| {
        let silent = (now.0 - node.seen_at.0).max(0);
        Sample::new("node_silent_seconds", &[("node", &node.id.to_string())], ratio(silent, 1000))
    };
    Ok(nodes.iter().map(one).collect())
}

async fn deliveries(app: &App) -> Result<Vec<Sample>, ActError> {
    let mut samples = Vec::new();
    for receiver in &(app.house.alerts.plan)().receivers {
        let mut count = 0_u32;
        for state in [DeliveryState::Failed, DeliveryState::Dropped] {
            let filter = DeliveryFilter {
                receiver: Some(receiver.name.clone()),
                state: Some(state),
                is_test: Some(false),
                ended_since: Some(app.now().plus_millis(-DELIVERY_MS)),
            };
            let found = app.store.deliveries(app.org, &filter, &Page::first(MAX_LIMIT)).await?.items.len();
            count = count.saturating_add(u32::try_from(found).unwrap_or(u32::MAX));
        }
        let labels = [("receiver", receiver.name.as_str())];
        samples.push(Sample::new("alert_delivery_failures", &labels, f64::from(count)));
    }
    Ok(samples)
}

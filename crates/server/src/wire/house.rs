//! What the management plane gets from the rest of the process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatehouse_control::app::{House, NotFlushed, OpenDirectory, Ways};
use gatehouse_control::provider::{ProviderInfo, ProviderLearned};
use gatehouse_control::settings::Rules;
use gatehouse_control::status::{CountersState, LedgerState};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::price::Worst;
use gatehouse_domain::routing::Failover;
use gatehouse_domain::settings::lint::ModelState;
use gatehouse_gateway::learn::{Entry, Learned};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use super::figure;
use super::ledger::Books;
use super::live::Live;
use super::provider::Provided;
use super::routes;
use crate::clock;
use crate::config::{Config, Shown};
use crate::metric;

/// How long an act that changes the policy waits until it is in force on this node.
const IN_FORCE: Duration = Duration::from_secs(2);
/// How long a reader of the ledger waits for what has just ended.
const FLUSH: Duration = Duration::from_secs(5);

/// Builds the callbacks. Each holds what it needs.
#[expect(clippy::too_many_lines, reason = "a list of callbacks, each on a line or two")]
pub(super) fn house(
    live: &Arc<Live>,
    books: &Arc<Books>,
    metrics: PrometheusHandle,
    admin: SocketAddr,
) -> House {
    let of = || Arc::clone(live);
    let (policy, keys, version, age, reload) = (of(), of(), of(), of(), of());
    let (config, providers, readiness, figures) = (of(), of(), of(), of());
    let (rules, classes, models, portal) = (of(), of(), of(), of());
    let (zone, retention) = (of(), of());
    let [scim, directories, directory, budget, budgets, worst] = std::array::from_fn(|_| of());
    let [backups, probes, routes, ways, rates, counting, limits, forwards, dated] =
        std::array::from_fn(|_| of());
    let (flush, behind, behind_figures) = (Arc::clone(books), Arc::clone(books), Arc::clone(books));
    House {
        now: Box::new(clock::now),
        random: Box::new(clock::random),
        policy_changed: Box::new(move || {
            policy.fresh.changed();
            let live = Arc::clone(&policy);
            Box::pin(async move { live.fresh.in_force(IN_FORCE).await })
        }),
        provider_key_changed: Box::new(move |_| {
            let live = Arc::clone(&keys);
            tokio::spawn(async move { live.refresh_keys().await });
        }),
        policy_age: Box::new(move || age.fresh.age()),
        snapshot_version: Box::new(move || version.policy.load().version()),
        flush_ledger: Box::new(move || {
            let books = Arc::clone(&flush);
            Box::pin(async move { if books.flush(FLUSH).await { Ok(()) } else { Err(NotFlushed) } })
        }),
        ledger: Box::new(move || state(&behind)),
        counters: Box::new(move || counters(&counting)),
        reload: Box::new(move || {
            let live = Arc::clone(&reload);
            Box::pin(async move { live.reload().await })
        }),
        effective_config: Box::new(move || effective(&config)),
        scim_base: Box::new(move || match scim.config.load().scim.base_url.as_str() {
            "" => format!("{}://{admin}/scim/v2", scheme(scim.config.load().tls.admin.files.is_some())),
            configured => configured.to_owned(),
        }),
        sign_in_base: Box::new(move || {
            portal.config.load().listen.public_url.as_ref().map(|url| url.as_str().to_owned())
        }),
        ways: Box::new(move || figure_out(&ways.config.load())),
        dated: Box::new(move || Box::pin(super::calendar::dated(Arc::clone(&dated)))),
        log_forwards: Box::new(move || super::log_forward::configured(&forwards)),
        directories: Box::new(move || super::directory::configured(&directories)),
        open_directory: opening(directory),
        settings_rules: Box::new(move || Rules {
            allow_commands: rules.config.load().settings.allow_commands,
        }),
        data_classes: Box::new(move || classes.config.load().data_class.order.clone()),
        model_state: Box::new(move |name| model_state(&models, name)),
        budget: Box::new(move |id| budget.counters.standing(id, clock::now())),
        budgets_of: Box::new(move |principal| budgets.counters.standings(principal, clock::now())),
        limits_of: Box::new(move |principal, model| limits.limits.levels(principal, model)),
        retention: Box::new(move || super::retention::rules(&retention)),
        budget_zone: Box::new(move || zone.config.load().budgets.time_zone.clone()),
        worst_cost: Box::new(move |model, input, output| worst_cost(&worst, model, input, output)),
        proxy: super::proxy::face(live),
        inspection: super::inspection::face(live),
        providers: Box::new(move || {
            let routing = Arc::clone(&providers.settings.load().routing);
            providers.providers().iter().map(|provided| info(provided, &routing.failover)).collect()
        }),
        explain_route: Box::new(move |question| routes::explain(&routes, question)),
        rates: Box::new(move |model| rates.settings.load().prices.rates(model, clock::now())),
        readiness: Box::new(move || readiness.judge()),
        backups: Box::new(move || super::backup::rule(&backups)),
        probes: Box::new(move || Box::pin(super::probe::all(Arc::clone(&probes)))),
        alerts: super::alert::face(live, books, metrics.clone()),
        metrics: Box::new(move || {
            figures.scraped.note();
            figure::set(&figures, &behind_figures);
            metric::with_values(&metrics.render())
        }),
    }
}

fn opening(live: Arc<Live>) -> OpenDirectory {
    Box::new(move |name| {
        let (live, name) = (Arc::clone(&live), name.to_owned());
        Box::pin(async move { super::directory::open(&live, &name).await })
    })
}

/// Where people's machines reach what this deployment offers.
fn figure_out(config: &Config) -> Ways {
    let public = config.listen.public_url.as_ref().map(|url| url.as_str().to_owned());
    Ways {
        is_public: public.is_some(),
        gateway_url: public.unwrap_or_else(|| {
            format!("{}://{}", scheme(config.tls.gateway.files.is_some()), config.listen.gateway)
        }),
        proxy_url: config.mode.proxy_url.clone(),
        proxy_ca_file: config.mode.proxy_ca_file.clone(),
    }
}

const fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}

fn state(books: &Books) -> LedgerState {
    let lag = books.lag();
    LedgerState {
        accepting: books.refusing().is_none(),
        failing: lag.failing,
        lag_entries: lag.entries,
        lag_bytes: lag.bytes,
        lag_seconds: lag.seconds,
        shed: books.journal().shed,
    }
}

fn worst_cost(live: &Live, model: &str, input: u64, output: u64) -> Nanos {
    let size = Worst { input, output, ..Worst::default() };
    live.settings.load().prices.worst(model, &size, clock::now())
}

fn counters(live: &Live) -> CountersState {
    let (state, nodes) = (super::nodes::counters(live), live.counters.together().map_or(1, |t| t.seen().1));
    let problem = (state == "away").then(|| {
        "what nodes share cannot be reached: see `counters.url`; budgets do as their `when_away` says"
            .to_owned()
    });
    CountersState { state, nodes, problem }
}

/// The price table is what is known of models.
fn model_state(live: &Live, name: &str) -> ModelState {
    let settings = live.settings.load();
    match settings.prices.find(name) {
        None => ModelState::Unknown,
        Some(known) if settings.prices.models(clock::now()).any(|served| served == known) => {
            ModelState::Served
        }
        Some(_) => ModelState::Retired,
    }
}

fn effective(live: &Live) -> Value {
    let shown = |s: &Shown| json!({"key": s.key, "value": s.value, "origin": s.origin});
    json!({"settings": live.config.load().shown.iter().map(shown).collect::<Vec<_>>()})
}

fn info(provided: &Provided, failover: &Failover) -> ProviderInfo {
    let health = provided.usable.as_ref().map(|usable| usable.standing(failover).sentence());
    ProviderInfo {
        health: health.unwrap_or_else(|| "no valid credential".to_owned()),
        name: provided.configured.name.clone(),
        kind: provided.configured.kind.name().to_owned(),
        base_url: provided.configured.base_url.clone(),
        credential: provided.configured.credential(),
        state: provided.state(),
        learned: provided.usable.as_ref().map_or_else(Vec::new, |usable| learned(&usable.learned)),
        quota: provided
            .usable
            .as_ref()
            .map(|usable| super::quota::told(usable.quota.view()))
            .unwrap_or_default(),
    }
}

fn learned(learned: &Learned) -> Vec<ProviderLearned> {
    let now = Instant::now();
    let told = |entry: Entry| ProviderLearned {
        model: entry.model,
        kind: entry.what.kind().to_owned(),
        name: entry.what.name().to_owned(),
        requests: entry.requests,
        seconds_left: entry.until.saturating_duration_since(now).as_secs(),
    };
    learned.list().into_iter().map(told).collect()
}

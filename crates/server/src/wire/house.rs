//! What the management plane gets from the rest of the process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_control::app::{House, NotFlushed};
use gatehouse_control::provider::ProviderInfo;
use gatehouse_control::settings::Rules;
use gatehouse_control::status::LedgerState;
use gatehouse_domain::price::Worst;
use gatehouse_domain::settings::lint::ModelState;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use super::figure;
use super::ledger::Books;
use super::live::Live;
use super::provider::Provided;
use crate::clock;
use crate::config::Shown;

/// How long an act that changes the policy waits until it is in force on this node.
const IN_FORCE: Duration = Duration::from_secs(2);
/// How long a reader of the ledger waits for what has just ended.
const FLUSH: Duration = Duration::from_secs(5);

/// Builds the callbacks. Each holds what it needs.
pub(super) fn house(
    live: &Arc<Live>,
    books: &Arc<Books>,
    metrics: PrometheusHandle,
    admin: SocketAddr,
) -> House {
    let of = || Arc::clone(live);
    let (policy, keys, version, age, reload) = (of(), of(), of(), of(), of());
    let (config, providers, readiness, figures) = (of(), of(), of(), of());
    let (scim, directories, directory) = (of(), of(), of());
    let (rules, models, portal) = (of(), of(), of());
    let (budget, budgets, worst, rates) = (of(), of(), of(), of());
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
        reload: Box::new(move || {
            let live = Arc::clone(&reload);
            Box::pin(async move { live.reload().await })
        }),
        effective_config: Box::new(move || effective(&config)),
        scim_base: Box::new(move || match scim.config.load().scim.base_url.as_str() {
            "" => format!("http://{admin}/scim/v2"),
            configured => configured.to_owned(),
        }),
        sign_in_base: Box::new(move || {
            portal.config.load().listen.public_url.as_ref().map(|url| url.as_str().to_owned())
        }),
        directories: Box::new(move || super::directory::configured(&directories)),
        open_directory: Box::new(move |name| {
            let (live, name) = (Arc::clone(&directory), name.to_owned());
            Box::pin(async move { super::directory::open(&live, &name).await })
        }),
        settings_rules: Box::new(move || Rules {
            allow_commands: rules.config.load().settings.allow_commands,
        }),
        model_state: Box::new(move |name| model_state(&models, name)),
        budget: Box::new(move |id| budget.counters.standing(id, clock::now())),
        budgets_of: Box::new(move |principal| budgets.counters.standings(principal, clock::now())),
        worst_cost: Box::new(move |model, input, output| {
            let size = Worst { input, output, ..Worst::default() };
            worst.settings.load().prices.worst(model, &size, clock::now())
        }),
        rates: Box::new(move |model| rates.settings.load().prices.rates(model, clock::now())),
        providers: Box::new(move || providers.providers().iter().map(info).collect()),
        readiness: Box::new(move || readiness.judge()),
        metrics: Box::new(move || {
            figure::set(&figures, &behind_figures);
            metrics.render()
        }),
    }
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

fn info(provided: &Provided) -> ProviderInfo {
    ProviderInfo {
        name: provided.configured.name.clone(),
        kind: provided.configured.kind.name().to_owned(),
        base_url: provided.configured.base_url.clone(),
        credential: provided.configured.credential(),
        state: provided.state(),
    }
}

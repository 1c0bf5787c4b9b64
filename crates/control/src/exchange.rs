//! Finished exchanges.

use gatehouse_domain::exchange::Ended;
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::ledger::{ExchangeFilter, ExchangeRow, Order};
use gatehouse_store::telemetry::EventRow;
use gatehouse_store::tunnel::TunnelRow;
use gatehouse_store::{Listed, Page};

use crate::act::{ActError, Range, shortened};
use crate::app::App;
use crate::{key, scope, team, user};

/// Which exchanges are wanted, as they are asked for; all conditions apply.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// When they began.
    pub range: Range,
    /// Their user, by address or id.
    pub user: Option<String>,
    /// The team they were charged to, by name or id.
    pub team: Option<String>,
    /// The key they were made with, by id or by the public part of its text.
    pub key: Option<String>,
    /// The model they asked for.
    pub model: Option<String>,
    /// How they ended.
    pub ended: Option<Ended>,
    /// The status the client saw.
    pub status: Option<u16>,
    /// In which order.
    pub order: Order,
}

/// Lists exchanges within a scope, those that have just ended included.
///
/// # Errors
/// A range, page, user, team or key that is none; the ledger is behind; the database.
pub async fn list(
    app: &App,
    scope: Scope,
    wanted: Wanted,
    page: &Page,
) -> Result<Listed<ExchangeRow>, ActError> {
    let (since, until) = wanted.range.read(app.now())?;
    let mut filter = ExchangeFilter {
        since,
        until,
        model: wanted.model,
        ended: wanted.ended,
        status: wanted.status,
        ..ExchangeFilter::default()
    };
    if let Some(given) = &wanted.user {
        filter.user = Some(user::named(app, scope, "user", given).await?.id);
    }
    if let Some(given) = &wanted.team {
        filter.team = Some(team::named(app, scope, "team", given).await?.id);
    }
    if let Some(given) = &wanted.key {
        filter.key = Some(key::named(app, scope, "key", given).await?.id);
    }
    // What is asked for lies within; these keep the rest of a scope's holders' exchanges out as well.
    filter.team = scope::team(scope).or(filter.team);
    filter.user = scope::user(scope).or(filter.user);
    (app.house.flush_ledger)().await?;
    Ok(app.store.exchanges(app.org, &filter, wanted.order, page).await?)
}

/// An exchange with what the forward proxy and the person's client say beside it.
#[derive(Debug)]
pub struct Trace {
    /// The exchange: what the gateway decided, and what became of it.
    pub exchange: ExchangeRow,
    /// Tunnels of the same person to the gateway, or looked into, that were open meanwhile.
    pub tunnels: Vec<TunnelRow>,
    /// What their client told of the request.
    pub events: Vec<EventRow>,
}

/// How long after its end a client tells of a request, in milliseconds: within minutes, and it may be told to come again.
const TOLD_LATER: i64 = 3_600_000;

/// Finds an exchange within a scope, by its identifier or by the `request-id` that its client saw, and what belongs to it.
///
/// # Errors
/// There is none; the ledger is behind; the database.
pub async fn trace(app: &App, scope: Scope, given: &str) -> Result<Trace, ActError> {
    (app.house.flush_ledger)().await?;
    (app.house.proxy.flush)().await;
    let missing = || ActError::NotFound { noun: "exchange", given: shortened(given) };
    let exchange = app.store.exchange_named(app.org, given).await?.ok_or_else(missing)?;
    let principal = exchange.exchange.principal;
    let is_within = match scope {
        Scope::Organization => true,
        Scope::Team(team) => principal.is_some_and(|principal| principal.team == Some(team)),
        Scope::User(user) => principal.is_some_and(|principal| principal.user == user),
    };
    if !is_within {
        return Err(missing());
    }
    let Some(principal) = principal else {
        return Ok(Trace { exchange, tunnels: Vec::new(), events: Vec::new() });
    };
    let began = exchange.exchange.started_at;
    let ended = began.plus_millis(i64::from(exchange.exchange.duration_ms));
    let tunnels = app.store.tunnels_around(app.org, principal.user, (began, ended)).await?;
    let told = (began.plus_millis(-TOLD_LATER), ended.plus_millis(TOLD_LATER));
    let id = &exchange.exchange.request_id;
    let events = app.store.client_events_of(app.org, principal.user, id, told).await?;
    Ok(Trace { exchange, tunnels, events })
}

/// The bytes that came in and went out of the newest exchanges with a provider since then, at most so many.
///
/// # Errors
/// The database.
pub(crate) async fn sample(
    app: &App,
    since: Option<UnixMillis>,
    most: u32,
) -> Result<Vec<(u64, u64)>, ActError> {
    let filter = ExchangeFilter { since, ended: Some(Ended::Completed), ..ExchangeFilter::default() };
    let page = Page { after: None, limit: most };
    let found = app.store.exchanges(app.org, &filter, Order::Newest, &page).await?.items;
    Ok(found.iter().map(|row| (row.exchange.bytes_in, row.exchange.bytes_out)).collect())
}

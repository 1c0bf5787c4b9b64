//! `/api/v1/exchanges/{exchange}/trace`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{ReadUsage, Scoped};
use super::error::ApiError;
use super::exchange::ExchangeView;
use super::extract::Segment;
use super::proxy::TunnelView;
use super::telemetry::{self, ClientEventView};
use crate::app::App;
use crate::exchange::{self, Trace};

/// A request as each part of the deployment saw it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExchangeTrace {
    /// What the gateway decided, and what became of it.
    pub exchange: ExchangeView,
    /// Tunnels of the same person to the gateway, or looked into, that were open meanwhile: how the proxy let them through. Where
    /// the person had several, each is one that the request may have come by.
    pub tunnels: Vec<TunnelView>,
    /// What the person's client told of the request by telemetry. A claim.
    pub events: Vec<ClientEventView>,
}

/// Joins what the forward proxy and the gateway decided of one request, and what its client told of it, by person and request.
#[utoipa::path(
    get, path = "/api/v1/exchanges/{exchange}/trace", tag = "usage", operation_id = "exchange_trace",
    params(("exchange" = String, Path, description = "Its identifier, or the `request-id` that the client saw")),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = ExchangeTrace))
)]
pub async fn trace(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<ExchangeTrace>, ApiError> {
    let Trace { exchange, tunnels, events } = exchange::trace(&app, admin.scope, &given).await?;
    Ok(Json(ExchangeTrace {
        exchange: exchange.into(),
        tunnels: tunnels.into_iter().map(TunnelView::of).collect::<Result<_, _>>()?,
        events: events.into_iter().map(telemetry::view).collect(),
    }))
}

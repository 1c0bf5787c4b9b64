//! `/api/v1/route-explanation`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::auth::{ReadDirectory, Scoped};
use super::error::ApiError;
use super::extract::Params;
use crate::app::App;
use crate::route::{self, Asked, RouteExplained};

/// What is to be explained.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Who, by e-mail address or id.
    user: String,
    /// Which model.
    model: String,
    /// Charged to which team, by name or id.
    team: Option<String>,
    /// In which session of the client, as its `X-Claude-Code-Session-Id` says.
    session: Option<String>,
}

/// Says to which provider a request would go on this node now, which others could take its place, and why not the rest.
#[utoipa::path(
    get, path = "/api/v1/route-explanation", tag = "provider", operation_id = "route_explain", params(Query),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = RouteExplained))
)]
pub async fn explain(
    admin: Scoped<ReadDirectory>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<RouteExplained>, ApiError> {
    let Query { user, model, team, session } = query;
    Ok(Json(route::explain(&app, admin.scope, Asked { user, model, team, session }).await?))
}

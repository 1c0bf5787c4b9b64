//! `/api/v1/status`.

use axum::Json;
use axum::extract::State;

use super::auth::{Admin, ReadDirectory};
use super::error::ApiError;
use crate::app::App;
use crate::status::{self, Status};

/// Shows the state of this node.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "status", operation_id = "status",
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = Status))
)]
pub async fn get(_: Admin<ReadDirectory>, State(app): State<App>) -> Result<Json<Status>, ApiError> {
    Ok(Json(status::status(&app).await?))
}

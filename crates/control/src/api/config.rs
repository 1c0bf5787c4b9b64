//! `/api/v1/config`.

use axum::Json;
use axum::extract::State;

use super::auth::{Admin, ReadConfig, WriteConfig};
use super::error::ApiError;
use crate::app::App;
use crate::config::{self, Reloaded};

/// Shows the configuration in force, without secrets.
#[utoipa::path(
    get, path = "/api/v1/config", tag = "config", operation_id = "config_get",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Object))
)]
pub async fn get(_: Admin<ReadConfig>, State(app): State<App>) -> Json<serde_json::Value> {
    Json((app.house.effective_config)())
}

/// Reads the configuration anew: all of it comes into force, or, when it has a mistake, none.
#[utoipa::path(
    post, path = "/api/v1/config/reload", tag = "config", operation_id = "config_reload",
    security(("admin_token" = ["write_config"])),
    responses((status = 200, body = Reloaded))
)]
pub async fn reload(admin: Admin<WriteConfig>, State(app): State<App>) -> Result<Json<Reloaded>, ApiError> {
    Ok(Json(config::reload(&app, &admin.caller).await?))
}

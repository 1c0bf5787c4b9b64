//! `/api/v1/settings/profiles/{profile}/versions/{version}/schedule`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::profile::ProfileView;
use crate::api::auth::{Admin, ApproveSettings};
use crate::api::error::ApiError;
use crate::api::extract::{Body, Pair};
use crate::app::App;
use crate::settings::schedule;

/// When a version is to be published.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleText {
    /// The time: UTC (RFC 3339), or a span from now, such as `2h`.
    #[schema(example = "2026-12-01T06:00:00Z")]
    pub at: String,
    /// The version's checksum as it was looked at; if it has another by now, this is refused.
    pub checksum: Option<String>,
}

/// Has an approved version published at a time. One node does it then, with the checks of a publication by hand; should it
/// not be possible by then, the profile says why. Scheduling again moves it.
#[utoipa::path(
    put, path = "/api/v1/settings/profiles/{profile}/versions/{version}/schedule", tag = "settings",
    operation_id = "settings_version_schedule", request_body = ScheduleText,
    params(("profile" = String, Path, description = "Id or name"), ("version" = String, Path, description = "Number")),
    security(("admin_token" = ["approve_settings"])),
    responses((status = 200, body = ProfileView))
)]
pub async fn set(
    admin: Admin<ApproveSettings>,
    State(app): State<App>,
    Pair(given, number): Pair,
    Body(text): Body<ScheduleText>,
) -> Result<Json<ProfileView>, ApiError> {
    let seen = text.checksum.as_deref();
    Ok(Json(schedule::set(&app, &admin.caller, &given, &number, &text.at, seen).await?.into()))
}

/// Takes a scheduled publication back. The version stays approved.
#[utoipa::path(
    delete, path = "/api/v1/settings/profiles/{profile}/versions/{version}/schedule", tag = "settings",
    operation_id = "settings_version_unschedule",
    params(("profile" = String, Path, description = "Id or name"), ("version" = String, Path, description = "Number")),
    security(("admin_token" = ["approve_settings"])),
    responses((status = 200, body = ProfileView))
)]
pub async fn cancel(
    admin: Admin<ApproveSettings>,
    State(app): State<App>,
    Pair(given, number): Pair,
) -> Result<Json<ProfileView>, ApiError> {
    Ok(Json(schedule::cancel(&app, &admin.caller, &given, &number).await?.into()))
}

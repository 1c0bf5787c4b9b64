//! `/api/v1/maintenance`.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use gatehouse_domain::maintenance::{Due, ical};
use gatehouse_domain::time::UnixMillis;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadConfig};
use super::error::ApiError;
use super::extract::Params;
use super::page::Items;
use crate::app::App;
use crate::maintenance;

/// Something that has its day.
#[derive(Debug, Serialize, ToSchema)]
pub struct MaintenanceView {
    /// Its name, which stays the same from one look to the next.
    pub id: String,
    /// `certificate`, `key`, `backup`, `drill`, `prices`, `model`, `review`, `survey` or `task`.
    pub kind: &'static str,
    /// When (RFC 3339).
    pub at: String,
    /// `overdue`, `soon` (within two weeks) or `later`.
    pub urgency: &'static str,
    /// What is to be done.
    pub what: String,
    /// Who sees to it.
    pub owner: Option<String>,
}

/// How far to look.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MaintenanceQuery {
    /// Up to when: a time, or a span from now such as `90d`, which it is if not given.
    within: Option<String>,
}

fn view(due: Due, now: UnixMillis) -> MaintenanceView {
    MaintenanceView {
        kind: due.kind.as_str(),
        at: due.at.to_string(),
        urgency: due.urgency(now),
        id: due.id,
        what: due.what,
        owner: due.owner,
    }
}

/// The maintenance calendar: ends of certificates, keys and models, backups and drills, reviews, surveys, tasks.
#[utoipa::path(
    get, path = "/api/v1/maintenance", tag = "maintenance", operation_id = "maintenance_list", params(MaintenanceQuery),
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<MaintenanceView>))
)]
pub async fn list(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    Params(query): Params<MaintenanceQuery>,
) -> Result<Json<Items<MaintenanceView>>, ApiError> {
    let all = maintenance::list(&app, query.within.as_deref()).await?;
    let now = app.now();
    Ok(Json(Items::all(all.into_iter().map(|due| view(due, now)).collect())))
}

/// The same for programs that keep calendars (iCalendar).
#[utoipa::path(
    get, path = "/api/v1/maintenance/calendar", tag = "maintenance", operation_id = "maintenance_calendar",
    params(MaintenanceQuery), security(("admin_token" = ["read_config"])),
    responses((status = 200, description = "The calendar", body = String, content_type = "text/calendar"))
)]
pub async fn calendar(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    Params(query): Params<MaintenanceQuery>,
) -> Result<Response, ApiError> {
    let all = maintenance::list(&app, query.within.as_deref()).await?;
    let text = ical(&all, app.now());
    Ok(([(CONTENT_TYPE, "text/calendar; charset=utf-8")], text).into_response())
}

//! `/api/v1/telemetry/events`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::telemetry::EventRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{ReadUsage, Scoped};
use super::error::ApiError;
use super::extract::Params;
use super::page::{Items, page};
use crate::act::Range;
use crate::app::App;
use crate::telemetry::{Wanted, events};

/// An event that a client told of. A claim of the client, but for whose it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClientEventView {
    /// Identifier; identifiers sort by time.
    pub id: String,
    /// When (RFC 3339).
    pub at: String,
    /// E-mail address of who it is of, by the credential; `null` when they are no more.
    pub user: Option<String>,
    /// The team that the credential charges.
    pub team: Option<String>,
    /// `api_request`, `api_error`, `tool_result`, `user_prompt` or `feedback_survey`.
    pub name: String,
    /// The model.
    pub model: Option<String>,
    /// The client's session.
    pub session: Option<String>,
    /// What is kept of its attributes.
    pub attributes: serde_json::Value,
}

/// Which events are wanted; all conditions apply.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// From this UTC time on, or a span back from now such as `7d`.
    since: Option<String>,
    /// Up to this UTC time, or a span back from now.
    until: Option<String>,
    /// Of this user, by address or id.
    user: Option<String>,
    /// Of this name.
    name: Option<String>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

pub(super) fn view(row: EventRow) -> ClientEventView {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    // A ULID's upper 48 bits are its time.
    let at = i64::try_from(row.id.bits() >> 80).unwrap_or_default();
    ClientEventView {
        id: row.id.to_string(),
        at: UnixMillis(at).to_string(),
        user: row.email,
        team: row.team,
        name: row.name,
        model: some(row.model),
        session: some(row.session),
        attributes: serde_json::from_str(&row.attributes).unwrap_or_default(),
    }
}

/// Lists events that clients told of, the newest first. They are kept for a while only.
#[utoipa::path(
    get, path = "/api/v1/telemetry/events", tag = "usage", operation_id = "client_event_list", params(EventQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<ClientEventView>))
)]
pub async fn list(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<EventQuery>,
) -> Result<Json<Items<ClientEventView>>, ApiError> {
    let wanted = Wanted {
        range: Range { since: query.since, until: query.until },
        user: query.user,
        name: query.name,
    };
    let listed = events(&app, admin.scope, &wanted, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(listed, view)))
}

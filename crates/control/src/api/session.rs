//! `/api/v1/sessions`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::session::Session;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadDirectory, WriteKeys};
use super::change::Changed;
use super::error::ApiError;
use super::extract::{Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::session::{self, Wanted};

/// A session: one sign-in of a person on one machine.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionView {
    /// Identifier.
    #[schema(example = "ses_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// E-mail address of who signed in.
    pub email: String,
    /// Identifier of who signed in.
    pub user_id: String,
    /// Name of the team it charges.
    pub team: Option<String>,
    /// Where they signed in: `local`, `oidc:NAME`, `ldap:NAME` or `ci:NAME`.
    pub source: String,
    /// Which product asked for it, as that says of itself.
    pub surface: Option<String>,
    /// The client's program and version.
    pub client: Option<String>,
    /// The address that it was collected from.
    pub peer: Option<String>,
    /// When it began (RFC 3339).
    pub created_at: String,
    /// When it was last refreshed.
    pub refreshed_at: Option<String>,
    /// When it ends, however often it is refreshed.
    pub expires_at: String,
    /// When it was ended before that.
    pub ended_at: Option<String>,
    /// Why: `signed_out`, `revoked`, `token_reused`, `source_refused`, `password_changed`, `user_disabled`,
    /// `identity_forgotten`, `factors_reset` or `expired`.
    pub ended_why: Option<&'static str>,
}

/// Which sessions are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Of this user, by e-mail address or id.
    user: Option<String>,
    /// Whether those that are over are listed too; they are not if not given.
    ended: Option<bool>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

impl From<Session> for SessionView {
    fn from(session: Session) -> Self {
        Self {
            id: session.id.to_string(),
            email: session.email,
            user_id: session.user.to_string(),
            team: session.team,
            source: session.source,
            surface: session.surface,
            client: session.client,
            peer: session.peer.map(|peer| peer.to_string()),
            created_at: session.created_at.to_string(),
            refreshed_at: session.refreshed_at.map(|at| at.to_string()),
            expires_at: session.expires_at.to_string(),
            ended_at: session.ended_at.map(|at| at.to_string()),
            ended_why: session.ended_why.map(gatehouse_domain::session::SessionEnd::as_str),
        }
    }
}

/// Lists sessions, newest first.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "session", operation_id = "session_list", params(Query),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = Items<SessionView>))
)]
pub async fn list(
    _: Admin<ReadDirectory>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<SessionView>>, ApiError> {
    let wanted = Wanted { user: query.user, ended: query.ended.unwrap_or(false) };
    let sessions = session::list(&app, &wanted, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(sessions, SessionView::from)))
}

/// Ends a session for good, replies under way included.
#[utoipa::path(
    post, path = "/api/v1/sessions/{session}/revoke", tag = "session", operation_id = "session_revoke",
    params(("session" = String, Path, description = "Id")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 200, body = Changed<SessionView>))
)]
pub async fn revoke(
    admin: Admin<WriteKeys>,
    State(app): State<App>,
    segment: Segment,
) -> Result<Json<Changed<SessionView>>, ApiError> {
    let ended = session::revoke(&app, &admin.caller, segment.id("session")?).await?;
    Ok(Json(Changed::of(ended, SessionView::from)))
}

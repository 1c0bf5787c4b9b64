//! `/api/v1/admin-tokens`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::admin_token::AdminToken;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, WriteAdmins};
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::admin_token::{self, Held};
use crate::app::App;

/// An administrator's token: everything but the secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// Identifier.
    #[schema(example = "tok_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// The public part of its text.
    #[schema(example = "gha_Ab12Cd34")]
    pub hint: String,
    /// Whose it is, or what for.
    pub name: String,
    /// What it may do: the name of a role.
    #[schema(example = "project_manager")]
    pub role: String,
    /// Identifier of the team or person it is limited to; null for the whole organization.
    pub limited_to: Option<String>,
    /// Whose it is: a user's identifier, `service:NAME`, `machine`, or whose the token was that made it. Two tokens of one
    /// person are one when it is judged who wrote and who approves.
    pub person: String,
    /// `active`, `expired` or `revoked`.
    pub state: &'static str,
    /// When it stops working (RFC 3339).
    pub expires_at: Option<String>,
    /// When it was taken back (RFC 3339).
    pub revoked_at: Option<String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// When it was last used, to the minute (RFC 3339).
    pub last_used_at: Option<String>,
}

/// A new token, the one time its text is seen.
#[derive(Serialize, ToSchema)]
pub struct NewTokenView {
    /// The text to sign in with. Shown once.
    #[schema(pattern = "^gha_[0-9A-Za-z]{57}$")]
    pub token: String,
    /// Everything else.
    #[serde(flatten)]
    pub info: TokenView,
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whose it is, or what for.
    pub name: String,
    /// What it may do: the name of a role.
    pub role: String,
    /// Limits it to a team, by name or id.
    pub team: Option<String>,
    /// Limits it to a person, by e-mail address or id.
    pub user: Option<String>,
    /// Whose it is, by e-mail address or id, where it is not limited to them.
    pub holder: Option<String>,
    /// The name of the service whose it is.
    pub service: Option<String>,
    /// When it stops working: a UTC time, or a span such as `30d`.
    pub expires: Option<String>,
}

/// Which page is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

impl TokenView {
    fn of(token: AdminToken, now: UnixMillis) -> Self {
        let text = |at: UnixMillis| at.to_string();
        let state = match token.revoked_at {
            Some(_) => "revoked",
            None if token.usable(now) => "active",
            None => "expired",
        };
        Self {
            id: token.id.to_string(),
            hint: token.hint,
            name: token.name,
            role: token.role.to_string(),
            limited_to: match token.scope {
                Scope::Organization => None,
                Scope::Team(id) => Some(id.to_string()),
                Scope::User(id) => Some(id.to_string()),
            },
            person: token.person,
            state,
            expires_at: token.expires_at.map(text),
            revoked_at: token.revoked_at.map(text),
            created_at: text(token.created_at),
            last_used_at: token.last_used_at.map(text),
        }
    }
}

/// Lists administrators' tokens, newest first.
#[utoipa::path(
    get, path = "/api/v1/admin-tokens", tag = "admin_token", operation_id = "admin_token_list", params(Query),
    security(("admin_token" = ["write_admins"])),
    responses((status = 200, body = Items<TokenView>))
)]
pub async fn list(
    _: Admin<WriteAdmins>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<TokenView>>, ApiError> {
    let tokens = admin_token::list(&app, &page(query.after, query.limit)).await?;
    let now = app.now();
    Ok(Json(Items::of(tokens, |token| TokenView::of(token, now))))
}

/// Makes an administrator's token. Its text is in this answer only.
#[utoipa::path(
    post, path = "/api/v1/admin-tokens", tag = "admin_token", operation_id = "admin_token_create",
    request_body = NewToken,
    security(("admin_token" = ["write_admins"])),
    responses((status = 201, body = NewTokenView))
)]
pub async fn create(
    admin: Admin<WriteAdmins>,
    State(app): State<App>,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<NewTokenView>), ApiError> {
    let held = Held {
        team: new.team.as_deref(),
        user: new.user.as_deref(),
        holder: new.holder.as_deref(),
        service: new.service.as_deref(),
    };
    let expires = new.expires.as_deref();
    let made = admin_token::create(&app, &admin.caller, &new.name, &new.role, &held, expires).await?;
    let view = NewTokenView { token: made.text.to_string(), info: TokenView::of(made.token, app.now()) };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Takes an administrator's token back, for good. The last owner's cannot be, and one that ends within a week does not
/// count as another.
#[utoipa::path(
    post, path = "/api/v1/admin-tokens/{id}/revoke", tag = "admin_token", operation_id = "admin_token_revoke",
    params(("id" = String, Path, description = "Id")),
    security(("admin_token" = ["write_admins"])),
    responses((status = 200, body = TokenView))
)]
pub async fn revoke(
    admin: Admin<WriteAdmins>,
    State(app): State<App>,
    segment: Segment,
) -> Result<Json<TokenView>, ApiError> {
    let token = admin_token::revoke(&app, &admin.caller, segment.id("admin token")?).await?;
    Ok(Json(TokenView::of(token, app.now())))
}

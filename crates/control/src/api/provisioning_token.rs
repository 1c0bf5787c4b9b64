//! `/api/v1/scim/tokens`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::provisioning_token::ProvisioningToken;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, WriteAdmins};
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::provisioning_token;

/// A directory's token for SCIM: everything but the secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScimTokenView {
    /// Identifier.
    #[schema(example = "pvt_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// The public part of its text.
    #[schema(example = "ghscim_Ab12Cd34")]
    pub hint: String,
    /// What it is for.
    pub name: String,
    /// The directory whose people and groups it may manage: `scim:okta`.
    pub source: String,
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
pub struct NewScimTokenView {
    /// The text to give to the directory. Shown once.
    #[schema(pattern = "^ghscim_[0-9A-Za-z]{57}$")]
    pub token: String,
    /// The address to give to the directory.
    pub base_url: String,
    /// Everything else.
    #[serde(flatten)]
    pub info: ScimTokenView,
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewScimToken {
    /// The directory's name: `okta`. Tokens of the same directory see the same people and groups.
    pub source: String,
    /// What it is for; the directory's name if not given.
    pub name: Option<String>,
    /// When it stops working: a UTC time, or a span such as `365d`.
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

impl ScimTokenView {
    fn of(token: ProvisioningToken, now: UnixMillis) -> Self {
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
            source: token.source.to_string(),
            state,
            expires_at: token.expires_at.map(text),
            revoked_at: token.revoked_at.map(text),
            created_at: text(token.created_at),
            last_used_at: token.last_used_at.map(text),
        }
    }
}

/// Lists directories' tokens, newest first.
#[utoipa::path(
    get, path = "/api/v1/scim/tokens", tag = "scim_token", operation_id = "scim_token_list", params(Query),
    security(("admin_token" = ["write_admins"])),
    responses((status = 200, body = Items<ScimTokenView>))
)]
pub async fn list(
    _: Admin<WriteAdmins>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<ScimTokenView>>, ApiError> {
    let tokens = provisioning_token::list(&app, &page(query.after, query.limit)).await?;
    let now = app.now();
    Ok(Json(Items::of(tokens, |token| ScimTokenView::of(token, now))))
}

/// Makes a directory's token for SCIM. Its text is in this answer only.
#[utoipa::path(
    post, path = "/api/v1/scim/tokens", tag = "scim_token", operation_id = "scim_token_create",
    request_body = NewScimToken,
    security(("admin_token" = ["write_admins"])),
    responses((status = 201, body = NewScimTokenView))
)]
pub async fn create(
    admin: Admin<WriteAdmins>,
    State(app): State<App>,
    Body(new): Body<NewScimToken>,
) -> Result<(StatusCode, Json<NewScimTokenView>), ApiError> {
    let (name, expires) = (new.name.as_deref(), new.expires.as_deref());
    let made = provisioning_token::create(&app, &admin.caller, &new.source, name, expires).await?;
    let view = NewScimTokenView {
        token: made.text.to_string(),
        base_url: (app.house.scim_base)(),
        info: ScimTokenView::of(made.token, app.now()),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Takes a directory's token back, for good. Its people and groups stay as they are.
#[utoipa::path(
    post, path = "/api/v1/scim/tokens/{id}/revoke", tag = "scim_token", operation_id = "scim_token_revoke",
    params(("id" = String, Path, description = "Id")),
    security(("admin_token" = ["write_admins"])),
    responses((status = 200, body = ScimTokenView))
)]
pub async fn revoke(
    admin: Admin<WriteAdmins>,
    State(app): State<App>,
    segment: Segment,
) -> Result<Json<ScimTokenView>, ApiError> {
    let token = provisioning_token::revoke(&app, &admin.caller, segment.id("provisioning token")?).await?;
    Ok(Json(ScimTokenView::of(token, app.now())))
}

//! `/api/v1/keys`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::directory::{KeyInfo, KeyState};
use gatehouse_domain::time::UnixMillis;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{ReadDirectory, Scoped, WriteKeys};
use super::change::Changed;
use super::error::{ApiError, Code};
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::key::{self, Issued, Request, Wanted};
use crate::{scope, user};

/// A virtual key: everything but the secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// Identifier.
    #[schema(example = "key_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// The public part of its text, by which it can be recognized.
    #[schema(example = "gh_Ab12Cd34")]
    pub hint: String,
    /// Name for people to read.
    pub name: Option<String>,
    /// Its holder's identifier.
    pub user_id: String,
    /// Its holder's e-mail address.
    pub email: String,
    /// Name of the team it charges.
    pub team: Option<String>,
    /// Name of the project it charges.
    pub project: Option<String>,
    /// Patterns of the models it may use; `null` means every model.
    pub models: Option<Vec<String>>,
    /// Where it is good: `gateway` (model requests), `proxy` (the forward proxy) or `both`.
    pub purpose: &'static str,
    /// Whether it works, its holder's state aside.
    pub state: KeyStateView,
    /// When it stops working (RFC 3339).
    pub expires_at: Option<String>,
    /// The key that replaces it, once rotated.
    pub replaced_by: Option<String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// When it was last used, to the minute (RFC 3339).
    pub last_used_at: Option<String>,
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyStateView {
    /// Works.
    Active,
    /// Its time is over. Keys cannot be listed by this state: it comes by itself.
    #[serde(skip_deserializing)]
    Expired,
    /// Refused until enabled again.
    Disabled,
    /// Refused for good.
    Revoked,
}

/// A new key, the one time its text is seen.
#[derive(Serialize, ToSchema)]
pub struct NewKeyView {
    /// The text to give to the client. Shown once.
    #[schema(pattern = "^gh_[0-9A-Za-z]{57}$")]
    pub key: String,
    /// Everything else.
    #[serde(flatten)]
    pub info: KeyView,
    /// The key it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ReplacedKey>,
}

/// A key that was replaced.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplacedKey {
    /// Identifier.
    pub id: String,
    /// Until when it works beside its successor (RFC 3339).
    pub expires_at: Option<String>,
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Its holder, by e-mail address or id.
    pub user: String,
    /// Name for people to read.
    pub name: Option<String>,
    /// The team it charges, by name or id.
    pub team: Option<String>,
    /// The project it charges, by name or id.
    pub project: Option<String>,
    /// Models it may use: names, or beginnings of names followed by `*`. None means every model.
    #[serde(default)]
    pub models: Vec<String>,
    /// Where it is good: `gateway` (model requests; if not given), `proxy` (the forward proxy) or `both`.
    pub purpose: Option<String>,
    /// When it stops working: a UTC time, or a span such as `30d`.
    #[schema(example = "30d")]
    pub expires: Option<String>,
}

/// How to rotate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// How long the old key goes on working, at most 90 days; `0` for not at all, a day if not given.
    #[schema(example = "24h")]
    pub overlap: Option<String>,
    /// When the new key stops working: a UTC time, or a span. As the old one would have, if not given.
    pub expires: Option<String>,
}

/// When to expire.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Expiry {
    /// A UTC time, a span from now on, `now` or `never`.
    #[schema(example = "30d")]
    pub at: String,
}

/// Which keys are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Those of this holder, by e-mail address or id.
    user: Option<String>,
    /// Those that charge this team, by name or id.
    team: Option<String>,
    /// Those that charge this project, by name or id.
    project: Option<String>,
    /// `active` (expired ones included), `disabled` or `revoked`.
    #[param(inline)]
    state: Option<KeyStateView>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

impl KeyView {
    fn of(key: KeyInfo, now: UnixMillis) -> Self {
        let text = |at: UnixMillis| at.to_string();
        let state = match key.state {
            KeyState::Active if key.expires_at.is_some_and(|at| at <= now) => KeyStateView::Expired,
            KeyState::Active => KeyStateView::Active,
            KeyState::Disabled => KeyStateView::Disabled,
            KeyState::Revoked => KeyStateView::Revoked,
        };
        Self {
            id: key.id.to_string(),
            hint: key.hint,
            name: key.name,
            user_id: key.user.to_string(),
            email: key.email,
            team: key.team,
            project: key.project,
            models: key.models.patterns().map(<[String]>::to_vec),
            purpose: key.purpose.as_str(),
            state,
            expires_at: key.expires_at.map(text),
            replaced_by: key.replaced_by.map(|id| id.to_string()),
            created_at: text(key.created_at),
            last_used_at: key.last_used_at.map(text),
        }
    }
}

fn issued(issued: Issued, now: UnixMillis) -> (StatusCode, Json<Changed<NewKeyView>>) {
    let replaces = issued.replaces.map(|old| ReplacedKey {
        id: old.id.to_string(),
        expires_at: old.expires_at.map(|at| at.to_string()),
    });
    let view = NewKeyView { key: issued.text.to_string(), info: KeyView::of(issued.key, now), replaces };
    (StatusCode::CREATED, Json(Changed::new(view, issued.in_force)))
}

/// Lists keys, newest first.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "key", operation_id = "key_list", params(Query),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = Items<KeyView>))
)]
pub async fn list(
    admin: Scoped<ReadDirectory>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<KeyView>>, ApiError> {
    let state = query.state.map(|state| match state {
        KeyStateView::Active | KeyStateView::Expired => KeyState::Active,
        KeyStateView::Disabled => KeyState::Disabled,
        KeyStateView::Revoked => KeyState::Revoked,
    });
    let wanted = Wanted { user: query.user, team: query.team, project: query.project, state };
    let keys = key::list(&app, admin.scope, &wanted, &page(query.after, query.limit)).await?;
    let now = app.now();
    Ok(Json(Items::of(keys, |key| KeyView::of(key, now))))
}

/// Makes a key. Its text is in this answer only.
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "key", operation_id = "key_create", request_body = NewKey,
    security(("admin_token" = ["write_keys"])),
    responses((status = 201, body = Changed<NewKeyView>))
)]
pub async fn create(
    admin: Scoped<WriteKeys>,
    State(app): State<App>,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, Json<Changed<NewKeyView>>), ApiError> {
    let NewKey { user, name, team, project, models, purpose, expires } = new;
    let request = Request { user, name, team, project, models, purpose, expires };
    let made = key::create(&app, &admin.caller, admin.scope, &request).await?;
    Ok(issued(made, app.now()))
}

/// Looks a key up.
#[utoipa::path(
    get, path = "/api/v1/keys/{key}", tag = "key", operation_id = "key_get",
    params(("key" = String, Path, description = "Id, or the public part of its text (`gh_Ab12Cd34`)")),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = KeyView))
)]
pub async fn get(
    admin: Scoped<ReadDirectory>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<KeyView>, ApiError> {
    Ok(Json(KeyView::of(key::within(&app, admin.scope, &given).await?, app.now())))
}

/// Replaces a key by a new one, both working for a while. The new one's text is in this answer only.
#[utoipa::path(
    post, path = "/api/v1/keys/{key}/rotate", tag = "key", operation_id = "key_rotate", request_body = Rotation,
    params(("key" = String, Path, description = "Id, or the public part of its text")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 201, body = Changed<NewKeyView>))
)]
pub async fn rotate(
    admin: Scoped<WriteKeys>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(how): Body<Rotation>,
) -> Result<(StatusCode, Json<Changed<NewKeyView>>), ApiError> {
    let old = key::within(&app, admin.scope, &given).await?;
    // Who rotates gets the text of a key in the name of its holder, who must lie within as well.
    if !scope::has_user(&app, admin.scope, &user::get(&app, &old.user.to_string()).await?).await? {
        return Err(ApiError::new(
            Code::Conflict,
            "the key's holder is not in your team any more; revoke the key instead",
        ));
    }
    let (overlap, expires) = (how.overlap.as_deref(), how.expires.as_deref());
    let made = key::rotate(&app, &admin.caller, &given, overlap, expires).await?;
    Ok(issued(made, app.now()))
}

/// Sets when a key stops working.
#[utoipa::path(
    post, path = "/api/v1/keys/{key}/expire", tag = "key", operation_id = "key_expire", request_body = Expiry,
    params(("key" = String, Path, description = "Id, or the public part of its text")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 200, body = Changed<KeyView>))
)]
pub async fn expire(
    admin: Scoped<WriteKeys>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(expiry): Body<Expiry>,
) -> Result<Json<Changed<KeyView>>, ApiError> {
    key::within(&app, admin.scope, &given).await?;
    let changed = key::expire(&app, &admin.caller, &given, &expiry.at).await?;
    Ok(Json(Changed::of(changed, |key| KeyView::of(key, app.now()))))
}

/// Refuses a key until it is enabled again, open streams included.
#[utoipa::path(
    post, path = "/api/v1/keys/{key}/disable", tag = "key", operation_id = "key_disable",
    params(("key" = String, Path, description = "Id, or the public part of its text")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 200, body = Changed<KeyView>))
)]
pub async fn disable(
    admin: Scoped<WriteKeys>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<KeyView>>, ApiError> {
    set_state(&app, &admin, &given, KeyState::Disabled).await
}

/// Lets a disabled key work again.
#[utoipa::path(
    post, path = "/api/v1/keys/{key}/enable", tag = "key", operation_id = "key_enable",
    params(("key" = String, Path, description = "Id, or the public part of its text")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 200, body = Changed<KeyView>))
)]
pub async fn enable(
    admin: Scoped<WriteKeys>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<KeyView>>, ApiError> {
    set_state(&app, &admin, &given, KeyState::Active).await
}

/// Refuses a key for good, open streams included.
#[utoipa::path(
    post, path = "/api/v1/keys/{key}/revoke", tag = "key", operation_id = "key_revoke",
    params(("key" = String, Path, description = "Id, or the public part of its text")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 200, body = Changed<KeyView>))
)]
pub async fn revoke(
    admin: Scoped<WriteKeys>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<KeyView>>, ApiError> {
    set_state(&app, &admin, &given, KeyState::Revoked).await
}

async fn set_state(
    app: &App,
    admin: &Scoped<WriteKeys>,
    given: &str,
    state: KeyState,
) -> Result<Json<Changed<KeyView>>, ApiError> {
    key::within(app, admin.scope, given).await?;
    let changed = key::set_state(app, &admin.caller, admin.scope, given, state).await?;
    Ok(Json(Changed::of(changed, |key| KeyView::of(key, app.now()))))
}

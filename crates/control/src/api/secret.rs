//! `/api/v1/secrets`: the keys of the server itself. Never the keys themselves.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{Admin, ReadConfig, RotateSecrets};
use super::change::Changed;
use super::error::ApiError;
use super::extract::{Body, Pair, Segment};
use super::page::Items;
use crate::app::App;
use crate::rotation::{self, KeyInfo};

/// A key of the server itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecretView {
    /// What it is for: `master`, `hashes`, `access-tokens`, `refresh-tokens`, `sign-in-forms`, `audit` or `bundles`.
    pub purpose: &'static str,
    /// Which one: its number, or the public name of a master key.
    pub key: String,
    /// `announced` (known, used from `active_at` on), `active`, `old` (what was made with it is still good), `retired`; of a
    /// master key also `known`.
    pub state: &'static str,
    /// When it was made (RFC 3339), if that is known.
    pub made_at: Option<String>,
    /// From when on it is used (RFC 3339); none for the first.
    pub active_at: Option<String>,
    /// When it is to be retired (RFC 3339).
    pub retire_at: Option<String>,
    /// How much hangs on it, where that can be counted: it is not retired before this is 0.
    pub under: Option<u64>,
    /// The public half of a key that signs: 64 hexadecimal digits.
    pub public_key: Option<String>,
}

/// How to rotate.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRotation {
    /// When the old key is to be retired, as a span from when the new one is used: `30d`. It is retired then if nothing hangs
    /// on it any more.
    #[serde(default)]
    pub retire_after: Option<String>,
}

/// The keys of a purpose.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecretsView {
    /// The oldest first.
    pub keys: Vec<SecretView>,
}

impl From<KeyInfo> for SecretView {
    fn from(key: KeyInfo) -> Self {
        let text = |at: Option<gatehouse_domain::time::UnixMillis>| at.map(|at| at.to_string());
        Self {
            purpose: key.purpose,
            key: key.key,
            state: key.state,
            made_at: text(key.made_at),
            active_at: text(key.active_at),
            retire_at: text(key.retire_at),
            under: key.under,
            public_key: key.public_key,
        }
    }
}

fn view(keys: Vec<KeyInfo>) -> SecretsView {
    SecretsView { keys: keys.into_iter().map(SecretView::from).collect() }
}

/// Lists the keys of the server itself, and what hangs on each.
#[utoipa::path(
    get, path = "/api/v1/secrets", tag = "secret", operation_id = "secret_list",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<SecretView>))
)]
pub async fn list(_: Admin<ReadConfig>, State(app): State<App>) -> Result<Json<Items<SecretView>>, ApiError> {
    let keys = rotation::list(&app).await?;
    Ok(Json(Items::all(keys.into_iter().map(SecretView::from).collect())))
}

/// Makes a new key for a purpose, while requests go on. For `master`: seals everything under the configured master key.
#[utoipa::path(
    post, path = "/api/v1/secrets/{purpose}/rotate", tag = "secret", operation_id = "secret_rotate",
    request_body = SecretRotation,
    params(("purpose" = String, Path, description = "What the key is for")),
    security(("admin_token" = ["rotate_secrets"])),
    responses((status = 200, body = Changed<SecretsView>))
)]
pub async fn rotate(
    admin: Admin<RotateSecrets>,
    State(app): State<App>,
    Segment(purpose): Segment,
    Body(body): Body<SecretRotation>,
) -> Result<Json<Changed<SecretsView>>, ApiError> {
    let done = rotation::rotate(&app, &admin.caller, &purpose, body.retire_after.as_deref()).await?;
    Ok(Json(Changed::of(done, view)))
}

/// Gives an old key up for good. Refused while something hangs on it.
#[utoipa::path(
    post, path = "/api/v1/secrets/{purpose}/{key}/retire", tag = "secret", operation_id = "secret_retire",
    params(
        ("purpose" = String, Path, description = "What the key is for"),
        ("key" = String, Path, description = "Its number"),
    ),
    security(("admin_token" = ["rotate_secrets"])),
    responses((status = 200, body = Changed<SecretsView>))
)]
pub async fn retire(
    admin: Admin<RotateSecrets>,
    State(app): State<App>,
    Pair(purpose, key): Pair,
) -> Result<Json<Changed<SecretsView>>, ApiError> {
    let done = rotation::retire(&app, &admin.caller, &purpose, &key).await?;
    Ok(Json(Changed::of(done, view)))
}

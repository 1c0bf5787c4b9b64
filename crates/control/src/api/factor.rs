//! `/api/v1/users/{user}/factors`: second factors of local accounts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::directory::User;
use gatehouse_store::factor::Factors;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{Admin, ReadDirectory, Scoped, WriteKeys};
use super::change::Changed;
use super::error::ApiError;
use super::extract::Segment;
use crate::app::App;
use crate::factor::{self, Link};

/// What a person has besides a password.
#[derive(Debug, Serialize, ToSchema)]
pub struct FactorsView {
    /// Whose it is.
    pub email: String,
    /// Their factors, the authenticator first.
    pub factors: Vec<FactorView>,
    /// Recovery codes that were not used.
    pub recovery_codes: usize,
}

/// A second factor.
#[derive(Debug, Serialize, ToSchema)]
pub struct FactorView {
    /// `totp` (an authenticator with codes) or `passkey`.
    pub kind: FactorKind,
    /// When it was added (RFC 3339).
    pub created_at: String,
    /// When it was last used to sign in.
    pub used_at: Option<String>,
}

/// What a second factor is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactorKind {
    /// One-time passwords by time (RFC 6238).
    Totp,
    /// A passkey (Web Authentication).
    Passkey,
}

/// What became of a person's factors.
#[derive(Debug, Serialize, ToSchema)]
pub struct FactorsResetView {
    /// Whose they were.
    pub email: String,
}

/// A link by which a person may add a factor.
#[derive(Serialize, ToSchema)]
pub struct FactorLinkView {
    /// Whose it is.
    pub email: String,
    /// The address to open in a browser, once. Whoever has it can add a factor to this account.
    pub url: String,
    /// Until when it works (RFC 3339).
    pub expires_at: String,
}

fn view((user, factors): (User, Factors)) -> FactorsView {
    let totp = factors.totp.map(|totp| FactorView {
        kind: FactorKind::Totp,
        created_at: totp.created_at.to_string(),
        used_at: totp.used_at.map(|at| at.to_string()),
    });
    let passkeys = factors.passkeys.into_iter().map(|passkey| FactorView {
        kind: FactorKind::Passkey,
        created_at: passkey.created_at.to_string(),
        used_at: passkey.used_at.map(|at| at.to_string()),
    });
    FactorsView {
        email: user.email,
        factors: totp.into_iter().chain(passkeys).collect(),
        recovery_codes: factors.recovery_codes,
    }
}

/// Shows what a user has besides a local password.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/factors", tag = "user", operation_id = "user_list_factors",
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = FactorsView))
)]
pub async fn list(
    admin: Scoped<ReadDirectory>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<FactorsView>, ApiError> {
    Ok(Json(view(factor::list(&app, admin.scope, &given).await?)))
}

/// Removes all second factors of a user, recovery codes and links included. Their local sessions end.
#[utoipa::path(
    delete, path = "/api/v1/users/{user}/factors", tag = "user", operation_id = "user_reset_factors",
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 200, body = Changed<FactorsResetView>))
)]
pub async fn reset(
    admin: Admin<WriteKeys>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<FactorsResetView>>, ApiError> {
    let changed = factor::reset(&app, &admin.caller, &given).await?;
    Ok(Json(Changed::of(changed, |user| FactorsResetView { email: user.email })))
}

/// Makes a link by which a user may add a second factor without signing in: once, within a day.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/factors/link", tag = "user", operation_id = "user_make_factor_link",
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 201, body = FactorLinkView))
)]
pub async fn link(
    admin: Admin<WriteKeys>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<(StatusCode, Json<FactorLinkView>), ApiError> {
    let Link { user, url, expires_at } = factor::link(&app, &admin.caller, &given).await?;
    let view = FactorLinkView {
        email: user.email,
        url: url.as_str().to_owned(),
        expires_at: expires_at.to_string(),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

//! `/api/v1/inspection`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_identity::secret::Secret;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::auth::{Admin, ReadConfig, RotateSecrets};
use super::change::Changed;
use super::error::ApiError;
use super::extract::Body;
use crate::app::App;
use crate::inspection::{self, Authority, DAYS, Replace, Ruled, Source};

/// The authority that vouches for the proxy where it looks into tunnels. Its key is never given out.
#[derive(Debug, Serialize, ToSchema)]
pub struct InspectionAuthority {
    /// Its name.
    pub subject: String,
    /// Names that it is good for, with everything below them; empty if it is not limited.
    pub names: Vec<String>,
    /// When it begins to be good (RFC 3339).
    pub not_before: String,
    /// When it ends (RFC 3339).
    pub not_after: String,
    /// SHA-256 of its certificate, in hexadecimal digits.
    pub sha256: String,
    /// Its certificate (PEM), which clients are to trust.
    pub certificate: String,
}

/// The inspection of what goes through the forward proxy.
#[derive(Debug, Serialize, ToSchema)]
pub struct InspectionView {
    /// Hosts that are looked into, as configured; none unless some are named.
    pub hosts: Vec<String>,
    /// Hosts that are not, as configured. Hosts where people sign in never are.
    pub never: Vec<String>,
    /// Hosts whose model requests go through the gateway's stages.
    pub model_hosts: Vec<String>,
    /// By whose credential they are made: `caller` or `organization`.
    pub credential: &'static str,
    /// What people are told.
    pub notice: String,
    /// The authority; null where there is none, and what is to be looked into is refused.
    pub authority: Option<InspectionAuthority>,
}

/// An authority to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInspectionAuthority {
    /// Hosts that it is good for, and nothing else: names, or `*.` and a name. If none are given, those that the configuration
    /// names.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// How many days it is good for; 730 if not given.
    pub days: Option<u32>,
    /// Whether it takes the place of one that there is.
    #[serde(default)]
    pub replace: bool,
}

/// An authority of the organization's own.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BroughtInspectionAuthority {
    /// Its certificate (PEM), without those above it.
    pub certificate: String,
    /// Its key (PEM, not encrypted). It can never be read back.
    #[schema(value_type = String, format = Password)]
    #[serde(deserialize_with = "secret")]
    pub key: Secret,
    /// Whether it takes the place of one that there is.
    #[serde(default)]
    pub replace: bool,
}

fn secret<'de, D: Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
    String::deserialize(d).map(|text| Secret::new(text.into_bytes()))
}

fn view(authority: Authority) -> InspectionAuthority {
    InspectionAuthority {
        subject: authority.subject,
        names: authority.names,
        not_before: authority.from.to_string(),
        not_after: authority.until.to_string(),
        sha256: authority.sha256,
        certificate: authority.certificate,
    }
}

const fn replace(wanted: bool) -> Replace {
    if wanted { Replace::Yes } else { Replace::No }
}

/// What is looked into, and who vouches for it.
#[utoipa::path(
    get, path = "/api/v1/inspection", tag = "inspection", operation_id = "inspection_get",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = InspectionView))
)]
pub async fn get(_: Admin<ReadConfig>, State(app): State<App>) -> Result<Json<InspectionView>, ApiError> {
    let (Ruled { hosts, never, model_hosts, credential, notice }, authority) =
        inspection::state(&app).await?;
    let authority = authority.map(view);
    Ok(Json(InspectionView { hosts, never, model_hosts, credential, notice, authority }))
}

/// Makes an authority with a new key, for some hosts only.
#[utoipa::path(
    post, path = "/api/v1/inspection/authority", tag = "inspection", operation_id = "inspection_create",
    request_body = NewInspectionAuthority,
    security(("admin_token" = ["rotate_secrets"])),
    responses((status = 200, body = Changed<InspectionAuthority>))
)]
pub async fn create(
    admin: Admin<RotateSecrets>,
    State(app): State<App>,
    Body(body): Body<NewInspectionAuthority>,
) -> Result<Json<Changed<InspectionAuthority>>, ApiError> {
    let hosts = if body.hosts.is_empty() { (app.house.inspection.rules)().hosts } else { body.hosts };
    let source = Source::New { hosts: &hosts, days: body.days.unwrap_or(DAYS) };
    let done = inspection::set(&app, &admin.caller, &source, replace(body.replace)).await?;
    Ok(Json(Changed::of(done, view)))
}

/// Takes an authority of the organization's own.
#[utoipa::path(
    put, path = "/api/v1/inspection/authority", tag = "inspection", operation_id = "inspection_import",
    request_body = BroughtInspectionAuthority,
    security(("admin_token" = ["rotate_secrets"])),
    responses((status = 200, body = Changed<InspectionAuthority>))
)]
pub async fn import(
    admin: Admin<RotateSecrets>,
    State(app): State<App>,
    Body(body): Body<BroughtInspectionAuthority>,
) -> Result<Json<Changed<InspectionAuthority>>, ApiError> {
    let source = Source::Brought { certificate: &body.certificate, key: &body.key };
    let done = inspection::set(&app, &admin.caller, &source, replace(body.replace)).await?;
    Ok(Json(Changed::of(done, view)))
}

/// Removes the authority. What is to be looked into is refused from then on.
#[utoipa::path(
    delete, path = "/api/v1/inspection/authority", tag = "inspection", operation_id = "inspection_remove",
    security(("admin_token" = ["rotate_secrets"])),
    responses((status = 204, description = "Removed"))
)]
pub async fn remove(admin: Admin<RotateSecrets>, State(app): State<App>) -> Result<StatusCode, ApiError> {
    inspection::remove(&app, &admin.caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

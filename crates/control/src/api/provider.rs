//! `/api/v1/providers`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_identity::secret::Secret;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::auth::{Admin, ReadConfig, WriteConfig};
use super::error::ApiError;
use super::extract::{Body, Segment};
use super::page::Items;
use crate::app::App;
use crate::provider::{self, ProviderInfo};

/// A provider's key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderKey {
    /// The key. It can never be read back.
    #[schema(value_type = String, format = Password)]
    #[serde(deserialize_with = "secret")]
    pub key: Secret,
}

fn secret<'de, D: Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
    String::deserialize(d).map(|text| Secret::new(text.into_bytes()))
}

/// Lists the configured providers.
#[utoipa::path(
    get, path = "/api/v1/providers", tag = "provider", operation_id = "provider_list",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<ProviderInfo>))
)]
pub async fn list(_: Admin<ReadConfig>, State(app): State<App>) -> Json<Items<ProviderInfo>> {
    Json(Items::all((app.house.providers)()))
}

/// Seals a provider's key. A provider uses it when its configuration says `api_key = "sealed:NAME"`.
#[utoipa::path(
    put, path = "/api/v1/providers/{name}/key", tag = "provider", operation_id = "provider_set_key",
    request_body = ProviderKey,
    params(("name" = String, Path, description = "The provider's name")),
    security(("admin_token" = ["write_config"])),
    responses((status = 204, description = "Sealed"))
)]
pub async fn set_key(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    Segment(name): Segment,
    Body(body): Body<ProviderKey>,
) -> Result<StatusCode, ApiError> {
    provider::set_key(&app, &admin.caller, &name, body.key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a provider's sealed key.
#[utoipa::path(
    delete, path = "/api/v1/providers/{name}/key", tag = "provider", operation_id = "provider_remove_key",
    params(("name" = String, Path, description = "The provider's name")),
    security(("admin_token" = ["write_config"])),
    responses((status = 204, description = "Removed"))
)]
pub async fn remove_key(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    Segment(name): Segment,
) -> Result<StatusCode, ApiError> {
    provider::remove_key(&app, &admin.caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! `/api/v1/settings/schemas`: published schemas of the client's settings.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_store::settings::StoredSchema;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::catalogue::SettingKeyView;
use crate::api::auth::{Admin, ApproveSettings, ReadSettings};
use crate::api::change::Changed;
use crate::api::error::ApiError;
use crate::api::extract::{Body, Params, Segment};
use crate::api::page::{Items, page};
use crate::app::App;
use crate::settings::schema::{self, Imported, Mode};

/// A schema to import.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaText {
    /// The JSON schema, as text.
    pub text: String,
    /// The version of the client that it describes: new keys are said to need it.
    #[schema(example = "2.1.340")]
    pub client: Option<String>,
    /// Whether it is only to be told what the import would do.
    #[serde(default)]
    pub dry_run: bool,
}

/// What an import brought, or would bring.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportedView {
    /// Number of the schema; `null` if nothing was imported: a dry run, or the newest one again.
    pub number: Option<u32>,
    /// SHA-256 of its text.
    pub digest: String,
    /// Keys that were not known, as they are known by it.
    pub added: Vec<SettingKeyView>,
    /// Keys of earlier schemas that take something else by it.
    pub changed: Vec<SettingKeyView>,
    /// Known keys that it does not describe. They stay known; the client may ignore them.
    pub missing: Vec<MissingView>,
}

/// A known key that a schema does not describe.
#[derive(Debug, Serialize, ToSchema)]
pub struct MissingView {
    /// The key.
    pub key: String,
    /// Names of the published profiles that set it.
    pub profiles: Vec<String>,
}

/// An imported schema.
#[derive(Debug, Serialize, ToSchema)]
pub struct SchemaView {
    /// Number, from 1.
    pub number: u32,
    /// `import`, or `reset` if it put all before it out of force.
    pub kind: &'static str,
    /// SHA-256 of its text; empty for a reset.
    pub digest: String,
    /// The version of the client that it describes.
    pub client: Option<String>,
    /// Name of who brought it in.
    pub by: String,
    /// When (RFC 3339).
    pub imported_at: String,
    /// The schema; only if it was asked for alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
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

impl From<Imported> for ImportedView {
    fn from(imported: Imported) -> Self {
        let missing = imported.missing.into_iter();
        Self {
            number: imported.number,
            digest: imported.digest,
            added: imported.added.iter().map(SettingKeyView::from).collect(),
            changed: imported.changed.iter().map(SettingKeyView::from).collect(),
            missing: missing
                .map(|(path, profiles)| MissingView { key: path.to_string(), profiles })
                .collect(),
        }
    }
}

impl From<StoredSchema> for SchemaView {
    fn from(stored: StoredSchema) -> Self {
        Self {
            number: stored.number,
            kind: if stored.text.is_some() { "import" } else { "reset" },
            digest: stored.digest,
            client: stored.client.map(|client| client.to_string()),
            by: stored.by,
            imported_at: stored.imported_at.to_string(),
            text: stored.text.filter(|text| !text.is_empty()),
        }
    }
}

/// Imports a published JSON schema of the client's settings. Keys become known that this release does not know, with types;
/// they need the user's approval, and two people if they seem to run programs. What is known stays as it is: an import never
/// makes a rule less strict. All nodes go by it within seconds.
#[utoipa::path(
    post, path = "/api/v1/settings/schemas", tag = "settings", operation_id = "settings_schema_import",
    request_body = SchemaText, security(("admin_token" = ["approve_settings"])),
    responses((status = 200, body = Changed<ImportedView>), (status = 201, body = Changed<ImportedView>))
)]
pub async fn import(
    admin: Admin<ApproveSettings>,
    State(app): State<App>,
    Body(new): Body<SchemaText>,
) -> Result<(StatusCode, Json<Changed<ImportedView>>), ApiError> {
    let mode = if new.dry_run { Mode::DryRun } else { Mode::Apply };
    let changed = schema::import(&app, &admin.caller, &new.text, new.client.as_deref(), mode).await?;
    let status = if changed.now.number.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Changed::of(changed, ImportedView::from))))
}

/// Lists imported schemas, newest first, without their texts.
#[utoipa::path(
    get, path = "/api/v1/settings/schemas", tag = "settings", operation_id = "settings_schema_list", params(Query),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Items<SchemaView>))
)]
pub async fn list(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<SchemaView>>, ApiError> {
    let found = schema::list(&app, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(found, SchemaView::from)))
}

/// Looks an imported schema up, with its text.
#[utoipa::path(
    get, path = "/api/v1/settings/schemas/{number}", tag = "settings", operation_id = "settings_schema_get",
    params(("number" = String, Path, description = "Number")),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = SchemaView))
)]
pub async fn get(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<SchemaView>, ApiError> {
    Ok(Json(schema::get(&app, &given).await?.into()))
}

/// Puts all imported schemas out of force: only what this release knows is known.
#[utoipa::path(
    post, path = "/api/v1/settings/schemas/reset", tag = "settings", operation_id = "settings_schema_reset",
    security(("admin_token" = ["approve_settings"])),
    responses((status = 200, body = Changed<SchemaView>))
)]
pub async fn reset(
    admin: Admin<ApproveSettings>,
    State(app): State<App>,
) -> Result<Json<Changed<SchemaView>>, ApiError> {
    let changed = schema::reset(&app, &admin.caller).await?;
    Ok(Json(Changed::of(changed, SchemaView::from)))
}

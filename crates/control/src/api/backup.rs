//! `/api/v1/backups`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{Admin, MakeBackups};
use super::error::ApiError;
use super::page::Items;
use super::pipe::Piped;
use crate::app::App;
use crate::backup::{self, Kept};

/// A backup in the directory that is configured on this node.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupView {
    /// Its file's name, which tells when it was made (UTC).
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Lists the backups that this node has made by itself, newest first.
#[utoipa::path(
    get, path = "/api/v1/backups", tag = "backups", operation_id = "backup_list",
    security(("admin_token" = ["make_backups"])),
    responses((status = 200, body = Items<BackupView>))
)]
pub async fn list(
    _: Admin<MakeBackups>,
    State(app): State<App>,
) -> Result<Json<Items<BackupView>>, ApiError> {
    let view = |Kept { name, bytes }| BackupView { name, bytes };
    let items = backup::list(&app).await?.into_iter().map(view).collect();
    Ok(Json(Items::all(items)))
}

/// Makes a backup of everything and sends it, for `gatehouse restore`.
#[utoipa::path(
    get, path = "/api/v1/backups/export", tag = "backups", operation_id = "backup_export",
    security(("admin_token" = ["make_backups"])),
    responses((status = 200, body = Vec<u8>, content_type = "application/gzip"))
)]
pub async fn export(
    admin: Admin<MakeBackups>,
    State(app): State<App>,
) -> Result<impl IntoResponse, ApiError> {
    let head = backup::begin(&app, &admin.caller).await?;
    let body = Piped::begin(async move |mut out| backup::write(&app, head, &mut out).await);
    let headers = [
        (CONTENT_TYPE, "application/gzip"),
        (CONTENT_DISPOSITION, "attachment; filename=\"gatehouse.backup\""),
    ];
    Ok((headers, Body::new(body)))
}

//! `/api/v1/retention`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{Admin, ReadConfig, WriteConfig};
use super::error::ApiError;
use super::page::Items;
use crate::app::App;
use crate::retention::{self, CALL, Kind, Ran};

/// A kind of records, and how long it is kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct RetentionView {
    /// Which records.
    #[schema(example = "exchanges")]
    pub name: &'static str,
    /// The setting that says how long they are kept.
    pub setting: &'static str,
    /// For how many days; null for ever.
    pub days: Option<u32>,
    /// What is from before this is deleted (RFC 3339).
    pub before: Option<String>,
    /// How many records would be deleted now.
    pub due: u64,
    /// Whether there are even more.
    pub more: bool,
}

/// What a run did.
#[derive(Debug, Serialize, ToSchema)]
pub struct RetentionRun {
    /// Exchanges that the audit log now says are deleted.
    pub announced: u64,
    /// Records that were deleted.
    pub deleted: u64,
    /// Whether more is to be deleted; the server goes on with it within the hour.
    pub more: bool,
}

impl From<Kind> for RetentionView {
    fn from(kind: Kind) -> Self {
        let Kind { name, setting, days, before, due, more } = kind;
        Self { name, setting, days, before: before.map(|at| at.to_string()), due, more }
    }
}

impl From<Ran> for RetentionRun {
    fn from(Ran { announced, deleted, more }: Ran) -> Self {
        Self { announced, deleted, more }
    }
}

/// Says how long records are kept and how many would be deleted now. Deletes nothing.
#[utoipa::path(
    get, path = "/api/v1/retention", tag = "usage", operation_id = "retention_look",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<RetentionView>))
)]
pub async fn look(
    _admin: Admin<ReadConfig>,
    State(app): State<App>,
) -> Result<Json<Items<RetentionView>>, ApiError> {
    let items = retention::look(&app).await?.into_iter().map(RetentionView::from).collect();
    Ok(Json(Items { items, next: None }))
}

/// Deletes records of exchanges that are older than they are kept, for some seconds; the server does so by itself every
/// hour.
#[utoipa::path(
    post, path = "/api/v1/retention/runs", tag = "usage", operation_id = "retention_run",
    security(("admin_token" = ["write_config"])),
    responses((status = 200, body = RetentionRun))
)]
pub async fn run(admin: Admin<WriteConfig>, State(app): State<App>) -> Result<Json<RetentionRun>, ApiError> {
    Ok(Json(retention::run(&app, &admin.caller, CALL).await?.into()))
}

//! `/api/v1/directories`.

use axum::Json;
use axum::extract::State;
use gatehouse_store::sync_run::SyncRun;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadConfig, WriteDirectory};
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::directory::{self, Checked, Mode, Overview};

/// A directory that is read by LDAP.
#[derive(Debug, Serialize, ToSchema)]
pub struct DirectoryView {
    /// Its name.
    #[schema(example = "headquarters")]
    pub name: String,
    /// How often it is read.
    pub sync_seconds: u64,
    /// The last run.
    pub last_run: Option<SyncRunView>,
}

/// One run of the synchronization of a directory.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncRunView {
    /// Identifier.
    pub id: String,
    /// The node that did it.
    pub node: String,
    /// When it began (RFC 3339).
    pub started_at: String,
    /// When it ended (RFC 3339).
    pub ended_at: String,
    /// `done`; `stopped`: it would have disabled too many, and changed nothing; `failed`: the directory could not be read,
    /// or the database failed.
    pub outcome: &'static str,
    /// Why it did not succeed.
    pub reason: Option<String>,
    /// People in the directory.
    pub people: u64,
    /// Accounts made.
    pub added: u64,
    /// Accounts changed.
    pub updated: u64,
    /// Accounts disabled.
    pub disabled: u64,
    /// People left out: another user has their address, or an administrator has disabled them.
    pub skipped: u64,
}

/// A look at a directory.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckedView {
    /// Its people.
    pub people: u64,
    /// Those of them who may be let in.
    pub active: u64,
    /// Those without a usable e-mail address.
    pub without_email: u64,
    /// Groups that somebody is in.
    pub groups: u64,
}

/// How far a run goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest {
    /// Only tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// Disable as many accounts as the directory says, beyond the limit too: somebody has looked.
    #[serde(default)]
    pub confirm_disable: bool,
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

impl From<SyncRun> for SyncRunView {
    fn from(run: SyncRun) -> Self {
        Self {
            id: run.id.to_string(),
            node: run.node.to_string(),
            started_at: run.started_at.to_string(),
            ended_at: run.ended_at.to_string(),
            outcome: run.outcome.as_str(),
            reason: run.reason,
            people: run.people,
            added: run.added,
            updated: run.updated,
            disabled: run.disabled,
            skipped: run.skipped,
        }
    }
}

impl From<Overview> for DirectoryView {
    fn from(one: Overview) -> Self {
        Self {
            name: one.configured.source.name().to_owned(),
            sync_seconds: one.configured.interval.as_secs(),
            last_run: one.last.map(SyncRunView::from),
        }
    }
}

impl From<Checked> for CheckedView {
    fn from(checked: Checked) -> Self {
        let Checked { people, active, without_email, groups } = checked;
        Self { people, active, without_email, groups }
    }
}

/// Lists the configured directories with their last runs.
#[utoipa::path(
    get, path = "/api/v1/directories", tag = "directory", operation_id = "directory_list",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<DirectoryView>))
)]
pub async fn list(
    _: Admin<ReadConfig>,
    State(app): State<App>,
) -> Result<Json<Items<DirectoryView>>, ApiError> {
    let all = directory::list(&app).await?;
    Ok(Json(Items::all(all.into_iter().map(DirectoryView::from).collect())))
}

/// Lists the runs of a directory, newest first.
#[utoipa::path(
    get, path = "/api/v1/directories/{name}/runs", tag = "directory", operation_id = "directory_runs", params(Query),
    params(("name" = String, Path, description = "Name")),
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<SyncRunView>))
)]
pub async fn runs(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    Segment(name): Segment,
    Params(query): Params<Query>,
) -> Result<Json<Items<SyncRunView>>, ApiError> {
    let runs = directory::runs(&app, &name, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(runs, SyncRunView::from)))
}

/// Reads a directory whole and tells what is there. Changes nothing.
#[utoipa::path(
    post, path = "/api/v1/directories/{name}/check", tag = "directory", operation_id = "directory_check",
    params(("name" = String, Path, description = "Name")),
    security(("admin_token" = ["write_directory"])),
    responses((status = 200, body = CheckedView))
)]
pub async fn check(
    _: Admin<WriteDirectory>,
    State(app): State<App>,
    Segment(name): Segment,
) -> Result<Json<CheckedView>, ApiError> {
    Ok(Json(directory::check(&app, &name).await?.into()))
}

/// Synchronizes a directory now. The answer's `outcome` tells whether it was done: nobody is disabled because the
/// directory cannot be read, nor when it would disable more accounts than one run may.
#[utoipa::path(
    post, path = "/api/v1/directories/{name}/sync", tag = "directory", operation_id = "directory_sync",
    request_body = SyncRequest,
    params(("name" = String, Path, description = "Name")),
    security(("admin_token" = ["write_directory"])),
    responses((status = 200, body = SyncRunView))
)]
pub async fn sync(
    admin: Admin<WriteDirectory>,
    State(app): State<App>,
    Segment(name): Segment,
    Body(request): Body<SyncRequest>,
) -> Result<Json<SyncRunView>, ApiError> {
    let mode = match (request.dry_run, request.confirm_disable) {
        (true, false) => Mode::DryRun,
        (false, true) => Mode::Confirmed,
        (false, false) => Mode::Guarded,
        (true, true) => {
            return Err(ApiError::invalid(
                "confirm_disable",
                "it is not for a dry run, which disables nobody",
            ));
        }
    };
    Ok(Json(directory::sync(&app, &admin.caller, &name, mode).await?.into()))
}

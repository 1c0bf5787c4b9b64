//! `/api/v1/owned-objects`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::ownership::Owned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadConfig, WriteConfig};
use super::error::ApiError;
use super::extract::{Body, Pair, Params};
use super::page::{Items, page};
use crate::app::App;
use crate::ownership::{self, Wanted};

/// An object that was written from files.
#[derive(Debug, Serialize, ToSchema)]
pub struct OwnedView {
    /// `team`, `project`, `role`, `access_policy` or `user`.
    pub noun: String,
    /// Its name; a user's e-mail address.
    pub name: String,
    /// SHA-256 of what was written, in hex.
    pub digest: String,
    /// When it was last written (RFC 3339).
    pub applied_at: String,
}

/// An object to mark.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMark {
    /// `team`, `project`, `role`, `access_policy` or `user`.
    pub noun: String,
    /// Its name; a user's e-mail address.
    pub name: String,
    /// SHA-256 of what was written, in hex.
    pub digest: String,
}

/// Objects to mark.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMarks {
    /// 1 to 500 of them.
    pub items: Vec<NewMark>,
}

/// How many objects were marked.
#[derive(Debug, Serialize, ToSchema)]
pub struct Marked {
    /// How many.
    pub marked: usize,
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

impl From<Owned> for OwnedView {
    fn from(owned: Owned) -> Self {
        Self {
            noun: owned.mark.noun.to_string(),
            name: owned.mark.name,
            digest: owned.mark.digest.to_string(),
            applied_at: owned.applied_at.to_string(),
        }
    }
}

impl From<NewMark> for Wanted {
    fn from(NewMark { noun, name, digest }: NewMark) -> Self {
        Self { noun, name, digest }
    }
}

/// Lists the objects that were written from files.
#[utoipa::path(
    get, path = "/api/v1/owned-objects", tag = "ownership", operation_id = "owned_object_list", params(Query),
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<OwnedView>))
)]
pub async fn list(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<OwnedView>>, ApiError> {
    let owned = ownership::list(&app, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(owned, OwnedView::from)))
}

/// Marks objects as written from files, all or none.
#[utoipa::path(
    put, path = "/api/v1/owned-objects", tag = "ownership", operation_id = "owned_object_mark",
    request_body = NewMarks, security(("admin_token" = ["write_config"])),
    responses((status = 200, body = Marked))
)]
pub async fn mark(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    Body(body): Body<NewMarks>,
) -> Result<Json<Marked>, ApiError> {
    let wanted: Vec<Wanted> = body.items.into_iter().map(Wanted::from).collect();
    ownership::mark(&app, &admin.caller, &wanted).await?;
    Ok(Json(Marked { marked: wanted.len() }))
}

/// Removes the mark on an object, which stays as it is.
#[utoipa::path(
    delete, path = "/api/v1/owned-objects/{noun}/{name}", tag = "ownership", operation_id = "owned_object_release",
    params(
        ("noun" = String, Path, description = "`team`, `project`, `role`, `access_policy` or `user`"),
        ("name" = String, Path, description = "Its name; a user's e-mail address")
    ),
    security(("admin_token" = ["write_config"])),
    responses((status = 204, description = "Removed"))
)]
pub async fn release(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    Pair(noun, name): Pair,
) -> Result<StatusCode, ApiError> {
    ownership::release(&app, &admin.caller, &noun, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

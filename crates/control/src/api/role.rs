//! `/api/v1/roles`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{Admin, ReadConfig, WriteAdmins};
use super::error::ApiError;
use super::extract::{Body, Segment};
use crate::app::App;
use crate::role::{self, Shown};

/// A role.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoleView {
    /// Name.
    #[schema(example = "project_manager")]
    pub name: String,
    /// What it includes.
    pub permissions: Vec<String>,
    /// Whether it is there from the beginning, and cannot be changed.
    pub built_in: bool,
}

/// All roles.
#[derive(Debug, Serialize, ToSchema)]
pub struct Roles {
    /// Those that are there from the beginning, then the others by name.
    pub items: Vec<RoleView>,
}

/// What a role shall include.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolePermissions {
    /// Names of permissions; `write_admins` is the owner's alone.
    pub permissions: Vec<String>,
}

impl From<Shown> for RoleView {
    fn from(role: Shown) -> Self {
        let permissions = role::names(role.permissions);
        Self { name: role.name.to_string(), permissions, built_in: role.built_in }
    }
}

/// Lists the roles.
#[utoipa::path(
    get, path = "/api/v1/roles", tag = "role", operation_id = "role_list",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Roles))
)]
pub async fn list(_: Admin<ReadConfig>, State(app): State<App>) -> Result<Json<Roles>, ApiError> {
    Ok(Json(Roles { items: role::list(&app).await?.into_iter().map(RoleView::from).collect() }))
}

/// Writes a role, new or in place of the one of that name. Tokens of that role have the new permissions at once.
#[utoipa::path(
    put, path = "/api/v1/roles/{role}", tag = "role", operation_id = "role_put", request_body = RolePermissions,
    params(("role" = String, Path, description = "Name: 1 to 40 of a-z, 0-9 and `_`")),
    security(("admin_token" = ["write_admins"])),
    responses((status = 200, body = RoleView))
)]
pub async fn put(
    admin: Admin<WriteAdmins>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(body): Body<RolePermissions>,
) -> Result<Json<RoleView>, ApiError> {
    Ok(Json(role::put(&app, &admin.caller, &given, &body.permissions).await?.into()))
}

/// Removes a role that no token has.
#[utoipa::path(
    delete, path = "/api/v1/roles/{role}", tag = "role", operation_id = "role_remove",
    params(("role" = String, Path, description = "Name")),
    security(("admin_token" = ["write_admins"])),
    responses((status = 204, description = "It is gone"))
)]
pub async fn remove(
    admin: Admin<WriteAdmins>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<StatusCode, ApiError> {
    role::remove(&app, &admin.caller, &given).await?;
    Ok(StatusCode::NO_CONTENT)
}

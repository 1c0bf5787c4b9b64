//! `/api/v1/groups`.

use axum::Json;
use axum::extract::State;
use gatehouse_store::group::Group;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadDirectory, WriteDirectory};
use super::change::Changed;
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::group;

/// A group that a directory brought in.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupView {
    /// Identifier.
    #[schema(example = "grp_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// The directory: `scim:okta`, `ldap:headquarters`.
    pub source: String,
    /// Its name there.
    pub name: String,
    /// The directory's identifier.
    pub external_id: Option<String>,
    /// Id of the team that its members are in.
    pub team_id: Option<String>,
    /// How many members it has.
    pub members: u64,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// When it was last changed (RFC 3339).
    pub updated_at: String,
}

/// The team that a group stands for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupTeam {
    /// Name or id.
    pub team: String,
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

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        Self {
            id: group.id.to_string(),
            source: group.source.to_string(),
            name: group.display_name,
            external_id: group.external_id,
            team_id: group.team.map(|team| team.to_string()),
            members: group.members,
            created_at: group.created_at.to_string(),
            updated_at: group.updated_at.to_string(),
        }
    }
}

/// Lists the groups that directories brought in.
#[utoipa::path(
    get, path = "/api/v1/groups", tag = "group", operation_id = "group_list", params(Query),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = Items<GroupView>))
)]
pub async fn list(
    _: Admin<ReadDirectory>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<GroupView>>, ApiError> {
    Ok(Json(Items::of(group::list(&app, &page(query.after, query.limit)).await?, GroupView::from)))
}

/// Lets a group stand for a team: who is in the group, or in groups within it, is in the team. Of the team's members
/// whom directories brought in, no others stay.
#[utoipa::path(
    put, path = "/api/v1/groups/{id}/team", tag = "group", operation_id = "group_map", request_body = GroupTeam,
    params(("id" = String, Path, description = "Id")),
    security(("admin_token" = ["write_directory"])),
    responses((status = 200, body = Changed<GroupView>))
)]
pub async fn map(
    admin: Admin<WriteDirectory>,
    State(app): State<App>,
    segment: Segment,
    Body(wanted): Body<GroupTeam>,
) -> Result<Json<Changed<GroupView>>, ApiError> {
    let changed = group::map(&app, &admin.caller, segment.id("group")?, Some(&wanted.team)).await?;
    Ok(Json(Changed::of(changed, GroupView::from)))
}

/// Lets a group stand for no team. Who was in the team by it leaves the team.
#[utoipa::path(
    delete, path = "/api/v1/groups/{id}/team", tag = "group", operation_id = "group_unmap",
    params(("id" = String, Path, description = "Id")),
    security(("admin_token" = ["write_directory"])),
    responses((status = 200, body = Changed<GroupView>))
)]
pub async fn unmap(
    admin: Admin<WriteDirectory>,
    State(app): State<App>,
    segment: Segment,
) -> Result<Json<Changed<GroupView>>, ApiError> {
    let changed = group::map(&app, &admin.caller, segment.id("group")?, None).await?;
    Ok(Json(Changed::of(changed, GroupView::from)))
}

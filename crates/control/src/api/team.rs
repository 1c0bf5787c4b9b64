//! `/api/v1/teams`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::directory::Team;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadDirectory, Scoped, WriteAccess, WriteDirectory};
use super::change::Changed;
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::team;

/// A team.
#[derive(Debug, Serialize, ToSchema)]
pub struct TeamView {
    /// Identifier.
    #[schema(example = "team_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// Name, unique in whatever case.
    pub name: String,
    /// How many members it has.
    pub members: u64,
    /// Patterns of the models its members may use; empty for every model.
    pub models: Vec<String>,
    /// How sensitive the data is that it works on; null if that was not said.
    #[schema(example = "confidential")]
    pub data_class: Option<String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// The models a team's members may use.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamModels {
    /// All of them: names, or beginnings of names followed by `*`. Empty for every model.
    pub models: Vec<String>,
}

/// How sensitive the data of a team or project is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DataClass {
    /// A class of the configured order (`data_class.order`); null says nothing of it.
    #[schema(example = "confidential")]
    pub data_class: Option<String>,
}

/// A team to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    /// Name.
    pub name: String,
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

impl From<Team> for TeamView {
    fn from(team: Team) -> Self {
        Self {
            id: team.id.to_string(),
            name: team.name,
            members: team.members,
            models: team.models.patterns().unwrap_or_default().to_vec(),
            data_class: team.data_class,
            created_at: team.created_at.to_string(),
        }
    }
}

/// Lists teams by name.
#[utoipa::path(
    get, path = "/api/v1/teams", tag = "team", operation_id = "team_list", params(Query),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = Items<TeamView>))
)]
pub async fn list(
    admin: Scoped<ReadDirectory>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<TeamView>>, ApiError> {
    let teams = team::list(&app, admin.scope, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(teams, TeamView::from)))
}

/// Makes a team.
#[utoipa::path(
    post, path = "/api/v1/teams", tag = "team", operation_id = "team_add", request_body = NewTeam,
    security(("admin_token" = ["write_directory"])),
    responses((status = 201, body = TeamView))
)]
pub async fn add(
    admin: Admin<WriteDirectory>,
    State(app): State<App>,
    Body(new): Body<NewTeam>,
) -> Result<(StatusCode, Json<TeamView>), ApiError> {
    Ok((StatusCode::CREATED, Json(team::add(&app, &admin.caller, &new.name).await?.into())))
}

/// Removes a team that has neither members nor keys.
#[utoipa::path(
    delete, path = "/api/v1/teams/{team}", tag = "team", operation_id = "team_remove",
    params(("team" = String, Path, description = "Id or name")),
    security(("admin_token" = ["write_directory"])),
    responses((status = 204, description = "Removed"))
)]
pub async fn remove(
    admin: Admin<WriteDirectory>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<StatusCode, ApiError> {
    team::remove(&app, &admin.caller, &given).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets the models that a team's members may use.
#[utoipa::path(
    put, path = "/api/v1/teams/{team}/models", tag = "team", operation_id = "team_set_models",
    params(("team" = String, Path, description = "Name or id")),
    request_body = TeamModels, security(("admin_token" = ["write_access"])),
    responses((status = 200, body = Changed<TeamView>))
)]
pub async fn set_models(
    admin: Admin<WriteAccess>,
    State(app): State<App>,
    team: Segment,
    Body(body): Body<TeamModels>,
) -> Result<Json<Changed<TeamView>>, ApiError> {
    let changed = team::set_models(&app, &admin.caller, &team.0, &body.models).await?;
    Ok(Json(Changed::of(changed, TeamView::from)))
}

/// Sets how sensitive the data is that a team works on. Access policies may ask for it.
#[utoipa::path(
    put, path = "/api/v1/teams/{team}/data-class", tag = "team", operation_id = "team_set_data_class",
    params(("team" = String, Path, description = "Name or id")),
    request_body = DataClass, security(("admin_token" = ["write_access"])),
    responses((status = 200, body = Changed<TeamView>))
)]
pub async fn set_data_class(
    admin: Admin<WriteAccess>,
    State(app): State<App>,
    team: Segment,
    Body(body): Body<DataClass>,
) -> Result<Json<Changed<TeamView>>, ApiError> {
    let changed = team::set_data_class(&app, &admin.caller, &team.0, body.data_class.as_deref()).await?;
    Ok(Json(Changed::of(changed, TeamView::from)))
}

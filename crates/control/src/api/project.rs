//! `/api/v1/projects`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::directory::Project;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadDirectory, WriteAccess, WriteDirectory};
use super::change::Changed;
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use super::team::DataClass;
use crate::app::App;
use crate::project;

/// A project.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectView {
    /// Identifier.
    #[schema(example = "prj_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// Name, unique in whatever case.
    pub name: String,
    /// How sensitive its data is; null if that was not said.
    #[schema(example = "confidential")]
    pub data_class: Option<String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A project to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
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

impl From<Project> for ProjectView {
    fn from(project: Project) -> Self {
        Self {
            id: project.id.to_string(),
            name: project.name,
            data_class: project.data_class,
            created_at: project.created_at.to_string(),
        }
    }
}

/// Lists projects by name.
#[utoipa::path(
    get, path = "/api/v1/projects", tag = "project", operation_id = "project_list", params(Query),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = Items<ProjectView>))
)]
pub async fn list(
    _: Admin<ReadDirectory>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<ProjectView>>, ApiError> {
    let projects = project::list(&app, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(projects, ProjectView::from)))
}

/// Makes a project.
#[utoipa::path(
    post, path = "/api/v1/projects", tag = "project", operation_id = "project_add", request_body = NewProject,
    security(("admin_token" = ["write_directory"])),
    responses((status = 201, body = ProjectView))
)]
pub async fn add(
    admin: Admin<WriteDirectory>,
    State(app): State<App>,
    Body(new): Body<NewProject>,
) -> Result<(StatusCode, Json<ProjectView>), ApiError> {
    Ok((StatusCode::CREATED, Json(project::add(&app, &admin.caller, &new.name).await?.into())))
}

/// Sets how sensitive a project's data is. Access policies may ask for it.
#[utoipa::path(
    put, path = "/api/v1/projects/{project}/data-class", tag = "project", operation_id = "project_set_data_class",
    params(("project" = String, Path, description = "Name or id")),
    request_body = DataClass, security(("admin_token" = ["write_access"])),
    responses((status = 200, body = Changed<ProjectView>))
)]
pub async fn set_data_class(
    admin: Admin<WriteAccess>,
    State(app): State<App>,
    project: Segment,
    Body(body): Body<DataClass>,
) -> Result<Json<Changed<ProjectView>>, ApiError> {
    let changed =
        project::set_data_class(&app, &admin.caller, &project.0, body.data_class.as_deref()).await?;
    Ok(Json(Changed::of(changed, ProjectView::from)))
}

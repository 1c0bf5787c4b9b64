//! What the server says of itself.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gatehouse_identity::scim::ScimError;
use gatehouse_identity::scim::discovery;
use gatehouse_identity::scim::error::ErrorKind;
use serde_json::Value;

use super::answer::{Failure, body};
use super::auth::Directory;
use super::{Asked, Id};
use crate::act::shortened;
use crate::app::App;

/// What the server can do.
pub async fn service_provider_config(
    _: Directory,
    State(app): State<App>,
    asked: Asked,
) -> Result<Response, Failure> {
    told(&asked, &discovery::service_provider_config(&(app.house.scim_base)()))
}

/// All kinds of resource.
pub async fn resource_types(_: Directory, State(app): State<App>, asked: Asked) -> Result<Response, Failure> {
    told(&asked, &discovery::resource_types(&(app.house.scim_base)()))
}

/// One kind of resource.
pub async fn resource_type(
    _: Directory,
    State(app): State<App>,
    Id(id): Id,
    asked: Asked,
) -> Result<Response, Failure> {
    let found = discovery::find_resource_type(&id, &(app.house.scim_base)());
    told(&asked, &found.ok_or_else(|| missing("resource type", &id))?)
}

/// All schemas.
pub async fn schemas(_: Directory, State(app): State<App>, asked: Asked) -> Result<Response, Failure> {
    told(&asked, &discovery::schemas(&(app.house.scim_base)()))
}

/// One schema.
pub async fn schema(
    _: Directory,
    State(app): State<App>,
    Id(id): Id,
    asked: Asked,
) -> Result<Response, Failure> {
    let found = discovery::find_schema(&id, &(app.house.scim_base)());
    told(&asked, &found.ok_or_else(|| missing("schema", &id))?)
}

/// Filters are forbidden here (RFC 7644, section 4).
fn told(asked: &Asked, document: &Value) -> Result<Response, Failure> {
    if asked.parameter("filter").is_some() {
        return Err(ScimError::new(ErrorKind::Forbidden, "this list cannot be filtered").into());
    }
    Ok(body(StatusCode::OK, document))
}

fn missing(noun: &str, id: &str) -> Failure {
    ScimError::new(ErrorKind::NotFound, format!("there is no {noun} `{}`", shortened(id))).into()
}

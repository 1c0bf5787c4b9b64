//! `/scim/v2/Groups`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gatehouse_identity::scim::list::ListQuery;
use gatehouse_identity::scim::schema::GROUP;
use gatehouse_identity::scim::{ScimError, ScimGroup};

use super::answer::{self, Failure};
use super::auth::Directory;
use super::{Asked, Content, Id};
use crate::app::App;
use crate::scim::{Held, group};

/// Most members of a group that is sent back after a PATCH. A directory that adds one member to a larger one does not
/// want to read all the others.
const SENT_BACK: usize = 1000;

/// Lists groups.
pub async fn list(
    Directory(who): Directory,
    State(app): State<App>,
    asked: Asked,
) -> Result<Response, Failure> {
    let query = asked.list(&GROUP)?;
    Ok(answer::list(&group::list(&app, &who, &query).await?))
}

/// Lists groups, asked for in a body.
pub async fn search(
    Directory(who): Directory,
    State(app): State<App>,
    Content(body): Content,
) -> Result<Response, Failure> {
    let query = ListQuery::parse_search(&body, &GROUP).map_err(ScimError::from)?;
    Ok(answer::list(&group::list(&app, &who, &query).await?))
}

/// Makes a group.
pub async fn create(
    Directory(who): Directory,
    State(app): State<App>,
    asked: Asked,
    Content(body): Content,
) -> Result<Response, Failure> {
    let made = group::create(&app, &who, &body).await?;
    Ok(told(&app, StatusCode::CREATED, &asked, &made))
}

/// Looks a group up.
pub async fn read(
    Directory(who): Directory,
    State(app): State<App>,
    Id(id): Id,
    asked: Asked,
) -> Result<Response, Failure> {
    let found = group::get(&app, &who, &id, &asked.projection(&GROUP)).await?;
    if asked.if_none_match.as_ref().is_some_and(|tags| tags.matches(found.meta.version)) {
        return Ok(answer::unchanged(&group::document(&app, &found)));
    }
    Ok(told(&app, StatusCode::OK, &asked, &found))
}

/// Replaces a group.
pub async fn replace(
    Directory(who): Directory,
    State(app): State<App>,
    Id(id): Id,
    asked: Asked,
    Content(body): Content,
) -> Result<Response, Failure> {
    let now = group::replace(&app, &who, &id, asked.if_match.as_ref(), &body).await?;
    Ok(told(&app, StatusCode::OK, &asked, &now))
}

/// Changes a part of a group.
pub async fn patch(
    Directory(who): Directory,
    State(app): State<App>,
    Id(id): Id,
    asked: Asked,
    Content(body): Content,
) -> Result<Response, Failure> {
    let now = group::patch(&app, &who, &id, asked.if_match.as_ref(), &body).await?;
    if now.resource.members().len() > SENT_BACK && asked.parameter("attributes").is_none() {
        return Ok(answer::changed(&group::document(&app, &now)));
    }
    Ok(told(&app, StatusCode::OK, &asked, &now))
}

/// Removes a group.
pub async fn remove(
    Directory(who): Directory,
    State(app): State<App>,
    Id(id): Id,
    asked: Asked,
) -> Result<Response, Failure> {
    group::remove(&app, &who, &id, asked.if_match.as_ref()).await?;
    Ok(answer::nothing())
}

fn told(app: &App, status: StatusCode, asked: &Asked, group: &Held<ScimGroup>) -> Response {
    let whole = group::document(app, group);
    let part = asked.projection(&GROUP).apply(whole.clone(), &GROUP);
    answer::resource(status, &whole, part)
}

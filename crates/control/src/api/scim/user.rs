//! `/scim/v2/Users`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gatehouse_identity::scim::list::ListQuery;
use gatehouse_identity::scim::projection::Projection;
use gatehouse_identity::scim::schema::USER;
use gatehouse_identity::scim::{Document, ScimError, ScimUser};

use super::answer::{self, Failure};
use super::auth::Directory;
use super::{Asked, Content, Id};
use crate::app::App;
use crate::scim::{Held, user};

/// Lists users.
pub async fn list(
    Directory(who): Directory,
    State(app): State<App>,
    asked: Asked,
) -> Result<Response, Failure> {
    let query = asked.list(&USER)?;
    Ok(answer::list(&user::list(&app, &who, &query).await?))
}

/// Lists users, asked for in a body.
pub async fn search(
    Directory(who): Directory,
    State(app): State<App>,
    Content(body): Content,
) -> Result<Response, Failure> {
    let query = ListQuery::parse_search(&body, &USER).map_err(ScimError::from)?;
    Ok(answer::list(&user::list(&app, &who, &query).await?))
}

/// Makes a user.
pub async fn create(
    Directory(who): Directory,
    State(app): State<App>,
    asked: Asked,
    Content(body): Content,
) -> Result<Response, Failure> {
    let made = user::create(&app, &who, &body).await?;
    told(&app, StatusCode::CREATED, &asked, made).await
}

/// Looks a user up.
pub async fn read(
    Directory(who): Directory,
    State(app): State<App>,
    Id(id): Id,
    asked: Asked,
) -> Result<Response, Failure> {
    let found = user::get(&app, &who, &id).await?;
    if asked.if_none_match.as_ref().is_some_and(|tags| tags.matches(found.meta.version)) {
        let whole = whole(&app, found, &Projection::default()).await?;
        return Ok(answer::unchanged(&whole));
    }
    told(&app, StatusCode::OK, &asked, found).await
}

/// Replaces a user.
pub async fn replace(
    Directory(who): Directory,
    State(app): State<App>,
    Id(id): Id,
    asked: Asked,
    Content(body): Content,
) -> Result<Response, Failure> {
    let now = user::replace(&app, &who, &id, asked.if_match.as_ref(), &body).await?;
    told(&app, StatusCode::OK, &asked, now).await
}

/// Changes a part of a user.
pub async fn patch(
    Directory(who): Directory,
    State(app): State<App>,
    Id(id): Id,
    asked: Asked,
    Content(body): Content,
) -> Result<Response, Failure> {
    let now = user::patch(&app, &who, &id, asked.if_match.as_ref(), &body).await?;
    told(&app, StatusCode::OK, &asked, now).await
}

/// Lets go of a user, who is disabled.
pub async fn remove(
    Directory(who): Directory,
    State(app): State<App>,
    Id(id): Id,
    asked: Asked,
) -> Result<Response, Failure> {
    user::remove(&app, &who, &id, asked.if_match.as_ref()).await?;
    Ok(answer::nothing())
}

async fn told(
    app: &App,
    status: StatusCode,
    asked: &Asked,
    user: Held<ScimUser>,
) -> Result<Response, Failure> {
    let projection = asked.projection(&USER);
    let whole = whole(app, user, &projection).await?;
    let part = projection.apply(whole.clone(), &USER);
    Ok(answer::resource(status, &whole, part))
}

async fn whole(app: &App, user: Held<ScimUser>, projection: &Projection) -> Result<Document, Failure> {
    let documents = user::documents(app, std::slice::from_ref(&user), projection).await?;
    Ok(documents.into_iter().next().unwrap_or_default())
}

//! `/scim/v2`: what directories call (RFC 7644).
//!
//! SCIM describes itself (`/Schemas`, `/ResourceTypes`), so these routes are not in the OpenAPI document. Every answer,
//! errors included, is `application/scim+json`; every route but the fallback takes a [`Directory`], which only a
//! provisioning token makes.

pub mod answer;
pub mod auth;
pub mod discovery;
pub mod group;
pub mod user;

use axum::Router;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use gatehouse_identity::scim::ScimError;
use gatehouse_identity::scim::document::MAX_BYTES;
use gatehouse_identity::scim::error::ErrorKind;
use gatehouse_identity::scim::etag::EntityTags;
use gatehouse_identity::scim::list::ListQuery;
use gatehouse_identity::scim::projection::Projection;
use gatehouse_identity::scim::schema::ResourceType;

use self::answer::Failure;
use self::auth::Directory;
use super::extract::BODY_TIMEOUT;
use crate::act::shortened;
use crate::app::App;

/// Builds the routes below `/scim/v2`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/ServiceProviderConfig", get(discovery::service_provider_config))
        .route("/ResourceTypes", get(discovery::resource_types))
        .route("/ResourceTypes/{id}", get(discovery::resource_type))
        .route("/Schemas", get(discovery::schemas))
        .route("/Schemas/{id}", get(discovery::schema))
        .route("/Users", get(user::list).post(user::create))
        .route("/Users/.search", post(user::search))
        .route("/Users/{id}", get(user::read).put(user::replace).patch(user::patch).delete(user::remove))
        .route("/Groups", get(group::list).post(group::create))
        .route("/Groups/.search", post(group::search))
        .route("/Groups/{id}", get(group::read).put(group::replace).patch(group::patch).delete(group::remove))
        .route("/Bulk", post(no_bulk))
        .route("/.search", post(search))
        .route("/Me", get(no_me))
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_not_allowed)
}

async fn no_bulk(_: Directory) -> Failure {
    ScimError::no_bulk().into()
}

async fn search(
    Directory(who): Directory,
    State(app): State<App>,
    Content(body): Content,
) -> Result<Response, Failure> {
    Ok(answer::list(&crate::scim::search::search(&app, &who, &body).await?))
}

async fn no_me(_: Directory) -> Failure {
    ScimError::new(ErrorKind::NotImplemented, "`/Me` is not supported: a provisioning token is no user")
        .into()
}

async fn unknown_path(uri: Uri) -> Failure {
    let path = shortened(uri.path());
    ScimError::new(ErrorKind::NotFound, format!("there is no endpoint `{path}`; see `/ResourceTypes`")).into()
}

async fn method_not_allowed(method: Method, uri: Uri) -> Failure {
    let (path, method) = (shortened(uri.path()), shortened(method.as_str()));
    Failure::method_not_allowed(&format!("`{path}` does not know the method `{method}`"))
}

/// The identifier in the path.
#[derive(Debug)]
pub struct Id(pub String);

impl FromRequestParts<App> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        match Path::<String>::from_request_parts(parts, app).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(ScimError::new(ErrorKind::NotFound, "the path is not UTF-8").into()),
        }
    }
}

/// What the head of a request asks for beside its path: parameters and versions.
#[derive(Debug)]
pub struct Asked {
    query: String,
    /// The versions that a change is meant for.
    pub if_match: Option<EntityTags>,
    /// The versions that the caller has.
    pub if_none_match: Option<EntityTags>,
}

impl FromRequestParts<App> for Asked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Failure> {
        Ok(Self {
            query: parts.uri.query().unwrap_or_default().to_owned(),
            if_match: tags(parts, &IF_MATCH)?,
            if_none_match: tags(parts, &IF_NONE_MATCH)?,
        })
    }
}

fn tags(parts: &Parts, name: &HeaderName) -> Result<Option<EntityTags>, Failure> {
    let mut values = parts.headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or("?");
    if values.next().is_some() {
        let told = format!("`{name}` is given more than once");
        return Err(ScimError::new(ErrorKind::InvalidValue, told).into());
    }
    Ok(Some(EntityTags::parse(text).map_err(ScimError::from)?))
}

impl Asked {
    /// The parameters of a list.
    ///
    /// # Errors
    /// One of them is wrong.
    pub fn list(&self, kind: &'static ResourceType) -> Result<ListQuery, Failure> {
        let pairs: Vec<_> = form_urlencoded::parse(self.query.as_bytes()).collect();
        let pairs = pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        Ok(ListQuery::parse(pairs, kind).map_err(ScimError::from)?)
    }

    /// Which attributes the answer is to have.
    pub fn projection(&self, kind: &'static ResourceType) -> Projection {
        Projection::parse(
            self.parameter("attributes").as_deref(),
            self.parameter("excludedAttributes").as_deref(),
            kind,
        )
    }

    /// The last value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        let mut found = None;
        for (given, value) in &mut pairs {
            if given == name {
                found = Some(value.into_owned());
            }
        }
        found
    }
}

/// The body of a request, whole.
#[derive(Debug)]
pub struct Content(pub axum::body::Bytes);

impl axum::extract::FromRequest<App> for Content {
    type Rejection = Failure;

    async fn from_request(req: Request, _: &App) -> Result<Self, Failure> {
        let declared =
            req.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !matches!(essence.as_str(), "application/scim+json" | "application/json") {
            let told = "the body must be declared as `application/scim+json`";
            return Err(Failure::unsupported_media_type(told));
        }
        let too_large = || {
            let told = format!("the body is longer than {MAX_BYTES} bytes; send it in parts");
            Failure::from(ScimError::new(ErrorKind::TooLarge, told))
        };
        let announced = req.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|len| len > MAX_BYTES as u64) {
            return Err(too_large());
        }
        let body = axum::body::to_bytes(req.into_body(), MAX_BYTES);
        match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(bytes)) => Ok(Self(bytes)),
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error);
                let limit =
                    cause.is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>);
                if limit {
                    return Err(too_large());
                }
                Err(ScimError::new(ErrorKind::InvalidSyntax, "the body broke off").into())
            }
            Err(_) => Err(Failure::timed_out("the body did not arrive in time")),
        }
    }
}

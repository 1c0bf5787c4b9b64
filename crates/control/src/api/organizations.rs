//! `/v1/organizations`: the provider's Admin API as its tools call it, for spend limits, usage and cost.
//!
//! The provider describes it (<https://platform.claude.com/docs/en/api/admin>), so these routes are not in the OpenAPI
//! document. An administrator's token comes as `x-api-key` or as bearer. What is not known here is null, never a made-up
//! number; what cannot be answered is refused.

pub mod limit;
pub mod usage;

use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;

use super::error::{ApiError, Code, wire};
use super::guard::Arrival;
use crate::act::{ActError, shortened};
use crate::app::App;

/// Builds the routes below `/v1/organizations`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/spend_limits", get(limit::list).post(limit::set))
        .route("/spend_limits/effective", get(limit::effective))
        .route("/spend_limits/audit", get(limit::audit))
        .route("/spend_limits/{id}", get(limit::read).delete(limit::remove))
        .route("/usage_report/messages", get(usage::messages))
        .route("/usage_report/claude_code", get(usage::claude_code))
        .route("/cost_report", get(usage::cost))
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(dressed))
}

/// Takes the token from where the provider's tools put it, and gives errors the provider's shape.
async fn dressed(mut req: Request, next: Next) -> Response {
    let id = req.extensions().get::<Arrival>().map(|arrival| arrival.request_id.clone()).unwrap_or_default();
    let headers = req.headers_mut();
    let mut keys = headers.get_all("x-api-key").iter();
    if let (Some(key), None, false) = (keys.next(), keys.next(), headers.contains_key(AUTHORIZATION)) {
        let bearer = [b"Bearer ", key.as_bytes()].concat();
        if let Ok(mut value) = HeaderValue::from_bytes(&bearer) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
    let mut response = wire(next.run(req).await, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("request-id", value);
    }
    response
}

async fn unknown_path(uri: axum::http::Uri) -> ApiError {
    ApiError::new(Code::UnknownPath, format!("there is no `{}` here", shortened(uri.path())))
}

async fn method_not_allowed(method: axum::http::Method) -> ApiError {
    let told = format!("this path does not know the method `{}`", shortened(method.as_str()));
    ApiError::new(Code::MethodNotAllowed, told)
}

/// The query string as pairs, since its names repeat. `name[]` is `name`.
#[derive(Debug)]
pub struct Pairs(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Pairs {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let plain = |name: &str| name.strip_suffix("[]").unwrap_or(name).to_owned();
        let pairs = form_urlencoded::parse(query.as_bytes());
        Ok(Self(pairs.map(|(name, value)| (plain(&name), value.into_owned())).collect()))
    }
}

impl Pairs {
    /// Refuses names that are not among these.
    fn only(&self, names: &[&str]) -> Result<(), ApiError> {
        let known = |name: &str| name == "beta" || names.contains(&name);
        match self.0.iter().find(|(name, _)| !known(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let told = format!("`{}` is not known here", shortened(name));
                Err(ApiError { field: Some(shortened(name)), ..ApiError::new(Code::UnknownField, told) })
            }
        }
    }

    /// All values of a name.
    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.clone()).collect()
    }

    /// The one value of a name.
    fn one(&self, name: &'static str) -> Result<Option<String>, ActError> {
        let mut all = self.all(name);
        let first = all.pop();
        if all.is_empty() { Ok(first) } else { Err(ActError::field(name, "it is given twice")) }
    }

    /// How many are wanted.
    fn limit(&self, usual: u32, most: u32) -> Result<u32, ActError> {
        let Some(text) = self.one("limit")? else { return Ok(usual) };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| ActError::field("limit", format!("expected 1 to {most}")))
    }
}

//! What leaves `/scim/v2`: documents, lists, errors.

use std::error::Error as _;

use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use gatehouse_identity::scim::error::{ERROR_SCHEMA, ErrorKind};
use gatehouse_identity::scim::list::ListResponse;
use gatehouse_identity::scim::{Document, ScimError};
use gatehouse_store::StoreError;
use serde_json::{Value, json};

use crate::admin_token::SignInError;
use crate::scim::Refused;

const SCIM_JSON: HeaderValue = HeaderValue::from_static("application/scim+json");

/// A document as a body.
pub fn body(status: StatusCode, document: &Value) -> Response {
    let mut response = (status, document.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, SCIM_JSON);
    response
}

/// A list.
pub fn list(list: &ListResponse) -> Response {
    body(StatusCode::OK, &list.document())
}

/// A resource: its document with its version and, when it is new, its address. `whole` tells both; `part` is sent.
pub fn resource(status: StatusCode, whole: &Document, part: Document) -> Response {
    let mut response = body(status, &Value::Object(part));
    dress(&mut response, whole);
    response
}

/// That a resource was changed, without its document.
pub fn changed(whole: &Document) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    dress(&mut response, whole);
    response
}

/// That the caller has the resource as it is.
pub fn unchanged(whole: &Document) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    dress(&mut response, whole);
    response
}

/// That there is nothing to say.
pub fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn dress(response: &mut Response, whole: &Document) {
    let meta =
        |name: &str| whole.get("meta")?.get(name)?.as_str().and_then(|text| HeaderValue::from_str(text).ok());
    if let Some(version) = meta("version") {
        response.headers_mut().insert(ETAG, version);
    }
    if let Some(location) = meta("location") {
        response.headers_mut().insert(LOCATION, location);
    }
}

/// An error on its way to the directory.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    document: Value,
    retry_after: Option<u32>,
}

impl Failure {
    /// The path does not know the method.
    pub fn method_not_allowed(told: &str) -> Self {
        Self::plain(StatusCode::METHOD_NOT_ALLOWED, told)
    }

    /// The body is not declared as JSON.
    pub fn unsupported_media_type(told: &str) -> Self {
        Self::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, told)
    }

    /// The body took too long.
    pub fn timed_out(told: &str) -> Self {
        Self::plain(StatusCode::REQUEST_TIMEOUT, told)
    }

    /// An error that RFC 7644 has no word for.
    fn plain(status: StatusCode, told: &str) -> Self {
        let document = json!({
            "schemas": [ERROR_SCHEMA], "detail": told, "status": status.as_u16().to_string(),
        });
        Self { status, document, retry_after: None }
    }
}

impl From<ScimError> for Failure {
    fn from(error: ScimError) -> Self {
        let status = StatusCode::from_u16(error.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, document: error.document(), retry_after: None }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::error!(%error, cause, "a directory's request failed");
        if matches!(error, StoreError::Unavailable(_)) {
            let told = "the database does not answer now; try again in a few seconds";
            return Self { retry_after: Some(2), ..Self::plain(StatusCode::SERVICE_UNAVAILABLE, told) };
        }
        ScimError::new(
            ErrorKind::Internal,
            "the request failed by a fault of the server; its log has the cause",
        )
        .into()
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Told(error) => error.into(),
            Refused::Store(error) => error.into(),
        }
    }
}

impl From<SignInError> for Failure {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::NotAccepted { wait_seconds: None } => ScimError::new(
                ErrorKind::Unauthorized,
                "this needs a provisioning token that is valid (`Authorization: Bearer ghscim_…`)",
            )
            .into(),
            SignInError::NotAccepted { wait_seconds: Some(seconds) } => {
                let told =
                    format!("too many failed sign-ins from this address; try again in {seconds} seconds");
                Self { retry_after: Some(seconds), ..Self::plain(StatusCode::TOO_MANY_REQUESTS, &told) }
            }
            SignInError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = body(self.status, &self.document);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

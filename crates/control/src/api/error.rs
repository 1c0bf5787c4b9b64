//! The one table from what went wrong to what the caller is told: status, stable code, sentence, request id.
//!
//! Every error leaves as `{"error":{"code","message","request_id","field"?}}`. The cause chain of a failure of ours
//! goes to the log under the same request id and never to the caller.

use std::error::Error;

use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use gatehouse_store::StoreError;
use gatehouse_store::audit::CheckpointError;
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use crate::act::{ActError, shortened};

/// What went wrong, in the caller's terms. The codes are part of the API and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The head is not one this listener answers (Host missing, doubled or malformed).
    BadRequest,
    /// The body is not JSON.
    MalformedJson,
    /// A field of the body, the path or the query has a value that cannot be used.
    InvalidField,
    /// A field that must be there is not.
    MissingField,
    /// A field that is not known.
    UnknownField,
    /// No credential, or one that is not (or no longer) valid.
    Unauthenticated,
    /// The credential's role does not include what was asked.
    Forbidden,
    /// A browser sent the request on behalf of another site.
    CrossOrigin,
    /// What the request names does not exist.
    NotFound,
    /// No such path.
    UnknownPath,
    /// The path does not know this method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The request contradicts what is there (a name that is taken, a team with members).
    Conflict,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// The new configuration has mistakes; the old one stays.
    ConfigRefused,
    /// The answers of an assessment have mistakes.
    AnswersRefused,
    /// Too many failed sign-ins from this address.
    TooManyFailures,
    /// The audit log in the database is not what it was, and no checkpoint of it is known.
    AuditAltered,
    /// Too many connections, in all or from this address.
    TooManyConnections,
    /// A fault of ours.
    Internal,
    /// The database or the ledger does not answer now.
    Unavailable,
    /// The directory cannot be read now.
    DirectoryUnavailable,
}

impl Code {
    /// Status and stable code.
    pub const fn told(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::MalformedJson => (StatusCode::BAD_REQUEST, "malformed_json"),
            Self::InvalidField => (StatusCode::BAD_REQUEST, "invalid_field"),
            Self::MissingField => (StatusCode::BAD_REQUEST, "missing_field"),
            Self::UnknownField => (StatusCode::BAD_REQUEST, "unknown_field"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::CrossOrigin => (StatusCode::FORBIDDEN, "cross_origin"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::UnknownPath => (StatusCode::NOT_FOUND, "unknown_path"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::ConfigRefused => (StatusCode::UNPROCESSABLE_ENTITY, "config_refused"),
            Self::AnswersRefused => (StatusCode::UNPROCESSABLE_ENTITY, "answers_refused"),
            Self::TooManyFailures => (StatusCode::TOO_MANY_REQUESTS, "too_many_failures"),
            Self::AuditAltered => (StatusCode::CONFLICT, "audit_altered"),
            Self::TooManyConnections => (StatusCode::TOO_MANY_REQUESTS, "too_many_connections"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::DirectoryUnavailable => (StatusCode::BAD_GATEWAY, "directory_unavailable"),
        }
    }
}

/// An error on its way out. As a response it has no body yet: the guard around all routes knows the request's id and
/// writes it ([`render`]).
#[derive(Debug)]
pub struct ApiError {
    /// What went wrong.
    pub code: Code,
    /// The sentence for the caller.
    pub message: String,
    /// Which field of the request it is about.
    pub field: Option<String>,
    /// After how many seconds to try again.
    pub retry_after: Option<u32>,
    /// What lies behind it; for the log only.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// An error with its sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, retry_after: None, cause: None }
    }

    /// A value that cannot be used.
    #[expect(clippy::needless_pass_by_value, reason = "calls read better without `&`")]
    pub fn invalid(field: &str, message: impl ToString) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(Code::InvalidField, message.to_string()) }
    }

    /// Something that does not exist.
    pub fn not_found(noun: &str, given: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {noun} `{}`", shortened(given)))
    }

    /// A fault of ours; the caller learns only that there was one.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let told = "the request failed by a fault of the server; its log has the cause under this request id";
        Self { cause: Some(cause.into()), ..Self::new(Code::Internal, told) }
    }

    /// Something we need does not answer now.
    pub fn unavailable(what: &str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let told = format!("{what} does not answer now; try again in a few seconds");
        Self { cause: Some(cause.into()), retry_after: Some(2), ..Self::new(Code::Unavailable, told) }
    }
}

impl From<StoreError> for ApiError {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::NotFound { noun, given } => Self::not_found(noun, &given),
            StoreError::Conflict { noun, given } => {
                Self::new(Code::Conflict, format!("there is a {noun} `{}` already", shortened(&given)))
            }
            StoreError::Refused { noun, given, why } => {
                Self::new(Code::Conflict, format!("the {noun} `{}` {why}", shortened(&given)))
            }
            StoreError::Invalid { field, ref why } => Self::invalid(field, format!("`{field}` {why}")),
            StoreError::Unavailable(_) => Self::unavailable("the database", e),
            StoreError::Unexpected(_) | StoreError::Corrupt { .. } => Self::internal(e),
        }
    }
}

impl From<ActError> for ApiError {
    fn from(e: ActError) -> Self {
        match e {
            ActError::Store(e) | ActError::Checkpoint(CheckpointError::Store(e)) => e.into(),
            ActError::Field { field, message } => Self::invalid(field, message),
            ActError::NotFound { noun, given } => Self::not_found(noun, &given),
            ActError::Ledger(e) => Self::unavailable("the ledger", e),
            ActError::Checkpoint(e @ CheckpointError::Altered { .. }) => {
                Self::new(Code::AuditAltered, e.to_string())
            }
            ActError::Checkpoint(e @ CheckpointError::Keep(_)) => Self::internal(e),
            ActError::Seal(e) => Self::internal(e),
            ActError::Busy(told) => Self::new(Code::Conflict, told),
            ActError::Directory(told) => Self::new(Code::DirectoryUnavailable, told),
            ActError::Stopped(stopped) => Self::new(Code::Conflict, stopped.to_string()),
            ActError::ConfigRefused(refused) => Self::new(Code::ConfigRefused, refused.to_string()),
        }
    }
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// Stable code for programs.
    #[schema(example = "not_found")]
    pub code: &'static str,
    /// Sentence for people. Its wording may change.
    pub message: String,
    /// Names this request in the server's log.
    pub request_id: String,
    /// The field of the request it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.code.told().0.into_response();
        response.extensions_mut().insert(Pending(std::sync::Arc::new(self)));
        response
    }
}

#[derive(Clone)]
struct Pending(std::sync::Arc<ApiError>);

/// Writes the body of an error that a handler left in its response, and logs a failure of ours.
pub fn render(mut response: Response, request_id: &str) -> Response {
    let Some(Pending(told)) = response.extensions_mut().remove::<Pending>() else { return response };
    let (status, code) = told.code.told();
    if status.is_server_error() {
        let cause = told.cause.as_deref().map(chain).unwrap_or_default();
        error!(request.id = request_id, code, cause, "a management request failed");
    }
    let body = ErrorBody {
        error: ErrorDetail {
            code,
            message: told.message.clone(),
            request_id: request_id.to_owned(),
            field: told.field.clone(),
        },
    };
    let mut out = (status, axum::Json(body)).into_response();
    // A 405 comes with the methods the path does know, which the router had put in.
    if let Some(allow) = response.headers_mut().remove(ALLOW) {
        out.headers_mut().insert(ALLOW, allow);
    }
    if let Some(seconds) = told.retry_after {
        out.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if told.code == Code::Unauthenticated {
        out.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    out
}

/// As [`render`], in the shape of the provider's own API, for the paths that its tools call.
pub fn wire(mut response: Response, request_id: &str) -> Response {
    let Some(Pending(told)) = response.extensions_mut().remove::<Pending>() else { return response };
    let (status, code) = told.code.told();
    if status.is_server_error() {
        let cause = told.cause.as_deref().map(chain).unwrap_or_default();
        error!(request.id = request_id, code, cause, "a management request failed");
    }
    let kind = match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        other if other >= 500 => "api_error",
        _ => "invalid_request_error",
    };
    let body = serde_json::json!({
        "type": "error",
        "error": {"type": kind, "message": told.message},
        "request_id": request_id,
    });
    let mut out = (status, axum::Json(body)).into_response();
    if let Some(seconds) = told.retry_after {
        out.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    out
}

fn chain(cause: &(dyn Error + Send + Sync + 'static)) -> String {
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

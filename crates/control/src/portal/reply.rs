//! The portal's answers: the one table of its refusals, and how they look.
//!
//! How the client reacts decides the choices: any other error than these of RFC 8628 ends a sign-in, and a refresh is
//! given up for `invalid_grant` alone.

use axum::body::Bytes;
use axum::http::{HeaderValue, Response, StatusCode, header};
use gatehouse_store::StoreError;
use serde_json::{Value, json};

/// Why a request of a program is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// No such path here.
    NotFound,
    /// The path takes these methods only.
    Method(&'static str),
    /// The request is not as it must be.
    Invalid(&'static str),
    /// This kind of grant is not served.
    UnsupportedGrant,
    /// Nobody has decided.
    Pending,
    /// Nobody has decided, and the client asks too often.
    SlowDown,
    /// Too many sign-ins, in all or from this address; after so many seconds there may be room.
    TooMany(u32),
    /// Denied.
    Denied,
    /// Run out, collected, or never known.
    Expired,
    /// The refresh token is not good, or its session is over.
    InvalidGrant,
    /// The token of a job is not exchanged, for whatever reason: the log tells.
    NotExchanged,
    /// A token for something else than this gateway is asked for.
    Target,
    /// Something we need does not answer now.
    Unavailable,
}

impl Refused {
    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::NotFound => (404, "not_found", "There is nothing here."),
            Self::Method(_) => (405, "invalid_request", "This path takes another method."),
            Self::Invalid(why) => (400, "invalid_request", why),
            Self::UnsupportedGrant => {
                (400, "unsupported_grant_type", "This kind of grant is not served here.")
            }
            Self::Pending => (400, "authorization_pending", "Nobody has approved the sign-in yet."),
            Self::SlowDown => (400, "slow_down", "Ask less often."),
            Self::TooMany(_) => {
                (429, "slow_down", "There are too many sign-ins at the moment. Try again in a few minutes.")
            }
            Self::Denied => (400, "access_denied", "The sign-in was denied."),
            Self::Expired => (400, "expired_token", "The sign-in has run out. Begin it again."),
            Self::InvalidGrant => (401, "invalid_grant", "The session is over. Sign in again."),
            Self::NotExchanged => {
                (400, "invalid_grant", "This token is not exchanged here. The gateway's log says why.")
            }
            Self::Target => (400, "invalid_target", "Tokens are given out for this gateway only."),
            Self::Unavailable => {
                (503, "temporarily_unavailable", "The gateway cannot decide this now. Try again shortly.")
            }
        }
    }

    /// The answer, in the shape of RFC 6749 section 5.2.
    pub(super) fn response(self) -> Response<Bytes> {
        let (status, error, description) = self.row();
        let mut response = json(&json!({"error": error, "error_description": description}));
        *response.status_mut() = StatusCode::from_u16(status).expect("the table has statuses only");
        let headers = response.headers_mut();
        match self {
            Self::Method(methods) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(methods));
            }
            Self::TooMany(seconds) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            Self::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(2));
            }
            Self::NotFound
            | Self::Invalid(_)
            | Self::UnsupportedGrant
            | Self::Pending
            | Self::SlowDown
            | Self::Denied
            | Self::Expired
            | Self::InvalidGrant
            | Self::NotExchanged
            | Self::Target => {}
        }
        response
    }
}

/// A failure of the database is ours: told in the log, and to the client only that it may try again.
impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        note(&error);
        Self::Unavailable
    }
}

/// Logs a failure of ours, with what lies behind it.
pub(super) fn note(error: &StoreError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, cause, "a sign-in request failed");
}

/// An answer in JSON that nobody keeps.
pub(super) fn json(value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(value.to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer without a body.
pub(super) fn empty(status: Empty) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = match status {
        Empty::Done => StatusCode::OK,
        Empty::NotModified => StatusCode::NOT_MODIFIED,
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What an answer without a body says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Empty {
    Done,
    NotModified,
}

/// What a page for people says with its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// All is well.
    Fine,
    /// Who is in front of it did something wrong, or may not.
    Refused,
    /// Too often.
    TooMany,
    /// We, or somebody we need, cannot now.
    Unavailable,
}

impl Tone {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Fine => StatusCode::OK,
            Self::Refused => StatusCode::FORBIDDEN,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Sends a browser elsewhere, to ask with `GET`.
pub(super) fn see_other(location: &str) -> Option<Response<Bytes>> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(location).ok()?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Some(response)
}

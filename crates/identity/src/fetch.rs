//! The one way to the network: a request goes out, an answer comes back.
//!
//! Protocols here build requests and read answers; the server brings the connection.

use std::fmt;
use std::future::Future;

use url::Url;

use crate::secret::Secret;

/// Sends one request to an identity provider.
///
/// An implementation must check the address it connects to (no private address unless the operator lists it), verify
/// the certificate, follow no redirect, read at most [`HttpRequest::max_bytes`] of the answer's body, and give up in time
/// (10 s). Addresses come from configuration and from the documents of configured issuers.
pub trait Fetch: Send + Sync {
    /// Sends the request.
    fn fetch(&self, request: HttpRequest) -> impl Future<Output = Result<HttpResponse, FetchError>> + Send;
}

/// A request to send.
#[derive(Clone)]
pub struct HttpRequest {
    /// Where to. `https`, or `http` to a loopback address where that was allowed.
    pub url: Url,
    /// The value of `Authorization`, if any.
    pub authorization: Option<Secret>,
    /// The body of a `POST` with `application/x-www-form-urlencoded`; without one it is a `GET`.
    pub form: Option<Secret>,
    /// How much of the answer's body may be read.
    pub max_bytes: usize,
}

impl HttpRequest {
    /// A `GET`. The answer asked for (`Accept`) is always `application/json`.
    pub const fn get(url: Url, max_bytes: usize) -> Self {
        Self { url, authorization: None, form: None, max_bytes }
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.form.is_some() { "POST" } else { "GET" };
        write!(f, "{method} {}", self.url)
    }
}

/// An answer.
#[derive(Clone)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// The body. May hold tokens, so there is no `Debug`.
    pub body: Secret,
}

impl HttpResponse {
    /// The body of a 200.
    ///
    /// # Errors
    /// For any other status.
    pub(crate) fn successful(self) -> Result<Vec<u8>, FetchError> {
        if self.status == 200 {
            Ok(self.body.expose().to_vec())
        } else {
            Err(FetchError::Status(self.status))
        }
    }
}

/// Why there is no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No connection, or none that can be trusted; the text completes "the identity provider cannot be reached: ".
    #[error("the identity provider cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("the identity provider did not answer in time")]
    TimedOut,
    /// The answer is longer than allowed.
    #[error("the identity provider's answer is longer than {0} bytes")]
    TooLong(usize),
    /// The answer has another status than 200.
    #[error("the identity provider answered with status {0}")]
    Status(u16),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_shows_no_secret() {
        let secret = || Some(Secret::new(b"canary".to_vec()));
        let url = Url::parse("https://idp.example.com/token").unwrap();
        let request = HttpRequest { authorization: secret(), form: secret(), ..HttpRequest::get(url, 10) };
        assert_eq!(format!("{request:?}"), "POST https://idp.example.com/token");
    }
}

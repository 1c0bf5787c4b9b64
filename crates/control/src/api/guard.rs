//! What every request passes before it reaches a handler, and every response on its way out.
//!
//! Nothing here gives authority: `Host`, `Origin` and forwarding headers can only get a request refused.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::{ApiError, Code, render};
use crate::app::App;

/// Where a request came from and by which name it is known. The guard puts it in, handlers take it out.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The request's name in the log, the audit entry and the answer.
    pub request_id: String,
    /// The client's address.
    pub from: Option<IpAddr>,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Names the request, checks its head, runs it, and dresses the response.
pub async fn guard(State(app): State<App>, mut req: Request, next: Next) -> Response {
    let request_id = format!("req_{:032x}", app.random_bits());
    let from = req.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let response = match check(&req) {
        Ok(()) => {
            req.extensions_mut().insert(Arrival { request_id: request_id.clone(), from });
            next.run(req).await
        }
        Err(refused) => refused.into_response(),
    };
    dressed(render(response, &request_id), &request_id)
}

fn check(req: &Request) -> Result<(), ApiError> {
    let host = host_of(req.headers()).ok_or_else(|| {
        ApiError::new(
            Code::BadRequest,
            "the request needs exactly one `Host` header, naming a host and maybe a port",
        )
    })?;
    if req.uri().authority().is_some() {
        return Err(ApiError::new(
            Code::BadRequest,
            "this listener is no proxy: ask for a path, not an address",
        ));
    }
    if changes_state(req.method()) && !same_origin(req.headers(), host) {
        return Err(ApiError::new(
            Code::CrossOrigin,
            "a page of another origin may not change anything here",
        ));
    }
    Ok(())
}

/// The one `Host` header, if it has the form of a host with an optional port.
fn host_of(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let host = value.to_str().ok()?;
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            (name, port.strip_prefix(':').or_else(|| port.is_empty().then_some("0"))?)
        }
        None => host.split_once(':').unwrap_or((host, "0")),
    };
    let v6 = host.starts_with('[');
    let name_ok = if v6 {
        name.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        (1..=253).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    let port_ok = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (name_ok && port_ok).then_some(host)
}

fn changes_state(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// Whether a browser could have sent this on behalf of another site. Programs send neither header. Behind a proxy that
/// ends TLS the scheme cannot be known here, so the origin's host and port decide.
fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    let site_ok = headers.get_all(FETCH_SITE).iter().all(|site| site == "same-origin" || site == "none");
    let origin_ok = headers.get_all(ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        rest.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    });
    site_ok && origin_ok
}

fn dressed(mut response: Response, request_id: &str) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (REFERRER_POLICY, "no-referrer"),
        (RESOURCE_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn head(method: &str, headers: &[(&str, &str)]) -> Request {
        let mut req = Request::builder().method(method).uri("/api/v1/users");
        for (name, value) in headers {
            req = req.header(*name, *value);
        }
        req.body(Body::empty()).unwrap()
    }

    #[test]
    fn sane_hosts_pass() {
        for host in ["localhost", "127.0.0.1:8081", "gate.example.com:65535", "[::1]", "[::1]:8081", "a_b"] {
            assert!(check(&head("GET", &[("host", host)])).is_ok(), "{host}");
        }
    }

    #[test]
    fn hostile_hosts_are_refused() {
        for host in [
            "", " ", "a b", "a/b", "a:b", "a:70000", "a:+1", "a:1:2", "[::1", "[x]", "[::1]x", "a@b",
            "\u{e9}", "a,b",
        ] {
            assert_eq!(check(&head("GET", &[("host", host)])).unwrap_err().code, Code::BadRequest, "{host}");
        }
        assert!(check(&head("GET", &[])).is_err());
        assert!(check(&head("GET", &[("host", "a"), ("host", "a")])).is_err());
        let absolute =
            Request::builder().uri("http://evil.example/api").header("host", "a").body(Body::empty());
        assert!(check(&absolute.unwrap()).is_err());
    }

    #[test]
    fn other_origins_may_look_but_not_touch() {
        for (headers, passes) in [
            (&[("host", "a:1")][..], true),
            (&[("host", "a:1"), ("origin", "http://a:1")], true),
            (&[("host", "a:1"), ("origin", "https://A:1"), ("sec-fetch-site", "same-origin")], true),
            (&[("host", "a:1"), ("origin", "http://a:2")], false),
            (&[("host", "a:1"), ("origin", "null")], false),
            (&[("host", "a:1"), ("origin", "")], false),
            (&[("host", "a:1"), ("origin", "http://a:1.evil.example")], false),
            (&[("host", "a:1"), ("origin", "http://a:1"), ("origin", "http://b")], false),
            (&[("host", "a:1"), ("sec-fetch-site", "same-site")], false),
            (&[("host", "a:1"), ("sec-fetch-site", "cross-site")], false),
        ] {
            assert_eq!(check(&head("POST", headers)).is_ok(), passes, "POST {headers:?}");
            assert_eq!(check(&head("DELETE", headers)).is_ok(), passes, "DELETE {headers:?}");
            assert!(check(&head("GET", headers)).is_ok(), "GET {headers:?}");
        }
    }
}

//! Health and warm-up probes.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use hyper::body::Incoming;

use crate::connection::Connection;
use crate::worker::Worker;

/// Answers what is no exchange: health and warm-up probes, which need no credential and leave no record.
pub(crate) fn probe(
    worker: &Worker,
    connection: &Connection,
    request: &Request<Incoming>,
) -> Option<Response<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/healthz" | "/readyz" | "/api/hello")
        || !matches!(*request.method(), Method::GET | Method::HEAD)
        || connection.is_framed_twice()
        || !has_one_host(request.headers(), request.version())
    {
        return None;
    }
    let ready = worker.shared.ready.load(Ordering::Relaxed);
    let (status, text) = match path {
        "/readyz" if !ready => (http::StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        "/readyz" => (http::StatusCode::OK, "ready\n"),
        _ => (http::StatusCode::OK, "ok\n"),
    };
    let body = if request.method() == Method::HEAD { "" } else { text };
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Some(response)
}

/// Whether a head names its host once, as HTTP/1.1 demands (RFC 9112, section 3.2).
pub(crate) fn has_one_host(headers: &HeaderMap, version: Version) -> bool {
    let hosts = headers.get_all(header::HOST).iter().count();
    hosts == 1 || (hosts == 0 && version != Version::HTTP_11)
}

//! What the portal says of itself.

use axum::body::Bytes;
use axum::http::Response;
use serde_json::{Value, json};

use super::reply;
use super::settings::PublicUrl;

/// The version of the gateway protocol that is spoken.
const PROTOCOL: u8 = 1;

/// Authorization server metadata (RFC 8414).
pub(super) fn document(url: &PublicUrl) -> Response<Bytes> {
    reply::json(&metadata(url))
}

fn metadata(url: &PublicUrl) -> Value {
    json!({
        "issuer": url.as_str(),
        "device_authorization_endpoint": url.at("/oauth/device_authorization"),
        "token_endpoint": url.at("/oauth/token"),
        "revocation_endpoint": url.at("/oauth/revoke"),
        "grant_types_supported": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "gateway_protocol_version": PROTOCOL,
    })
}

/// A short description for people who wonder what this is.
pub(super) fn protocol(url: Option<&PublicUrl>) -> Response<Bytes> {
    reply::json(&json!({
        "server": "gatehouse",
        "gateway_protocol_version": PROTOCOL,
        "sign_in": url.map(metadata),
        "model_requests": ["POST /v1/messages", "POST /v1/messages/count_tokens", "GET /v1/models"],
        "settings": "GET /managed/settings",
        "usage": "GET /api/oauth/usage",
        "desktop": "GET /user/bootstrap",
        "telemetry": ["POST /v1/metrics", "POST /v1/logs", "POST /v1/traces"],
    }))
}

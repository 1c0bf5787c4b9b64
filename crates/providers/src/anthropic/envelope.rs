//! Errors in Anthropic's envelope.

use bytes::Bytes;
use serde::Serialize;

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'static str,
    error: Inner<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Inner<'a> {
    r#type: &'a str,
    message: &'a str,
}

/// An error as the API words it: `{"type":"error","error":{"type","message"},"request_id"}`.
pub fn error_body(error_type: &str, message: &str, request_id: &str) -> Bytes {
    let envelope = Envelope { r#type: "error", error: Inner { r#type: error_type, message }, request_id };
    serde_json::to_vec(&envelope).expect("three texts can always be written as JSON").into()
}

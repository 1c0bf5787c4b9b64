//! Failures as the clouds tell them, of those of the Messages API.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Form;

/// A failure in a cloud's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its status: the clouds have no 529.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
    /// Amazon's name for it, which goes into `x-amzn-errortype`.
    pub error_type: Option<&'static str>,
}

/// Tells a failure, given in the API's envelope, in the form that a client asked in; none where that is the API's own.
pub fn failure(form: Form, status: u16, body: &[u8]) -> Option<Told> {
    let given: Value = serde_json::from_slice(body).unwrap_or_default();
    let kind = given["error"]["type"].as_str().unwrap_or("api_error");
    let message = given["error"]["message"].as_str().unwrap_or("The model provider reported an error.");
    let status = if status == 529 { 503 } else { status };
    match form {
        Form::Messages => None,
        Form::Bedrock => Some(Told {
            status,
            body: json!({"message": message}).to_string().into(),
            error_type: Some(exception(kind)),
        }),
        // Google's form; what the API has beside it stays, since Vertex AI answers in both and clients go by either.
        Form::Vertex => {
            let error =
                json!({"code": status, "message": message, "status": canonical(status), "type": kind});
            let mut whole = json!({"type": "error", "error": error});
            if let Some(id) = given.get("request_id") {
                whole["request_id"] = id.clone();
            }
            Some(Told { status, body: whole.to_string().into(), error_type: None })
        }
    }
}

/// A count of tokens as `CountTokens` answers, of the one of the Messages API.
pub fn bedrock_count(body: &[u8]) -> Option<Bytes> {
    let given: Value = serde_json::from_slice(body).ok()?;
    Some(format!("{{\"inputTokens\":{}}}", given["input_tokens"].as_u64()?).into())
}

/// What Amazon calls a kind of error. Source: the reference of `InvokeModel`, "Errors".
pub(super) fn exception(kind: &str) -> &'static str {
    match kind {
        "invalid_request_error" | "request_too_large" | "not_supported" => "ValidationException",
        "authentication_error" => "UnrecognizedClientException",
        "permission_error" => "AccessDeniedException",
        "not_found_error" => "ResourceNotFoundException",
        "rate_limit_error" => "ThrottlingException",
        "billing_error" => "ServiceQuotaExceededException",
        "overloaded_error" => "ServiceUnavailableException",
        "timeout_error" => "ModelTimeoutException",
        _ => "InternalServerException",
    }
}

/// What Google calls a status. Source: `google.rpc.Code`.
const fn canonical(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 | 403 | 451 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        408 | 504 => "DEADLINE_EXCEEDED",
        400..=499 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anthropic::error_body;
    use crate::fault::Fault;

    /// What we tell in a cloud's form is read by us, as a provider's, as what it was.
    #[test]
    fn failures_come_back_as_they_were() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (504, "timeout_error"),
            (529, "overloaded_error"),
        ] {
            let body = error_body(kind, "what was wrong", "req_1");
            assert_eq!(failure(Form::Messages, status, &body), None);
            for form in [Form::Bedrock, Form::Vertex] {
                let told = failure(form, status, &body).unwrap();
                let fault = Fault::of_reply(told.status, told.error_type, &told.body);
                let back = (fault.status, &*fault.kind, fault.message.as_str());
                assert_eq!(back, (status, kind, "what was wrong"), "{form:?}");
            }
        }
    }

    #[test]
    fn what_is_no_envelope_is_still_told() {
        let told = failure(Form::Bedrock, 502, b"<html>").unwrap();
        assert_eq!((told.status, told.error_type), (502, Some("InternalServerException")));
        let told = failure(Form::Vertex, 413, b"").unwrap();
        let body: Value = serde_json::from_slice(&told.body).unwrap();
        assert_eq!(body["error"]["status"], "INVALID_ARGUMENT");
    }

    #[test]
    fn counts_are_told_in_amazons_words() {
        assert_eq!(bedrock_count(br#"{"input_tokens":42}"#).unwrap(), &br#"{"inputTokens":42}"#[..]);
        assert_eq!(bedrock_count(b"{}"), None);
    }
}

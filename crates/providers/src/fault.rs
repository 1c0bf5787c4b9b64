//! What a cloud says when something went wrong, as the Messages API would say it.
//!
//! The client goes by `error.type` and by some sentences, so both are kept where they are the API's own; where they are the
//! cloud's, the table below has what they mean. Account numbers, resource names and service accounts are left out.

use std::borrow::Cow;

use serde_json::Value;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The status for the client.
    pub status: u16,
    /// The error's type in the API's words.
    pub kind: Cow<'static, str>,
    /// The sentence for the client.
    pub message: String,
}

/// The provider's word for an error (lower case, without `Exception` or `Error` at its end), its type, and its status.
const NAMES: &[(&str, &str, u16)] = &[
    // Amazon.
    ("accessdenied", "permission_error", 403),
    ("expiredtoken", "authentication_error", 401),
    ("incompletesignature", "authentication_error", 401),
    ("internalfailure", "api_error", 500),
    ("internalserver", "api_error", 500),
    ("invalidclienttokenid", "authentication_error", 401),
    ("invalidsignature", "authentication_error", 401),
    ("missingauthenticationtoken", "authentication_error", 401),
    ("model", "api_error", 500),
    ("modelnotready", "overloaded_error", 529),
    ("modelstream", "api_error", 500),
    ("modeltimeout", "timeout_error", 504),
    ("resourcenotfound", "not_found_error", 404),
    ("servicequotaexceeded", "rate_limit_error", 429),
    ("serviceunavailable", "overloaded_error", 529),
    ("signaturedoesnotmatch", "authentication_error", 401),
    ("throttling", "rate_limit_error", 429),
    ("toomanyrequests", "rate_limit_error", 429),
    ("unrecognizedclient", "authentication_error", 401),
    ("validation", "invalid_request_error", 400),
    // Google.
    ("deadline_exceeded", "timeout_error", 504),
    ("failed_precondition", "invalid_request_error", 400),
    ("internal", "api_error", 500),
    ("invalid_argument", "invalid_request_error", 400),
    ("not_found", "not_found_error", 404),
    ("permission_denied", "permission_error", 403),
    ("resource_exhausted", "rate_limit_error", 429),
    ("unauthenticated", "authentication_error", 401),
    ("unavailable", "overloaded_error", 529),
    // Microsoft.
    ("deploymentnotfound", "not_found_error", 404),
];

/// The types of the Messages API, by status.
const STATUSES: &[(u16, &str)] = &[
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (408, "timeout_error"),
    (413, "request_too_large"),
    (422, "invalid_request_error"),
    (429, "rate_limit_error"),
    (503, "overloaded_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
];

/// Longest sentence that is handed on, in characters.
const MAX_MESSAGE: usize = 4000;
/// What the client looks for when a prompt is larger than the model's window.
const TOO_LONG: &str = "Input is too long.";

impl Fault {
    /// What a reply that is no success says.
    ///
    /// `name` is the error's name where a header tells it (`x-amzn-errortype`).
    pub fn of_reply(status: u16, name: Option<&str>, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        // Google wraps what fails before a stream begins into a list.
        let body = body.get(0).unwrap_or(&body);
        let error = &body["error"];
        let message = text(&error["message"]).or(text(&body["message"])).or(text(&body["Message"]));
        if body["type"] == "error"
            && let Some(kind) = text(&error["type"]).filter(|kind| is_kind(kind))
        {
            return Self::new(status_for(status), Cow::Owned(kind.to_owned()), message.unwrap_or_default());
        }
        let name = name.or(text(&error["status"])).or(text(&error["code"])).or(text(&body["__type"]));
        let known = name
            .and_then(named)
            .or_else(|| STATUSES.iter().find(|(of, _)| *of == status).map(|(_, kind)| (*kind, status)));
        let (kind, status) = known.unwrap_or(("api_error", status));
        Self::new(status_for(status), Cow::Borrowed(kind), message.unwrap_or_default())
    }

    /// An exception within a stream: its name, and its payload, which has a `message`.
    pub fn named(name: &str, payload: &[u8]) -> Self {
        let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
        let message = text(&payload["message"]).or(text(&payload["Message"])).unwrap_or_default();
        Self::told(name, message)
    }

    /// An error by its name and its sentence.
    pub fn told(name: &str, message: &str) -> Self {
        let (kind, status) = named(name).unwrap_or(("api_error", 500));
        Self::new(status, Cow::Borrowed(kind), message)
    }

    fn new(status: u16, kind: Cow<'static, str>, message: &str) -> Self {
        let is_size = matches!(status, 400 | 413)
            && (message.starts_with("Input is too long") || message.contains("exceeds the maximum size"));
        let message = match message {
            _ if is_size => TOO_LONG.to_owned(),
            "" => "The model provider reported an error without saying which.".to_owned(),
            said => discreet(&said.chars().take(MAX_MESSAGE).collect::<String>()),
        };
        Self { status, kind, message }
    }
}

/// Type and status of an error by the provider's name for it. Amazon writes `ValidationException:http://…` and
/// `com.amazon.coral…#ValidationException` as well.
fn named(name: &str) -> Option<(&'static str, u16)> {
    let name = name.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default().to_ascii_lowercase();
    let name = name.strip_suffix("exception").unwrap_or(&name);
    let name = name.strip_suffix("error").filter(|rest| !rest.is_empty()).unwrap_or(name);
    NAMES.iter().find(|(known, ..)| *known == name).map(|(_, kind, status)| (*kind, *status))
}

/// Statuses that the client would retry for long, or not know, become ones of the API.
const fn status_for(status: u16) -> u16 {
    match status {
        409 | 422 => 400,
        408 => 504,
        503 => 529,
        400..=599 => status,
        _ => 502,
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn is_kind(kind: &str) -> bool {
    kind.len() <= 64 && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// The sentence without what tells of the organization's accounts: resource names (ARNs), account numbers of twelve digits,
/// Google's projects, service accounts.
fn discreet(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = &rest[..rest
            .find(ends_word)
            .filter(|end| *end > 0)
            .unwrap_or_else(|| if ends_word(first) { first.len_utf8() } else { rest.len() })];
        rest = &rest[word.len()..];
        out.push_str(&discreet_word(word));
    }
    out
}

fn ends_word(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '\'' | '`' | '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' | '<' | '>' | '=' | '|'
        )
}

fn discreet_word(word: &str) -> Cow<'_, str> {
    if word.starts_with("arn:") {
        let tail = if word.ends_with('.') { "." } else { "" };
        return Cow::Owned(format!("arn:***{tail}"));
    }
    if word.contains(".gserviceaccount.com") {
        return Cow::Borrowed("***");
    }
    if let Some(at) = word.find("projects/") {
        let (before, after) = word.split_at(at + "projects/".len());
        let end = after.find(['/', ':', '?', '.']).unwrap_or(after.len());
        return Cow::Owned(format!("{before}***{}", &after[end..]));
    }
    let is_account = |digits: &str| digits.len() == 12;
    if !word.split(|c: char| !c.is_ascii_digit()).any(is_account) {
        return Cow::Borrowed(word);
    }
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        out.push_str(if is_account(&rest[..digits]) { "***" } else { &rest[..digits] });
        rest = &rest[digits..];
        let other = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        out.push_str(&rest[..other]);
        rest = &rest[other..];
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, name: Option<&str>, body: &str) -> (u16, String, String) {
        let fault = Fault::of_reply(status, name, body.as_bytes());
        (fault.status, fault.kind.into_owned(), fault.message)
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases is read as one")]
    fn names_of_the_clouds_become_those_of_the_api() {
        for (status, name, body, expected) in [
            (
                400,
                Some("ValidationException:http://internal/coral"),
                r#"{"message":"messages: at least one"}"#,
                (400, "invalid_request_error", "messages: at least one"),
            ),
            (
                400,
                Some("ValidationException"),
                r#"{"message":"Input is too long for requested model."}"#,
                (400, "invalid_request_error", "Input is too long."),
            ),
            (
                429,
                Some("ThrottlingException"),
                r#"{"message":"Too many tokens, please wait"}"#,
                (429, "rate_limit_error", "Too many tokens, please wait"),
            ),
            (
                403,
                Some("UnrecognizedClientException"),
                r#"{"message":"bad token"}"#,
                (401, "authentication_error", "bad token"),
            ),
            (
                403,
                Some("AccessDeniedException"),
                r#"{"Message":"User: arn:aws:sts::123456789012:assumed-role/r/s is not authorized to perform: bedrock:InvokeModel"}"#,
                (403, "permission_error", "User: arn:*** is not authorized to perform: bedrock:InvokeModel"),
            ),
            (424, Some("ModelErrorException"), r#"{"message":"x"}"#, (500, "api_error", "x")),
            (408, Some("ModelTimeoutException"), r#"{"message":"x"}"#, (504, "timeout_error", "x")),
            (
                503,
                Some("ServiceUnavailableException"),
                "{}",
                (529, "overloaded_error", "The model provider reported an error without saying which."),
            ),
            (
                400,
                None,
                r#"{"__type":"com.amazon.coral.service#SerializationException","message":"x"}"#,
                (400, "invalid_request_error", "x"),
            ),
            (
                429,
                None,
                r#"{"error":{"code":429,"message":"Quota exceeded for projects/acme-1/locations/us","status":"RESOURCE_EXHAUSTED"}}"#,
                (429, "rate_limit_error", "Quota exceeded for projects/***/locations/us"),
            ),
            (
                404,
                None,
                r#"[{"error":{"code":404,"message":"Publisher model was not found","status":"NOT_FOUND"}}]"#,
                (404, "not_found_error", "Publisher model was not found"),
            ),
            (
                400,
                None,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"},"request_id":"req_vrtx_1"}"#,
                (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
            ),
            (
                404,
                None,
                r#"{"error":{"code":"DeploymentNotFound","message":"none"}}"#,
                (404, "not_found_error", "none"),
            ),
            (
                413,
                None,
                "<html>",
                (413, "request_too_large", "The model provider reported an error without saying which."),
            ),
            (302, None, "", (502, "api_error", "The model provider reported an error without saying which.")),
        ] {
            let (status, kind, message) = reply(status, name, body);
            assert_eq!((status, kind.as_str(), message.as_str()), expected, "{body}");
        }
    }

    #[test]
    fn what_tells_of_accounts_is_left_out() {
        for (said, told) in [
            ("arn:aws:iam::123456789012:role/x.", "arn:***."),
            ("account 123456789012, region us-east-1", "account ***, region us-east-1"),
            ("a1234567890123b", "a1234567890123b"),
            ("id-123456789012-x 1234567890123", "id-***-x 1234567890123"),
            ("robot@acme.iam.gserviceaccount.com lacks 'x'", "*** lacks 'x'"),
            ("//aiplatform.googleapis.com/projects/acme:z", "//aiplatform.googleapis.com/projects/***:z"),
            ("\"resource\":\"arn:aws:bedrock:us::123456789012:x\"", "\"resource\":\"arn:***\""),
            ("ünïcode  – 210000 tokens > 200000", "ünïcode  – 210000 tokens > 200000"),
        ] {
            assert_eq!(discreet(said), told);
        }
    }
}

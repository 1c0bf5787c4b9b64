//! The one table of refusals: status, error type, `x-should-retry`, `retry-after` and sentence for each reason.
//!
//! How the real client reacts decides the choices: a 401 without `x-should-retry: false` is retried for minutes, a 400
//! is repeated with less and less in it, 529 is tried three times, `retry-after` above 60 ends the attempt. Nowhere
//! else in this crate is a status code named.

use crate::admit::{Beyond, Spent};
use bytes::Bytes;
use gatehouse_providers::anthropic::error_body;
use gatehouse_providers::json::{Place, RequestError};
use http::{HeaderValue, Response, StatusCode, header};

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The head is not HTTP as RFC 9112 has it, or smuggles.
    MalformedHead,
    /// The head is larger than the limit.
    HeadTooLarge,
    /// `Host` is missing or given twice.
    BadHost,
    /// It names another host than the one that its tunnel is for.
    Misdirected,
    /// No credential was sent.
    NoCredential,
    /// The credential is not accepted; deliberately not said why.
    BadCredential(&'static str),
    /// It is signed with keys of Amazon's, which only Amazon can check.
    Signed,
    /// The access token, or the session it names, is over; deliberately not said why.
    SignedOut(&'static str),
    /// The client certificate of the connection is not of the person whose credential it is.
    Certificate,
    /// The key may not use this model.
    ModelNotAllowed(String),
    /// The organization's rules do not let this through.
    NotPermitted {
        /// The model asked for.
        model: String,
        /// Which rule, in words.
        by: String,
    },
    /// Something is in it that must not leave the organization.
    DataFound {
        /// What, as a sentence has it.
        what: &'static str,
        /// The detector that found it.
        detector: &'static str,
        /// Where.
        place: Place,
        /// How many findings there are besides.
        more: u32,
    },
    /// A budget has no room for it.
    Budget(Box<Spent>),
    /// A limit on a rate has no room for it now.
    Limited(Box<Beyond>),
    /// The provider's quota is used up, and there is no turn in time; there may be one in so many seconds.
    Crowded(u16),
    /// Whether a budget has room cannot be found out.
    BudgetUnknown,
    /// We have no such path.
    UnknownPath,
    /// The path exists, the method does not.
    BadMethod(&'static str),
    /// No model of this name.
    UnknownModel(String),
    /// The body is larger than the limit.
    BodyTooLarge(u64),
    /// The body is compressed.
    EncodedBody,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The client broke off while sending the body.
    BodyCut,
    /// The body is not the JSON that the path takes.
    BadBody(RequestError),
    /// `model` is missing.
    ModelMissing,
    /// As much as may be is under way already.
    Overloaded(&'static str),
    /// The ledger cannot take new exchanges.
    LedgerFull,
    /// As much telemetry as may be is under way already.
    Telemetry,
    /// No provider is configured.
    NoProvider,
    /// No provider serves this model.
    ModelNotServed(String),
    /// The provider does not count tokens.
    NotCounted,
    /// The provider does not take this field or tool.
    Unsupported(String),
    /// There is no credential for the provider at the moment.
    NoProviderCredential,
    /// All providers for the request fail or are at their limits; one may be asked again in so many seconds.
    Unavailable(u16),
    /// The model is out of use.
    ModelRetired(String),
    /// The provider could not be reached.
    Unreachable,
    /// No parent proxy leads to the provider.
    NoWayOut,
    /// What answers at this host has no certificate for it that holds.
    Untrusted(String),
    /// The provider did not answer in time.
    UpstreamTimeout,
    /// The provider's answer is not HTTP, or it hung up without one.
    UpstreamBroken,
    /// The provider's address answers in a way that no Messages API does, a redirect for one.
    UpstreamOdd,
    /// What answers beside model requests has failed, or did not in time.
    PortalFailed,
    /// The key, the session or its holder was revoked while the request was under way.
    Revoked,
    /// This node is stopping.
    Stopping,
}

/// One row of the table.
struct Row {
    code: &'static str,
    status: StatusCode,
    kind: &'static str,
    should_retry: Option<bool>,
    retry_after: Option<u16>,
}

const fn row(code: &'static str, status: u16, kind: &'static str) -> Row {
    let Ok(status) = StatusCode::from_u16(status) else { unreachable!() };
    Row { code, status, kind, should_retry: Some(false), retry_after: None }
}

const fn later(code: &'static str, status: u16, kind: &'static str, seconds: u16) -> Row {
    let mut row = row(code, status, kind);
    row.should_retry = None;
    row.retry_after = Some(seconds);
    row
}

const BUDGET_UNKNOWN: &str = "Whether your budget has room cannot be found out at the moment. Try again in a few minutes, or ask your administrator.";
const LEDGER_FULL: &str =
    "Gatehouse cannot record new requests at the moment, so it takes none. Administrators have been told.";
const UPSTREAM_ODD: &str = "What answers at the model provider's address is no model provider. Ask your administrator to check the provider's base_url.";
const INVALID: &str = "invalid_request_error";

impl Refusal {
    fn row(&self) -> Row {
        match self {
            Self::MalformedHead => row("malformed_request", 400, INVALID),
            Self::HeadTooLarge => row("head_too_large", 431, INVALID),
            Self::BadHost => row("bad_host", 400, INVALID),
            Self::Misdirected => row("misdirected", 421, INVALID),
            Self::NoCredential => row("no_credential", 401, "authentication_error"),
            Self::Signed => row("signed_request", 403, "permission_error"),
            Self::BadCredential(why) | Self::SignedOut(why) => row(why, 401, "authentication_error"),
            Self::Certificate => row("certificate_of_another", 403, "permission_error"),
            // The client prints a 451 as it is; before the sentence of a 403 it puts "failed to authenticate".
            Self::ModelNotAllowed(_) => row("model_not_allowed", 451, "permission_error"),
            Self::NotPermitted { .. } => row("not_permitted", 451, "permission_error"),
            Self::DataFound { .. } => row("data_found", 451, "permission_error"),
            // Its own headers say when to come back; see `Spent::tell`.
            Self::Budget(_) => row("budget", 429, "billing_error"),
            // Its own headers say when to come back; see `Beyond::tell`.
            Self::Limited(_) => Row { should_retry: None, ..row("rate_limited", 429, "rate_limit_error") },
            Self::Crowded(seconds) => later("provider_quota", 429, "rate_limit_error", *seconds),
            Self::BudgetUnknown => row("budget_unknown", 429, "billing_error"),
            Self::UnknownPath => row("unknown_path", 404, "not_found_error"),
            Self::BadMethod(_) => row("bad_method", 405, INVALID),
            Self::UnknownModel(_) => row("unknown_model", 404, "not_found_error"),
            Self::BodyTooLarge(_) => row("body_too_large", 413, "request_too_large"),
            Self::EncodedBody => row("encoded_body", 415, INVALID),
            Self::BodyTooSlow => row("body_too_slow", 408, "timeout_error"),
            Self::BodyCut => row("body_cut", 400, INVALID),
            Self::BadBody(_) => row("bad_body", 400, INVALID),
            Self::ModelMissing => row("model_missing", 400, INVALID),
            Self::Overloaded(_) => later("overloaded", 529, "overloaded_error", 2),
            Self::LedgerFull => later("ledger_full", 529, "overloaded_error", 5),
            // A status that its protocol lets be sent again.
            Self::Telemetry => later("telemetry_full", 503, "api_error", 5),
            Self::NoProvider => row("no_provider", 503, "api_error"),
            Self::ModelNotServed(_) => row("model_not_served", 404, "not_found_error"),
            // The client counts by itself then.
            Self::NotCounted => row("count_not_supported", 501, "not_supported"),
            // The client goes by the status and the field's name.
            Self::Unsupported(_) => row("unsupported", 400, INVALID),
            Self::NoProviderCredential => later("no_provider_credential", 503, "api_error", 5),
            // Not 529: of that the client makes only three attempts.
            Self::Unavailable(seconds) => later("providers_unavailable", 503, "api_error", *seconds),
            Self::ModelRetired(_) => row("model_retired", 451, "not_found_error"),
            Self::Unreachable => later("upstream_unreachable", 502, "api_error", 2),
            Self::NoWayOut => later("no_way_out", 502, "api_error", 2),
            Self::Untrusted(_) => row("upstream_untrusted", 502, "api_error"),
            Self::UpstreamTimeout => later("upstream_timeout", 504, "timeout_error", 2),
            Self::UpstreamBroken => later("upstream_broken", 502, "api_error", 1),
            Self::UpstreamOdd => row("upstream_odd", 502, "api_error"),
            Self::PortalFailed => later("portal_failed", 503, "api_error", 2),
            Self::Revoked => row("revoked", 401, "authentication_error"),
            Self::Stopping => later("stopping", 529, "overloaded_error", 1),
        }
    }

    /// The stable code of this reason, for records and metrics.
    pub(crate) fn code(&self) -> &'static str {
        self.row().code
    }

    /// The status the client sees.
    pub(crate) fn status(&self) -> StatusCode {
        self.row().status
    }

    /// The sentence a person reads. Says what was wrong and what to do; never anything internal.
    #[expect(clippy::too_many_lines, reason = "one table of sentences, a line each")]
    fn sentence(&self) -> String {
        match self {
            Self::MalformedHead => "The request's head is not valid HTTP/1.1.".into(),
            Self::HeadTooLarge => "The request's headers are too large for this gateway.".into(),
            Self::BadHost => "The request must carry exactly one Host header.".into(),
            Self::Misdirected => {
                "The request names another host than the one that its tunnel was opened for.".into()
            }
            Self::NoCredential => {
                "No credential was sent. Set ANTHROPIC_AUTH_TOKEN to your Gatehouse key (it begins \
                with gh_)."
                    .into()
            }
            Self::BadCredential(_) => {
                "Gatehouse does not accept this key: it is mistyped, expired, disabled or revoked. \
                Ask your administrator for a new one."
                    .into()
            }
            Self::Signed => "This request is signed with AWS credentials, which Gatehouse cannot check. Set \
                AWS_BEARER_TOKEN_BEDROCK to your Gatehouse key (it begins with gh_)."
                .into(),
            Self::SignedOut(_) => {
                "Your sign-in at this gateway is over or was ended. Sign in again with /login.".into()
            }
            Self::Certificate => {
                "Your client certificate is not of the person whose key or sign-in this is. Use your \
                own certificate, or sign in as its person."
                    .into()
            }
            Self::ModelNotAllowed(model) => format!(
                "Your key may not use the model `{model}`. Choose another model, or ask your administrator to allow it."
            ),
            Self::NotPermitted { model, by } => format!(
                "Your organization does not let you use the model `{model}` here ({by}). Choose another model, or ask \
                 your administrator."
            ),
            Self::DataFound { what, detector, place, more } => {
                let more = match more {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                format!(
                    "Your organization does not let this be sent to a model: {what} ({detector}) in {place}{more}. Take it out \
                     of the conversation, by going back to before it or beginning anew, and try again."
                )
            }
            Self::Budget(spent) => spent.sentence(),
            Self::Limited(beyond) => beyond.sentence(),
            Self::Crowded(seconds) => format!(
                "The model provider's quota is used up now, and others wait for it as well. Try again in {seconds} s."
            ),
            Self::BudgetUnknown => BUDGET_UNKNOWN.into(),
            Self::UnknownPath => "Gatehouse does not serve this path.".into(),
            Self::BadMethod(allowed) => format!("This path takes {allowed}."),
            Self::UnknownModel(model) => format!("There is no model `{model}` here."),
            Self::BodyTooLarge(limit) => {
                format!("The request's body is larger than {} MiB.", limit.div_ceil(1024 * 1024))
            }
            Self::EncodedBody => "Compressed request bodies are not accepted; send the body as it is.".into(),
            Self::BodyTooSlow => "The request's body did not arrive in time.".into(),
            Self::BodyCut => "The request's body ended before its announced length.".into(),
            Self::BadBody(why) => format!("The request's body cannot be used: {why}."),
            Self::ModelMissing => "model: Field required.".into(),
            Self::Overloaded(what) => format!("Gatehouse is at its limit of {what}. Try again shortly."),
            Self::LedgerFull => LEDGER_FULL.into(),
            Self::Telemetry => {
                "Gatehouse takes no more telemetry at the moment. Send it again shortly.".into()
            }
            Self::NoProvider => {
                "No model provider is configured on this gateway. Ask your administrator.".into()
            }
            Self::ModelNotServed(model) => format!("No model provider here serves the model `{model}`."),
            Self::NotCounted => "The model provider does not count tokens.".into(),
            Self::Unsupported(what) => format!("{what}: the model provider does not support it."),
            Self::NoProviderCredential => {
                "Gatehouse has no valid credential for the model provider now. Ask your administrator.".into()
            }
            Self::Unavailable(seconds) => format!(
                "All model providers for this request fail or are at their limits now. Try again in {seconds} seconds."
            ),
            Self::ModelRetired(notice) => {
                format!("This model is out of use: {notice}. Choose another model.")
            }
            Self::Unreachable => "The model provider could not be reached. Try again shortly.".into(),
            Self::NoWayOut => {
                "The proxy through which this gateway goes out does not lead to the model provider now. \
                Ask your administrator, who sees the reason in `gatehouse doctor`."
                    .into()
            }
            Self::Untrusted(host) => format!(
                "What answers at {host} has no valid certificate for that name, so nothing was sent to it. Tell your \
                 administrator."
            ),
            Self::UpstreamTimeout => "The model provider did not answer in time. Try again shortly.".into(),
            Self::UpstreamBroken => "The model provider's answer broke off. Try again.".into(),
            Self::UpstreamOdd => UPSTREAM_ODD.into(),
            Self::PortalFailed => "Gatehouse could not answer this in time. Try again shortly.".into(),
            Self::Revoked => "Your access was revoked while this request was under way.".into(),
            Self::Stopping => "This gateway is restarting. Try again.".into(),
        }
    }

    /// The error in Anthropic's envelope.
    pub(crate) fn body(&self, request_id: &str) -> Bytes {
        error_body(self.row().kind, &self.sentence(), request_id)
    }

    /// The whole answer, but for its body's type.
    pub(crate) fn response(&self, request_id: &str) -> Response<Bytes> {
        let row = self.row();
        let mut response = Response::new(self.body(request_id));
        *response.status_mut() = row.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert("request-id", id);
        }
        if let Some(retry) = row.should_retry {
            headers.insert("x-should-retry", HeaderValue::from_static(if retry { "true" } else { "false" }));
        }
        if let Some(seconds) = row.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if *self == Self::MalformedHead {
            // Where this head ends and the next begins is not certain.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Self::Budget(spent) = self {
            spent.tell(headers);
        }
        if let Self::Limited(beyond) = self {
            beyond.tell(headers);
        }
        if *self == Self::BudgetUnknown {
            crate::admit::tell_unknown(headers);
        }
        if let Self::BadMethod(allowed) = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }

    /// The error as a stream's last event, for a reply that has begun.
    pub(crate) fn event(&self, request_id: &str) -> Bytes {
        let body = self.body(request_id);
        let mut event = Vec::with_capacity(body.len() + 24);
        event.extend_from_slice(b"event: error\ndata: ");
        event.extend_from_slice(&body);
        event.extend_from_slice(b"\n\n");
        event.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Refusal> {
        vec![
            Refusal::MalformedHead,
            Refusal::HeadTooLarge,
            Refusal::BadHost,
            Refusal::Misdirected,
            Refusal::Untrusted("api.anthropic.com".into()),
            Refusal::NoCredential,
            Refusal::BadCredential("key_unknown"),
            Refusal::Signed,
            Refusal::SignedOut("session_over"),
            Refusal::ModelNotAllowed("m".into()),
            Refusal::NotPermitted { model: "m".into(), by: "the access policy `x`".into() },
            Refusal::DataFound {
                what: "a signed token (JWT)",
                detector: "jwt",
                place: Place::System,
                more: 1,
            },
            Refusal::Budget(Box::new(crate::admit::tests::spent())),
            Refusal::Limited(Box::new(crate::admit::tests::beyond())),
            Refusal::Crowded(7),
            Refusal::BudgetUnknown,
            Refusal::UnknownPath,
            Refusal::BadMethod("POST"),
            Refusal::UnknownModel("m".into()),
            Refusal::BodyTooLarge(32 << 20),
            Refusal::EncodedBody,
            Refusal::BodyTooSlow,
            Refusal::BodyCut,
            Refusal::BadBody(RequestError::NotAnObject),
            Refusal::ModelMissing,
            Refusal::Overloaded("requests under way"),
            Refusal::LedgerFull,
            Refusal::Telemetry,
            Refusal::NoProvider,
            Refusal::ModelNotServed("m".into()),
            Refusal::NotCounted,
            Refusal::Unsupported("safeguards".into()),
            Refusal::NoProviderCredential,
            Refusal::Unavailable(3),
            Refusal::ModelRetired("the model m retires on 2026-11-30".into()),
            Refusal::Unreachable,
            Refusal::NoWayOut,
            Refusal::UpstreamTimeout,
            Refusal::UpstreamBroken,
            Refusal::UpstreamOdd,
            Refusal::PortalFailed,
            Refusal::Revoked,
            Refusal::Stopping,
        ]
    }

    #[test]
    fn no_refusal_makes_the_client_storm() {
        for refusal in all() {
            let response = refusal.response("req_1");
            let (status, retry) = (response.status().as_u16(), response.headers().get("x-should-retry"));
            assert!(![302, 409, 422].contains(&status), "{refusal:?}: the client retries {status} for long");
            if status < 500 && response.headers().get(header::RETRY_AFTER).is_none() {
                assert_eq!(retry.map(HeaderValue::as_bytes), Some(&b"false"[..]), "{refusal:?}");
            }
        }
    }

    #[test]
    fn every_refusal_is_an_envelope_with_a_sentence_and_an_id() {
        for refusal in all() {
            let response = refusal.response("req_1");
            assert_eq!(response.headers()["request-id"], "req_1");
            let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!((body["type"].as_str(), body["request_id"].as_str()), (Some("error"), Some("req_1")));
            let sentence = body["error"]["message"].as_str().unwrap();
            assert!(sentence.ends_with('.') && sentence.len() > 15, "{refusal:?}: {sentence}");
            // The client replaces this very text by one of its own.
            assert!(!sentence.contains("invalid x-api-key"), "{sentence}");
        }
    }

    #[test]
    fn codes_are_told_apart() {
        let mut codes: Vec<&str> = all().iter().map(Refusal::code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all().len());
    }

    #[test]
    fn what_a_client_sends_cannot_break_the_envelope() {
        let hostile = "\"}\u{0}\n\u{2028}</script>".to_owned();
        let event = Refusal::ModelNotAllowed(hostile.clone()).event("req_1");
        let text = std::str::from_utf8(&event).unwrap();
        let data = text.strip_prefix("event: error\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
        assert!(!data.contains('\n'), "the event is broken in two");
        let body: serde_json::Value = serde_json::from_str(data).unwrap();
        assert!(body["error"]["message"].as_str().unwrap().contains(&hostile));
    }
}

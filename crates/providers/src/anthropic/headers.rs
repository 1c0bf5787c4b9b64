//! Which headers go on, in either direction.

use http::header::{CONNECTION, HeaderName, InvalidHeaderValue};
use http::{HeaderMap, HeaderValue};

/// How a credential is sent to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// `x-api-key: KEY`.
    ApiKey,
    /// `authorization: Bearer KEY`.
    Bearer,
}

/// A credential that cannot be a header's value.
#[derive(Debug, thiserror::Error)]
#[error("the credential has characters that cannot be sent in a header")]
pub struct BadCredential(#[from] InvalidHeaderValue);

/// The header that carries a credential, its value marked as sensitive.
///
/// # Errors
/// If the credential has line breaks or other characters that no header may hold.
pub fn credential_header(
    kind: CredentialKind,
    key: &str,
) -> Result<(HeaderName, HeaderValue), BadCredential> {
    let (name, mut value) = match kind {
        CredentialKind::ApiKey => (HeaderName::from_static("x-api-key"), HeaderValue::from_str(key)?),
        CredentialKind::Bearer => {
            (http::header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}"))?)
        }
    };
    value.set_sensitive(true);
    Ok((name, value))
}

/// Request headers that go on beside `anthropic-*` and `x-stainless-*`.
const UPWARD: &[&str] = &[
    "accept",
    "content-type",
    "user-agent",
    "x-app",
    "x-claude-code-agent-id",
    "x-claude-code-parent-agent-id",
    "x-claude-code-session-id",
];

/// The headers of a request that go to the provider, values untouched and in their order. Everything else stays here:
/// credentials, cookies, hop-by-hop headers and whatever `Connection` names (RFC 9110, section 7.6.1), addresses.
pub fn request_headers(given: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(given.len() + 4);
    for (name, value) in given {
        let text = name.as_str();
        let wanted = text.starts_with("anthropic-")
            || text.starts_with("x-stainless-")
            || UPWARD.binary_search(&text).is_ok();
        if wanted && !is_named_by_connection(given, text) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// Reply headers that do not go on: hop-by-hop, and what speaks of the provider's front rather than of the reply.
const NOT_DOWNWARD: &[&str] = &[
    "alt-svc",
    "connection",
    "date",
    "keep-alive",
    "nel",
    "proxy-authenticate",
    "proxy-connection",
    "report-to",
    "server",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// The headers of a reply that go to the client, values untouched and in their order.
pub fn reply_headers(given: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(given.len() + 4);
    for (name, value) in given {
        let text = name.as_str();
        let dropped = NOT_DOWNWARD.binary_search(&text).is_ok() || text.starts_with("cf-");
        if !dropped && !is_named_by_connection(given, text) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

fn is_named_by_connection(headers: &HeaderMap, name: &str) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|list| list.split(',').any(|token| token.trim().eq_ignore_ascii_case(name)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted() {
        assert!(UPWARD.is_sorted() && NOT_DOWNWARD.is_sorted());
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn credentials_and_hops_stay_and_meaning_goes_on() {
        let given = headers(&[
            ("authorization", "Bearer x"),
            ("x-api-key", "x"),
            ("cookie", "x"),
            ("anthropic-beta", "a"),
            ("anthropic-beta", "b"),
            ("anthropic-x", "1"),
            ("connection", "close, Anthropic-X"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-claude-code-managed-settings-checksum", "sha256:00"),
            ("x-stainless-lang", "js"),
            ("content-type", "application/json"),
        ]);
        let kept = request_headers(&given);
        let betas: Vec<_> = kept.get_all("anthropic-beta").iter().collect();
        assert_eq!(betas, ["a", "b"]);
        let names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["anthropic-beta", "x-stainless-lang", "content-type"]);
    }

    #[test]
    fn replies_keep_limits_and_lose_cookies() {
        let given = headers(&[
            ("set-cookie", "x"),
            ("cf-ray", "x"),
            ("transfer-encoding", "chunked"),
            ("request-id", "req_1"),
            ("anthropic-ratelimit-requests-remaining", "9"),
            ("retry-after", "1"),
        ]);
        let names: Vec<_> = reply_headers(&given).keys().map(|n| n.as_str().to_owned()).collect();
        assert_eq!(names, ["request-id", "anthropic-ratelimit-requests-remaining", "retry-after"]);
    }

    #[test]
    fn a_credential_with_a_line_break_is_refused() {
        assert!(credential_header(CredentialKind::ApiKey, "a\r\nx: y").is_err());
        let (name, value) = credential_header(CredentialKind::Bearer, "k").unwrap();
        assert_eq!(
            (name.as_str(), value.as_bytes(), value.is_sensitive()),
            ("authorization", &b"Bearer k"[..], true)
        );
    }
}

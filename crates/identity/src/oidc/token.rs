//! The issuer's token endpoint: codes and refresh tokens go in, tokens come out (RFC 6749, Core section 3.1.3).

use base64ct::{Base64, Encoding as _};
use form_urlencoded::byte_serialize;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use crate::fetch::{FetchError, HttpRequest, HttpResponse};
use crate::jwt::shown;
use crate::secret::Secret;

use super::source::{ClientAuth, Source};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 128 * 1024;

/// What the token endpoint gave.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: Option<Zeroizing<String>>,
    pub(super) access_token: Option<Zeroizing<String>>,
    pub(super) refresh_token: Option<Zeroizing<String>>,
    token_type: Option<String>,
}

/// Why the token endpoint gave no tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The code or the refresh token is not good any more, or the person must sign in again. Final.
    #[error("the identity provider ended the sign-in: `{error}` ({description})")]
    Ended {
        /// The error's code.
        error: String,
        /// What the issuer says about it.
        description: String,
    },
    /// The issuer refuses us rather than the person; the configuration is wrong.
    #[error(
        "the identity provider refuses this client: `{error}` ({description}); check the client's id, secret and redirect address"
    )]
    Client {
        /// The error's code.
        error: String,
        /// What the issuer says about it.
        description: String,
    },
    /// It cannot be reached, or is out of order. Trying again may help.
    #[error(transparent)]
    Unavailable(#[from] FetchError),
    /// The answer cannot be read.
    #[error("the identity provider's answer holds no tokens that can be read")]
    Malformed,
}

impl TokenError {
    /// Whether the issuer has said that this sign-in is over. Anything else must not end anybody's session.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Ended { .. } => true,
            Self::Client { .. } | Self::Unavailable(_) | Self::Malformed => false,
        }
    }
}

/// The request that exchanges a code.
pub(super) fn exchange(source: &Source, endpoint: &Url, code: &str, verifier: &str) -> HttpRequest {
    let grant = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &source.redirect_uri),
        ("code_verifier", verifier),
    ];
    request(source, endpoint, &grant)
}

/// The request that exchanges a refresh token.
pub(super) fn refresh(source: &Source, endpoint: &Url, token: &str) -> HttpRequest {
    request(source, endpoint, &[("grant_type", "refresh_token"), ("refresh_token", token)])
}

fn request(source: &Source, endpoint: &Url, grant: &[(&str, &str)]) -> HttpRequest {
    let encoded = |bytes: &[u8]| byte_serialize(bytes).collect::<String>();
    let mut form: Vec<(&str, Zeroizing<String>)> =
        grant.iter().map(|(name, value)| (*name, Zeroizing::new(encoded(value.as_bytes())))).collect();
    let mut authorization = None;
    let id = encoded(source.client_id.as_bytes());
    match &source.client_auth {
        ClientAuth::None => form.push(("client_id", Zeroizing::new(id))),
        ClientAuth::Post(secret) => {
            form.push(("client_id", Zeroizing::new(id)));
            form.push(("client_secret", Zeroizing::new(encoded(secret.expose()))));
        }
        // Both are form-encoded before they are joined (RFC 6749 section 2.3.1).
        ClientAuth::Basic(secret) => {
            let pair = Zeroizing::new(format!("{id}:{}", encoded(secret.expose())));
            let value = format!("Basic {}", Base64::encode_string(pair.as_bytes()));
            authorization = Some(Secret::new(value.into_bytes()));
        }
    }
    // Of its full size from the start: a text that grows leaves copies of what it held.
    let len = form.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut body = Vec::with_capacity(len);
    for (name, value) in &form {
        if !body.is_empty() {
            body.push(b'&');
        }
        body.extend_from_slice(name.as_bytes());
        body.push(b'=');
        body.extend_from_slice(value.as_bytes());
    }
    HttpRequest { url: endpoint.clone(), authorization, form: Some(Secret::new(body)), max_bytes: MAX_ANSWER }
}

/// Reads the token endpoint's answer.
pub(super) fn read(answer: &HttpResponse) -> Result<Tokens, TokenError> {
    let body = answer.body.expose();
    if body.len() > MAX_ANSWER {
        return Err(FetchError::TooLong(MAX_ANSWER).into());
    }
    if answer.status == 200 {
        let tokens: Tokens = serde_json::from_slice(body).map_err(|_| TokenError::Malformed)?;
        let bearer = tokens.token_type.as_ref().is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
        return if bearer { Ok(tokens) } else { Err(TokenError::Malformed) };
    }
    Err(refusal(answer.status, body))
}

fn refusal(status: u16, body: &[u8]) -> TokenError {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let unavailable = TokenError::Unavailable(FetchError::Status(status));
    if !(400..500).contains(&status) || status == 408 || status == 429 {
        return unavailable;
    }
    let Ok(Refusal { error, error_description }) = serde_json::from_slice(body) else { return unavailable };
    let (code, description) = (shown(&error), shown(&error_description));
    match error.as_str() {
        // Entra and others answer the latter three when a policy wants the person back.
        "invalid_grant" | "interaction_required" | "login_required" | "consent_required" => {
            TokenError::Ended { error: code, description }
        }
        "temporarily_unavailable" | "server_error" | "slow_down" => unavailable,
        _ => TokenError::Client { error: code, description },
    }
}

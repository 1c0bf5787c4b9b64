//! The request that sends a browser to the issuer, and what is kept until it returns.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use gatehouse_domain::name::Email;
use gatehouse_domain::time::UnixMillis;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;
use zeroize::Zeroizing;

use super::discovery::{DiscoveryError, Metadata};
use super::source::{Source, SourceId};

/// Random bytes that one sign-in needs: 32 each for `state`, `nonce`, the PKCE verifier and the browser's cookie.
pub const RANDOM_LEN: usize = 128;

/// How long a person may take at the issuer, in milliseconds.
const PATIENCE: i64 = 600_000;

/// A sign-in that has been begun.
pub struct Started {
    /// Where to send the browser.
    pub location: Url,
    /// The value of the cookie to give the browser (`HttpOnly`, `SameSite=Lax`, `__Host-` and `Secure` on https).
    pub browser: Zeroizing<String>,
    /// What to keep until the browser returns.
    pub pending: Pending,
}

/// A sign-in that waits for the browser's return. To be used once: take it out of wherever it is kept by
/// [`Pending::state_hash`], atomically, before finishing it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    source: String,
    issuer: String,
    state: [u8; 32],
    browser: [u8; 32],
    nonce: String,
    verifier: Zeroizing<String>,
    expires_at: UnixMillis,
}

fn text(random: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(Base64UrlUnpadded::encode_string(random))
}

pub(super) fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

pub(super) fn start(
    source: &Source,
    metadata: &Metadata,
    random: &[u8; RANDOM_LEN],
    hint: Option<&Email>,
    now: UnixMillis,
) -> Result<Started, DiscoveryError> {
    let mut location = metadata.authorization_endpoint.clone().ok_or_else(|| DiscoveryError::Missing {
        issuer: source.issuer.clone(),
        field: "authorization_endpoint",
    })?;
    let (state, nonce, verifier, browser) =
        (text(&random[..32]), text(&random[32..64]), text(&random[64..96]), text(&random[96..]));
    // RFC 7636 section 4.2.
    let challenge = Base64UrlUnpadded::encode_string(&sha256(&verifier));
    {
        let mut query = location.query_pairs_mut();
        for (name, value) in [
            ("response_type", "code"),
            ("response_mode", "query"),
            ("client_id", &source.client_id),
            ("redirect_uri", &source.redirect_uri),
            ("scope", &source.scope),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ] {
            query.append_pair(name, value);
        }
        if let Some(prompt) = source.prompt {
            query.append_pair("prompt", prompt.name());
        }
        if let Some(hint) = hint {
            query.append_pair("login_hint", hint.as_str());
        }
    }
    let pending = Pending {
        source: source.id.as_str().to_owned(),
        issuer: source.issuer.as_str().to_owned(),
        state: sha256(&state),
        browser: sha256(&browser),
        nonce: (*nonce).clone(),
        verifier,
        expires_at: now.plus_millis(PATIENCE),
    };
    Ok(Started { location, browser, pending })
}

impl Pending {
    /// The name to keep it under: the SHA-256 of its `state`. [`super::Callback::state_hash`] gives the same.
    pub const fn state_hash(&self) -> &[u8; 32] {
        &self.state
    }

    /// Where it is signed in at.
    pub fn source(&self) -> Option<SourceId> {
        SourceId::parse(&self.source)
    }

    /// Until when the browser may return.
    pub const fn expires_at(&self) -> UnixMillis {
        self.expires_at
    }

    /// All of it in JSON, to be sealed and kept; it holds the PKCE verifier.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(self).expect("text and numbers can be written as JSON"))
    }

    /// Reads what [`Pending::to_bytes`] wrote; nothing if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn is_of(&self, source: &Source) -> bool {
        self.source == source.id.as_str() && self.issuer == source.issuer.as_str()
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn has_state(&self, state: &str) -> bool {
        self.state.ct_eq(&sha256(state)).into()
    }

    pub(super) fn has_browser(&self, cookie: &str) -> bool {
        self.browser.ct_eq(&sha256(cookie)).into()
    }

    pub(super) fn has_nonce(&self, nonce: &str) -> bool {
        self.nonce.as_bytes().ct_eq(nonce.as_bytes()).into()
    }

    pub(super) const fn verifier(&self) -> &Zeroizing<String> {
        &self.verifier
    }
}

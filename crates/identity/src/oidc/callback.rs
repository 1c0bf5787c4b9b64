//! The browser's return from the issuer.

use gatehouse_domain::time::UnixMillis;
use zeroize::Zeroizing;

use crate::jwt::shown;

use super::authorize::{Pending, sha256};
use super::discovery::Metadata;
use super::source::Source;

/// Longest query that is read, in bytes. Entra's codes have up to 2 KB.
const MAX_QUERY: usize = 16 * 1024;

/// What the browser brings back (RFC 6749 sections 4.1.2 and 4.1.2.1, RFC 9207). Nothing of it is believed yet.
#[derive(Clone)]
pub struct Callback {
    state: Zeroizing<String>,
    issuer: Option<String>,
    code: Option<Zeroizing<String>>,
    error: Option<String>,
    description: Option<String>,
}

/// Why a browser's return does not end in a sign-in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// The query cannot be read.
    #[error("the issuer's answer cannot be read: {0}")]
    Malformed(&'static str),
    /// It is another sign-in's answer.
    #[error("the issuer's answer belongs to another sign-in, or to one that was finished already")]
    State,
    /// Another browser began the sign-in.
    #[error("the sign-in was begun in another browser; begin it again in this one")]
    Browser,
    /// The person took too long.
    #[error("the sign-in took longer than ten minutes; begin it again")]
    Expired,
    /// Another issuer answered than the one that was asked.
    #[error("`{got}` answered a sign-in that was begun at `{expected}`")]
    MixedUp {
        /// Who was asked.
        expected: String,
        /// Who answered.
        got: String,
    },
    /// The issuer did not name itself although it promises to.
    #[error("`{0}` did not name itself in its answer (`iss`), although its metadata promises that it does")]
    Unnamed(String),
    /// The issuer refused.
    #[error("the identity provider refused: `{error}` ({description})")]
    Refused {
        /// The error's code.
        error: String,
        /// What the issuer says about it.
        description: String,
    },
}

impl Callback {
    /// Reads the query of the browser's return.
    ///
    /// # Errors
    /// If it is too long, lacks `state`, gives a parameter twice, or has neither or both of `code` and `error`.
    pub fn parse(query: &str) -> Result<Self, CallbackError> {
        if query.len() > MAX_QUERY {
            return Err(CallbackError::Malformed("it is too long"));
        }
        let (mut state, mut issuer, mut code, mut error, mut description) = (None, None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "state" => &mut state,
                "iss" => &mut issuer,
                "code" => &mut code,
                "error" => &mut error,
                "error_description" => &mut description,
                // Parameters nobody knows are to be ignored (RFC 6749 section 4.1.2).
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(CallbackError::Malformed("a parameter is given twice"));
            }
        }
        let state = Zeroizing::new(state.ok_or(CallbackError::Malformed("it has no `state`"))?);
        if code.is_some() == error.is_some() {
            return Err(CallbackError::Malformed("it must have either `code` or `error`"));
        }
        Ok(Self { state, issuer, code: code.map(Zeroizing::new), error, description })
    }

    /// The SHA-256 of its `state`: the name that the pending sign-in is kept under.
    pub fn state_hash(&self) -> [u8; 32] {
        sha256(&self.state)
    }

    /// The authorization code, if this is the answer to this sign-in in this browser.
    pub(super) fn code_for(
        self,
        pending: &Pending,
        source: &Source,
        metadata: &Metadata,
        cookie: Option<&str>,
        now: UnixMillis,
    ) -> Result<Zeroizing<String>, CallbackError> {
        if !pending.has_state(&self.state) {
            return Err(CallbackError::State);
        }
        if !cookie.is_some_and(|cookie| pending.has_browser(cookie)) {
            return Err(CallbackError::Browser);
        }
        if now >= pending.expires_at() {
            return Err(CallbackError::Expired);
        }
        if !pending.is_of(source) {
            let got = source.issuer.as_str().to_owned();
            return Err(CallbackError::MixedUp { expected: shown(pending.issuer()), got });
        }
        match &self.issuer {
            Some(issuer) if issuer != source.issuer.as_str() => {
                let expected = source.issuer.as_str().to_owned();
                return Err(CallbackError::MixedUp { expected, got: shown(issuer) });
            }
            None if metadata.names_itself => {
                return Err(CallbackError::Unnamed(source.issuer.as_str().to_owned()));
            }
            Some(_) | None => {}
        }
        match (self.code, self.error) {
            (Some(code), _) => Ok(code),
            (None, error) => Err(CallbackError::Refused {
                error: shown(&error.unwrap_or_default()),
                description: shown(&self.description.unwrap_or_default()),
            }),
        }
    }
}

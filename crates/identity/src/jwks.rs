//! An issuer's published keys (JWK Set, RFC 7517): what is taken from a document, and how it is kept current.

pub use key::{PublicKey, Unusable};

mod key;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gatehouse_domain::time::UnixMillis;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::fetch::{Fetch, FetchError, HttpRequest};
use crate::fresh::{Current, Fresh, Timing};
use crate::jwt::{Algorithm, Claims, JwtError, Policy, Token, shown};

/// Longest document that is read, in bytes.
pub const MAX_DOCUMENT: usize = 256 * 1024;
/// Most keys in a document.
pub const MAX_KEYS: usize = 100;

/// The usable keys of one issuer. Keys of different issuers never meet in one set, so that a key's id cannot lead to
/// another issuer's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<PublicKey>,
    skipped: Vec<Unusable>,
}

/// Why a document gives no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    /// It is too long.
    #[error("the key set has {0} bytes (the limit is {MAX_DOCUMENT})")]
    TooLong(usize),
    /// It is no JWK Set.
    #[error("the key set is no JSON object with a list `keys`")]
    Malformed,
    /// It has too many keys.
    #[error("the key set has {0} keys (the limit is {MAX_KEYS})")]
    TooMany(usize),
    /// None of its keys can be used.
    #[error(
        "none of the {0} keys in the key set can verify a signature (RSA from 2048 bits, P-256, P-384, Ed25519)"
    )]
    NoneUsable(usize),
}

/// Why no key can be chosen for a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// The issuer publishes no such key.
    #[error("the issuer publishes no `{algorithm}` key `{id}`")]
    Unknown {
        /// The key's id in the token.
        id: String,
        /// The token's algorithm.
        algorithm: &'static str,
    },
    /// The token names no key, and there is not exactly one that fits.
    #[error("the token names no key (`kid`), and {fitting} of the issuer's keys fit `{algorithm}`")]
    Unnamed {
        /// How many keys fit.
        fitting: usize,
        /// The token's algorithm.
        algorithm: &'static str,
    },
    /// Several keys have this id.
    #[error("the issuer publishes several `{algorithm}` keys with the id `{id}`")]
    Ambiguous {
        /// The key's id in the token.
        id: String,
        /// The token's algorithm.
        algorithm: &'static str,
    },
}

impl KeySet {
    /// Reads a document. Keys that cannot be used are left out, and listed in [`KeySet::skipped`].
    ///
    /// # Errors
    /// If it is no key set, too large, or holds no usable key.
    pub fn parse(document: &[u8]) -> Result<Self, BadKeySet> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        if document.len() > MAX_DOCUMENT {
            return Err(BadKeySet::TooLong(document.len()));
        }
        let Document { keys: listed } = serde_json::from_slice(document).map_err(|_| BadKeySet::Malformed)?;
        if listed.len() > MAX_KEYS {
            return Err(BadKeySet::TooMany(listed.len()));
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for value in &listed {
            match PublicKey::read(value) {
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(why),
            }
        }
        if keys.is_empty() {
            return Err(BadKeySet::NoneUsable(listed.len()));
        }
        Ok(Self { keys, skipped })
    }

    /// The keys that were left out, and why.
    pub fn skipped(&self) -> &[Unusable] {
        &self.skipped
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Always `false`: a set without keys is an error.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The one key that a token of this key id and algorithm can be signed with.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&PublicKey, NoKey> {
        let named = |key: &&PublicKey| id.is_none() || key.id() == id;
        let mut fitting = self.keys.iter().filter(named).filter(|key| key.fits(algorithm));
        let (first, more) = (fitting.next(), fitting.count());
        let algorithm = algorithm.name();
        match (first, more, id) {
            (Some(key), 0, _) => Ok(key),
            (None, _, Some(id)) => Err(NoKey::Unknown { id: shown(id), algorithm }),
            (Some(_), _, Some(id)) => Err(NoKey::Ambiguous { id: shown(id), algorithm }),
            (first, more, None) => {
                Err(NoKey::Unnamed { fitting: more + usize::from(first.is_some()), algorithm })
            }
        }
    }
}

/// Why a token could not be verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The token is wrong. Trying again does not help.
    #[error(transparent)]
    Token(#[from] JwtError),
    /// The issuer's keys are not to be had, and none are known that are recent enough. Trying again may help.
    #[error("cannot get the issuer's keys: {0}")]
    Keys(#[from] KeysError),
    /// The issuer's metadata is not to be had. Trying again may help.
    #[error("{0}")]
    Issuer(String),
}

/// Why an issuer's keys are not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The request failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The answer gives no keys.
    #[error(transparent)]
    Document(#[from] BadKeySet),
    /// The last attempt failed moments ago.
    #[error("the last attempt failed less than ten seconds ago")]
    JustFailed,
}

/// The keys of one issuer, kept current.
///
/// They are fetched again when they are ten minutes old, or when a token does not fit them, but never within ten seconds
/// of the last attempt, whatever tokens come. Requests that need the same keys wait for one fetch. When the issuer
/// is away, the last good keys serve for a day.
#[derive(Debug)]
pub struct IssuerKeys {
    cache: Fresh<KeySet>,
}

impl Default for IssuerKeys {
    fn default() -> Self {
        Self { cache: Fresh::new(Timing::KEYS) }
    }
}

impl IssuerKeys {
    /// No keys yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Verifies a token with the keys at this address.
    ///
    /// # Errors
    /// If the token is wrong, or the keys are not to be had.
    pub async fn verify<F: Fetch>(
        &self,
        fetch: &F,
        address: &Url,
        policy: &Policy,
        token: &str,
        now: UnixMillis,
    ) -> Result<Claims, VerifyError> {
        let token = Token::parse(token)?;
        let known = self.current(fetch, address, now).await?;
        match policy.verify(&token, &known.value, now) {
            // The key may be new. Some issuers reuse an id, or have none, so that only the signature tells.
            Err(first @ (JwtError::Key(_) | JwtError::Signature)) => {
                match self.cache.newer_than(known.generation, now, || load(fetch, address)).await {
                    Some(newer) => Ok(policy.verify(&token, &newer.value, now)?),
                    None => Err(first.into()),
                }
            }
            verified => Ok(verified?),
        }
    }

    /// Fetches the keys if it is time. Called now and then by a background task, it spares requests the wait.
    ///
    /// # Errors
    /// If there are no recent keys. A failure while the last good keys still serve is no error.
    pub async fn refresh<F: Fetch>(
        &self,
        fetch: &F,
        address: &Url,
        now: UnixMillis,
    ) -> Result<(), KeysError> {
        self.current(fetch, address, now).await.map(|_| ())
    }

    /// The keys as they are known, for a report. `None` if they were never fetched.
    pub fn known(&self) -> Option<Arc<KeySet>> {
        self.cache.known()
    }

    async fn current<F: Fetch>(
        &self,
        fetch: &F,
        address: &Url,
        now: UnixMillis,
    ) -> Result<Current<KeySet>, KeysError> {
        self.cache.get(now, || load(fetch, address)).await.unwrap_or(Err(KeysError::JustFailed))
    }
}

async fn load<F: Fetch>(fetch: &F, address: &Url) -> Result<KeySet, KeysError> {
    let answer = fetch.fetch(HttpRequest::get(address.clone(), MAX_DOCUMENT)).await?.successful()?;
    Ok(KeySet::parse(&answer)?)
}

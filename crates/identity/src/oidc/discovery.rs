//! What an issuer publishes about itself (Discovery 1.0, RFC 8414).

use std::sync::Arc;

use gatehouse_domain::time::UnixMillis;
use serde::Deserialize;
use url::Url;

use crate::fetch::{Fetch, FetchError, HttpRequest};
use crate::fresh::{Fresh, Timing};
use crate::jwks::{IssuerKeys, KeySet, VerifyError};
use crate::jwt::{Claims, Policy, shown};

use super::address::{BadAddress, IssuerUrl, endpoint};

/// Longest document that is read, in bytes.
const MAX_METADATA: usize = 128 * 1024;

/// What an issuer publishes about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Where browsers are sent. CI systems have none.
    pub authorization_endpoint: Option<Url>,
    /// Where codes and refresh tokens are exchanged. CI systems have none.
    pub token_endpoint: Option<Url>,
    /// Where more is said about a person.
    pub userinfo_endpoint: Option<Url>,
    /// Where the keys are.
    pub jwks_uri: Url,
    /// Whether it promises to name itself in its answers (RFC 9207).
    pub names_itself: bool,
}

/// Why an issuer's metadata is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// The request failed.
    #[error("cannot get the metadata of `{issuer}`: {error}")]
    Fetch {
        /// Of which issuer.
        issuer: IssuerUrl,
        /// What happened.
        error: FetchError,
    },
    /// The last attempt failed moments ago.
    #[error("cannot get the metadata of `{0}`: the last attempt failed less than ten seconds ago")]
    JustFailed(IssuerUrl),
    /// It is too long, or no metadata.
    #[error(
        "the metadata of `{0}` is no JSON object with `issuer` and `jwks_uri`, or is longer than {MAX_METADATA} bytes"
    )]
    Malformed(IssuerUrl),
    /// It is another issuer's.
    #[error("the metadata of `{expected}` is of `{got}`; configure the issuer exactly as it names itself")]
    OtherIssuer {
        /// Who was asked.
        expected: IssuerUrl,
        /// Who it says it is.
        got: String,
    },
    /// An endpoint's address cannot be used.
    #[error("the metadata's `{field}`: {error}")]
    Address {
        /// Which member.
        field: &'static str,
        /// What is wrong with it.
        error: BadAddress,
    },
    /// It lacks what a sign-in needs.
    #[error("the issuer `{issuer}` has no `{field}`, so nobody can sign in there")]
    Missing {
        /// Which issuer.
        issuer: IssuerUrl,
        /// Which member.
        field: &'static str,
    },
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// Reads an issuer's document.
    ///
    /// # Errors
    /// If it is not this issuer's, or has an address that cannot be used.
    pub fn read(issuer: &IssuerUrl, document: &[u8]) -> Result<Self, DiscoveryError> {
        let malformed = || DiscoveryError::Malformed(issuer.clone());
        if document.len() > MAX_METADATA {
            return Err(malformed());
        }
        let document: Document = serde_json::from_slice(document).map_err(|_| malformed())?;
        if document.issuer != issuer.as_str() {
            return Err(DiscoveryError::OtherIssuer {
                expected: issuer.clone(),
                got: shown(&document.issuer),
            });
        }
        let address = |field, text: &str| {
            endpoint(text, issuer.loopback()).map_err(|error| DiscoveryError::Address { field, error })
        };
        let optional = |field, text: Option<String>| text.map(|text| address(field, &text)).transpose();
        Ok(Self {
            authorization_endpoint: optional("authorization_endpoint", document.authorization_endpoint)?,
            token_endpoint: optional("token_endpoint", document.token_endpoint)?,
            userinfo_endpoint: optional("userinfo_endpoint", document.userinfo_endpoint)?,
            jwks_uri: address("jwks_uri", &document.jwks_uri)?,
            names_itself: document.authorization_response_iss_parameter_supported,
        })
    }
}

/// An issuer with what is known of it: metadata for an hour, keys as [`IssuerKeys`] keeps them; both for a day when it is
/// away.
#[derive(Debug)]
pub struct Issuer {
    url: IssuerUrl,
    metadata: Fresh<Metadata>,
    keys: IssuerKeys,
}

impl From<DiscoveryError> for VerifyError {
    fn from(error: DiscoveryError) -> Self {
        Self::Issuer(error.to_string())
    }
}

impl Issuer {
    /// An issuer of which nothing is known yet.
    pub fn new(url: IssuerUrl) -> Self {
        Self { url, metadata: Fresh::new(Timing::METADATA), keys: IssuerKeys::new() }
    }

    /// Its identifier.
    pub const fn url(&self) -> &IssuerUrl {
        &self.url
    }

    /// Its metadata, fetched if it is time.
    ///
    /// # Errors
    /// If there is none that is recent enough.
    pub async fn metadata<F: Fetch>(
        &self,
        fetch: &F,
        now: UnixMillis,
    ) -> Result<Arc<Metadata>, DiscoveryError> {
        let current = self.metadata.get(now, || self.load(fetch)).await;
        Ok(current.unwrap_or_else(|| Err(DiscoveryError::JustFailed(self.url.clone())))?.value)
    }

    /// Verifies one of its tokens.
    ///
    /// # Errors
    /// If the token is wrong, or the issuer's keys are not to be had.
    pub async fn verify<F: Fetch>(
        &self,
        fetch: &F,
        policy: &Policy,
        token: &str,
        now: UnixMillis,
    ) -> Result<Claims, VerifyError> {
        let metadata = self.metadata(fetch, now).await?;
        self.keys.verify(fetch, &metadata.jwks_uri, policy, token, now).await
    }

    /// Fetches metadata and keys if it is time, so that requests need not wait for them.
    ///
    /// # Errors
    /// If there are none that are recent enough.
    pub async fn refresh<F: Fetch>(&self, fetch: &F, now: UnixMillis) -> Result<(), VerifyError> {
        let metadata = self.metadata(fetch, now).await?;
        Ok(self.keys.refresh(fetch, &metadata.jwks_uri, now).await?)
    }

    /// The origins that a browser may be sent to here: the issuer's, and that of its authorization endpoint once its
    /// metadata is known.
    pub fn origins(&self) -> Vec<String> {
        let own = Url::parse(self.url.as_str()).ok();
        let endpoint = self.metadata.known().and_then(|known| known.authorization_endpoint.clone());
        let mut origins: Vec<String> =
            [own, endpoint].into_iter().flatten().map(|url| url.origin().ascii_serialization()).collect();
        origins.dedup();
        origins
    }

    /// Its keys as they are known, for a report.
    pub fn known_keys(&self) -> Option<Arc<KeySet>> {
        self.keys.known()
    }

    async fn load<F: Fetch>(&self, fetch: &F) -> Result<Metadata, DiscoveryError> {
        let failed = |error| DiscoveryError::Fetch { issuer: self.url.clone(), error };
        let address = self
            .url
            .metadata_address()
            .map_err(|error| DiscoveryError::Address { field: "issuer", error })?;
        let answer = fetch.fetch(HttpRequest::get(address, MAX_METADATA)).await.map_err(failed)?;
        Metadata::read(&self.url, &answer.successful().map_err(failed)?)
    }
}

//! The one verifier of every signed token that Gatehouse accepts (JWS compact form, RFC 7515, RFC 7519, RFC 8725).
//!
//! What is believed comes from the [`Policy`], never from the token: the algorithms, the issuer, the audience and the
//! keys. The token's header only chooses among the policy's algorithms and the issuer's published keys. Its `jku`,
//! `jwk`, `x5u` and `x5c` are never looked at, and `crit` is refused, since no extension is understood here. Time is an
//! argument.
//!
//! The signatures are checked by `ring`, which rustls uses as well. Symmetric algorithms do not exist here, so a public
//! key can never be taken for a shared secret.

pub use algorithm::Algorithm;
pub(crate) use algorithm::{KeyFamily, Scheme};
pub use claims::{BadGroups, ClaimNames, Claims, Groups, Person};
pub use path::{BadPath, ClaimPath};
pub use policy::{BadPolicy, Policy, Skew, TokenKind};
pub use token::{MAX_TOKEN, Token};

mod algorithm;
mod token;
mod policy;
mod claims;
mod path;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod signer;

use crate::jwks::NoKey;

/// Why a token is refused. Holds nothing of the token but single values that cannot be used to sign in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// It is longer than [`MAX_TOKEN`].
    #[error("the token has {0} bytes (the limit is {MAX_TOKEN})")]
    TooLong(usize),
    /// It has not the form of a signed token.
    #[error("the token cannot be read: {0}")]
    Malformed(&'static str),
    /// Its algorithm is not one that the configuration allows.
    #[error("the token is signed with `{0}`, which is not among the allowed algorithms")]
    Algorithm(String),
    /// It demands an extension.
    #[error("the token demands an extension (`crit`), and none is supported")]
    Critical,
    /// It is a token for another use.
    #[error("the token's type is `{0}`, which is not accepted here")]
    Type(String),
    /// None of the issuer's keys can be the one it was signed with.
    #[error(transparent)]
    Key(#[from] NoKey),
    /// The signature is wrong.
    #[error("the token's signature does not match the issuer's key")]
    Signature,
    /// A claim is missing or has the wrong type.
    #[error("the token's claim `{0}` is missing or has the wrong form")]
    Claim(&'static str),
    /// Its issuer is another.
    #[error("the token is from `{got}`, not from `{expected}`")]
    Issuer {
        /// Who should have issued it.
        expected: String,
        /// Who issued it.
        got: String,
    },
    /// It is meant for others.
    #[error("the token is meant for another audience than `{0}`")]
    Audience(String),
    /// It was issued to another client.
    #[error("the token was issued to another client (`azp`) than `{0}`")]
    AuthorizedParty(String),
    /// Its time is over.
    #[error("the token has expired; sign in again, or compare this machine's clock with the issuer's")]
    Expired,
    /// Its time has not come, or it was issued in the future.
    #[error("the token is not valid yet; compare this machine's clock with the issuer's")]
    NotYetValid,
    /// It was issued for another sign-in.
    #[error("the token belongs to another sign-in (its `nonce` differs)")]
    Nonce,
    /// Its groups cannot be used.
    #[error(transparent)]
    Groups(#[from] BadGroups),
}

/// A value from outside for a message: at most 80 characters, none of them unprintable.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

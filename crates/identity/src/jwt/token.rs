//! Takes a token apart. Nothing that is read here is believed yet.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::JwtError;

/// Longest token that is looked at, in bytes. Entra's tokens with 200 groups have about 9 KB.
pub const MAX_TOKEN: usize = 16 * 1024;

/// A token taken apart, of which nothing is proved. It has no `Debug`: its text signs somebody in.
#[derive(Clone)]
pub struct Token<'t> {
    pub(super) header: Header,
    /// What the signature covers: header and payload as they came.
    pub(super) signed: &'t [u8],
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// The members of the header that count. All others are skipped, those that would bring keys along in particular.
/// A member that is given twice is an error.
#[derive(Clone, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default)]
    pub(super) kid: Option<String>,
    #[serde(default)]
    pub(super) typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) crit: bool,
}

/// Whether a member stands there at all, be it `null`.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

impl<'t> Token<'t> {
    /// Takes the text of a token apart.
    ///
    /// # Errors
    /// If it is too long, or not of the form of a signed token.
    pub fn parse(text: &'t str) -> Result<Self, JwtError> {
        if text.len() > MAX_TOKEN {
            return Err(JwtError::TooLong(text.len()));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(JwtError::Malformed("it has no parts"))?;
        let (header, payload) =
            signed.split_once('.').ok_or(JwtError::Malformed("it has two parts instead of three"))?;
        if payload.contains('.') {
            return Err(JwtError::Malformed(
                "it has more than three parts; encrypted tokens are not supported",
            ));
        }
        let decode = |part| {
            Base64UrlUnpadded::decode_vec(part).map_err(|_| JwtError::Malformed("a part is not base64url"))
        };
        let header = serde_json::from_slice(&decode(header)?)
            .map_err(|_| JwtError::Malformed("its header is no JSON object with `alg`"))?;
        Ok(Self {
            header,
            signed: signed.as_bytes(),
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// The name of the key that it claims to be signed with.
    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Who it claims to be from. Only good for choosing the [`Policy`](super::Policy) that it is then held against.
    pub fn claimed_issuer(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Issuer {
            iss: String,
        }
        serde_json::from_slice::<Issuer>(&self.payload).ok().map(|claims| claims.iss)
    }
}

//! Refresh tokens of our own sessions: each is good for one refresh, and reuse is noticed.
//!
//! A session has one [`Family`] of tokens. A token names its family and its place in it, and proves both by an HMAC that
//! needs the family's seed and the server's key; so every token that was ever given out can be told from an invented
//! one without keeping any of them, and a stolen database makes none.
//!
//! All processes of a user share one store of credentials, and several may send the same token when it is due. Whoever
//! sends one that was used moments ago gets its successor instead of being taken for a thief ([`GRACE`]). A token that was
//! used longer ago is in two hands: the whole family ends.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use gatehouse_domain::time::UnixMillis;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// How long a used token is still answered with its successor, in milliseconds.
pub const GRACE: i64 = 60_000;
/// How many uses are remembered with their time.
const REMEMBERED: usize = 8;

const PREFIX: &str = "ghr_";
const FAMILY_LEN: usize = 16;
const GENERATION_LEN: usize = 4;
const PROOF_LEN: usize = 32;
const TOKEN_LEN: usize = FAMILY_LEN + GENERATION_LEN + PROOF_LEN;

/// The server's half of every refresh token; lives outside the database. Wiped when dropped; no `Debug`.
#[derive(Clone)]
pub struct RefreshKey(Zeroizing<[u8; 32]>);

impl RefreshKey {
    /// Takes 32 bytes derived from the master key.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// The key that new tokens are proved with, and all that may have proved one.
#[derive(Clone)]
pub struct RefreshKeys {
    proves: RefreshKey,
    known: Vec<RefreshKey>,
}

impl RefreshKeys {
    /// The key that new tokens are proved with, and all that are known, it included.
    pub const fn new(proves: RefreshKey, known: Vec<RefreshKey>) -> Self {
        Self { proves, known }
    }
}

impl From<RefreshKey> for RefreshKeys {
    fn from(only: RefreshKey) -> Self {
        Self { known: vec![only.clone()], proves: only }
    }
}

/// Names a family. No secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FamilyId([u8; FAMILY_LEN]);

impl FamilyId {
    /// The bytes as stored.
    pub const fn as_bytes(&self) -> &[u8; FAMILY_LEN] {
        &self.0
    }

    /// The id with these bytes, random ones for a new family.
    pub const fn from_bytes(bytes: [u8; FAMILY_LEN]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for FamilyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64UrlUnpadded::encode_string(&self.0))
    }
}

/// The family's half of every token in it: random bytes, kept with it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The bytes as stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The seed with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What is kept of a family. Of two nodes that change it at once, the one whose compare-and-set on `generation` fails
/// reads it again and decides again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// Its id.
    pub id: FamilyId,
    /// Its half of the tokens.
    pub seed: Seed,
    /// The place of the one token that has not been used.
    pub generation: u32,
    /// When the last few tokens were used, the latest last.
    pub used_at: Vec<UnixMillis>,
    /// When the session ends, however often it is refreshed.
    pub expires_at: UnixMillis,
    /// When it was revoked.
    pub revoked_at: Option<UnixMillis>,
}

/// A presented or freshly made refresh token. Has no `Debug` and no `Display`; [`RefreshToken::reveal`] is the one way to
/// its text.
#[derive(Clone)]
pub struct RefreshToken {
    family: FamilyId,
    generation: u32,
    proof: Zeroizing<[u8; PROOF_LEN]>,
}

/// What to do about a presented token.
pub enum Decision {
    /// It is the unused one: keep the family like this, and give this token out.
    Rotate {
        /// The family with the token used.
        family: Family,
        /// Its successor.
        token: RefreshToken,
    },
    /// It was used moments ago, by another process of the same user or in an answer that got lost: give this token out.
    GraceReplay {
        /// The family's unused token.
        token: RefreshToken,
    },
    /// It was used long ago: it is in two hands. Revoke the family and everything that hangs on it.
    Theft,
    /// It was never given out, or its family is over: `invalid_grant`.
    Unknown,
}

impl Family {
    /// A family that begins now, and its first token.
    pub fn begin(
        id: FamilyId,
        seed: Seed,
        expires_at: UnixMillis,
        keys: &RefreshKeys,
    ) -> (Self, RefreshToken) {
        let family = Self { id, seed, generation: 0, used_at: Vec::new(), expires_at, revoked_at: None };
        let token = family.unused(keys);
        (family, token)
    }

    /// The one token that has not been used.
    fn unused(&self, keys: &RefreshKeys) -> RefreshToken {
        let proof = Zeroizing::new(self.proof(self.generation, &keys.proves));
        RefreshToken { family: self.id, generation: self.generation, proof }
    }

    fn proof(&self, generation: u32, key: &RefreshKey) -> [u8; PROOF_LEN] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*key.0).expect("HMAC takes a key of any length");
        mac.update(b"gatehouse refresh token 1");
        mac.update(&self.id.0);
        mac.update(&self.seed.0);
        mac.update(&generation.to_be_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Whether the token was really given out for this family.
    fn gave_out(&self, token: &RefreshToken, keys: &RefreshKeys) -> bool {
        let made = |key| bool::from(self.proof(token.generation, key).ct_eq(&*token.proof));
        let genuine = keys.known.iter().any(made);
        genuine && token.family == self.id && token.generation <= self.generation
    }

    /// When a token before the unused one was used, if that is remembered.
    fn use_of(&self, generation: u32) -> Option<UnixMillis> {
        let back = usize::try_from(self.generation.checked_sub(generation)?).ok()?;
        self.used_at.get(self.used_at.len().checked_sub(back)?).copied()
    }
}

/// Decides about a presented token, given the family that it names, if that is known. A pure function: nothing is changed
/// until the caller keeps what comes out.
pub fn decide(
    family: Option<&Family>,
    token: &RefreshToken,
    keys: &RefreshKeys,
    now: UnixMillis,
) -> Decision {
    let Some(family) = family.filter(|family| family.gave_out(token, keys)) else { return Decision::Unknown };
    if family.revoked_at.is_some() || now >= family.expires_at {
        return Decision::Unknown;
    }
    if token.generation < family.generation {
        // A clock that was set back makes nobody a thief.
        let in_time = family.use_of(token.generation).is_some_and(|at| now.0.saturating_sub(at.0) <= GRACE);
        return if in_time { Decision::GraceReplay { token: family.unused(keys) } } else { Decision::Theft };
    }
    let Some(generation) = family.generation.checked_add(1) else { return Decision::Unknown };
    let mut used_at = family.used_at.clone();
    used_at.push(now);
    used_at.drain(..used_at.len().saturating_sub(REMEMBERED));
    let family = Family { generation, used_at, ..family.clone() };
    let token = family.unused(keys);
    Decision::Rotate { family, token }
}

impl RefreshToken {
    /// Reads a presented token; nothing if it has not the form of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; TOKEN_LEN]);
        let len = Base64UrlUnpadded::decode(text.strip_prefix(PREFIX)?, bytes.as_mut_slice()).ok()?.len();
        if len != TOKEN_LEN {
            return None;
        }
        let (family, rest) = bytes.split_first_chunk::<FAMILY_LEN>()?;
        let (generation, proof) = rest.split_first_chunk::<GENERATION_LEN>()?;
        let proof = Zeroizing::new(proof.try_into().ok()?);
        Some(Self { family: FamilyId(*family), generation: u32::from_be_bytes(*generation), proof })
    }

    /// The family that it names.
    pub const fn family(&self) -> FamilyId {
        self.family
    }

    /// The text for the client.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(TOKEN_LEN));
        bytes.extend_from_slice(&self.family.0);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(self.proof.as_slice());
        Zeroizing::new(format!("{PREFIX}{}", Base64UrlUnpadded::encode_string(&bytes)))
    }
}

#[cfg(test)]
mod tests;

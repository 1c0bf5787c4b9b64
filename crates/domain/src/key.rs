//! Virtual keys and administrators' tokens: opaque text that we issue, recognize offline and store only as a keyed hash.
//!
//! The text is `gh_` (`gha_` for an administrator's token, `ghscim_` for a directory's), 8 characters of public id, 43
//! characters of secret (256 random bits) and 6 characters of checksum (CRC-32 of everything before it), all in base 62.
//! The fixed prefix and the checksum let scanners find leaked keys and let us refuse a mistyped one without a look-up.
//!
//! As a regular expression: `gh(a|scim)?_[0-9A-Za-z]{57}`.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PUBLIC_LEN: usize = 8;
const SECRET_LEN: usize = 43;
const CHECKSUM_LEN: usize = 6;
const BODY_LEN: usize = PUBLIC_LEN + SECRET_LEN + CHECKSUM_LEN;
/// Random bytes that one key needs: 6 for the public id, 32 for the secret.
pub const RANDOM_LEN: usize = 38;

/// Which kind of credential a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// A virtual key: a client's credential for the gateway.
    Virtual,
    /// An administrator's token: a credential for the management API.
    Admin,
    /// A directory's token: a credential for SCIM.
    Provisioning,
}

impl KeyKind {
    /// What the text of this kind begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Virtual => "gh_",
            Self::Admin => "gha_",
            Self::Provisioning => "ghscim_",
        }
    }
}

/// The public part of a key: it names the key and proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublicId([u8; PUBLIC_LEN]);

impl PublicId {
    /// The eight characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made only from base-62 characters")
    }

    /// Reads eight base-62 characters.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; PUBLIC_LEN] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }
}

impl fmt::Debug for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which of the keys of one purpose: they are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The first one, of every installation from its beginning.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The secret that keys are hashed with; lives outside the database, so that a stolen database holds no usable hash.
#[derive(Clone)]
pub struct Pepper {
    generation: Generation,
    bytes: Zeroizing<[u8; 32]>,
}

impl Pepper {
    /// Takes the first generation's 32 bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self::of(Generation::FIRST, bytes)
    }

    /// Takes a generation's 32 bytes.
    pub fn of(generation: Generation, bytes: [u8; 32]) -> Self {
        Self { generation, bytes: Zeroizing::new(bytes) }
    }

    /// Which generation it is.
    pub const fn generation(&self) -> Generation {
        self.generation
    }
}

/// All peppers under which there may be hashes.
#[derive(Clone)]
pub struct Peppers(Vec<Pepper>);

impl Peppers {
    /// These, in any order.
    pub const fn new(all: Vec<Pepper>) -> Self {
        Self(all)
    }

    /// The pepper of a generation.
    pub fn find(&self, generation: Generation) -> Option<&Pepper> {
        self.0.iter().find(|pepper| pepper.generation == generation)
    }
}

impl From<Pepper> for Peppers {
    fn from(only: Pepper) -> Self {
        Self(vec![only])
    }
}

/// Shows the generations only.
impl fmt::Debug for Peppers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|pepper| pepper.generation)).finish()
    }
}

/// HMAC-SHA256 of a key's secret under a pepper, and which pepper that is: what is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash {
    bytes: [u8; 32],
    generation: Generation,
}

impl KeyHash {
    /// The 32 bytes as stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Which pepper it was made under.
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The hash with these bytes, under the first pepper.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self::under(Generation::FIRST, bytes)
    }

    /// The hash with these bytes, under this pepper.
    pub const fn under(generation: Generation, bytes: [u8; 32]) -> Self {
        Self { bytes, generation }
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A presented or freshly made key. Has no `Display`; [`VirtualKey::reveal`] is the one way to its text.
#[derive(Clone)]
pub struct VirtualKey {
    kind: KeyKind,
    public: PublicId,
    secret: Zeroizing<[u8; SECRET_LEN]>,
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It does not begin as our keys do.
    #[error("the credential does not begin with `{}`", KeyKind::Virtual.prefix())]
    Foreign,
    /// It begins like one of ours, but its length, characters or checksum are wrong.
    #[error("the key is incomplete or mistyped (its checksum does not match)")]
    Mistyped,
}

impl VirtualKey {
    /// Makes a key from random bytes.
    pub fn generate(kind: KeyKind, random: &[u8; RANDOM_LEN]) -> Self {
        let (public, secret) = random.split_at(6);
        let mut key =
            Self { kind, public: PublicId([0; PUBLIC_LEN]), secret: Zeroizing::new([0; SECRET_LEN]) };
        encode_base62(public, &mut key.public.0);
        encode_base62(secret, &mut *key.secret);
        key
    }

    /// Reads a presented key. Checks form and checksum only.
    pub fn parse(kind: KeyKind, text: &[u8]) -> Result<Self, BadKey> {
        let body = text.strip_prefix(kind.prefix().as_bytes()).ok_or(BadKey::Foreign)?;
        if body.len() != BODY_LEN || !body.iter().all(u8::is_ascii_alphanumeric) {
            return Err(BadKey::Mistyped);
        }
        let (signed, checksum) = body.split_at(PUBLIC_LEN + SECRET_LEN);
        if checksum != checksum_of(kind, signed) {
            return Err(BadKey::Mistyped);
        }
        let (public, secret) = signed.split_at(PUBLIC_LEN);
        let mut key =
            Self { kind, public: PublicId([0; PUBLIC_LEN]), secret: Zeroizing::new([0; SECRET_LEN]) };
        key.public.0.copy_from_slice(public);
        key.secret.copy_from_slice(secret);
        Ok(key)
    }

    /// The public part.
    pub const fn public(&self) -> PublicId {
        self.public
    }

    /// What administrators see of the key: prefix and public part.
    pub fn hint(&self) -> String {
        format!("{}{}", self.kind.prefix(), self.public.as_str())
    }

    /// The keyed hash to store or compare.
    pub fn hash(&self, pepper: &Pepper) -> KeyHash {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*pepper.bytes).expect("HMAC takes a key of any length");
        mac.update(self.public.0.as_slice());
        mac.update(self.secret.as_slice());
        KeyHash::under(pepper.generation, mac.finalize().into_bytes().into())
    }

    /// Whether this key is the one behind a stored hash; takes the same time either way. A hash under a pepper that is not
    /// at hand matches nothing, which takes the same time too.
    pub fn matches(&self, peppers: &Peppers, stored: &KeyHash) -> bool {
        let found = peppers.find(stored.generation);
        let Some(pepper) = found.or_else(|| peppers.0.first()) else { return false };
        let same: bool = self.hash(pepper).bytes.ct_eq(&stored.bytes).into();
        same && found.is_some()
    }

    /// The whole text, to be shown once to its holder.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut signed = Vec::with_capacity(BODY_LEN);
        signed.extend_from_slice(&self.public.0);
        signed.extend_from_slice(self.secret.as_slice());
        let checksum = checksum_of(self.kind, &signed);
        let mut text = String::with_capacity(self.kind.prefix().len() + BODY_LEN);
        text.push_str(self.kind.prefix());
        for byte in signed.iter().chain(&checksum) {
            text.push(char::from(*byte));
        }
        signed.zeroize();
        Zeroizing::new(text)
    }
}

impl fmt::Debug for VirtualKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[redacted]", self.hint())
    }
}

fn checksum_of(kind: KeyKind, signed: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(kind.prefix().as_bytes());
    crc.update(signed);
    let mut out = [0; CHECKSUM_LEN];
    encode_base62(&crc.finalize().to_be_bytes(), &mut out);
    out
}

/// Writes a big-endian number in base 62, with leading zeros, keeping as many low digits as fit.
fn encode_base62(bytes: &[u8], out: &mut [u8]) {
    let mut number = Zeroizing::new(bytes.to_vec());
    for digit in out.iter_mut().rev() {
        let mut rest = 0_u16;
        for byte in number.iter_mut() {
            let value = rest * 256 + u16::from(*byte);
            *byte = u8::try_from(value / 62).expect("the rest is below 62, so the quotient is below 256");
            rest = value % 62;
        }
        *digit = ALPHABET[usize::from(rest)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> VirtualKey {
        let mut random = [0; RANDOM_LEN];
        for (byte, n) in random.iter_mut().zip(0_u8..) {
            *byte = seed.wrapping_mul(31).wrapping_add(n.wrapping_mul(7));
        }
        VirtualKey::generate(KeyKind::Virtual, &random)
    }

    #[test]
    fn text_reads_back_and_has_the_published_form() {
        let text = key(3).reveal();
        assert_eq!(text.len(), 60);
        assert!(text.starts_with("gh_") && text[3..].bytes().all(|b| b.is_ascii_alphanumeric()));
        let back = VirtualKey::parse(KeyKind::Virtual, text.as_bytes()).unwrap();
        assert_eq!(back.public(), key(3).public());
        assert_eq!(*back.reveal(), *text);
    }

    #[test]
    fn one_wrong_character_is_mistyped() {
        let text = key(1).reveal();
        for at in 3..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(VirtualKey::parse(KeyKind::Virtual, &wrong).unwrap_err(), BadKey::Mistyped, "at {at}");
        }
    }

    #[test]
    fn hostile_credentials_are_refused() {
        let good = key(1).reveal();
        for (text, why) in [
            ("", BadKey::Foreign),
            ("sk-ant-api03-x", BadKey::Foreign),
            ("GH_x", BadKey::Foreign),
            ("gh_", BadKey::Mistyped),
            ("gh_' OR 1=1 --", BadKey::Mistyped),
            (&good[..59], BadKey::Mistyped),
            (&format!("{}0", *good), BadKey::Mistyped),
            (&"gh_\0".repeat(15), BadKey::Mistyped),
        ] {
            assert_eq!(VirtualKey::parse(KeyKind::Virtual, text.as_bytes()).unwrap_err(), why, "{text:?}");
        }
        assert_eq!(VirtualKey::parse(KeyKind::Admin, good.as_bytes()).unwrap_err(), BadKey::Foreign);
    }

    /// What a text begins with says which kind it is, and no kind passes for another, also with a body that is right.
    #[test]
    fn no_kind_passes_for_another() {
        let kinds = [KeyKind::Virtual, KeyKind::Admin, KeyKind::Provisioning];
        let tokens = [crate::token::PREFIX, "ghr_"];
        let all: Vec<&str> = kinds.map(KeyKind::prefix).into_iter().chain(tokens).collect();
        for (at, one) in all.iter().enumerate() {
            assert!(all.iter().enumerate().all(|(n, other)| n == at || !other.starts_with(one)), "{one}");
        }
        for made in kinds {
            let text = VirtualKey::generate(made, &[5; RANDOM_LEN]).reveal();
            for taken in kinds {
                assert_eq!(
                    VirtualKey::parse(taken, text.as_bytes()).is_ok(),
                    made == taken,
                    "{made:?} {taken:?}"
                );
                // The checksum covers what it begins with.
                let renamed = format!("{}{}", taken.prefix(), &text[made.prefix().len()..]);
                assert_eq!(VirtualKey::parse(taken, renamed.as_bytes()).is_ok(), made == taken, "{renamed}");
            }
        }
    }

    #[test]
    fn only_the_same_key_under_the_same_pepper_matches() {
        let (pepper, other) = (Pepper::new([1; 32]), Pepper::new([2; 32]));
        let stored = key(1).hash(&pepper);
        assert!(key(1).matches(&pepper.clone().into(), &stored));
        assert!(!key(2).matches(&pepper.into(), &stored));
        assert!(!key(1).matches(&other.into(), &stored));
    }

    #[test]
    fn a_hash_is_compared_under_its_own_pepper_and_no_other() {
        let (first, second) = (Pepper::new([1; 32]), Pepper::of(Generation(2), [2; 32]));
        let (old, new) = (key(1).hash(&first), key(1).hash(&second));
        assert_eq!((old.generation(), new.generation()), (Generation(1), Generation(2)));
        let both = Peppers::new(vec![second.clone(), first.clone()]);
        assert!(key(1).matches(&both, &old) && key(1).matches(&both, &new));
        let alone: Peppers = second.into();
        assert!(key(1).matches(&alone, &new) && !key(1).matches(&alone, &old));
        // The bytes of one generation under the name of another.
        assert!(!key(1).matches(&both, &KeyHash::under(Generation(1), *new.as_bytes())));
        assert!(!key(1).matches(&Peppers::new(Vec::new()), &old));
        assert_eq!(format!("{both:?}"), "[Generation(2), Generation(1)]");
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:?}", key(1), key(1).hash(&Pepper::new([1; 32])));
        assert!(!shown.contains(&key(1).reveal()[11..]), "{shown}");
    }
}

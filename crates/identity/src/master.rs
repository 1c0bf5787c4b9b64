//! The master key and what is derived from it.

use std::fmt;

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};
use gatehouse_domain::key::Pepper;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Length of a master key in bytes.
pub const MASTER_KEY_LEN: usize = 32;

/// The key everything secret hangs on. Wiped when dropped; no `Debug`, no `Display`.
///
/// ```compile_fail
/// let key = gatehouse_identity::master::MasterKey::from_bytes([1; 32]);
/// println!("{key:?}");
/// ```
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; MASTER_KEY_LEN]>);

/// What a derived key is for. Each purpose has a label of its own, so that no key serves twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Hashing virtual keys and administrators' tokens.
    KeyHashes,
    /// Sealing secrets that are kept in the database.
    Sealing,
    /// The seed of the Ed25519 key that signs audit checkpoints.
    AuditSigning,
    /// The public name of the master key itself.
    KeyId,
    /// Proving access tokens. Derived from the roots, not from a master key.
    AccessTokens,
    /// Proving refresh tokens. Derived from the roots.
    RefreshTokens,
    /// Proving that a form of the sign-in page is ours. Derived from the roots.
    SignInForms,
}

impl Purpose {
    /// The HKDF `info` label. Part of the stored format: never change one.
    const fn label(self) -> &'static [u8] {
        match self {
            Self::KeyHashes => b"gatehouse/v1/key-hashes",
            Self::Sealing => b"gatehouse/v1/sealing",
            Self::AuditSigning => b"gatehouse/v1/audit-signing",
            Self::KeyId => b"gatehouse/v1/key-id",
            Self::AccessTokens => b"gatehouse/v1/access-tokens",
            Self::RefreshTokens => b"gatehouse/v1/refresh-tokens",
            Self::SignInForms => b"gatehouse/v1/sign-in-forms",
        }
    }
}

/// Names a master key without telling anything about it: 8 hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MasterKeyId([u8; 4]);

impl MasterKeyId {
    /// Reads 8 lower-case hexadecimal characters.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 4];
        (text.len() == 8 && decode_hex(text.as_bytes(), &mut bytes)).then_some(Self(bytes))
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no master key. Says nothing of the text, which may be a secret put in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMasterKey {
    /// It is neither 64 hexadecimal characters nor base64 of 32 bytes.
    #[error(
        "the master key is neither 64 hexadecimal characters nor base64 of 32 bytes ({0} characters were given); \
         make one with `openssl rand -hex 32`"
    )]
    Form(usize),
    /// It repeats one or two byte values, as a placeholder does and a random key never.
    #[error("the master key is a placeholder, not random; make one with `openssl rand -hex 32`")]
    Weak,
}

impl MasterKey {
    /// Takes 32 random bytes.
    pub fn from_bytes(bytes: [u8; MASTER_KEY_LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a key as an operator writes it: 64 hexadecimal characters, or base64 of 32 bytes (standard or URL
    /// alphabet, with or without padding); spaces and line ends around it are ignored.
    ///
    /// # Errors
    /// Any other form, and a key made of fewer than 8 different byte values (for 32 random bytes the chance of that is
    /// below 2⁻¹⁰⁰).
    pub fn parse(text: &[u8]) -> Result<Self, BadMasterKey> {
        let text = text.trim_ascii();
        let mut bytes = Zeroizing::new([0; MASTER_KEY_LEN]);
        if !decode_hex(text, &mut *bytes) && !decode_base64(text, &mut bytes) {
            return Err(BadMasterKey::Form(text.len()));
        }
        let mut seen = [false; 256];
        bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        if seen.iter().filter(|seen| **seen).count() < 8 {
            return Err(BadMasterKey::Weak);
        }
        Ok(Self(bytes))
    }

    /// The text to keep in a file that only the server's account can read: 64 hexadecimal characters.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = String::with_capacity(2 * MASTER_KEY_LEN);
        for byte in self.0.iter() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16"));
            }
        }
        Zeroizing::new(text)
    }

    /// Derives 32 bytes for a purpose, by HKDF-SHA256 (RFC 5869) without salt: the key is uniformly random already.
    pub fn derive(&self, purpose: Purpose) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        self.expand(purpose, &mut *out);
        out
    }

    /// The public name of this key, kept with what was sealed under it.
    pub fn id(&self) -> MasterKeyId {
        let mut id = [0; 4];
        self.expand(Purpose::KeyId, &mut id);
        MasterKeyId(id)
    }

    /// The secret that key hashes are made with.
    pub fn pepper(&self) -> Pepper {
        Pepper::new(*self.derive(Purpose::KeyHashes))
    }

    fn expand(&self, purpose: Purpose, out: &mut [u8]) {
        Hkdf::<Sha256>::new(None, &*self.0)
            .expand(purpose.label(), out)
            .expect("HKDF-SHA256 gives up to 8160 bytes");
    }
}

/// Fills `out` from hexadecimal text of exactly twice its length.
fn decode_hex(text: &[u8], out: &mut [u8]) -> bool {
    if text.len() != out.len() * 2 {
        return false;
    }
    text.chunks_exact(2).zip(out).all(|(pair, byte)| match (nibble(pair[0]), nibble(pair[1])) {
        (Some(high), Some(low)) => {
            *byte = high << 4 | low;
            true
        }
        _ => false,
    })
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn decode_base64(text: &[u8], out: &mut [u8; MASTER_KEY_LEN]) -> bool {
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let whole = |decoded: Result<&[u8], _>| decoded.is_ok_and(|bytes| bytes.len() == MASTER_KEY_LEN);
    whole(Base64Unpadded::decode(text, out)) || whole(Base64UrlUnpadded::decode(text, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1efb";

    fn bytes() -> [u8; 32] {
        let mut bytes = [0; 32];
        assert!(decode_hex(HEX.as_bytes(), &mut bytes));
        bytes
    }

    #[test]
    fn every_written_form_gives_the_same_key() {
        let mut padded = Base64Unpadded::encode_string(&bytes());
        padded.push('=');
        for text in [
            HEX.to_owned(),
            HEX.to_uppercase(),
            format!("  {HEX}\r\n"),
            Base64Unpadded::encode_string(&bytes()),
            Base64UrlUnpadded::encode_string(&bytes()),
            padded,
        ] {
            let key = MasterKey::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(*key.reveal(), *HEX, "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        for (text, why) in [
            ("", BadMasterKey::Form(0)),
            ("canary-passphrase", BadMasterKey::Form(17)),
            (&HEX[..63], BadMasterKey::Form(63)),
            (&format!("{HEX}00"), BadMasterKey::Form(66)),
            (&"zz".repeat(32), BadMasterKey::Form(64)),
            (&"00".repeat(32), BadMasterKey::Weak),
            (&"deadbeef".repeat(8), BadMasterKey::Weak),
        ] {
            let error = MasterKey::parse(text.as_bytes()).err().expect(text);
            assert_eq!(error, why, "{text}");
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }

    #[test]
    fn purposes_and_keys_give_unlike_bytes() {
        let all = [
            Purpose::KeyHashes,
            Purpose::Sealing,
            Purpose::AuditSigning,
            Purpose::KeyId,
            Purpose::AccessTokens,
            Purpose::RefreshTokens,
            Purpose::SignInForms,
        ];
        let (one, other) = (MasterKey::from_bytes(bytes()), MasterKey::from_bytes([9; 32]));
        let mut seen: Vec<[u8; 32]> = all.iter().flat_map(|p| [*one.derive(*p), *other.derive(*p)]).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 14);
        assert_ne!(one.id(), other.id());
    }

    /// These bytes are what a database was written with: if they change, no stored key or secret works any more.
    #[test]
    fn derivation_is_frozen() {
        let key = MasterKey::from_bytes(bytes());
        let hex = |bytes: &[u8; 32]| MasterKey::from_bytes(*bytes).reveal().to_string();
        assert_eq!(hex(&key.derive(Purpose::KeyHashes)), FROZEN[0]);
        assert_eq!(hex(&key.derive(Purpose::Sealing)), FROZEN[1]);
        assert_eq!(hex(&key.derive(Purpose::AuditSigning)), FROZEN[2]);
        assert_eq!(key.id().to_string(), FROZEN[3]);
        assert_eq!(MasterKeyId::parse(FROZEN[3]), Some(key.id()));
        assert_eq!(MasterKeyId::parse("xyz"), None);
    }

    /// Computed apart, with Python's hmac module after RFC 5869.
    const FROZEN: [&str; 4] = [
        "10d0a2f903b5283e05608834cb5e90c5f79e28a6b4bb3c017e36e92e35359077",
        "a4909ca466407c27eb163df954fe231546f215b8de31364842dd27a68d72f6c3",
        "fb48fd7b4ba291a6d75150701ef16a34e51f14c4e016d039e4c67894541f9177",
        "3457752d",
    ];
}

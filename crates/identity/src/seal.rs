//! Sealed secrets: text that can be stored and copied freely, and opened only with the master key.
//!
//! The text is `gs1.KEYID.BODY`: the format's version, the name of the master key it is sealed under, and base64 (URL
//! alphabet, no padding) of a 24-byte nonce followed by the XChaCha20-Poly1305 ciphertext. What the secret is for and
//! what it is called are bound in as associated data: a sealed text that is moved to another place does not open.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::master::{MasterKey, MasterKeyId, Purpose};
use crate::secret::Secret;

/// Random bytes that one sealing needs. 192 bits: drawn at random they never meet.
pub const NONCE_LEN: usize = 24;

/// Longest secret that is sealed, in bytes.
pub const MAX_SECRET: usize = 64 * 1024;

const VERSION: &str = "gs1";

/// What a sealed secret is for and what it is called. Both are proved when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The kind of secret, such as `provider-key`.
    pub purpose: &'a str,
    /// Which one of its kind.
    pub name: &'a str,
}

impl Place<'_> {
    /// The associated data. Lengths come first, so that no two places give the same bytes.
    fn associated_data(&self, key: MasterKeyId) -> Vec<u8> {
        let mut data = format!("{VERSION}.{key}.{}.{}.", self.purpose.len(), self.name.len()).into_bytes();
        data.extend_from_slice(self.purpose.as_bytes());
        data.extend_from_slice(self.name.as_bytes());
        data
    }
}

/// A sealed secret. Not secret itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    key: MasterKeyId,
    nonce: [u8; NONCE_LEN],
    ciphertext: Vec<u8>,
}

/// Why a secret cannot be sealed or opened. Tells nothing of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is longer than [`MAX_SECRET`].
    #[error("a secret of {0} bytes is too long to be sealed (the limit is {MAX_SECRET})")]
    TooLong(usize),
    /// The text is no sealed secret.
    #[error("the text is no sealed secret (expected `{VERSION}.`, a key's id, `.` and base64)")]
    Malformed,
    /// It was sealed under a master key that is not at hand.
    #[error("the secret was sealed under the master key `{0}`, which is not among the known ones")]
    UnknownKey(MasterKeyId),
    /// It was changed, moved from its place, or sealed under another key of the same id.
    #[error("the sealed secret does not open: it was altered or belongs to another place")]
    Broken,
}

impl Sealed {
    /// The master key it is sealed under.
    pub const fn key(&self) -> MasterKeyId {
        self.key
    }

    /// Seals a secret for a place. `nonce` must be fresh random bytes.
    ///
    /// # Errors
    /// [`SealError::TooLong`].
    pub fn seal(
        master: &MasterKey,
        place: Place<'_>,
        secret: &Secret,
        nonce: [u8; NONCE_LEN],
    ) -> Result<Self, SealError> {
        if secret.len() > MAX_SECRET {
            return Err(SealError::TooLong(secret.len()));
        }
        let key = master.id();
        let aad = place.associated_data(key);
        let ciphertext = cipher(master)
            .encrypt(&XNonce::from(nonce), Payload { msg: secret.expose(), aad: &aad })
            .map_err(|_| SealError::TooLong(secret.len()))?;
        Ok(Self { key, nonce, ciphertext })
    }

    /// Opens it with the key it names, for the place it was sealed for.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`] when `master` is another key, [`SealError::Broken`] when anything does not match.
    pub fn open(&self, master: &MasterKey, place: Place<'_>) -> Result<Secret, SealError> {
        if master.id() != self.key {
            return Err(SealError::UnknownKey(self.key));
        }
        let aad = place.associated_data(self.key);
        cipher(master)
            .decrypt(&XNonce::from(self.nonce), Payload { msg: &self.ciphertext, aad: &aad })
            .map(Secret::new)
            .map_err(|_| SealError::Broken)
    }
}

fn cipher(master: &MasterKey) -> XChaCha20Poly1305 {
    let key = master.derive(Purpose::Sealing);
    XChaCha20Poly1305::new_from_slice(&*key).expect("the key has 32 bytes")
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = Vec::with_capacity(NONCE_LEN + self.ciphertext.len());
        body.extend_from_slice(&self.nonce);
        body.extend_from_slice(&self.ciphertext);
        write!(f, "{VERSION}.{}.{}", self.key, Base64UrlUnpadded::encode_string(&body))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}.{}.[sealed]", self.key)
    }
}

impl FromStr for Sealed {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        // Poly1305 tag 16 bytes; base64 makes 4 characters of 3 bytes.
        const LONGEST: usize = (NONCE_LEN + MAX_SECRET + 16) * 4 / 3 + 64;
        let mut parts = text.split('.');
        let (Some(VERSION), Some(key), Some(body), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SealError::Malformed);
        };
        if body.len() > LONGEST {
            return Err(SealError::Malformed);
        }
        let key = MasterKeyId::parse(key).ok_or(SealError::Malformed)?;
        let body = Zeroizing::new(Base64UrlUnpadded::decode_vec(body).map_err(|_| SealError::Malformed)?);
        let (nonce, ciphertext) = body.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Malformed)?;
        if ciphertext.len() < 16 {
            return Err(SealError::Malformed);
        }
        Ok(Self { key, nonce: *nonce, ciphertext: ciphertext.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: Place<'static> = Place { purpose: "provider-key", name: "main" };

    fn master() -> MasterKey {
        MasterKey::from_bytes([5; 32])
    }

    fn sealed(text: &str) -> Sealed {
        Sealed::seal(&master(), HERE, &Secret::new(text.into()), [3; NONCE_LEN]).unwrap()
    }

    #[test]
    fn opens_in_its_place_and_shows_nothing_before() {
        let text = sealed("sk-canary").to_string();
        let read: Sealed = text.parse().unwrap();
        assert_eq!(read.open(&master(), HERE).ok().as_ref().and_then(Secret::expose_text), Some("sk-canary"));
        let shown = format!("{text} {read:?}");
        assert!(
            !shown.contains("canary") && !shown.contains(&Base64UrlUnpadded::encode_string(b"sk-canary"))
        );
    }

    #[test]
    fn another_place_or_key_does_not_open_it() {
        let sealed = sealed("x");
        for (purpose, name) in
            [("provider-key", "mai"), ("provider-ke", "ymain"), ("roots", "main"), ("", "")]
        {
            assert_eq!(
                sealed.open(&master(), Place { purpose, name }).err(),
                Some(SealError::Broken),
                "{purpose} {name}"
            );
        }
        let stranger = MasterKey::from_bytes([6; 32]);
        assert_eq!(sealed.open(&stranger, HERE).err(), Some(SealError::UnknownKey(master().id())));
        let renamed = Sealed { key: stranger.id(), ..sealed };
        assert_eq!(renamed.open(&stranger, HERE).err(), Some(SealError::Broken));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let sealed = sealed("secret");
        for at in 0..sealed.ciphertext.len() * 8 {
            let mut wrong = sealed.clone();
            wrong.ciphertext[at / 8] ^= 1 << (at % 8);
            assert_eq!(wrong.open(&master(), HERE).err(), Some(SealError::Broken), "bit {at}");
        }
        for at in 0..NONCE_LEN {
            let mut wrong = sealed.clone();
            wrong.nonce[at] ^= 1;
            assert_eq!(wrong.open(&master(), HERE).err(), Some(SealError::Broken), "nonce {at}");
        }
        let mut cut = sealed;
        cut.ciphertext.pop();
        assert_eq!(cut.open(&master(), HERE).err(), Some(SealError::Broken));
    }

    #[test]
    fn hostile_texts_are_malformed() {
        let good = sealed("x").to_string();
        for text in [
            "",
            "gs1",
            "gs1..",
            "gs2.00000000.AAAA",
            "gs1.0000000g.AAAA",
            "gs1.00000000.AAAA",
            "gs1.00000000.====",
            "gs1.00000000.A\u{e9}",
            &format!("{good}."),
            &format!("{good} "),
            &format!("gs1.00000000.{}", "A".repeat(200_000)),
        ] {
            assert_eq!(text.parse::<Sealed>().err(), Some(SealError::Malformed), "{text:.60}");
        }
    }

    #[test]
    fn too_long_a_secret_is_refused() {
        let long = Secret::new(vec![0; MAX_SECRET + 1]);
        assert_eq!(
            Sealed::seal(&master(), HERE, &long, [0; NONCE_LEN]).err(),
            Some(SealError::TooLong(MAX_SECRET + 1))
        );
        let longest = Secret::new(vec![0; MAX_SECRET]);
        let text = Sealed::seal(&master(), HERE, &longest, [0; NONCE_LEN]).unwrap().to_string();
        assert!(text.parse::<Sealed>().unwrap().open(&master(), HERE).is_ok());
    }

    proptest! {
        #[test]
        fn any_secret_comes_back(bytes: Vec<u8>, nonce: [u8; NONCE_LEN], purpose: String, name: String) {
            let place = Place { purpose: &purpose, name: &name };
            let text = Sealed::seal(&master(), place, &Secret::new(bytes.clone()), nonce).unwrap().to_string();
            let back = text.parse::<Sealed>().unwrap().open(&master(), place).ok();
            prop_assert_eq!(back.as_ref().map(Secret::expose), Some(bytes.as_slice()));
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = text.parse::<Sealed>();
            let _ = format!("gs1.00000000.{text}").parse::<Sealed>();
        }
    }
}

//! The device code: what the client polls with.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Random bytes that a device code needs: 256 bits.
pub const DEVICE_CODE_RANDOM: usize = 32;
/// Random bytes that a user code needs. Far more than the code holds, so that every code is equally likely.
pub const USER_CODE_RANDOM: usize = 16;

/// A device code. Has no `Debug` and no `Display`; [`DeviceCode::reveal`] is the one way to its text.
#[derive(Clone)]
pub struct DeviceCode(Zeroizing<[u8; DEVICE_CODE_RANDOM]>);

/// The SHA-256 of a device code: what is kept. Without a key, since nobody guesses 256 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceCodeHash([u8; 32]);

impl DeviceCode {
    /// Makes a code from random bytes.
    pub fn generate(random: &[u8; DEVICE_CODE_RANDOM]) -> Self {
        Self(Zeroizing::new(*random))
    }

    /// Reads a presented code; nothing if it cannot be one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; DEVICE_CODE_RANDOM]);
        let len = Base64UrlUnpadded::decode(text, bytes.as_mut_slice()).ok()?.len();
        (len == DEVICE_CODE_RANDOM).then_some(Self(bytes))
    }

    /// The text for the client.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64UrlUnpadded::encode_string(self.0.as_slice()))
    }

    /// What to keep, and to look for.
    pub fn hash(&self) -> DeviceCodeHash {
        DeviceCodeHash(Sha256::digest(self.0.as_slice()).into())
    }
}

impl DeviceCodeHash {
    /// The bytes as stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for DeviceCodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

//! Signed checkpoints of a chain.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::Hash;
use super::canonical::text;
use super::chain::{BadHex, read_hex, write_hex};
use crate::id::OrgId;
use crate::time::UnixMillis;

/// Signed before every checkpoint's text, so that the signature can stand for nothing else.
const DOMAIN: &str = "gatehouse audit checkpoint v1\n";

/// The public half of an Ed25519 signing key (RFC 8032). As text: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks a signature that [`Signer::sign`] made of these bytes.
    ///
    /// # Errors
    /// The key or the signature is not good.
    pub fn check(&self, domain: &str, bytes: &[u8], signature: &Signature) -> Result<(), BadCheckpoint> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadCheckpoint::Key)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(&[domain.as_bytes(), bytes].concat(), &signature)
            .map_err(|_| BadCheckpoint::Signature)
    }

    /// A short name for people: the first 16 hexadecimal digits of the key's SHA-256.
    pub fn id(&self) -> String {
        let mut id = Hash::from_bytes(Sha256::digest(self.0).into()).to_string();
        id.truncate(16);
        id
    }
}

/// An Ed25519 signature. As text: 128 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// The signature with these bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

macro_rules! hex_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadHex;

            fn from_str(text: &str) -> Result<Self, BadHex> {
                read_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_text!(PublicKey);
hex_text!(Signature);

/// Signs checkpoints. Has no `Debug`; the key is wiped when dropped.
#[derive(Clone)]
pub struct Signer(SigningKey);

impl Signer {
    /// Takes the 32 bytes of an Ed25519 secret key.
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs some bytes of a purpose: `domain` goes before them, so that the signature can stand for nothing else.
    pub fn sign(&self, domain: &str, bytes: &[u8]) -> Signature {
        Signature(self.0.sign(&[domain.as_bytes(), bytes].concat()).to_bytes())
    }
}

/// A signed statement: the organization's chain has this hash at this entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// When it was made.
    pub at: UnixMillis,
    /// How many entries there are after the checkpoint before it (or in all, for the first).
    pub count: u64,
    /// The hash of entry `seq`; [`Hash::genesis`] when `seq` is 0.
    pub hash: Hash,
    /// The key it is signed with.
    pub key: PublicKey,
    /// The node that made it.
    pub node: String,
    /// The organization.
    pub org: OrgId,
    /// The entry it covers the chain up to.
    pub seq: u64,
}

/// Why a checkpoint does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCheckpoint {
    /// The key is no point of the curve.
    #[error("its public key is not a key")]
    Key,
    /// The signature is not one of this text by this key.
    #[error("its signature does not match")]
    Signature,
}

impl Checkpoint {
    /// The canonical JSON that is signed.
    pub fn canonical(&self) -> String {
        let mut node = String::new();
        text(&mut node, &self.node);
        let Self { at, count, hash, key, node: _, org, seq } = self;
        format!(
            r#"{{"at":{},"count":{count},"hash":"{hash}","key":"{key}","node":{node},"org":"{org}","seq":{seq}}}"#,
            at.0
        )
    }

    /// Signs it. The signer must be the owner of [`Checkpoint::key`].
    pub fn sign(&self, signer: &Signer) -> Signature {
        signer.sign(DOMAIN, self.canonical().as_bytes())
    }

    /// Checks a signature by the key the checkpoint names.
    ///
    /// # Errors
    /// The key or the signature is not good.
    pub fn check(&self, signature: &Signature) -> Result<(), BadCheckpoint> {
        self.key.check(DOMAIN, self.canonical().as_bytes(), signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(signer: &Signer) -> Checkpoint {
        let org = OrgId::from_bits(3);
        Checkpoint {
            at: UnixMillis(9),
            count: 4,
            hash: Hash::genesis(org),
            key: signer.public(),
            node: "nod_1".to_owned(),
            org,
            seq: 4,
        }
    }

    #[test]
    fn a_signature_covers_every_field() {
        let signer = Signer::new(&[1; 32]);
        let good = checkpoint(&signer);
        let signature = good.sign(&signer);
        assert_eq!(good.check(&signature), Ok(()));
        let changes: [fn(&mut Checkpoint); 6] = [
            |c| c.at.0 += 1,
            |c| c.count += 1,
            |c| c.hash = Hash::from_bytes([0; 32]),
            |c| c.node.push('x'),
            |c| c.org = OrgId::from_bits(4),
            |c| c.seq += 1,
        ];
        for change in changes {
            let mut changed = good.clone();
            change(&mut changed);
            assert_eq!(changed.check(&signature), Err(BadCheckpoint::Signature));
        }
    }

    #[test]
    fn another_key_does_not_pass() {
        let (signer, other) = (Signer::new(&[1; 32]), Signer::new(&[2; 32]));
        let good = checkpoint(&signer);
        assert_eq!(good.check(&good.sign(&other)), Err(BadCheckpoint::Signature));
        let weak = Checkpoint { key: PublicKey::from_bytes([0; 32]), ..good };
        assert!(weak.check(&Signature::from_bytes([0; 64])).is_err());
    }
}

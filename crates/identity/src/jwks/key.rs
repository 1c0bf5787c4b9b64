//! One public key (JWK, RFC 7517 and RFC 7518 section 6).

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::signature::RsaPublicKeyComponents;
use serde_json::{Map, Value};

use crate::jwt::{Algorithm, KeyFamily, Scheme, shown};

/// The sizes of RSA keys that `ring` takes, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Longest public exponent, in bytes: 33 bits are what `ring` takes.
const MAX_EXPONENT: usize = 5;

/// A public key that can verify signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: Option<String>,
    /// The one algorithm it is for, if the issuer says so.
    only: Option<Algorithm>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// A point in the uncompressed form, or Ed25519's 32 bytes.
    Curve {
        family: KeyFamily,
        bytes: Vec<u8>,
    },
}

/// A key that is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key `{id}` is not used: {why}")]
pub struct Unusable {
    /// Its id, or nothing.
    pub id: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl PublicKey {
    /// Reads a key.
    pub(super) fn read(value: &Value) -> Result<Self, Unusable> {
        let id = value.get("kid").and_then(Value::as_str);
        let unusable = |why| Unusable { id: shown(id.unwrap_or_default()), why };
        let members = value.as_object().ok_or_else(|| unusable("it is no JSON object"))?;
        check_use(members).map_err(unusable)?;
        let material = Material::read(members).map_err(unusable)?;
        let only = match text(members, "alg") {
            None => None,
            Some(name) => {
                Some(Algorithm::parse(name).ok_or_else(|| unusable("its algorithm is not supported"))?)
            }
        };
        if only.is_some_and(|algorithm| algorithm.family() != material.family()) {
            return Err(unusable("its algorithm is for another type of key"));
        }
        Ok(Self { id: id.map(str::to_owned), only, material })
    }

    /// Its id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether it can have made signatures of this algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.material.family() == algorithm.family() && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether it made this signature.
    pub(crate) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        match (algorithm.scheme(), &self.material) {
            (Scheme::Rsa(scheme), Material::Rsa { modulus, exponent }) => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(scheme, signed, signature).is_ok()
            }
            (Scheme::Curve(scheme), Material::Curve { bytes, .. }) => {
                scheme.verify(bytes.as_slice().into(), signed.into(), signature.into()).is_ok()
            }
            (Scheme::Rsa(_), Material::Curve { .. }) | (Scheme::Curve(_), Material::Rsa { .. }) => false,
        }
    }
}

/// Refuses keys that are not meant for verifying, and those that are no secret any more.
fn check_use(members: &Map<String, Value>) -> Result<(), &'static str> {
    if text(members, "use").is_some_and(|purpose| purpose != "sig") {
        return Err("it is not for signatures");
    }
    let operations = members.get("key_ops").and_then(Value::as_array);
    if operations.is_some_and(|list| !list.iter().any(|operation| operation == "verify")) {
        return Err("it is not for verifying signatures");
    }
    if members.contains_key("d") {
        return Err("its private part is published, so anybody can sign with it");
    }
    Ok(())
}

impl Material {
    fn read(members: &Map<String, Value>) -> Result<Self, &'static str> {
        match (text(members, "kty"), text(members, "crv")) {
            (Some("RSA"), _) => Self::rsa(members),
            (Some("EC"), Some("P-256")) => Self::point(members, KeyFamily::P256, 32),
            (Some("EC"), Some("P-384")) => Self::point(members, KeyFamily::P384, 48),
            (Some("OKP"), Some("Ed25519")) => {
                let bytes = fixed(members, "x", 32)?;
                Ok(Self::Curve { family: KeyFamily::Ed25519, bytes })
            }
            (Some("EC" | "OKP"), _) => Err("its curve is not supported"),
            (Some("oct"), _) => Err("it is symmetric: whoever reads it can sign with it"),
            (_, _) => Err("its type is not supported"),
        }
    }

    fn rsa(members: &Map<String, Value>) -> Result<Self, &'static str> {
        let (modulus, exponent) = (integer(members, "n")?, integer(members, "e")?);
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
        if !RSA_BITS.contains(&bits) {
            return Err("its modulus has not 2048 to 8192 bits");
        }
        let odd = exponent.last().is_some_and(|last| last % 2 == 1);
        if !odd || exponent.as_slice() == [1] || exponent.len() > MAX_EXPONENT {
            return Err("its exponent is unusable");
        }
        Ok(Self::Rsa { modulus, exponent })
    }

    /// Whether the point is on the curve is checked by `ring` at each use.
    fn point(members: &Map<String, Value>, family: KeyFamily, len: usize) -> Result<Self, &'static str> {
        let mut bytes = vec![4];
        bytes.extend(fixed(members, "x", len)?);
        bytes.extend(fixed(members, "y", len)?);
        Ok(Self::Curve { family, bytes })
    }

    const fn family(&self) -> KeyFamily {
        match self {
            Self::Rsa { .. } => KeyFamily::Rsa,
            Self::Curve { family, .. } => *family,
        }
    }
}

fn text<'v>(members: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    members.get(name).and_then(Value::as_str)
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let encoded = text(members, name).ok_or("a part of it is missing")?;
    Base64UrlUnpadded::decode_vec(encoded).map_err(|_| "a part of it is not base64url")
}

/// A coordinate: of the curve's full length (RFC 7518 section 6.2.1.2).
fn fixed(members: &Map<String, Value>, name: &str, len: usize) -> Result<Vec<u8>, &'static str> {
    let bytes = bytes(members, name)?;
    if bytes.len() == len { Ok(bytes) } else { Err("a part of it has the wrong length") }
}

/// A big-endian number. Leading zeros, which some issuers send, are taken off.
fn integer(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = bytes(members, name)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    Ok(bytes)
}

//! The public keys of passkeys (COSE, RFC 9052 and RFC 9053).

use ciborium::Value;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

use super::BadPasskey;
use super::authenticator::value;

/// The algorithms that are offered, the best liked first: ES256, `EdDSA` and RS256, by their numbers in the registry.
pub const ALGORITHMS: [i64; 3] = [ES256, ED_DSA, RS256];

const ES256: i64 = -7;
const ED_DSA: i64 = -8;
const RS256: i64 = -257;
/// Longest key, in bytes: RSA of 4096 bits has some 530.
const MAX_KEY: usize = 1024;
/// Bytes of an RSA modulus that are taken: 2048 to 4096 bits.
const RSA: std::ops::RangeInclusive<usize> = 256..=512;
const MALFORMED: BadPasskey = BadPasskey::Malformed("the public key");

/// A public key of one of the [`ALGORITHMS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    cose: Vec<u8>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// On P-256: `04`, x, y.
    Es256([u8; 65]),
    Ed25519([u8; 32]),
    Rs256 {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads a `COSE_Key`, as devices give it and as it is stored.
    ///
    /// # Errors
    /// It is none, or of a kind that was not offered.
    pub fn parse(cose: &[u8]) -> Result<Self, BadPasskey> {
        if cose.len() > MAX_KEY {
            return Err(BadPasskey::TooLong("the public key"));
        }
        let mut rest = cose;
        let members = value(&mut rest).filter(|_| rest.is_empty()).and_then(|read| read.into_map().ok());
        let members = Members(members.ok_or(MALFORMED)?);
        if !members.are_distinct() {
            return Err(MALFORMED);
        }
        let kind = match (members.number(1), members.number(3)) {
            (Some(2), Some(ES256)) if members.number(-1) == Some(1) => es256(&members)?,
            (Some(1), Some(ED_DSA)) if members.number(-1) == Some(6) => {
                Kind::Ed25519(members.bytes(-2).and_then(|x| x.try_into().ok()).ok_or(MALFORMED)?)
            }
            (Some(3), Some(RS256)) => rs256(&members)?,
            _ => return Err(BadPasskey::Algorithm),
        };
        Ok(Self { cose: cose.to_vec(), kind })
    }

    /// The bytes it was read from, to be stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.cose
    }

    /// Checks a signature.
    ///
    /// # Errors
    /// [`BadPasskey::Signature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadPasskey> {
        let checked = match &self.kind {
            Kind::Es256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point.as_slice())
                    .verify(message, signature)
            }
            Kind::Ed25519(point) => {
                UnparsedPublicKey::new(&signature::ED25519, point.as_slice()).verify(message, signature)
            }
            Kind::Rs256 { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
        };
        checked.map_err(|_| BadPasskey::Signature)
    }
}

fn es256(members: &Members) -> Result<Kind, BadPasskey> {
    let coordinate = |label| -> Option<[u8; 32]> { members.bytes(label)?.try_into().ok() };
    let (x, y) = coordinate(-2).zip(coordinate(-3)).ok_or(MALFORMED)?;
    let mut point = [4; 65];
    point[1..33].copy_from_slice(&x);
    point[33..].copy_from_slice(&y);
    Ok(Kind::Es256(point))
}

fn rs256(members: &Members) -> Result<Kind, BadPasskey> {
    let (n, e) = members.bytes(-1).zip(members.bytes(-2)).ok_or(MALFORMED)?;
    let starts_well = |number: &[u8]| number.first().is_some_and(|byte| *byte != 0);
    if !RSA.contains(&n.len()) || e.len() > 4 || !starts_well(n) || !starts_well(e) {
        return Err(MALFORMED);
    }
    Ok(Kind::Rs256 { n: n.to_vec(), e: e.to_vec() })
}

/// The members of a key by their numbers.
struct Members(Vec<(Value, Value)>);

impl Members {
    fn are_distinct(&self) -> bool {
        let labels = || self.0.iter().map(|(label, _)| label);
        labels().enumerate().all(|(at, label)| labels().take(at).all(|before| before != label))
    }

    fn get(&self, label: i64) -> Option<&Value> {
        let wanted = Value::from(label);
        self.0.iter().find(|(known, _)| *known == wanted).map(|(_, value)| value)
    }

    fn number(&self, label: i64) -> Option<i64> {
        self.get(label)?.as_integer().and_then(|number| number.try_into().ok())
    }

    fn bytes(&self, label: i64) -> Option<&[u8]> {
        self.get(label)?.as_bytes().map(Vec::as_slice)
    }
}

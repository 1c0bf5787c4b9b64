//! A device with a passkey, as far as a server sees it: what its signatures are about, and how they are wrapped.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

/// The person is there and was verified.
pub const VERIFIED: u8 = 0x05;
/// The person is there.
pub const PRESENT: u8 = 0x01;

/// A device with one passkey. What it says can be changed.
pub struct Authenticator {
    key: EcdsaKeyPair,
    random: SystemRandom,
    /// The identifier of its passkey.
    pub id: Vec<u8>,
    /// How often it has signed; 0 for a device that does not count.
    pub counter: u32,
    /// What it says of the person.
    pub flags: u8,
    /// The site that the browser is at.
    pub origin: String,
    /// The relying party that the device was asked by.
    pub party: String,
}

/// A signature as a browser sends it.
pub struct Signed {
    /// What the browser says of the request.
    pub client_data: Vec<u8>,
    /// What the device says of itself.
    pub authenticator_data: Vec<u8>,
    /// The signature over both.
    pub signature: Vec<u8>,
}

/// Bytes as browsers write them.
pub fn base64(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// The bytes of such a text.
///
/// # Panics
/// It is none.
pub fn bytes(text: &str) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(text).expect("base64 of bytes")
}

impl Authenticator {
    /// A device with a fresh key whose passkey has this identifier.
    ///
    /// # Panics
    /// The machine gives no randomness.
    pub fn new(id: &[u8], origin: &str, party: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random);
        Self {
            key: key.expect("a key that was just made"),
            random,
            id: id.to_vec(),
            counter: 1,
            flags: VERIFIED,
            origin: origin.to_owned(),
            party: party.to_owned(),
        }
    }

    /// What the browser says of a request of this kind.
    pub fn client_data(&self, kind: &str, challenge: &str) -> Vec<u8> {
        let origin = &self.origin;
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#)
            .into_bytes()
    }

    /// The public key (COSE).
    pub fn public_key(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let mut cose = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
        cose.extend_from_slice(&point[1..33]);
        cose.extend_from_slice(&[0x22, 0x58, 0x20]);
        cose.extend_from_slice(&point[33..]);
        cose
    }

    /// What the device says of itself; with the passkey when it was just made.
    ///
    /// # Panics
    /// The identifier is too long to be counted.
    pub fn data(&self, with_passkey: bool) -> Vec<u8> {
        let mut data = digest(&SHA256, self.party.as_bytes()).as_ref().to_vec();
        data.push(self.flags | if with_passkey { 0x40 } else { 0 });
        data.extend_from_slice(&self.counter.to_be_bytes());
        if with_passkey {
            data.extend_from_slice(&[0; 16]);
            data.extend_from_slice(&u16::try_from(self.id.len()).expect("a short identifier").to_be_bytes());
            data.extend_from_slice(&self.id);
            data.extend_from_slice(&self.public_key());
        }
        data
    }

    /// The attestation object for a passkey that was just made, without attestation.
    ///
    /// # Panics
    /// The data is too long to be counted.
    pub fn attestation(&self) -> Vec<u8> {
        let data = self.data(true);
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        object.extend_from_slice(&u16::try_from(data.len()).expect("short data").to_be_bytes());
        object.extend_from_slice(&data);
        object
    }

    /// Signs a challenge, and counts.
    ///
    /// # Panics
    /// The machine gives no randomness.
    pub fn sign(&mut self, challenge: &str) -> Signed {
        if self.counter > 0 {
            self.counter += 1;
        }
        let (client_data, authenticator_data) =
            (self.client_data("webauthn.get", challenge), self.data(false));
        let mut message = authenticator_data.clone();
        message.extend_from_slice(digest(&SHA256, &client_data).as_ref());
        let signature = self.key.sign(&self.random, &message).expect("a signature").as_ref().to_vec();
        Signed { client_data, authenticator_data, signature }
    }
}

/// The six digits of an authenticator app with this secret (base 32, spaces ignored) in a 30-second span counted from 1970
/// (RFC 6238).
///
/// # Panics
/// The secret is no base 32.
pub fn totp(secret: &str, step: u64) -> String {
    let (mut key, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for character in secret.bytes().filter(|c| *c != b' ') {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'2'..=b'7' => character - b'2' + 26,
            other => panic!("`{}` is no base 32", char::from(other)),
        };
        bits = (bits << 5) | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            key.push(u8::try_from(bits >> held).unwrap());
            bits &= (1 << held) - 1;
        }
    }
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = ring::hmac::sign(&key, &step.to_be_bytes());
    let offset = usize::from(tag.as_ref()[19] & 15);
    let number = u32::from_be_bytes(tag.as_ref()[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::totp;

    /// RFC 6238 appendix B.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ";
        assert_eq!((totp(secret, 1), totp(secret, 37_037_037)), ("287082".to_owned(), "050471".to_owned()));
    }
}

//! Keys that sign tokens for tests.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

pub(crate) const NOW: gatehouse_domain::time::UnixMillis =
    gatehouse_domain::time::UnixMillis(1_795_000_000_000);

/// A signing key of a fake issuer.
pub(crate) enum Signer {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

/// `now` in seconds, moved.
pub(crate) fn seconds(offset: i64) -> i64 {
    NOW.0 / 1000 + offset
}

impl Signer {
    pub(crate) fn p256() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
        Self::P256(pair.unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    /// The public half as a JWK.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": base64(x), "y": base64(y)})
            }
            Self::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64(pair.public_key())})
            }
        }
    }

    /// A token with this header and these claims, whatever they say.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = match self {
            Self::P256(pair) => pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", base64(signature))
    }

    /// A token with a usual header.
    pub(crate) fn token(&self, kid: &str, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm(), "kid": kid, "typ": "JWT"}), claims)
    }
}

/// Claims of a good ID token, with these in addition or instead; `"-"` takes one out.
pub(crate) fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "https://idp.example.com", "sub": "alice-1", "aud": "gatehouse",
        "iat": seconds(-1), "exp": seconds(3600), "email": "Alice@Example.com", "email_verified": true, "name": "Alice",
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (name, value) in changes {
        claims.as_object_mut().unwrap().insert(name, value);
    }
    claims.as_object_mut().unwrap().retain(|_, value| *value != json!("-"));
    claims
}

//! Passkeys: what a relying party checks of them (Web Authentication level 3, <https://www.w3.org/TR/webauthn-3/>,
//! sections 7.1 and 7.2).
//!
//! A credential is believed for the signatures that it makes, not for who made the device: attestation is `none`. The person
//! must have been verified by the device (a fingerprint, a PIN), so that one passkey is two factors. Where we are is an
//! argument that comes from the configuration; challenges are kept, and used up, by the caller. The signatures are checked by
//! `ring`.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::{Host, Url};

pub use key::{ALGORITHMS, PublicKey};

mod authenticator;
mod client;
mod key;
#[cfg(test)]
mod tests;

use authenticator::AuthenticatorData;

/// Random bytes of a challenge.
pub const CHALLENGE_LEN: usize = 32;
/// Longest identifier of a credential, in bytes (section 7.1 step 25).
pub const MAX_ID: usize = 1023;
/// Longest client data, in bytes.
pub const MAX_CLIENT_DATA: usize = 4096;
/// Longest attestation object or authenticator data, in bytes.
pub const MAX_DATA: usize = 8192;
/// Longest signature, in bytes: RSA of 4096 bits has 512.
pub const MAX_SIGNATURE: usize = 1024;

/// What a signature must be about. Drawn at random, good once.
pub type Challenge = [u8; CHALLENGE_LEN];

/// Why a passkey is not accepted. Whoever shows it is told the same in every case; the log has the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPasskey {
    /// Something is longer than it can be.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// Something cannot be read.
    #[error("{0} cannot be read")]
    Malformed(&'static str),
    /// The browser did something else than it was asked for.
    #[error("it is the answer to another kind of request")]
    Kind,
    /// It answers another request.
    #[error("it answers another challenge")]
    Challenge,
    /// It was asked for on another site, or inside of one.
    #[error("it was made for another site")]
    Origin,
    /// The device made it for another site.
    #[error("the device made it for another relying party")]
    Party,
    /// The device says who made it, which was not asked for.
    #[error("it carries an attestation, which was not asked for")]
    Attestation,
    /// The key is of a kind that was not offered.
    #[error("its key is of a kind that was not offered")]
    Algorithm,
    /// The signature is wrong.
    #[error("its signature does not match its key")]
    Signature,
    /// The device did not make sure that the person is there, and is the right one.
    #[error("the device has not verified the person")]
    NotVerified,
}

/// Where we are, for browsers: a relying party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    origin: String,
    id: String,
}

/// A credential that was made for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its identifier, 1 to [`MAX_ID`] bytes. The device chose it.
    pub id: Vec<u8>,
    /// Its public key.
    pub key: PublicKey,
    /// How often it has signed; 0 when it does not count.
    pub counter: u32,
}

/// What a browser sends of a signature.
#[derive(Debug, Clone, Copy)]
pub struct Assertion<'a> {
    /// What the browser says of the request, in JSON.
    pub client_data: &'a [u8],
    /// What the device says of itself.
    pub authenticator_data: &'a [u8],
    /// The signature over both.
    pub signature: &'a [u8],
}

impl Party {
    /// The relying party at this origin (scheme, host and port); none where the host is an address, since browsers make
    /// passkeys for names only (section 5.1.3 step 8).
    pub fn at(origin: &str) -> Option<Self> {
        let url = Url::parse(origin).ok()?;
        match url.host()? {
            Host::Domain(name) => Some(Self { origin: origin.to_owned(), id: name.to_owned() }),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    /// Its identifier: the host's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The credential that was made in answer to this challenge (section 7.1). Whether another account has it already is for
    /// the caller to see.
    ///
    /// # Errors
    /// When it is not accepted.
    pub fn register(
        &self,
        challenge: &Challenge,
        client_data: &[u8],
        attestation: &[u8],
    ) -> Result<Credential, BadPasskey> {
        client::check(client_data, client::CREATE, challenge, &self.origin)?;
        let data = authenticator::attested(attestation)?;
        let data = AuthenticatorData::parse(&data)?;
        self.is_for_us(&data)?;
        let (id, key) = data.credential.ok_or(BadPasskey::Malformed("the credential"))?;
        if !data.is_verified {
            return Err(BadPasskey::NotVerified);
        }
        Ok(Credential { id, key, counter: data.counter })
    }

    /// Checks a signature in answer to this challenge (section 7.2), and gives the device's count, which must be compared with
    /// the one that is stored: see [`is_copied`].
    ///
    /// # Errors
    /// When it is not accepted.
    pub fn authenticate(
        &self,
        challenge: &Challenge,
        key: &PublicKey,
        given: &Assertion<'_>,
    ) -> Result<u32, BadPasskey> {
        client::check(given.client_data, client::GET, challenge, &self.origin)?;
        let data = AuthenticatorData::parse(given.authenticator_data)?;
        self.is_for_us(&data)?;
        if data.credential.is_some() {
            return Err(BadPasskey::Malformed("the authenticator data"));
        }
        if given.signature.len() > MAX_SIGNATURE {
            return Err(BadPasskey::TooLong("the signature"));
        }
        let mut message = given.authenticator_data.to_vec();
        message.extend_from_slice(&Sha256::digest(given.client_data));
        key.verify(&message, given.signature)?;
        // Last, so that nothing is said of the person in the name of a device that did not sign it.
        if data.is_verified { Ok(data.counter) } else { Err(BadPasskey::NotVerified) }
    }

    fn is_for_us(&self, data: &AuthenticatorData) -> Result<(), BadPasskey> {
        let ours = Sha256::digest(self.id.as_bytes());
        if bool::from(data.party.ct_eq(ours.as_slice())) { Ok(()) } else { Err(BadPasskey::Party) }
    }
}

/// Whether a device's count says that there are two of it: it must grow, unless the device never counts (section 6.1.1).
pub const fn is_copied(stored: u32, shown: u32) -> bool {
    (stored != 0 || shown != 0) && shown <= stored
}

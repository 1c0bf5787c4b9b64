//! The secrets that must outlive a change of the master key.
//!
//! Key hashes are made with the pepper and audit checkpoints are signed with one key: if either changed with the master
//! key, every virtual key would stop working. So both are derived once, from the first master key, then kept sealed. What
//! proves the tokens of sessions is derived from the pepper, so that a new master key signs nobody out.
//!
//! They are the beginning of a [`Keyset`](crate::keyset::Keyset), in which each key can be replaced.

use gatehouse_domain::key::Pepper;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::keyring::Keyring;
use crate::keyset::Kind;
use crate::master::{MasterKey, Purpose};
use crate::seal::{NONCE_LEN, Place, SealError, Sealed};
use crate::secret::Secret;

/// Where the roots are sealed.
pub const PLACE: Place<'static> = Place { purpose: "roots", name: "roots" };

/// The pepper and the audit key's seed. Wiped when dropped; no `Debug`.
///
/// ```compile_fail
/// # use gatehouse_identity::{master::MasterKey, roots::Roots};
/// println!("{:?}", Roots::of(&MasterKey::from_bytes([1; 32])));
/// ```
#[derive(Clone)]
pub struct Roots {
    pepper: Zeroizing<[u8; 32]>,
    audit_seed: Zeroizing<[u8; 32]>,
}

impl Roots {
    /// Derives them from the first master key.
    pub fn of(master: &MasterKey) -> Self {
        Self { pepper: master.derive(Purpose::KeyHashes), audit_seed: master.derive(Purpose::AuditSigning) }
    }

    /// What key hashes are made with.
    pub fn pepper(&self) -> Pepper {
        Pepper::new(*self.pepper)
    }

    /// The seed of the Ed25519 key that signs audit checkpoints.
    pub fn audit_seed(&self) -> &Zeroizing<[u8; 32]> {
        &self.audit_seed
    }

    /// The first key of each kind.
    pub(crate) fn first(&self, kind: Kind) -> Zeroizing<[u8; 32]> {
        match kind {
            Kind::Hashes => self.pepper.clone(),
            Kind::AccessTokens => self.access_seed(),
            Kind::RefreshTokens => self.refresh_seed(),
            Kind::SignInForms => self.form_seed(),
            Kind::Audit => self.audit_seed.clone(),
            Kind::Bundles => self.bundle_seed(),
        }
    }

    /// What proves access tokens.
    pub(crate) fn access_seed(&self) -> Zeroizing<[u8; 32]> {
        self.derive(Purpose::AccessTokens)
    }

    /// What proves refresh tokens.
    pub(crate) fn refresh_seed(&self) -> Zeroizing<[u8; 32]> {
        self.derive(Purpose::RefreshTokens)
    }

    /// What proves that a form of the sign-in page is ours.
    pub(crate) fn form_seed(&self) -> Zeroizing<[u8; 32]> {
        self.derive(Purpose::SignInForms)
    }

    /// The pepper is as good a key as any to derive others from: HKDF keeps apart what has another label.
    fn derive(&self, purpose: Purpose) -> Zeroizing<[u8; 32]> {
        MasterKey::from_bytes(*self.pepper).derive(purpose)
    }

    /// The seed of the Ed25519 key that signs bundles of settings: derived from the audit key's by HKDF-SHA256 (RFC 5869), so
    /// that it lasts as long and tells nothing of it.
    pub fn bundle_seed(&self) -> Zeroizing<[u8; 32]> {
        let mut seed = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &*self.audit_seed)
            .expand(b"gatehouse/v1/settings-bundles", &mut *seed)
            .expect("HKDF-SHA256 gives up to 8160 bytes");
        seed
    }

    /// Seals them under the newest master key, to be kept in the database.
    pub fn seal(&self, ring: &Keyring, nonce: [u8; NONCE_LEN]) -> Sealed {
        let mut both = Vec::with_capacity(Self::LEN);
        both.extend_from_slice(&*self.pepper);
        both.extend_from_slice(&*self.audit_seed);
        ring.seal(PLACE, &Secret::new(both), nonce).expect("64 bytes are not too long")
    }

    /// How many bytes are sealed.
    pub(crate) const LEN: usize = 64;

    /// Opens them again.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`] when the master key that sealed them is gone, [`SealError::Broken`] when they were altered.
    pub fn open(ring: &Keyring, sealed: &Sealed) -> Result<Self, SealError> {
        Self::read(&ring.open(PLACE, sealed)?)
    }

    /// Reads what was sealed.
    pub(crate) fn read(both: &Secret) -> Result<Self, SealError> {
        let (pepper, rest) = both.expose().split_first_chunk::<32>().ok_or(SealError::Broken)?;
        let audit_seed = rest.try_into().map_err(|_| SealError::Broken)?;
        Ok(Self { pepper: Zeroizing::new(*pepper), audit_seed: Zeroizing::new(audit_seed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> MasterKey {
        MasterKey::from_bytes([n; 32])
    }

    #[test]
    fn stay_the_same_through_a_rotation() {
        let first = Roots::of(&key(1));
        let stored = first.seal(&Keyring::new(key(1), vec![]), [1; NONCE_LEN]);

        let ring = Keyring::new(key(2), vec![key(1)]);
        let stored = ring.reseal(PLACE, &stored, [2; NONCE_LEN]).unwrap().unwrap();
        let after = Roots::open(&Keyring::new(key(2), vec![]), &stored).expect("sealed under the new key");

        assert_eq!(*after.pepper, *first.pepper);
        assert_eq!(*after.audit_seed(), *first.audit_seed());
        assert_eq!(*after.bundle_seed(), *first.bundle_seed());
        assert_ne!(*first.bundle_seed(), **first.audit_seed());
        assert_ne!(*after.pepper, *Roots::of(&key(2)).pepper);
    }

    #[test]
    fn half_a_secret_is_no_root() {
        let ring = Keyring::new(key(1), vec![]);
        for len in [0, 31, 63, 65] {
            let sealed = ring.seal(PLACE, &Secret::new(vec![1; len]), [1; NONCE_LEN]).unwrap();
            assert_eq!(Roots::open(&ring, &sealed).err(), Some(SealError::Broken), "{len}");
        }
    }
}

//! The known master keys: one that seals, and others that still open.
//!
//! Rotation without a stop: let every node know the new key (a ring is replaced while the server runs), then
//! [`Keyring::seal_under`] it and [`Keyring::reseal`] everything stored, then drop the old one.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::master::{MasterKey, MasterKeyId};
use crate::seal::{NONCE_LEN, Place, SealError, Sealed};
use crate::secret::Secret;

/// All master keys of this installation. Clones share one ring: what is replaced in one is replaced in all.
#[derive(Clone)]
pub struct Keyring(Arc<RwLock<Arc<Ring>>>);

struct Ring {
    /// The configured one first, never empty.
    keys: Vec<MasterKey>,
    /// The key that seals.
    seals: MasterKeyId,
}

impl Ring {
    fn find(&self, id: MasterKeyId) -> Option<&MasterKey> {
        self.keys.iter().find(|key| key.id() == id)
    }

    fn sealing(&self) -> &MasterKey {
        self.find(self.seals).unwrap_or(&self.keys[0])
    }
}

/// Shows the keys' public ids only.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Keyring {
    /// A ring of the key that is configured to seal with and those that may have sealed before.
    pub fn new(newest: MasterKey, older: Vec<MasterKey>) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(ring(newest, older)))))
    }

    /// The key that is configured to seal with.
    pub fn newest(&self) -> MasterKey {
        self.ring().keys[0].clone()
    }

    /// The key that seals now: the newest, unless [`Keyring::seal_under`] said otherwise.
    pub fn sealing(&self) -> MasterKey {
        self.ring().sealing().clone()
    }

    /// All keys, the configured one first.
    pub fn keys(&self) -> Vec<MasterKey> {
        self.ring().keys.clone()
    }

    /// The public names of all keys, the configured one first.
    pub fn ids(&self) -> Vec<MasterKeyId> {
        self.ring().keys.iter().map(MasterKey::id).collect()
    }

    /// Whether a key of this id is at hand.
    pub fn knows(&self, id: MasterKeyId) -> bool {
        self.ring().find(id).is_some()
    }

    /// Takes other keys. The one that seals goes on sealing if it is among them.
    pub fn replace(&self, by: &Self) {
        let (new, old) = (by.ring(), self.ring());
        let mut next = Ring { keys: new.keys.clone(), seals: new.seals };
        if next.find(old.seals).is_some() {
            next.seals = old.seals;
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    /// Seals under this key from now on; false when it is not at hand, and then nothing changes.
    pub fn seal_under(&self, id: MasterKeyId) -> bool {
        let mut ring = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if ring.find(id).is_none() {
            return false;
        }
        *ring = Arc::new(Ring { keys: ring.keys.clone(), seals: id });
        true
    }

    /// Seals under the key that seals now. `nonce` must be fresh random bytes.
    ///
    /// # Errors
    /// [`SealError::TooLong`].
    pub fn seal(
        &self,
        place: Place<'_>,
        secret: &Secret,
        nonce: [u8; NONCE_LEN],
    ) -> Result<Sealed, SealError> {
        Sealed::seal(self.ring().sealing(), place, secret, nonce)
    }

    /// Opens with whichever known key sealed it.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`] or [`SealError::Broken`].
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        let ring = self.ring();
        let key = ring.find(sealed.key()).ok_or(SealError::UnknownKey(sealed.key()))?;
        sealed.open(key, place)
    }

    /// Seals anew under the key that seals now; `None` when it is so already.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn reseal(
        &self,
        place: Place<'_>,
        sealed: &Sealed,
        nonce: [u8; NONCE_LEN],
    ) -> Result<Option<Sealed>, SealError> {
        if sealed.key() == self.ring().sealing().id() {
            return Ok(None);
        }
        let secret = self.open(place, sealed)?;
        self.seal(place, &secret, nonce).map(Some)
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn ring(newest: MasterKey, older: Vec<MasterKey>) -> Ring {
    let seals = newest.id();
    Ring { keys: std::iter::once(newest).chain(older).collect(), seals }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'static> = Place { purpose: "test", name: "one" };

    fn key(n: u8) -> MasterKey {
        MasterKey::from_bytes([n; 32])
    }

    fn canary() -> Secret {
        Secret::new(b"canary".to_vec())
    }

    #[test]
    fn rotates_from_one_key_to_the_next() {
        let (old, new) = (Keyring::new(key(1), vec![]), Keyring::new(key(2), vec![key(1)]));
        let first = old.seal(HERE, &canary(), [1; NONCE_LEN]).unwrap();
        assert_eq!(old.reseal(HERE, &first, [2; NONCE_LEN]), Ok(None));

        let second = new.reseal(HERE, &first, [2; NONCE_LEN]).unwrap().expect("sealed under the old key");
        assert_eq!(second.key(), key(2).id());

        let after = Keyring::new(key(2), vec![]);
        assert_eq!(after.open(HERE, &second).ok().as_ref().and_then(Secret::expose_text), Some("canary"));
        assert_eq!(after.open(HERE, &first).err(), Some(SealError::UnknownKey(key(1).id())));
        assert!(new.knows(key(1).id()) && !after.knows(key(1).id()));
    }

    /// A node that has the new key must not seal with it before the others have it too.
    #[test]
    fn a_replaced_ring_seals_as_before_until_it_is_told_otherwise() {
        let ring = Keyring::new(key(1), vec![]);
        let shared = ring.clone();
        ring.replace(&Keyring::new(key(2), vec![key(1)]));
        assert_eq!((shared.newest().id(), shared.sealing().id()), (key(2).id(), key(1).id()));
        assert_eq!(shared.seal(HERE, &canary(), [1; NONCE_LEN]).unwrap().key(), key(1).id());
        assert!(!shared.seal_under(key(3).id()) && shared.seal_under(key(2).id()));
        assert_eq!(ring.seal(HERE, &canary(), [1; NONCE_LEN]).unwrap().key(), key(2).id());
        ring.replace(&Keyring::new(key(3), vec![]));
        assert_eq!(ring.sealing().id(), key(3).id(), "the one that sealed is gone");
        assert_eq!(ring.ids(), [key(3).id()]);
    }

    #[test]
    fn debug_shows_ids_only() {
        let ring = Keyring::new(key(1), vec![key(2)]);
        assert_eq!(format!("{ring:?}"), format!("[{}, {}]", key(1).id(), key(2).id()));
        assert!(!format!("{ring:?}").contains(&key(1).reveal()[..8]));
    }
}

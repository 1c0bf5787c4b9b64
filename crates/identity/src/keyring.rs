//! The known master keys: one that seals, and older ones that still open.
//!
//! Rotation without a stop: put the new key first and keep the old one, start, [`Keyring::reseal`] everything stored,
//! then drop the old one.

use std::fmt;

use crate::master::{MasterKey, MasterKeyId};
use crate::seal::{NONCE_LEN, Place, SealError, Sealed};
use crate::secret::Secret;

/// All master keys of this installation, the newest first.
#[derive(Clone)]
pub struct Keyring {
    newest: MasterKey,
    older: Vec<MasterKey>,
}

/// Shows the keys' public ids only.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys().map(MasterKey::id)).finish()
    }
}

impl Keyring {
    /// A ring of the key to seal with and those that may have sealed before.
    pub fn new(newest: MasterKey, older: Vec<MasterKey>) -> Self {
        Self { newest, older }
    }

    /// The key that seals.
    pub const fn newest(&self) -> &MasterKey {
        &self.newest
    }

    /// Whether a key of this id is at hand.
    pub fn knows(&self, id: MasterKeyId) -> bool {
        self.keys().any(|key| key.id() == id)
    }

    /// Seals under the newest key. `nonce` must be fresh random bytes.
    ///
    /// # Errors
    /// [`SealError::TooLong`].
    pub fn seal(
        &self,
        place: Place<'_>,
        secret: &Secret,
        nonce: [u8; NONCE_LEN],
    ) -> Result<Sealed, SealError> {
        Sealed::seal(&self.newest, place, secret, nonce)
    }

    /// Opens with whichever known key sealed it.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`] or [`SealError::Broken`].
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        let key =
            self.keys().find(|key| key.id() == sealed.key()).ok_or(SealError::UnknownKey(sealed.key()))?;
        sealed.open(key, place)
    }

    /// Seals anew under the newest key; `None` when it is so already.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn reseal(
        &self,
        place: Place<'_>,
        sealed: &Sealed,
        nonce: [u8; NONCE_LEN],
    ) -> Result<Option<Sealed>, SealError> {
        if sealed.key() == self.newest.id() {
            return Ok(None);
        }
        let secret = self.open(place, sealed)?;
        self.seal(place, &secret, nonce).map(Some)
    }

    fn keys(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'static> = Place { purpose: "test", name: "one" };

    fn key(n: u8) -> MasterKey {
        MasterKey::from_bytes([n; 32])
    }

    #[test]
    fn rotates_from_one_key_to_the_next() {
        let (old, new) = (Keyring::new(key(1), vec![]), Keyring::new(key(2), vec![key(1)]));
        let first = old.seal(HERE, &Secret::new(b"canary".to_vec()), [1; NONCE_LEN]).unwrap();
        assert_eq!(old.reseal(HERE, &first, [2; NONCE_LEN]), Ok(None));

        let second = new.reseal(HERE, &first, [2; NONCE_LEN]).unwrap().expect("sealed under the old key");
        assert_eq!(second.key(), key(2).id());

        let after = Keyring::new(key(2), vec![]);
        assert_eq!(after.open(HERE, &second).ok().as_ref().and_then(Secret::expose_text), Some("canary"));
        assert_eq!(after.open(HERE, &first).err(), Some(SealError::UnknownKey(key(1).id())));
        assert!(new.knows(key(1).id()) && !after.knows(key(1).id()));
    }

    #[test]
    fn debug_shows_ids_only() {
        let ring = Keyring::new(key(1), vec![key(2)]);
        assert_eq!(format!("{ring:?}"), format!("[{}, {}]", key(1).id(), key(2).id()));
        assert!(!format!("{ring:?}").contains(&key(1).reveal()[..8]));
    }
}

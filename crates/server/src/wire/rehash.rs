//! Keys to hash anew: those that were used and are kept under an older pepper.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gatehouse_domain::id::KeyId;
use gatehouse_domain::key::KeyHash;
use gatehouse_store::rotation::Rehashed;

/// Most keys that wait to be written. Those beyond come again with their next use.
const MOST: usize = 10_000;

/// Those that wait to be written.
#[derive(Default)]
pub(super) struct Rehashes(Mutex<HashMap<KeyId, (KeyHash, KeyHash)>>);

impl Rehashes {
    /// Notes one. Returns at once.
    pub(super) fn note(&self, key: KeyId, old: KeyHash, new: KeyHash) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST || waiting.contains_key(&key) {
            waiting.insert(key, (old, new));
        }
    }

    /// Takes all of them.
    pub(super) fn take(&self) -> Vec<Rehashed> {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().map(|(id, (old, new))| Rehashed { id, old, new }).collect()
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::key::Generation;

    use super::*;

    #[test]
    fn a_key_waits_once_and_the_room_has_an_end() {
        let waiting = Rehashes::default();
        let hash = |n, byte| KeyHash::under(Generation(n), [byte; 32]);
        for n in 0..=u128::try_from(MOST).unwrap() {
            waiting.note(KeyId::from_bits(n), hash(1, 1), hash(2, 2));
        }
        waiting.note(KeyId::from_bits(0), hash(1, 1), hash(3, 3));
        let taken = waiting.take();
        assert_eq!(taken.len(), MOST);
        let first = taken.iter().find(|key| key.id == KeyId::from_bits(0)).unwrap();
        assert_eq!((first.old, first.new), (hash(1, 1), hash(3, 3)));
        assert!(waiting.take().is_empty());
    }
}

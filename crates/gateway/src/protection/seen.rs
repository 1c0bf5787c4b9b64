//! Texts that were looked at, by a keyed digest, with what was found. Their content is not kept.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parts, each with a lock of its own, which is held for a look-up.
const PARTS: usize = 16;
/// Most texts that each part remembers twice over: when as many have come anew, those that were not asked for since the time
/// before are forgotten. So 131,072 texts at most are remembered, in some 8 MiB.
const HALF: usize = 4096;

/// What was found in a text; most have nothing.
pub(super) type Found = Option<Box<[(u16, u32)]>>;

/// What was looked at.
#[derive(Default)]
pub(super) struct Seen([Mutex<Part>; PARTS]);

#[derive(Default)]
struct Part {
    young: Texts,
    old: Texts,
}

type Texts = HashMap<u128, Found, BuildHasherDefault<Digest>>;

/// The keys are digests already.
#[derive(Default)]
struct Digest(u64);

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = u64::try_from(key & u128::from(u64::MAX)).unwrap_or_default();
    }
}

impl Seen {
    /// What was found in a text, if it is remembered.
    pub(super) fn find(&self, key: u128) -> Option<Found> {
        let mut part = self.part(key);
        if let Some(found) = part.young.get(&key) {
            return Some(found.clone());
        }
        let found = part.old.remove(&key)?;
        part.put(key, found.clone());
        Some(found)
    }

    /// Remembers what was found in a text; says whether it was not known.
    pub(super) fn note(&self, key: u128, found: Found) -> bool {
        let mut part = self.part(key);
        let is_known = part.young.contains_key(&key) || part.old.remove(&key).is_some();
        part.put(key, found);
        !is_known
    }

    fn part(&self, key: u128) -> MutexGuard<'_, Part> {
        let place = usize::try_from((key >> 64) % PARTS as u128).unwrap_or_default();
        self.0[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn put(&mut self, key: u128, found: Found) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_remembered_and_the_rest_is_bounded() {
        let seen = Seen::default();
        let far = u128::MAX;
        assert!(seen.note(far, Some([(3, 1)].into())));
        assert!(!seen.note(far, Some([(3, 1)].into())), "it is known");
        for key in 0..200_000_u128 {
            // Keys whose upper half differs, as digests do.
            seen.note(key | (key << 64), None);
            if key % 1000 == 0 {
                assert_eq!(seen.find(far).unwrap().unwrap()[0], (3, 1));
            }
        }
        assert!(seen.find(0).is_none(), "the oldest are forgotten");
        let kept: usize =
            seen.0.iter().map(|part| part.lock().unwrap()).map(|p| p.young.len() + p.old.len()).sum();
        assert!(kept <= 2 * PARTS * HALF, "{kept}");
    }
}

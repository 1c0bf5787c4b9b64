//! A bounded memory that forgets what was not used for longest.

use std::collections::HashMap;
use std::hash::Hash;

/// Two generations: what is used is in the young one; when that is full it becomes the old one, and the old one is
/// forgotten. It holds between half and all of its bound.
#[derive(Debug)]
pub struct Memory<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash + Copy, V: Copy> Memory<K, V> {
    /// One for at most this many entries (at least 2).
    pub fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (most / 2).max(1) }
    }

    /// What is remembered; it counts as used now.
    pub fn get(&mut self, key: K) -> Option<V> {
        if let Some(found) = self.young.get(&key) {
            return Some(*found);
        }
        let found = self.old.remove(&key)?;
        self.put(key, found);
        Some(found)
    }

    /// What is remembered, without using it.
    pub fn peek(&self, key: K) -> Option<V> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    /// Remembers.
    pub fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// How many are remembered, those counted twice that are in both generations.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

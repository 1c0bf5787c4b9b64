//! Pending sign-ins in the memory of one node.

use std::collections::HashMap;

use gatehouse_domain::time::UnixMillis;

use super::authorize::Pending;
use super::callback::Callback;

/// Pending sign-ins, each with what it is for (such as the device grant that it will approve).
///
/// Bounded: when it is full of sign-ins that have not run out, new ones are refused rather than old ones dropped, so that
/// a flood of them cannot end those that people are in the middle of.
pub struct PendingTable<T> {
    limit: usize,
    entries: HashMap<[u8; 32], (Pending, T)>,
}

/// Too many sign-ins are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} sign-ins are under way, which is the limit; try again in a minute")]
pub struct TableFull(usize);

impl<T> PendingTable<T> {
    /// A table for so many.
    pub fn new(limit: usize) -> Self {
        Self { limit, entries: HashMap::new() }
    }

    /// Keeps one.
    ///
    /// # Errors
    /// If the table is full.
    pub fn insert(&mut self, pending: Pending, purpose: T, now: UnixMillis) -> Result<(), TableFull> {
        if self.entries.len() >= self.limit {
            self.entries.retain(|_, (kept, _)| kept.expires_at() > now);
        }
        if self.entries.len() >= self.limit {
            return Err(TableFull(self.limit));
        }
        self.entries.insert(*pending.state_hash(), (pending, purpose));
        Ok(())
    }

    /// Takes the one out that a browser has returned for. It is there once: a replayed `state` finds nothing.
    pub fn take(&mut self, callback: &Callback, now: UnixMillis) -> Option<(Pending, T)> {
        self.entries.remove(&callback.state_hash()).filter(|(pending, _)| pending.expires_at() > now)
    }
}

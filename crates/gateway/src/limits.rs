//! Limits on rates, as the data path asks for them. What they mean is in [`gatehouse_domain::limit`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gatehouse_domain::exchange::Principal;
use gatehouse_domain::id::LimitId;
use gatehouse_domain::limit::{Buckets, Level, Limited, Limits, Others, Taken, Used, Word};

/// The limits of a node. All calls return at once.
pub struct Limiter {
    busy: AtomicBool,
    buckets: Mutex<Buckets>,
    began: Instant,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { busy: AtomicBool::new(false), buckets: Mutex::default(), began: Instant::now() }
    }
}

impl Limiter {
    /// Whoever holds it does nothing else.
    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A clock that never goes back, in milliseconds.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether there is no limit at all, so that nothing has to be asked.
    pub fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::Relaxed)
    }

    /// See [`Buckets::install`].
    pub fn install(&self, limits: &Arc<Limits>) {
        self.buckets().install(limits);
        self.busy.store(!limits.is_empty(), Ordering::Relaxed);
    }

    /// See [`Buckets::take`].
    ///
    /// # Errors
    /// A limit has no room.
    pub fn take(
        &self,
        principal: &Principal,
        model: &str,
        input: u64,
    ) -> Result<Option<Taken>, Box<Limited>> {
        let now = self.now();
        self.buckets().take(principal, model, input, now)
    }

    /// See [`Buckets::settle`].
    pub fn settle(&self, taken: Taken, used: Option<Used>) {
        let now = self.now();
        self.buckets().settle(taken, used, now);
    }

    /// See [`Buckets::levels`].
    pub fn levels(&self, principal: &Principal, model: Option<&str>) -> Vec<Level> {
        let now = self.now();
        self.buckets().levels(principal, model, now)
    }

    /// See [`Buckets::words`].
    pub fn words(&self, active: &[LimitId]) -> Vec<Word> {
        let now = self.now();
        self.buckets().words(active, now)
    }

    /// See [`Buckets::heard`].
    pub fn heard(&self, limit: LimitId, others: Others) {
        let now = self.now();
        self.buckets().heard(limit, others, now);
    }

    /// See [`Buckets::deaf`].
    pub fn deaf(&self) {
        self.buckets().deaf();
    }
}

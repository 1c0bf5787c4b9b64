//! What is remembered of sessions and of signatures, and the budget of further attempts: shared by all workers, bounded, and
//! forgotten when the process ends.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatehouse_domain::routing::{CacheUse, CacheWatch, Failover, Memory, RetryBudget};
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::usage::Tokens;
use metrics::counter;

/// Sessions that are remembered.
const SESSIONS: usize = 200_000;
/// Signatures that are remembered: about 24 bytes each.
const SIGNATURES: usize = 1_000_000;
/// Routes whose use of caches is watched.
const ROUTES: usize = 256;
/// What requests without a route are told as; a route of this very name would be counted with them.
pub const NO_ROUTE: &str = "(none)";

/// What is remembered for routing.
pub struct Routes {
    /// Makes digests of signatures this process's own.
    seed: u64,
    /// The provider, by its name's fingerprint, that a session was with last.
    sessions: Mutex<Memory<u64, u64>>,
    /// The family that issued a signature.
    signatures: Mutex<Memory<u64, u64>>,
    retries: Mutex<Option<RetryBudget>>,
    /// How providers' caches are used, by route.
    caches: Mutex<HashMap<String, CacheWatch>>,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            seed: rand::random(),
            sessions: Mutex::new(Memory::new(SESSIONS)),
            signatures: Mutex::new(Memory::new(SIGNATURES)),
            retries: Mutex::default(),
            caches: Mutex::default(),
        }
    }
}

impl Routes {
    /// The key of signatures' digests.
    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// The provider that a session was with last.
    pub(crate) fn provider_of(&self, session: u64) -> Option<u64> {
        locked(&self.sessions).get(session)
    }

    /// The same for an explanation, which does not count as use.
    pub(crate) fn peek(&self, session: u64) -> Option<u64> {
        locked(&self.sessions).peek(session)
    }

    /// A session is with this provider now. Says whether it was with another.
    pub(crate) fn is_with(&self, session: u64, provider: u64) -> bool {
        let mut sessions = locked(&self.sessions);
        let before = sessions.get(session);
        sessions.put(session, provider);
        let moved = before.is_some_and(|before| before != provider);
        if moved {
            counter!("gatehouse_session_switches_total").increment(1);
        }
        moved
    }

    /// A session was with this provider, as the ledger has it. What is remembered is newer.
    pub(crate) fn recalled(&self, session: u64, provider: u64) {
        let mut sessions = locked(&self.sessions);
        if sessions.get(session).is_none() {
            sessions.put(session, provider);
        }
    }

    /// The family that issued a signature, if it is remembered.
    pub(crate) fn issuer(&self, signature: u64) -> Option<u64> {
        locked(&self.signatures).get(signature)
    }

    /// A signature was issued.
    pub(crate) fn issued(&self, signature: u64, family: u64) {
        locked(&self.signatures).put(signature, family);
    }

    /// A request came for which there may be further attempts.
    pub(crate) fn request(&self, failover: &Failover) {
        let mut retries = locked(&self.retries);
        let budget = retries.get_or_insert_with(|| RetryBudget::new(failover.retry_burst));
        budget.request(failover.retry_percent, failover.retry_burst);
    }

    /// Notes what an answered request of a route read from caches, and raises the alarm if that has become too little.
    pub(crate) fn read_from_cache(&self, route: &str, tokens: &Tokens, percent: u32, now: UnixMillis) {
        let mut caches = locked(&self.caches);
        if !caches.contains_key(route) {
            if caches.len() >= ROUTES {
                // Routes that are no longer configured give way.
                caches.retain(|_, watch| watch.look(now).recent.is_some());
            }
            if caches.len() >= ROUTES {
                return;
            }
            caches.insert(route.to_owned(), CacheWatch::default());
        }
        let Some(watch) = caches.get_mut(route) else { return };
        if watch.note(tokens, now, percent) {
            let CacheUse { recent, usual, .. } = watch.look(now);
            drop(caches);
            let (recent, usual) = (recent.unwrap_or(0) / 10, usual.unwrap_or(0) / 10);
            counter!("gatehouse_cache_read_alarms_total", "route" => route.to_owned()).increment(1);
            tracing::warn!(
                route,
                recent_percent = recent,
                usual_percent = usual,
                "much less is read from the providers' caches than usual, so that the same requests cost more"
            );
        }
    }

    /// How providers' caches are used, by route; [`NO_ROUTE`] for requests without one.
    pub fn cache_use(&self, now: UnixMillis) -> Vec<(String, CacheUse)> {
        let mut caches = locked(&self.caches);
        let mut all: Vec<_> =
            caches.iter_mut().map(|(route, watch)| (route.clone(), watch.look(now))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Takes one further attempt, if there is one.
    pub(crate) fn take_retry(&self) -> bool {
        let taken = locked(&self.retries).as_mut().is_some_and(RetryBudget::take);
        if !taken {
            counter!("gatehouse_retry_budget_exhausted_total").increment(1);
        }
        taken
    }
}

/// The name that a route is watched by.
pub(crate) fn watched(route: Option<&str>) -> &str {
    route.unwrap_or(NO_ROUTE)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What is remembered of sessions and of signatures, and the budget of further attempts: shared by all workers, bounded, and
//! forgotten when the process ends.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gatehouse_domain::routing::{Failover, Memory, RetryBudget};
use metrics::counter;

/// Sessions that are remembered.
const SESSIONS: usize = 200_000;
/// Signatures that are remembered: about 24 bytes each.
const SIGNATURES: usize = 1_000_000;

/// What is remembered for routing.
pub struct Routes {
    /// Makes digests of signatures this process's own.
    seed: u64,
    /// The provider, by its name's fingerprint, that a session was with last.
    sessions: Mutex<Memory<u64, u64>>,
    /// The family that issued a signature.
    signatures: Mutex<Memory<u64, u64>>,
    retries: Mutex<Option<RetryBudget>>,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            seed: rand::random(),
            sessions: Mutex::new(Memory::new(SESSIONS)),
            signatures: Mutex::new(Memory::new(SIGNATURES)),
            retries: Mutex::default(),
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

    /// Takes one further attempt, if there is one.
    pub(crate) fn take_retry(&self) -> bool {
        let taken = locked(&self.retries).as_mut().is_some_and(RetryBudget::take);
        if !taken {
            counter!("gatehouse_retry_budget_exhausted_total").increment(1);
        }
        taken
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

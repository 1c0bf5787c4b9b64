//! How fresh the policy is that this node decides by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gatehouse_control::app::InForce;
use tokio::sync::{Notify, watch};

use crate::config::{Policy, WhenStale};

/// Counts the changes that this node knows of, up to which of them its policy reaches, and since when it is so.
pub(super) struct Freshness {
    /// Acts that changed the policy.
    asked: AtomicU64,
    /// Wakes the refresher.
    wake: Notify,
    /// Up to which act the policy in force is known to reach.
    reached: watch::Sender<u64>,
    /// When the policy in force was last known to be the newest.
    seen: Mutex<Instant>,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            asked: AtomicU64::new(0),
            wake: Notify::new(),
            reached: watch::Sender::new(0),
            seen: Mutex::new(Instant::now()),
        }
    }
}

impl Freshness {
    /// Notes that the policy has changed.
    pub(super) fn changed(&self) {
        self.asked.fetch_add(1, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Waits until somebody has noted a change.
    pub(super) async fn change(&self) {
        self.wake.notified().await;
    }

    /// How many changes have been noted; to be asked before the policy is read.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// The policy in force is the newest, up to this change.
    pub(super) fn reached(&self, asked: u64) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.reached.send_replace(asked);
    }

    /// Waits, for a bounded time, until the changes noted so far are in force. Should the database be away just now, they
    /// come into force with the next poll that succeeds.
    pub(super) async fn in_force(&self, limit: Duration) -> InForce {
        let asked = self.asked();
        let mut reached = self.reached.subscribe();
        let caught_up = reached.wait_for(|reached| *reached >= asked);
        match tokio::time::timeout(limit, caught_up).await {
            Ok(Ok(_)) => InForce::Now,
            Ok(Err(_)) | Err(_) => InForce::Later,
        }
    }

    /// How long ago the policy in force was last known to be the newest.
    pub(super) fn age(&self) -> Duration {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// What is wrong with a policy of this age, and whether requests are to come here all the same.
pub(super) fn stale(age: Duration, rule: Policy) -> (Option<String>, bool) {
    if age <= rule.stale {
        return (None, true);
    }
    let seconds = age.as_secs();
    let problem =
        format!("the policy could not be read for {seconds} seconds; revoked keys may still work here");
    let serves = match rule.when_stale {
        WhenStale::Serve => true,
        WhenStale::Drain => false,
    };
    (Some(problem), serves)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing told that a node went by an old policy: keys that were revoked went on working unseen.
    #[test]
    fn a_stale_policy_is_told_and_drains_the_node_if_asked_to() {
        let rule = |when_stale| Policy { stale: Duration::from_secs(10), when_stale };
        for (seconds, when_stale, is_told, serves) in [
            (10, WhenStale::Serve, false, true),
            (10, WhenStale::Drain, false, true),
            (11, WhenStale::Serve, true, true),
            (11, WhenStale::Drain, true, false),
        ] {
            let (problem, goes_on) = stale(Duration::from_secs(seconds), rule(when_stale));
            assert_eq!((problem.is_some(), goes_on), (is_told, serves), "{seconds} {when_stale:?}");
        }
    }

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_change_is_in_force_once_the_policy_was_read_after_it() {
        let fresh = Freshness::default();
        assert_eq!(fresh.in_force(Duration::ZERO).await, InForce::Now, "nothing was changed");
        fresh.changed();
        fresh.change().await;
        assert_eq!(fresh.in_force(SHORT).await, InForce::Later, "nobody has read the policy");
        let before = fresh.asked();
        fresh.changed();
        fresh.reached(before);
        assert_eq!(fresh.in_force(SHORT).await, InForce::Later, "it was read before the second change");
        let (told, ()) = tokio::join!(fresh.in_force(Duration::from_secs(30)), async {
            fresh.reached(fresh.asked());
        });
        assert_eq!(told, InForce::Now);
    }

    #[test]
    fn the_age_begins_anew_with_every_good_look() {
        let fresh = Freshness::default();
        let long_ago = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
        *fresh.seen.lock().unwrap() = long_ago;
        assert!(fresh.age() >= Duration::from_mins(1));
        fresh.reached(0);
        assert!(fresh.age() < Duration::from_mins(1));
    }
}

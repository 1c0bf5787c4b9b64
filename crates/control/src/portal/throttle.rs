//! Bounds on what strangers may try: by address, and by account.
//!
//! Every bound counts in a window from its first event. Counts are held for at most [`KEYS`] at once; those that find no
//! room share one. Each node counts for itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::fetch::Fetch;

use super::Portal;
use super::approve::Why;

/// What is counted at once.
const KEYS: usize = 4096;
const MINUTE: i64 = 60_000;

/// All bounds.
pub(super) struct Throttles {
    /// Sign-ins that are begun, by address: a whole office may share one.
    pub(super) begun: Throttle<IpAddr>,
    /// Tokens of CI jobs that are presented, by address. Nobody guesses a signed token; but each takes a check, and each
    /// good one makes a session. All the jobs of a company may share an address.
    pub(super) jobs: Throttle<IpAddr>,
    /// User codes that were wrong, by address. Of some 10^10 codes a few are good at a time.
    pub(super) codes: Throttle<IpAddr>,
    /// Sign-ins with a passkey that are begun, by address: each is a row of the database.
    pub(super) passkeys: Throttle<IpAddr>,
    /// Passwords, codes and passkeys that were wrong, by address.
    pub(super) addresses: Throttle<IpAddr>,
    /// Passwords, codes and passkeys that were wrong, by account.
    pub(super) accounts: Throttle<String>,
}

impl Default for Throttles {
    fn default() -> Self {
        Self {
            begun: Throttle::new(300, 10 * MINUTE),
            jobs: Throttle::new(1200, 10 * MINUTE),
            codes: Throttle::new(30, 10 * MINUTE),
            passkeys: Throttle::new(300, 10 * MINUTE),
            addresses: Throttle::new(60, 10 * MINUTE),
            accounts: Throttle::new(10, 10 * MINUTE),
        }
    }
}

/// A bound on events of a kind.
pub(super) struct Throttle<K> {
    most: u32,
    window: i64,
    counts: Mutex<Counts<K>>,
}

struct Counts<K> {
    keys: HashMap<K, Count>,
    others: Count,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    since: Option<UnixMillis>,
    events: u32,
}

impl Count {
    /// How many events count at this time. A clock that was set back keeps no window open.
    fn at(self, now: UnixMillis, window: i64) -> u32 {
        let open = self.since.is_some_and(|since| (0..window).contains(&now.0.saturating_sub(since.0)));
        if open { self.events } else { 0 }
    }
}

impl<K: Eq + Hash + Clone> Throttle<K> {
    fn new(most: u32, window: i64) -> Self {
        let counts = Counts { keys: HashMap::new(), others: Count::default() };
        Self { most, window, counts: Mutex::new(counts) }
    }

    /// Counts an event, if there may be another; else after how many seconds there may. Looking and counting are one, so
    /// that of many at once no more pass than of many in a row.
    pub(super) fn take(&self, key: &K, now: UnixMillis) -> Result<(), u32> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let crowded = counts.keys.len() >= KEYS;
        let count = match counts.keys.get(key) {
            Some(count) => *count,
            None if crowded => counts.others,
            None => Count::default(),
        };
        if count.at(now, self.window) < self.most {
            counts.count(key, now, self.window);
            return Ok(());
        }
        let left = count.since.map_or(0, |since| since.0.saturating_add(self.window).saturating_sub(now.0));
        Err(u32::try_from(left.max(0)).unwrap_or(0).div_ceil(1000).max(1))
    }

    /// Gives back what was taken for an event that turned out to be none.
    pub(super) fn give_back(&self, key: &K, now: UnixMillis) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { keys, others } = &mut *counts;
        let count = keys.get_mut(key).unwrap_or(others);
        count.events = count.at(now, self.window).saturating_sub(1);
        if count.events == 0 {
            keys.remove(key);
        }
    }
}

impl<K: Eq + Hash + Clone> Counts<K> {
    fn count(&mut self, key: &K, now: UnixMillis, window: i64) {
        if !self.keys.contains_key(key) && self.keys.len() >= KEYS {
            self.keys.retain(|_, count| count.at(now, window) > 0);
        }
        let crowded = self.keys.len() >= KEYS && !self.keys.contains_key(key);
        let count = if crowded { &mut self.others } else { self.keys.entry(key.clone()).or_default() };
        if count.at(now, window) == 0 {
            *count = Count { since: Some(now), events: 0 };
        }
        count.events = count.events.saturating_add(1);
    }
}

impl<F: Fetch> Portal<F> {
    /// Counts an attempt with a password from this address and for this account, until it turns out right.
    pub(super) fn take_attempt(&self, from: &IpAddr, account: &String, now: UnixMillis) -> Result<(), Why> {
        self.throttles.addresses.take(from, now).map_err(|_| Why::TooMany)?;
        self.throttles.accounts.take(account, now).map_err(|_| {
            // Nothing is tried for an account that is closed, so nothing counts against the address.
            self.throttles.addresses.give_back(from, now);
            Why::TooMany
        })
    }

    /// Gives an attempt back that was right, or that nothing was learned by.
    pub(super) fn give_attempt_back(&self, from: &IpAddr, account: &String, now: UnixMillis) {
        self.throttles.addresses.give_back(from, now);
        self.throttles.accounts.give_back(account, now);
    }
}

/// What counts as one address: an IPv6 network of 64 bits is one machine's to fill.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    #[test]
    fn a_window_opens_with_its_first_event_and_closes() {
        let throttle = Throttle::new(2, MINUTE);
        assert_eq!(throttle.take(&1, NOW), Ok(()));
        assert_eq!(throttle.take(&1, NOW.plus_millis(1000)), Ok(()));
        assert_eq!(throttle.take(&1, NOW.plus_millis(2000)), Err(58));
        assert_eq!(throttle.take(&2, NOW), Ok(()));
        assert_eq!(throttle.take(&1, NOW.plus_millis(MINUTE)), Ok(()));
        assert_eq!(throttle.take(&1, NOW.plus_millis(-1)), Ok(()), "the clock was set back");
    }

    #[test]
    fn what_was_right_counts_for_nothing() {
        let throttle = Throttle::new(2, MINUTE);
        for _ in 0..10 {
            assert_eq!(throttle.take(&1, NOW), Ok(()));
            throttle.give_back(&1, NOW);
        }
        assert!(throttle.counts.lock().unwrap().keys.is_empty(), "nothing is held for it");
        throttle.give_back(&1, NOW);
        assert_eq!((throttle.take(&1, NOW), throttle.take(&1, NOW)), (Ok(()), Ok(())));
        assert!(throttle.take(&1, NOW).is_err(), "giving back what was not taken gives nothing");
        throttle.give_back(&1, NOW.plus_millis(MINUTE));
        assert_eq!(throttle.take(&1, NOW.plus_millis(MINUTE)), Ok(()));
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_shares_a_count() {
        let throttle = Throttle::new(3, MINUTE);
        for key in 0..KEYS + 10 {
            throttle.take(&key, NOW).ok();
        }
        assert_eq!(throttle.counts.lock().unwrap().keys.len(), KEYS);
        assert!(throttle.take(&(KEYS + 100), NOW).is_err());
        assert_eq!(throttle.take(&1, NOW), Ok(()));
        assert_eq!(throttle.take(&usize::MAX, NOW.plus_millis(MINUTE)), Ok(()));
        assert_eq!(throttle.counts.lock().unwrap().keys.len(), 1);
    }
}

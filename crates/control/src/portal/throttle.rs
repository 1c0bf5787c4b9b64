//! Bounds on what strangers may try: by address, by account and address, and by account.
//!
//! Every bound counts in a window from its first event. Counts are held for at most [`KEYS`] at once; those that find no
//! room share one. Each node counts for itself.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use gatehouse_domain::name::Email;
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::fetch::Fetch;
use gatehouse_store::session::SessionFilter;
use gatehouse_store::{Page, StoreError};

use super::Portal;
use super::approve::Why;
pub(super) use crate::attempts::network;

/// What is counted at once.
const KEYS: usize = 4096;
const MINUTE: i64 = 60_000;
/// How many of a person's sessions are looked through for an address.
const SESSIONS: u32 = 200;

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
    /// Passwords, codes and passkeys that were wrong, by account and address: who guesses shuts out themselves.
    pub(super) pairs: Throttle<(String, IpAddr)>,
    /// The same by account, from all addresses together, so that many addresses buy few guesses more. Whoever was right from
    /// an address before is neither counted nor stopped here: guessing from elsewhere shuts nobody out of their account.
    pub(super) accounts: Throttle<String>,
    /// Where somebody was right.
    pub(super) known: Known,
}

impl Default for Throttles {
    fn default() -> Self {
        Self {
            begun: Throttle::new(300, 10 * MINUTE),
            jobs: Throttle::new(1200, 10 * MINUTE),
            codes: Throttle::new(30, 10 * MINUTE),
            passkeys: Throttle::new(300, 10 * MINUTE),
            addresses: Throttle::new(60, 10 * MINUTE),
            pairs: Throttle::new(10, 10 * MINUTE),
            accounts: Throttle::new(100, 60 * MINUTE),
            known: Known::default(),
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

/// Accounts and addresses where a sign-in was right: the last ones, at most [`KEYS`]. What is forgotten, or was on another
/// node, is looked up in the sessions when it matters.
#[derive(Default)]
pub(super) struct Known(Mutex<Places>);

#[derive(Default)]
struct Places {
    has: HashSet<(String, IpAddr)>,
    order: VecDeque<(String, IpAddr)>,
}

impl Known {
    fn contains(&self, place: &(String, IpAddr)) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).has.contains(place)
    }

    fn add(&self, place: &(String, IpAddr)) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !places.has.insert(place.clone()) {
            return;
        }
        places.order.push_back(place.clone());
        if places.order.len() > KEYS
            && let Some(oldest) = places.order.pop_front()
        {
            places.has.remove(&oldest);
        }
    }
}

/// An attempt that is counted until it turns out right.
#[must_use = "what was right is given back"]
pub(super) struct Attempt {
    place: (String, IpAddr),
    /// Whether it counts against the account as a whole.
    of_account: bool,
    at: UnixMillis,
}

impl<F: Fetch> Portal<F> {
    /// Counts an attempt with a password from this address and for this account, until it turns out right.
    ///
    /// # Errors
    /// [`Why::TooMany`]; the database.
    pub(super) async fn take_attempt(
        &self,
        from: IpAddr,
        account: &str,
        now: UnixMillis,
    ) -> Result<Attempt, Why> {
        let Throttles { addresses, pairs, accounts, known, .. } = &self.throttles;
        let place = (account.to_owned(), from);
        addresses.take(&from, now).map_err(|_| Why::TooMany)?;
        // Where nothing is tried, nothing counts against the address.
        let give_back = || addresses.give_back(&from, now);
        pairs.take(&place, now).map_err(|_| {
            give_back();
            Why::TooMany
        })?;
        let mut is_known = known.contains(&place);
        if !is_known && accounts.take(&place.0, now).is_err() {
            let found = self.has_signed_in(account, from).await;
            if !matches!(found, Ok(true)) {
                pairs.give_back(&place, now);
                give_back();
                return Err(found.err().unwrap_or(Why::TooMany));
            }
            known.add(&place);
            is_known = true;
        }
        Ok(Attempt { place, of_account: !is_known, at: now })
    }

    /// Gives back an attempt that was right.
    pub(super) fn attempt_was_right(&self, attempt: &Attempt) {
        self.throttles.known.add(&attempt.place);
        self.give_attempt_back(attempt);
    }

    /// Gives back an attempt that nothing was learned by.
    pub(super) fn give_attempt_back(&self, attempt: &Attempt) {
        let Attempt { place, of_account, at } = attempt;
        self.throttles.addresses.give_back(&place.1, *at);
        self.throttles.pairs.give_back(place, *at);
        if *of_account {
            self.throttles.accounts.give_back(&place.0, *at);
        }
    }

    /// Whether a session of this account began at this address, as far as the newest tell. Accounts of directories are not
    /// looked up: their names are the directory's.
    async fn has_signed_in(&self, account: &str, from: IpAddr) -> Result<bool, Why> {
        let Ok(email) = Email::parse(account) else { return Ok(false) };
        let user = match self.app.store.user_by_email(self.app.org, &email).await {
            Ok(user) => user.id,
            Err(StoreError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let wanted = SessionFilter { user: Some(user), ..SessionFilter::default() };
        let page = Page::first(SESSIONS);
        let sessions = self.app.store.sessions(self.app.org, &wanted, &page).await?;
        Ok(sessions.items.iter().any(|session| session.peer.map(network) == Some(from)))
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
    fn where_somebody_was_right_is_remembered_for_so_many() {
        let known = Known::default();
        let place = |n: usize| (format!("{n}@example.com"), IpAddr::from([192, 0, 2, 1]));
        for n in 0..=KEYS {
            known.add(&place(n));
            known.add(&place(n));
        }
        assert!(!known.contains(&place(0)), "the oldest is forgotten");
        assert!(known.contains(&place(1)) && known.contains(&place(KEYS)));
        let places = known.0.lock().unwrap();
        assert_eq!((places.has.len(), places.order.len()), (KEYS, KEYS));
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

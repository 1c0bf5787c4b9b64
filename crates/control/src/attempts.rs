//! Failed sign-ins, counted by address, so that guessing is slowed and the audit log cannot be flooded.
//!
//! Bounds: [`LIMIT`] failures an address and minute, then refusals by time; at most [`ADDRESSES`] addresses are held,
//! those that find no room share one count; at most [`REPORTS`] audit entries a minute, the rest are counted and named
//! in the next entry. A good credential always passes: behind a shared address, one guesser must not lock out all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use gatehouse_domain::time::UnixMillis;

/// Failures that an address may make a minute.
pub const LIMIT: u32 = 10;
/// Addresses that are held at once.
pub const ADDRESSES: usize = 4096;
/// Audit entries on failed sign-ins that are written a minute.
pub const REPORTS: u32 = 60;

const WINDOW_MS: i64 = 60_000;

/// The failures of the last minute.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    addresses: HashMap<Option<IpAddr>, Window>,
    others: Window,
    reports: Window,
    unreported: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    since: Option<UnixMillis>,
    count: u32,
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// How many seconds to wait, when the address has failed too often.
    pub wait_seconds: Option<u32>,
    /// Whether to write an audit entry, and how many failures went unwritten since the last one.
    pub report: Option<u64>,
}

impl Attempts {
    /// Counts a failure of an address (an IPv6 address counts with its /64, which one machine can fill alone).
    pub fn failed(&self, from: Option<IpAddr>, now: UnixMillis) -> Verdict {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = table.window(from.map(network), now);
        let count = window.count_up(now);
        let wait_seconds = (count > LIMIT).then(|| window.seconds_left(now));
        // The first failure and the first refusal of a minute tell the story; those between are only counted.
        let worth = count == 1 || count == LIMIT + 1;
        let report = if worth { table.report(now) } else { table.leave_out() };
        Verdict { wait_seconds, report }
    }

    /// Counts an act that a signed-in administrator may not do, and tells whether to write an audit entry, as
    /// [`Verdict::report`] does.
    pub fn forbidden(&self, now: UnixMillis) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).report(now)
    }
}

impl Table {
    fn report(&mut self, now: UnixMillis) -> Option<u64> {
        if self.reports.count_up(now) > REPORTS {
            return self.leave_out();
        }
        Some(std::mem::take(&mut self.unreported))
    }

    fn leave_out(&mut self) -> Option<u64> {
        self.unreported = self.unreported.saturating_add(1);
        None
    }

    fn window(&mut self, from: Option<IpAddr>, now: UnixMillis) -> &mut Window {
        if !self.addresses.contains_key(&from) && self.addresses.len() >= ADDRESSES {
            self.addresses.retain(|_, window| window.open(now));
            if self.addresses.len() >= ADDRESSES {
                return &mut self.others;
            }
        }
        self.addresses.entry(from).or_default()
    }
}

impl Window {
    fn open(&self, now: UnixMillis) -> bool {
        // A clock that was set back must not keep a window open for long, hence both bounds.
        self.since.is_some_and(|since| (0..WINDOW_MS).contains(&now.0.saturating_sub(since.0)))
    }

    fn count_up(&mut self, now: UnixMillis) -> u32 {
        if !self.open(now) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }

    fn seconds_left(&self, now: UnixMillis) -> u32 {
        let left = self.since.map_or(0, |since| since.0.saturating_add(WINDOW_MS).saturating_sub(now.0));
        u32::try_from(left.max(0)).unwrap_or(0).div_ceil(1000).max(1)
    }
}

/// What counts as one address: an IPv6 network of 64 bits is one machine's to fill.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    #[expect(clippy::unnecessary_wraps, reason = "an address is passed as it is known: perhaps")]
    fn v4(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(n.into()))
    }

    #[test]
    fn the_eleventh_failure_of_a_minute_waits() {
        let attempts = Attempts::default();
        let mut reports = 0;
        for n in 0..LIMIT {
            let verdict = attempts.failed(v4(1), NOW.plus_millis(i64::from(n)));
            assert_eq!(verdict.wait_seconds, None, "{n}");
            reports += u32::from(verdict.report.is_some());
        }
        assert_eq!(
            attempts.failed(v4(1), NOW.plus_millis(10_000)),
            Verdict { wait_seconds: Some(50), report: Some(9) }
        );
        assert_eq!(reports, 1);
        assert_eq!(attempts.failed(v4(2), NOW).wait_seconds, None, "another address is not touched");
        assert_eq!(attempts.failed(v4(1), NOW.plus_millis(WINDOW_MS)).wait_seconds, None, "a minute later");
    }

    #[test]
    fn a_v6_network_counts_as_one() {
        let attempts = Attempts::default();
        for n in 0..LIMIT {
            attempts.failed(Some(format!("2001:db8::{n:x}").parse().unwrap()), NOW);
        }
        assert!(attempts.failed(Some("2001:db8::ffff:1".parse().unwrap()), NOW).wait_seconds.is_some());
        assert!(attempts.failed(Some("2001:db8:0:1::1".parse().unwrap()), NOW).wait_seconds.is_none());
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_in_memory_and_reports() {
        let attempts = Attempts::default();
        let flood = u32::try_from(ADDRESSES).unwrap() + 100;
        let verdicts: Vec<_> = (0..flood).map(|n| attempts.failed(v4(n), NOW)).collect();
        assert_eq!(verdicts.iter().filter(|v| v.report.is_some()).count(), REPORTS as usize);
        assert!(verdicts.last().unwrap().wait_seconds.is_some(), "those without room share one count");
        assert_eq!(attempts.0.lock().unwrap().addresses.len(), ADDRESSES);

        let later = attempts.failed(v4(flood), NOW.plus_millis(WINDOW_MS));
        assert_eq!(later, Verdict { wait_seconds: None, report: Some(u64::from(flood - REPORTS)) });
        assert_eq!(attempts.0.lock().unwrap().addresses.len(), 1);
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let attempts = Attempts::default();
        for _ in 0..=LIMIT {
            attempts.failed(v4(1), NOW.plus_millis(1_000_000));
        }
        assert_eq!(attempts.failed(v4(1), NOW).wait_seconds, None);
    }
}

//! Whether providers' caches are of use: how much of the input is read from them, and whether that has become less.
//!
//! A gateway, a provider or a client that changes what a prompt begins with makes everything dearer, and nothing fails. So
//! the last minutes are compared with the day before.

use crate::time::UnixMillis;
use crate::usage::Tokens;

/// Length of a slot, in milliseconds.
const SLOT_MS: i64 = 5 * 60_000;
/// Slots that are remembered: those of a day.
const SLOTS: i64 = 288;
/// The newest slots, which are compared with those before: the last 10 to 15 minutes.
const RECENT: i64 = 3;
/// Fewer requests than this say nothing.
const LEAST_REQUESTS: u64 = 50;
/// Fewer tokens of input than this say nothing.
const LEAST_TOKENS: u64 = 500_000;
/// It is judged after every so many requests.
const EVERY: u64 = 16;
/// What is read from caches at less than this share was never worth watching, in thousandths.
const LEAST_SHARE: u32 = 100;

/// What was asked of providers within a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Slot {
    requests: u64,
    /// Tokens of input, those read from caches and written to them included.
    input: u64,
    /// Of these, tokens read from caches.
    read: u64,
    /// Whether it was part of a regression, and so says nothing of what is usual.
    bad: bool,
}

/// Watches how much of the input is read from caches. Takes about 9 KB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheWatch {
    slots: Vec<Slot>,
    /// The number of the newest slot: its beginning over [`SLOT_MS`].
    newest: i64,
    alarm: bool,
}

/// How caches are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheUse {
    /// The share of input read from caches in the last minutes, in thousandths; none if there was too little of it.
    pub recent: Option<u32>,
    /// The same for the day before; none likewise.
    pub usual: Option<u32>,
    /// Whether it has become less than it may.
    pub alarm: bool,
}

impl Default for CacheWatch {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| Slot::default()).collect(), newest: 0, alarm: false }
    }
}

impl CacheWatch {
    /// Notes an answered request. `percent` is how much of what is usual there must be; 0 for no alarm. Says whether this
    /// raised the alarm.
    pub fn note(&mut self, tokens: &Tokens, now: UnixMillis, percent: u32) -> bool {
        self.advance(now);
        let read = tokens.cache_read;
        let input = [tokens.input, tokens.cache_write_5m, tokens.cache_write_1h, read];
        let slot = &mut self.slots[place(self.newest)];
        slot.requests += 1;
        slot.input = input.iter().fold(slot.input, |sum, part| sum.saturating_add(*part));
        slot.read = slot.read.saturating_add(read);
        let before = self.alarm;
        if slot.requests % EVERY == 1 {
            self.judge(percent);
        }
        self.slots[place(self.newest)].bad = self.alarm;
        self.alarm && !before
    }

    /// How caches are used now.
    pub fn look(&mut self, now: UnixMillis) -> CacheUse {
        self.advance(now);
        let usual = self.usual();
        CacheUse { recent: self.recent(), usual, alarm: self.alarm && usual.is_some() }
    }

    /// Forgets what is older than a day.
    fn advance(&mut self, now: UnixMillis) {
        let newest = now.0.div_euclid(SLOT_MS);
        let gone = newest.saturating_sub(self.newest);
        for back in 0..gone.clamp(0, SLOTS) {
            self.slots[place(newest - back)] = Slot::default();
        }
        // A clock that goes back adds to the newest slot.
        self.newest = self.newest.max(newest);
    }

    /// The alarm goes off when less is read than may be, and ends when it is again, when the caches are out of use, or when
    /// what is usual has not been seen for a day.
    fn judge(&mut self, percent: u32) {
        let (Some(recent), Some(usual)) = (self.recent(), self.usual()) else {
            // Too little to say anything: as it was, unless there is nothing left to compare with.
            self.alarm &= percent > 0 && self.usual().is_some();
            return;
        };
        let least = u64::from(usual) * u64::from(percent) / 100;
        self.alarm = usual >= LEAST_SHARE && u64::from(recent) < least;
    }

    fn recent(&self) -> Option<u32> {
        share((0..RECENT).map(|back| &self.slots[place(self.newest - back)]))
    }

    fn usual(&self) -> Option<u32> {
        let before = (RECENT..SLOTS).map(|back| &self.slots[place(self.newest - back)]);
        share(before.filter(|slot| !slot.bad))
    }
}

fn place(slot: i64) -> usize {
    usize::try_from(slot.rem_euclid(SLOTS)).unwrap_or(0)
}

/// The share of input read from caches, in thousandths.
fn share<'a>(slots: impl Iterator<Item = &'a Slot>) -> Option<u32> {
    let (mut requests, mut input, mut read) = (0, 0_u64, 0_u64);
    for slot in slots {
        requests += slot.requests;
        input = input.saturating_add(slot.input);
        read = read.saturating_add(slot.read);
    }
    let says_something = requests >= LEAST_REQUESTS && input >= LEAST_TOKENS;
    says_something.then(|| u32::try_from(u128::from(read) * 1000 / u128::from(input)).unwrap_or(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    /// So many minutes of ten requests each, of whose input so many percent are read from caches. Gives how often the alarm
    /// went off.
    fn run(watch: &mut CacheWatch, now: &mut i64, minutes: i64, percent: u64) -> usize {
        let mut raised = 0;
        for _ in 0..minutes * 10 {
            *now += MINUTE / 10;
            let tokens = Tokens {
                input: 100,
                cache_write_5m: (100 - percent) * 200 - 100,
                cache_read: percent * 200,
                ..Tokens::default()
            };
            raised += usize::from(watch.note(&tokens, UnixMillis(*now), 50));
        }
        raised
    }

    fn look(watch: &mut CacheWatch, now: i64) -> (Option<u32>, Option<u32>, bool) {
        let CacheUse { recent, usual, alarm } = watch.look(UnixMillis(now));
        (recent, usual, alarm)
    }

    #[test]
    fn a_regression_is_told_once_and_ends_when_it_is_over() {
        let (mut watch, mut now) = (CacheWatch::default(), 1_800_000_000_000);
        assert_eq!(run(&mut watch, &mut now, 120, 90), 0);
        assert_eq!(look(&mut watch, now), (Some(900), Some(900), false));
        assert_eq!(run(&mut watch, &mut now, 20, 60), 0, "less, but not by half");
        assert_eq!(run(&mut watch, &mut now, 60, 5), 1, "once");
        let (recent, usual, alarm) = look(&mut watch, now);
        assert_eq!((recent, alarm), (Some(50), true));
        assert!(usual > Some(700), "what is bad does not become what is usual: {usual:?}");
        assert_eq!(run(&mut watch, &mut now, 20, 90), 0);
        assert!(!look(&mut watch, now).2);
        assert_eq!(run(&mut watch, &mut now, 60, 0), 1, "and again");
        // What has been so for a day is usual.
        run(&mut watch, &mut now, 26 * 60, 0);
        assert_eq!(look(&mut watch, now), (Some(0), Some(0), false));
    }

    #[test]
    fn little_says_nothing() {
        let (mut watch, mut now) = (CacheWatch::default(), 1_800_000_000_000);
        run(&mut watch, &mut now, 60, 90);
        now += 60 * MINUTE;
        for _ in 0..40 {
            let tokens = Tokens { input: 1_000_000, ..Tokens::default() };
            assert!(!watch.note(&tokens, UnixMillis(now), 50));
        }
        assert_eq!(look(&mut watch, now), (None, Some(900), false));
        assert_eq!(look(&mut watch, now + 25 * 60 * MINUTE), (None, None, false));
        // Where caches were never of use there is nothing to lose; and 0 turns it off.
        let (mut watch, mut off) = (CacheWatch::default(), CacheWatch::default());
        run(&mut watch, &mut now, 60, 9);
        assert_eq!(run(&mut watch, &mut now, 60, 0), 0);
        run(&mut off, &mut now, 60, 90);
        let none = Tokens { input: 1_000_000, ..Tokens::default() };
        assert!((0..100).all(|_| !off.note(&none, UnixMillis(now), 0)));
    }
}

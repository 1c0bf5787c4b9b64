//! Whom an overlay concerns, and when.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::id::{ProfileId, TeamId, UserId};
use crate::time::UnixMillis;

/// Most people and teams that are named in one audience.
pub const MAX_MEMBERS: usize = 10_000;

/// When an overlay holds, and for which share of all people besides those who are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audience {
    /// The share of all people.
    pub percent: Percent,
    /// From then on.
    pub starts_at: UnixMillis,
    /// Until then, exclusively; `None` until it is withdrawn.
    pub ends_at: Option<UnixMillis>,
}

/// A part of an audience that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Member {
    /// All members of a team, whoever they are at the time.
    Team(TeamId),
    /// One person.
    User(UserId),
}

/// A share of all people, 0 to 100 percent.
///
/// Who is in it follows from the overlay and the person alone: a greater share has everybody of a smaller one, no node has
/// to remember anybody, and shares of two overlays are independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Percent(u8);

/// A number that is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no share of people; expected 0 to 100 percent")]
pub struct BadPercent(u64);

/// Why an audience cannot become as it should. The texts are whole sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAudience {
    /// Nobody would be in it.
    #[error("nobody is in it: name people or teams, or give a share of all people")]
    Nobody,
    /// Too many are named.
    #[error(
        "it names {0} people and teams; at most {MAX_MEMBERS} are taken, so name teams, or a share of all"
    )]
    TooMany(usize),
    /// It ends before it starts.
    #[error("it ends before it starts")]
    NoTime,
    /// It would lose somebody.
    #[error(
        "it reaches {0} percent of all people already, and widening takes nobody out; assign it anew for that"
    )]
    Narrower(u8),
    /// There is nothing to widen.
    #[error("it has no audience yet, or no longer: assign it to somebody first")]
    NotAssigned,
}

impl Percent {
    /// Reads a share.
    ///
    /// # Errors
    /// It is above 100.
    pub fn new(percent: u64) -> Result<Self, BadPercent> {
        match u8::try_from(percent) {
            Ok(share) if share <= 100 => Ok(Self(share)),
            Ok(_) | Err(_) => Err(BadPercent(percent)),
        }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether this share of an overlay has this person.
    pub fn includes(self, overlay: ProfileId, user: UserId) -> bool {
        match self.0 {
            0 => false,
            100.. => true,
            share => place(overlay, user) < u64::from(share) * 100,
        }
    }
}

/// Where a person stands among ten thousand, for an overlay.
fn place(overlay: ProfileId, user: UserId) -> u64 {
    let mut hash = Sha256::new();
    hash.update(overlay.bits().to_be_bytes());
    hash.update(user.bits().to_be_bytes());
    let digest = hash.finalize();
    let first = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    // The remainder prefers no place by more than 1 in 10^15.
    first % 10_000
}

impl Audience {
    /// Checks an audience that is assigned anew.
    ///
    /// # Errors
    /// Nobody is in it, too many are named, or it is never.
    pub fn check(&self, members: &BTreeSet<Member>) -> Result<(), BadAudience> {
        if members.is_empty() && self.percent == Percent::default() {
            return Err(BadAudience::Nobody);
        }
        if members.len() > MAX_MEMBERS {
            return Err(BadAudience::TooMany(members.len()));
        }
        if self.ends_at.is_some_and(|end| end <= self.starts_at) {
            return Err(BadAudience::NoTime);
        }
        Ok(())
    }

    /// Whether the overlay holds now.
    pub fn is_open(&self, now: UnixMillis) -> bool {
        self.starts_at <= now && !self.is_over(now)
    }

    /// Whether it never holds again.
    pub fn is_over(&self, now: UnixMillis) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }

    /// The audience with a greater share, if one is given. Who is in it stays in it.
    ///
    /// # Errors
    /// It is over; the share is smaller.
    pub fn widened(self, percent: Option<Percent>, now: UnixMillis) -> Result<Self, BadAudience> {
        if self.is_over(now) {
            return Err(BadAudience::NotAssigned);
        }
        match percent {
            Some(percent) if percent < self.percent => Err(BadAudience::Narrower(self.percent.get())),
            Some(percent) => Ok(Self { percent, ..self }),
            None => Ok(self),
        }
    }

    /// The audience that is over from now on.
    #[must_use]
    pub fn withdrawn(self, now: UnixMillis) -> Self {
        let end = self.ends_at.map_or(now, |end| end.min(now));
        Self { ends_at: Some(end), ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OVERLAY: ProfileId = ProfileId::from_bits(7);
    const START: UnixMillis = UnixMillis(1000);

    fn audience(percent: u64, ends_at: Option<i64>) -> Audience {
        let percent = Percent::new(percent).unwrap();
        Audience { percent, starts_at: START, ends_at: ends_at.map(UnixMillis) }
    }

    #[test]
    fn a_share_is_about_as_large_as_it_says_and_another_overlay_has_another() {
        let users = || (0..20_000).map(UserId::from_bits);
        for percent in [1, 10, 50] {
            let share = Percent::new(percent).unwrap();
            let count = users().filter(|user| share.includes(OVERLAY, *user)).count();
            let expected = usize::try_from(percent * 200).unwrap();
            assert!(count.abs_diff(expected) < 300, "{percent}: {count}");
        }
        let half = Percent::new(50).unwrap();
        let both = users()
            .filter(|user| half.includes(OVERLAY, *user) && half.includes(ProfileId::from_bits(8), *user));
        assert!(both.count().abs_diff(5000) < 300);
        assert!(users().all(|user| Percent::new(100).unwrap().includes(OVERLAY, user)));
        assert!(!users().any(|user| Percent::default().includes(OVERLAY, user)));
        assert!(Percent::new(101).is_err() && Percent::new(u64::MAX).is_err());
    }

    /// Nodes of different releases must agree on who is in: the places are part of the contract.
    #[test]
    fn places_never_change() {
        let places = [1, 2, 3].map(|n| place(OVERLAY, UserId::from_bits(n)));
        assert_eq!(places, [6045, 5653, 5002]);
    }

    #[test]
    fn an_overlay_holds_from_its_start_to_its_end() {
        let bounded = audience(1, Some(2000));
        let open = [999, 1000, 1999, 2000].map(|ms| bounded.is_open(UnixMillis(ms)));
        assert_eq!(open, [false, true, true, false]);
        assert!(audience(1, None).is_open(UnixMillis(i64::MAX)));
        for now in [500, 1500, 3000] {
            let gone = bounded.withdrawn(UnixMillis(now));
            assert!(gone.is_over(UnixMillis(now.max(2000))));
            assert!(!(0..4000).any(|ms| ms >= now && gone.is_open(UnixMillis(ms))), "{now}");
        }
    }

    #[test]
    fn what_cannot_be_assigned_or_widened() {
        let nobody = BTreeSet::new();
        let named = BTreeSet::from([Member::User(UserId::from_bits(1))]);
        assert_eq!(audience(0, None).check(&nobody), Err(BadAudience::Nobody));
        assert_eq!(audience(0, None).check(&named), Ok(()));
        assert_eq!(audience(5, Some(1000)).check(&nobody), Err(BadAudience::NoTime));
        let many = (0..=MAX_MEMBERS).map(|n| Member::User(UserId::from_bits(u128::try_from(n).unwrap())));
        assert_eq!(audience(5, None).check(&many.collect()), Err(BadAudience::TooMany(MAX_MEMBERS + 1)));
        let ten = audience(10, Some(2000));
        let share = |n| Some(Percent::new(n).unwrap());
        assert_eq!(ten.widened(share(9), START), Err(BadAudience::Narrower(10)));
        assert_eq!(ten.widened(share(11), START).unwrap().percent.get(), 11);
        assert_eq!(ten.widened(None, START), Ok(ten));
        assert_eq!(ten.widened(share(11), UnixMillis(2000)), Err(BadAudience::NotAssigned));
    }

    proptest! {
        #[test]
        fn who_is_in_stays_in_when_it_is_widened(user: u128, overlay: u128, small in 0_u64..=100, more in 0_u64..=100) {
            let (user, overlay) = (UserId::from_bits(user), ProfileId::from_bits(overlay));
            let (one, other) = (Percent::new(small).unwrap(), Percent::new((small + more).min(100)).unwrap());
            prop_assert!(!one.includes(overlay, user) || other.includes(overlay, user));
        }
    }
}

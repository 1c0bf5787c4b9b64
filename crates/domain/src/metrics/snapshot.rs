//! The figures of a day, as they were kept when it was over.
//!
//! A day is a UTC day, as in the sums and in reports. It is kept once, [`GRACE_MS`] after its end, and never changed: what
//! comes into the ledger later is in the sums, not here.

use std::collections::BTreeSet;

use super::{Counts, Quantiles};
use crate::time::{DAY_MS, HOUR_MS, UnixMillis};

/// How long after its end a day is waited for, in milliseconds: long replies end, and journals are brought in.
pub const GRACE_MS: i64 = HOUR_MS;
/// How many days back missed ones are kept after all.
pub const CATCH_UP_DAYS: i64 = 31;

/// Of what there are snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScopeKind {
    /// The organization.
    Organization,
    /// A team.
    Team,
    /// A phase of a rollout.
    Phase,
    /// Everybody whose clients are meant to go one way.
    Mode,
}

/// A text that names no kind of scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected org, team, phase or mode")]
pub struct BadScopeKind;

impl ScopeKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Organization, Self::Team, Self::Phase, Self::Mode];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "org",
            Self::Team => "team",
            Self::Phase => "phase",
            Self::Mode => "mode",
        }
    }
}

impl std::str::FromStr for ScopeKind {
    type Err = BadScopeKind;

    fn from_str(text: &str) -> Result<Self, BadScopeKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(BadScopeKind)
    }
}

/// A scope with the name that it had.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Measured {
    /// Of which kind.
    pub kind: ScopeKind,
    /// What does not change when it is renamed: the team's identifier, `ROLLOUT-ID/PHASE`, the mode; empty for the organization.
    pub id: String,
    /// Its name then: `org`, `team:core`, `rollout:opus/pilot`, `mode:gateway`.
    pub name: String,
}

/// The figures of a scope on a day.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Of what.
    pub scope: Measured,
    /// The beginning of the day.
    pub day: UnixMillis,
    /// When it was taken.
    pub taken_at: UnixMillis,
    /// Whether the sums stood in for the exchanges.
    pub from_rollups: bool,
    /// What was counted; without single times.
    pub counts: Counts,
    /// How long requests took.
    pub durations: Quantiles,
    /// How long the first byte took.
    pub first_bytes: Quantiles,
}

/// The days that are to be kept now, the oldest first: those that are over for [`GRACE_MS`], not older than
/// [`CATCH_UP_DAYS`] and not from before the organization was there, and that are not kept yet.
pub fn due(now: UnixMillis, born: UnixMillis, kept: &BTreeSet<UnixMillis>) -> Vec<UnixMillis> {
    let end = now.plus_millis(-GRACE_MS).day();
    let first = born.day().max(end.plus_millis(-CATCH_UP_DAYS * DAY_MS));
    let days = (0..CATCH_UP_DAYS).rev().map(|back| end.plus_millis(-(back + 1) * DAY_MS));
    days.filter(|day| *day >= first && !kept.contains(day)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: UnixMillis = UnixMillis(20_000 * DAY_MS);

    fn ago(days: i64) -> UnixMillis {
        DAY.plus_millis(-days * DAY_MS)
    }

    #[test]
    fn a_day_is_due_an_hour_after_its_end_and_once() {
        let none = BTreeSet::new();
        assert_eq!(due(DAY.plus_millis(GRACE_MS - 1), ago(2), &none), [ago(2)]);
        assert_eq!(due(DAY.plus_millis(GRACE_MS), ago(2), &none), [ago(2), ago(1)]);
        assert_eq!(due(DAY.plus_millis(DAY_MS), ago(2), &BTreeSet::from([ago(1)])), [ago(2)]);
        assert_eq!(due(DAY.plus_millis(GRACE_MS), DAY, &none), []);
        assert_eq!(due(DAY.plus_millis(GRACE_MS), ago(1).plus_millis(5), &none), [ago(1)]);
    }

    #[test]
    fn missed_days_come_up_to_a_month_back() {
        let all = due(DAY.plus_millis(GRACE_MS), UnixMillis(0), &BTreeSet::new());
        assert_eq!((all.len(), all.first(), all.last()), (31, Some(&ago(31)), Some(&ago(1))));
        let kept: BTreeSet<UnixMillis> = all.iter().copied().filter(|day| *day != ago(9)).collect();
        assert_eq!(due(DAY.plus_millis(GRACE_MS), UnixMillis(0), &kept), [ago(9)]);
    }

    #[test]
    fn kinds_read_back() {
        for kind in ScopeKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert_eq!("user".parse::<ScopeKind>(), Err(BadScopeKind));
    }
}

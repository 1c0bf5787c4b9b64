//! `[retention]`.

use super::read::Section;

/// How long records are kept that no other section speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Retention {
    /// Records of exchanges, in days; for ever if not given.
    pub(crate) exchanges_days: Option<u32>,
    /// Daily snapshots of the figures, in days; for ever if not given.
    pub(crate) snapshots_days: Option<u32>,
}

/// The fewest days: what looks back a month finds it whole.
const FEWEST: u64 = 32;

/// Reads `[retention]`.
pub(crate) fn retention(s: &Section<'_, '_>) -> Retention {
    Retention { exchanges_days: days(s, "exchanges_days"), snapshots_days: days(s, "snapshots_days") }
}

fn days(s: &Section<'_, '_>, key: &'static str) -> Option<u32> {
    let days = s.whole(key, 0..=36_600);
    if (1..FEWEST).contains(&days) {
        s.mistake(key, format!("`{days}` is too few: expected 0 (for ever), or {FEWEST} and more"));
    }
    u32::try_from(days).ok().filter(|days| *days > 0)
}

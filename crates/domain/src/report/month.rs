//! Calendar months in UTC.

use std::fmt;
use std::str::FromStr;

use crate::time::{DAY_MS, UnixMillis};

/// A UTC month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Month(UnixMillis);

/// A text that should have been a month and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a month (expected such as 2026-10)")]
pub struct BadMonth(String);

impl Month {
    /// The month that holds this time.
    pub fn of(at: UnixMillis) -> Self {
        Self(at.month())
    }

    /// Its first moment.
    pub const fn start(self) -> UnixMillis {
        self.0
    }

    /// The moment after its last.
    pub fn end(self) -> UnixMillis {
        self.0.next_month()
    }

    /// The month after it.
    pub fn next(self) -> Self {
        Self(self.end())
    }

    /// How many days it has.
    pub fn days(self) -> i64 {
        (self.end().0 - self.0.0) / DAY_MS
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_string().get(..7).unwrap_or_default())
    }
}

impl FromStr for Month {
    type Err = BadMonth;

    fn from_str(text: &str) -> Result<Self, BadMonth> {
        let bad = || BadMonth(text.chars().take(40).collect());
        if text.len() != 7 {
            return Err(bad());
        }
        format!("{text}-01").parse().map(Self).map_err(|_| bad())
    }
}

//! So many requests a minute.

/// A minute, in milliseconds.
const MINUTE: u128 = 60_000;

/// A bucket that holds at most a minute's requests and is filled evenly. It begins full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// Requests a minute; at least 1.
    per_minute: u128,
    /// What is in it, times [`MINUTE`].
    level: u128,
    at: u64,
}

impl Rate {
    /// So many a minute.
    pub fn new(per_minute: u32, now: u64) -> Self {
        let per_minute = u128::from(per_minute.max(1));
        Self { per_minute, level: per_minute * MINUTE, at: now }
    }

    /// In how many milliseconds a request may go when so many go before it; 0 if now.
    pub fn wait(&self, ahead: u64, now: u64) -> u64 {
        let missing = ((u128::from(ahead) + 1) * MINUTE).saturating_sub(self.filled(now));
        u64::try_from(missing.div_ceil(self.per_minute)).unwrap_or(u64::MAX)
    }

    /// A request goes.
    pub fn take(&mut self, now: u64) {
        self.level = self.filled(now).saturating_sub(MINUTE);
        self.at = self.at.max(now);
    }

    fn filled(&self, now: u64) -> u128 {
        let passed = u128::from(now.saturating_sub(self.at));
        (self.level + self.per_minute * passed).min(self.per_minute * MINUTE)
    }
}

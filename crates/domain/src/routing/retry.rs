//! How many further attempts there may be, and when.

/// Bounds further attempts to a share of requests, so that an outage does not multiply the load: a bucket that each
/// request fills a little and each further attempt empties by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryBudget {
    /// In thousandths of an attempt.
    tokens: u64,
    burst: u32,
}

impl RetryBudget {
    /// A full bucket for so many attempts.
    pub fn new(burst: u32) -> Self {
        Self { tokens: u64::from(burst) * 1000, burst }
    }

    /// A request came: so many percent of an attempt more, up to the bucket's size.
    pub fn request(&mut self, percent: u32, burst: u32) {
        self.burst = burst;
        self.tokens = (self.tokens + u64::from(percent) * 10).min(u64::from(burst) * 1000);
    }

    /// Takes one attempt, if there is one.
    pub fn take(&mut self) -> bool {
        let left = self.tokens.checked_sub(1000);
        self.tokens = left.unwrap_or(self.tokens);
        left.is_some()
    }

    /// Whole attempts that are left.
    pub const fn left(&self) -> u64 {
        self.tokens / 1000
    }
}

/// How long to wait before round `round` (from 1 on): anything up to a bound that doubles (full jitter), and not less than
/// what the provider asked for. `draw` is a random number.
pub fn backoff_ms(round: u32, base: u64, max: u64, asked: u64, draw: u64) -> u64 {
    let bound = base.saturating_mul(1_u64 << round.saturating_sub(1).min(32)).min(max);
    let jitter = if bound == 0 { 0 } else { draw % (bound + 1) };
    jitter.max(asked)
}

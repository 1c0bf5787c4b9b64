//! How many requests a provider gets at once, found by how it answers.

/// Additive increase, multiplicative decrease, in thousandths of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit(u64);

/// Begins here.
const START: u64 = 64_000;
/// Never below.
const LEAST: u64 = 1_000;
/// Never above.
const MOST: u64 = 100_000_000;

impl Default for Limit {
    fn default() -> Self {
        Self(START)
    }
}

impl Limit {
    /// Requests at once.
    pub const fn requests(&self) -> u64 {
        self.0 / 1000
    }

    /// One was answered while so many were under way. Only a limit that is at least half used grows: by one for each full
    /// limit of good replies.
    pub fn good(&mut self, busy: u64) {
        if busy.saturating_mul(2000) >= self.0 {
            self.0 = (self.0 + 1_000_000 / self.0.max(LEAST)).min(MOST);
        }
    }

    /// One was refused for load, or took too long.
    pub fn overloaded(&mut self) {
        self.0 = (self.0 * 7 / 10).max(LEAST);
    }
}

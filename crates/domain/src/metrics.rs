//! The six figures by which a deployment is judged, and those beside them.
//!
//! The six are exactly these: adoption = active / total users, frequency = requests / active users, error rate = failed /
//! requests, response time = time / requests, cost per user = cost / active users, satisfaction = mean of the scores; each
//! is zero where it would divide by nothing, and then says that it has no data. *Active* is who had a successful request in
//! the window, or used a client in it as only clients or the provider tell. A request counts as the user saw it: what we refused by a rule, what the client gave up by itself, and the
//! failed tries before a retry are counted apart.

mod sample;
pub mod snapshot;

use serde::Serialize;

use crate::money::Nanos;
use crate::usage::Tokens;

pub use sample::{Outcome, RETRY_MS, Seen, outcomes, per_user_p95, quantile};

/// What was counted of a scope in a window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    /// Enabled people in the scope.
    pub total_users: u64,
    /// Of these, those with at least one successful request, or who used a client as only others than us tell.
    pub active_users: u64,
    /// Of these, those of whom only clients or the provider tell: their requests are not known.
    pub told_users: u64,
    /// Sessions that they began, as clients or the provider tell.
    pub sessions: u64,
    /// Requests as users saw them: completed and failed ones.
    pub total_requests: u64,
    /// Requests that ended in an error.
    pub failed_requests: u64,
    /// Requests refused by a rule of ours.
    pub refused_requests: u64,
    /// Failed tries that the client repeated by itself.
    pub retried_requests: u64,
    /// Requests that the client gave up.
    pub abandoned_requests: u64,
    /// Milliseconds from the first to the last byte, of `total_requests`.
    pub total_time_ms: u64,
    /// What all exchanges cost.
    pub total_cost: Nanos,
    /// Sum of the scores from 1 to 5.
    pub score_sum: u64,
    /// How many answers there are.
    pub answers: u64,
    /// Sum over UTC days of how many people were active.
    pub active_days: u64,
    /// Of these, those of which only clients or the provider tell.
    pub told_days: u64,
    /// How many people were active in the window's last day, seven days and thirty days.
    pub active_in: [u64; 3],
    /// Tokens of all exchanges.
    pub tokens: Tokens,
    /// Edits that people accepted, as their clients say.
    pub edits_accepted: u64,
    /// Edits that they rejected, as their clients say.
    pub edits_rejected: u64,
    /// Times to the end of each request, in milliseconds, sorted.
    pub durations_ms: Vec<u32>,
    /// Times to the first byte, in milliseconds, sorted.
    pub first_bytes_ms: Vec<u32>,
}

/// A figure with what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// The figure; zero without data.
    pub value: f64,
    /// What it is a share or mean of.
    pub n: u64,
    /// Whether there was nothing to reckon with.
    pub no_data: bool,
}

/// An amount of money with what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// The amount, rounded half up to a nano-dollar; zero without data.
    pub value: Nanos,
    /// What it is divided by.
    pub n: u64,
    /// Whether there was nothing to reckon with.
    pub no_data: bool,
}

/// Median and upper quantiles, in milliseconds: the smallest value that at least so many percent do not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Quantiles {
    /// Half of all.
    pub p50: u32,
    /// 95 of 100.
    pub p95: u32,
    /// 99 of 100.
    pub p99: u32,
    /// How many there are.
    pub n: u64,
}

impl Counts {
    /// All of these together, of people who are not twice among them. How many are enabled and were active lately is not summed.
    pub fn sum<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for part in parts {
            sum.add(part);
        }
        sum.durations_ms.sort_unstable();
        sum.first_bytes_ms.sort_unstable();
        sum
    }

    fn add(&mut self, part: &Self) {
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.active_users, part.active_users);
        add(&mut self.total_requests, part.total_requests);
        add(&mut self.failed_requests, part.failed_requests);
        add(&mut self.refused_requests, part.refused_requests);
        add(&mut self.retried_requests, part.retried_requests);
        add(&mut self.abandoned_requests, part.abandoned_requests);
        add(&mut self.total_time_ms, part.total_time_ms);
        add(&mut self.score_sum, part.score_sum);
        add(&mut self.answers, part.answers);
        add(&mut self.active_days, part.active_days);
        add(&mut self.edits_accepted, part.edits_accepted);
        add(&mut self.edits_rejected, part.edits_rejected);
        add(&mut self.told_users, part.told_users);
        add(&mut self.told_days, part.told_days);
        add(&mut self.sessions, part.sessions);
        self.total_cost = Nanos(self.total_cost.0.saturating_add(part.total_cost.0));
        self.tokens.add(&part.tokens);
        self.durations_ms.extend(&part.durations_ms);
        self.first_bytes_ms.extend(&part.first_bytes_ms);
    }

    /// Active users of all users.
    pub fn adoption(&self) -> Figure {
        share(self.active_users, self.total_users)
    }

    /// Requests of an active user, of those whose requests are known; where nobody's are, sessions of an active user.
    pub fn frequency(&self) -> Figure {
        if self.is_told_alone() {
            return self.sessions_per_user();
        }
        share(self.total_requests, self.active_users.saturating_sub(self.told_users))
    }

    /// Whether somebody was active, and of nobody who was are requests known.
    pub const fn is_told_alone(&self) -> bool {
        self.told_users > 0 && self.told_users == self.active_users
    }

    /// Sessions of an active user.
    pub fn sessions_per_user(&self) -> Figure {
        share(self.sessions, self.active_users)
    }

    /// Failed requests of all requests.
    pub fn error_rate(&self) -> Figure {
        share(self.failed_requests, self.total_requests)
    }

    /// Mean milliseconds of a request.
    pub fn response_time(&self) -> Figure {
        share(self.total_time_ms, self.total_requests)
    }

    /// Cost of an active user.
    pub fn cost_per_user(&self) -> Amount {
        amount(self.total_cost, self.active_users)
    }

    /// Mean of the scores.
    pub fn satisfaction(&self) -> Figure {
        share(self.score_sum, self.answers)
    }

    /// Cost of a day on which somebody was active.
    pub fn cost_per_active_day(&self) -> Amount {
        amount(self.total_cost, self.active_days)
    }

    /// Requests of a day on which somebody was active, of those whose requests are known.
    pub fn frequency_per_active_day(&self) -> Figure {
        share(self.total_requests, self.active_days.saturating_sub(self.told_days))
    }

    /// Tokens read from the cache, of all input.
    pub fn cache_read_ratio(&self) -> Figure {
        let t = self.tokens;
        let written = t.cache_write_5m.saturating_add(t.cache_write_1h);
        share(t.cache_read, t.input.saturating_add(written).saturating_add(t.cache_read))
    }

    /// Edits that people accepted, of all that they decided on.
    pub fn edit_accept_rate(&self) -> Figure {
        share(self.edits_accepted, self.edits_accepted.saturating_add(self.edits_rejected))
    }

    /// How long requests took.
    pub fn durations(&self) -> Quantiles {
        Quantiles::of(&self.durations_ms)
    }

    /// How long the first byte took.
    pub fn first_bytes(&self) -> Quantiles {
        Quantiles::of(&self.first_bytes_ms)
    }
}

impl Quantiles {
    /// Of sorted values.
    pub fn of(sorted: &[u32]) -> Self {
        let at = |percent| quantile(sorted, percent).unwrap_or(0);
        Self { p50: at(50), p95: at(95), p99: at(99), n: u64::try_from(sorted.len()).unwrap_or(u64::MAX) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 need not be exact")]
fn share(part: u64, of: u64) -> Figure {
    let value = if of == 0 { 0.0 } else { part as f64 / of as f64 };
    Figure { value, n: of, no_data: of == 0 }
}

fn amount(sum: Nanos, of: u64) -> Amount {
    let rounded = match i128::from(of) {
        0 => 0,
        of => (2 * i128::from(sum.0) + of).div_euclid(2 * of),
    };
    Amount { value: Nanos(i64::try_from(rounded).unwrap_or(i64::MAX)), n: of, no_data: of == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the figures are exact to the last digit")]
    fn the_six_are_exactly_what_they_say() {
        let counts = Counts {
            total_users: 8,
            active_users: 3,
            total_requests: 7,
            failed_requests: 2,
            refused_requests: 5,
            retried_requests: 4,
            total_time_ms: 1234,
            total_cost: Nanos(1_000_000_001),
            score_sum: 17,
            answers: 5,
            active_days: 4,
            tokens: Tokens {
                input: 100,
                cache_write_5m: 50,
                cache_write_1h: 50,
                cache_read: 600,
                ..Tokens::default()
            },
            edits_accepted: 5,
            edits_rejected: 2,
            durations_ms: (1..=100).collect(),
            ..Counts::default()
        };
        assert_eq!(counts.adoption(), Figure { value: 0.375, n: 8, no_data: false });
        assert_eq!(counts.frequency().value, 2.333_333_333_333_333_5);
        assert_eq!(counts.error_rate().value, 0.285_714_285_714_285_7);
        assert_eq!(counts.response_time().value, 176.285_714_285_714_28);
        assert_eq!(counts.cost_per_user().value, Nanos(333_333_334));
        assert_eq!(counts.satisfaction().value, 3.4);
        assert_eq!(counts.cost_per_active_day().value, Nanos(250_000_000));
        assert_eq!(counts.frequency_per_active_day().value, 1.75);
        assert_eq!(counts.cache_read_ratio().value, 0.75);
        assert_eq!(
            counts.edit_accept_rate(),
            Figure { value: 0.714_285_714_285_714_3, n: 7, no_data: false }
        );
        assert_eq!(counts.durations(), Quantiles { p50: 50, p95: 95, p99: 99, n: 100 });
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the figures are exact to the last digit")]
    fn people_whose_requests_are_not_known_do_not_thin_out_the_others() {
        let mixed = Counts {
            total_users: 8,
            active_users: 4,
            told_users: 2,
            total_requests: 7,
            sessions: 10,
            total_cost: Nanos(8),
            ..Counts::default()
        };
        assert_eq!((mixed.adoption().value, mixed.cost_per_user().value), (0.5, Nanos(2)));
        assert_eq!(mixed.frequency(), Figure { value: 3.5, n: 2, no_data: false });
        assert_eq!(mixed.sessions_per_user().value, 2.5);
        let told = Counts { told_users: 4, ..mixed };
        assert!(told.is_told_alone());
        assert_eq!(told.frequency(), Figure { value: 2.5, n: 4, no_data: false });
    }

    #[test]
    fn nothing_is_zero_and_says_so() {
        let none = Counts::default();
        let nothing = Figure { value: 0.0, n: 0, no_data: true };
        for figure in [
            none.adoption(),
            none.frequency(),
            none.error_rate(),
            none.response_time(),
            none.satisfaction(),
            none.cache_read_ratio(),
            none.edit_accept_rate(),
        ] {
            assert_eq!(figure, nothing);
        }
        assert_eq!(none.cost_per_user(), Amount { value: Nanos::ZERO, n: 0, no_data: true });
        assert_eq!(none.durations(), Quantiles::default());
    }
}

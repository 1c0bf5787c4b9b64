//! From exchanges to what users saw.

use std::collections::{BTreeMap, HashMap};

use crate::exchange::Ended;
use crate::id::UserId;
use crate::time::UnixMillis;

/// A failed try is repeated by the client when the same request comes again within so many milliseconds after its end.
/// The client waits 32 s at most between tries.
pub const RETRY_MS: i64 = 60_000;

/// What of an exchange matters to figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whose it is.
    pub user: UserId,
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it took, in milliseconds.
    pub duration_ms: u32,
    /// How it ended.
    pub ended: Ended,
    /// Names the request: what it holds, of which session of the client. Equal ones are tries of the same.
    pub request: u64,
}

/// What a user saw of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// It failed, for good.
    Failed,
    /// It failed, and the client tried again by itself: nobody saw that.
    Retried,
    /// We refused it by a rule.
    Refused,
    /// The user, or the client, gave it up.
    Abandoned,
}

/// What became of each exchange, in the order given. The exchanges must be sorted by when they began.
pub fn outcomes(seen: &[Seen]) -> Vec<Outcome> {
    let mut later: HashMap<(UserId, u64), UnixMillis> = HashMap::new();
    let mut out = vec![Outcome::Answered; seen.len()];
    // From the end, so that what comes later is known.
    for (exchange, outcome) in seen.iter().zip(out.iter_mut()).rev() {
        let end = exchange.started_at.plus_millis(i64::from(exchange.duration_ms));
        let again = later.insert((exchange.user, exchange.request), exchange.started_at);
        *outcome = match exchange.ended {
            Ended::Completed => Outcome::Answered,
            Ended::Refused => Outcome::Refused,
            Ended::ClientGone => Outcome::Abandoned,
            Ended::UpstreamError | Ended::UpstreamFailed | Ended::Revoked | Ended::Interrupted => match again
            {
                Some(next) if next <= end.plus_millis(RETRY_MS) => Outcome::Retried,
                Some(_) | None => Outcome::Failed,
            },
        };
    }
    out
}

/// The smallest of sorted values that at least so many percent of them do not exceed; `None` of none.
pub fn quantile(sorted: &[u32], percent: usize) -> Option<u32> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// The 95th percentile of each user's values, by user.
pub fn per_user_p95(values: impl IntoIterator<Item = (UserId, u32)>) -> Vec<f64> {
    let mut by_user: BTreeMap<UserId, Vec<u32>> = BTreeMap::new();
    for (user, value) in values {
        by_user.entry(user).or_default().push(value);
    }
    by_user
        .into_values()
        .filter_map(|mut values| {
            values.sort_unstable();
            quantile(&values, 95).map(f64::from)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use Outcome::{Abandoned, Answered, Failed, Refused, Retried};

    use super::*;

    fn seen(user: u128, at: i64, ended: Ended, request: u64) -> Seen {
        Seen { user: UserId::from_bits(user), started_at: UnixMillis(at), duration_ms: 1000, ended, request }
    }

    #[test]
    fn a_cascade_of_tries_is_one_request() {
        let tries = [
            seen(1, 0, Ended::UpstreamError, 7),
            seen(2, 10, Ended::UpstreamError, 7),
            seen(1, 2_000, Ended::UpstreamFailed, 7),
            seen(1, 40_000, Ended::Completed, 7),
            seen(1, 50_000, Ended::Refused, 8),
            seen(1, 60_000, Ended::ClientGone, 9),
            seen(1, 70_000, Ended::UpstreamError, 10),
            seen(1, 131_001, Ended::Completed, 10),
            seen(1, 140_000, Ended::Interrupted, 11),
        ];
        // The seventh ended at 71 s, and its repetition came 60.001 s later.
        let expected = [Retried, Failed, Retried, Answered, Refused, Abandoned, Failed, Answered, Failed];
        assert_eq!(outcomes(&tries), expected);
        assert_eq!(outcomes(&[]), []);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!(quantile(&[], 50), None);
        assert_eq!(quantile(&[3], 99), Some(3));
        assert_eq!((quantile(&[1, 2], 50), quantile(&[1, 2], 51)), (Some(1), Some(2)));
        let user = UserId::from_bits;
        let values = (1..=20).map(|n| (user(1), n)).chain([(user(2), 5)]);
        assert_eq!(per_user_p95(values), [19.0, 5.0]);
    }
}

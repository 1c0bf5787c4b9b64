//! Days on which somebody spent much more than they are used to.

use crate::money::Nanos;

/// Days before the one judged that are compared with.
pub const DAYS: usize = 28;
/// Fewest of them since the first on which something was spent: with fewer nothing is judged.
pub const FEWEST: usize = 14;
/// A robust z-score above this, in hundredths, is an anomaly (3.5, after Iglewicz and Hoaglin).
pub const LIMIT: i64 = 350;
/// Less than this above the median is never one.
pub const SMALLEST: Nanos = Nanos(1_000_000_000);

/// A day that stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anomaly {
    /// The median of the days before.
    pub median: Nanos,
    /// The robust z-score in hundredths: 0.6745 times the distance from the median, over the median absolute deviation.
    /// That is taken as a twentieth of the median, or ten cents, where it is smaller.
    pub score: i64,
}

/// Judges a day's cost by the costs of the days before, oldest first, without gaps.
pub fn judge(before: &[i64], today: i64) -> Option<Anomaly> {
    let begun = before.iter().position(|cost| *cost > 0)?;
    let history = &before[begun.max(before.len().saturating_sub(DAYS))..];
    if history.len() < FEWEST {
        return None;
    }
    let median = middle(history.to_vec());
    let deviation = middle(history.iter().map(|cost| (cost - median).abs()).collect());
    let floor = (median / 20).max(100_000_000);
    let distance = i128::from(today) - i128::from(median);
    if distance < i128::from(SMALLEST.0) {
        return None;
    }
    let score = distance * 6745 / (100 * i128::from(deviation.max(floor)));
    let score = i64::try_from(score).unwrap_or(i64::MAX);
    (score > LIMIT).then_some(Anomaly { median: Nanos(median), score })
}

/// The median; of an even number the mean of the middle two, rounded down.
fn middle(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        values[half]
    } else {
        let sum = i128::from(values[half - 1]) + i128::from(values[half]);
        i64::try_from(sum.div_euclid(2)).unwrap_or(i64::MAX)
    }
}

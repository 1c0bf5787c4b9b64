//! What a month will probably cost, in a way that can be explained: every day to come costs what the same weekday cost on
//! average in the last weeks, between the lowest and highest tenth of them.

use crate::money::Nanos;

/// Weeks that a prediction looks back.
pub const WEEKS: usize = 8;
/// Days that the backtest predicts.
pub const BACKTEST: usize = 28;

/// A predicted amount with its band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Band {
    /// The 10th percentile of the days looked at.
    pub low: Nanos,
    /// Their mean.
    pub expected: Nanos,
    /// The 90th percentile.
    pub high: Nanos,
}

/// How good the same prediction was for days that are over, each predicted from the days before it only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backtest {
    /// Days that were predicted.
    pub days: u64,
    /// Mean of the absolute errors.
    pub mean_error: Nanos,
    /// Sum of the absolute errors in thousandths of what was spent on those days; `None` when nothing was.
    pub error_permille: Option<u64>,
    /// Days that lay within their band.
    pub within_band: u64,
}

/// A forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forecast {
    /// The days to come. The band is the sum of the days' bands, which is wider than one of independent days.
    pub ahead: Band,
    /// How good such predictions were.
    pub backtest: Backtest,
}

/// Predicts `days` days that follow a series of daily costs, oldest first, without gaps (a day without use is zero).
/// `None` when the series has less than a week.
pub fn forecast(series: &[i64], days: usize) -> Option<Forecast> {
    if series.len() < 7 {
        return None;
    }
    let mut ahead = Band::default();
    for offset in 0..days {
        let day = predict(series, series.len() + offset);
        ahead.low = plus(ahead.low, day.low);
        ahead.expected = plus(ahead.expected, day.expected);
        ahead.high = plus(ahead.high, day.high);
    }
    Some(Forecast { ahead, backtest: backtest(series) })
}

fn backtest(series: &[i64]) -> Backtest {
    let first = series.len().saturating_sub(BACKTEST).max(7);
    let (mut errors, mut spent) = (0_i128, 0_i128);
    let mut test = Backtest::default();
    for day in first..series.len() {
        let predicted = predict(&series[..day], day);
        let actual = series[day];
        errors += (i128::from(actual) - i128::from(predicted.expected.0)).abs();
        spent += i128::from(actual);
        test.days += 1;
        test.within_band += u64::from((predicted.low.0..=predicted.high.0).contains(&actual));
    }
    if test.days > 0 {
        test.mean_error = nanos(errors / i128::from(test.days));
    }
    test.error_permille = (spent > 0).then(|| u64::try_from(errors * 1000 / spent).unwrap_or(u64::MAX));
    test
}

/// Predicts the day of this index from the days of the same weekday in `series`, the last [`WEEKS`] of them.
fn predict(series: &[i64], index: usize) -> Band {
    let mut same: Vec<i64> = (0..series.len())
        .rev()
        .filter(|day| (index - day).is_multiple_of(7))
        .take(WEEKS)
        .map(|d| series[d])
        .collect();
    same.sort_unstable();
    let count = same.len();
    if count == 0 {
        return Band::default();
    }
    let sum: i128 = same.iter().copied().map(i128::from).sum();
    // Nearest rank: the smallest value with at least that part of all at or below it.
    let rank = |percent: usize| same[(count * percent).div_ceil(100).clamp(1, count) - 1];
    let mean = sum / i128::try_from(count).unwrap_or(1);
    Band { low: Nanos(rank(10)), expected: nanos(mean), high: Nanos(rank(90)) }
}

const fn plus(a: Nanos, b: Nanos) -> Nanos {
    Nanos(a.0.saturating_add(b.0))
}

fn nanos(amount: i128) -> Nanos {
    Nanos(i64::try_from(amount).unwrap_or(i64::MAX))
}

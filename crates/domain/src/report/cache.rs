//! What caching saved or cost.

use crate::money::Nanos;
use crate::price::Rates;
use crate::usage::Tokens;

/// What these tokens would have cost more without the cache, every one of them as fresh input; negative where more was
/// paid for writing than was saved by reading. By list or contract prices without discounts and surcharges.
pub fn saved(tokens: &Tokens, rates: &Rates) -> Nanos {
    let cost = |count: u64, rate: u64| i128::from(count).saturating_mul(i128::from(rate));
    let cached = [
        (tokens.cache_write_5m, rates.cache_write_5m),
        (tokens.cache_write_1h, rates.cache_write_1h),
        (tokens.cache_read, rates.cache_read),
    ];
    let picos = cached.into_iter().fold(0_i128, |sum, (count, rate)| {
        sum.saturating_add(cost(count, rates.input)).saturating_sub(cost(count, rate))
    });
    let nanos = picos.saturating_add(500).div_euclid(1000);
    Nanos(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
}

/// Tokens read from the cache for each one written, in hundredths; `None` when none was written.
pub fn ratio(tokens: &Tokens) -> Option<u64> {
    let written = u128::from(tokens.cache_write_5m) + u128::from(tokens.cache_write_1h);
    let ratio = (u128::from(tokens.cache_read) * 100).checked_div(written)?;
    Some(u64::try_from(ratio).unwrap_or(u64::MAX))
}

//! Prices per token, factors, and sums without rounding.

use crate::usage::Tokens;

/// Pico-dollars of a nano-dollar.
const PICOS_PER_NANO: i128 = 1000;

/// Prices in pico-dollars (10⁻¹² USD) per token, which are micro-dollars per million tokens: four dollars per
/// million are 4,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rates {
    /// Fresh input.
    pub input: u64,
    /// Cache writes that live five minutes.
    pub cache_write_5m: u64,
    /// Cache writes that live one hour.
    pub cache_write_1h: u64,
    /// Cache reads.
    pub cache_read: u64,
    /// Output, thinking included.
    pub output: u64,
}

impl Rates {
    /// Whether every kind of token costs something.
    pub const fn all_positive(&self) -> bool {
        self.input > 0
            && self.cache_write_5m > 0
            && self.cache_write_1h > 0
            && self.cache_read > 0
            && self.output > 0
    }

    /// What these tokens cost, in pico-dollars. Five products of 64-bit numbers cannot exceed 2¹³¹, so the sum
    /// saturates; a sum that did is far beyond what [`Sum::nanos`] can write down.
    pub(super) fn of(&self, tokens: &Tokens) -> i128 {
        [
            (tokens.input, self.input),
            (tokens.cache_write_5m, self.cache_write_5m),
            (tokens.cache_write_1h, self.cache_write_1h),
            (tokens.cache_read, self.cache_read),
            (tokens.output, self.output),
        ]
        .into_iter()
        .map(|(count, rate)| i128::from(count).saturating_mul(i128::from(rate)))
        .fold(0, i128::saturating_add)
    }
}

/// A fraction in lowest terms, not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Factor {
    numerator: u128,
    denominator: u128,
}

impl Factor {
    /// Changes nothing.
    pub const ONE: Self = Self { numerator: 1, denominator: 1 };

    /// `numerator / denominator`. A denominator of zero counts as one.
    pub(super) const fn new(numerator: u64, denominator: u64) -> Self {
        Self::reduced(numerator as u128, denominator as u128)
    }

    /// The product. A factor has at most six decimals, so the product of four of them stays far from the limit.
    pub(super) const fn times(self, other: Self) -> Self {
        Self::reduced(
            self.numerator.saturating_mul(other.numerator),
            self.denominator.saturating_mul(other.denominator),
        )
    }

    const fn reduced(numerator: u128, denominator: u128) -> Self {
        let denominator = if denominator == 0 { 1 } else { denominator };
        let shared = gcd(numerator, denominator);
        Self { numerator: numerator / shared, denominator: denominator / shared }
    }
}

/// An exact sum of pico-dollars times factors; `None` once it is more than 127 bits can hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum(Option<(i128, i128)>);

impl Default for Sum {
    fn default() -> Self {
        Self(Some((0, 1)))
    }
}

impl Sum {
    /// Adds `picos * factor`.
    pub(super) fn add(&mut self, picos: i128, factor: Factor) {
        self.0 = self.0.and_then(|sum| added(sum, picos, factor));
    }

    /// The sum in nano-dollars, rounded half up; `None` when it does not fit.
    pub(super) fn nanos(self) -> Option<i64> {
        let (numerator, denominator) = self.0?;
        let unit = denominator.checked_mul(PICOS_PER_NANO)?;
        let whole = numerator.div_euclid(unit);
        let rest = numerator.rem_euclid(unit);
        let up = i128::from(rest >= unit - rest);
        i64::try_from(whole + up).ok()
    }
}

fn added((numerator, denominator): (i128, i128), picos: i128, factor: Factor) -> Option<(i128, i128)> {
    let (top, bottom) = (i128::try_from(factor.numerator).ok()?, i128::try_from(factor.denominator).ok()?);
    let shared = i128::try_from(gcd(denominator.unsigned_abs(), factor.denominator)).ok()?;
    let product = picos.checked_mul(top)?.checked_mul(denominator / shared)?;
    let sum = numerator.checked_mul(bottom / shared)?.checked_add(product)?;
    Some((sum, (denominator / shared).checked_mul(bottom)?))
}

const fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    if a == 0 { 1 } else { a }
}

//! Money in integer nano-dollars. Never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of US dollars in nano-dollars (10⁻⁹ USD). Range ± 9.2 billion dollars; arithmetic is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub i64);

/// Nano-dollars of one dollar.
pub const NANOS_PER_USD: i64 = 1_000_000_000;

impl Nanos {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` when it does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

/// A text that should have been an amount of dollars and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount of dollars (expected such as 250 or 0.01, with at most nine decimals)")]
pub struct BadAmount(String);

/// Reads dollars, not negative: `250`, `12.50`, `$0.01`.
impl std::str::FromStr for Nanos {
    type Err = BadAmount;

    fn from_str(text: &str) -> Result<Self, BadAmount> {
        read(text).ok_or_else(|| BadAmount(text.chars().take(40).collect()))
    }
}

fn read(text: &str) -> Option<Nanos> {
    let text = text.strip_prefix('$').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(NANOS_PER_USD)?;
    whole.checked_add(format!("{fraction:0<9}").parse().ok()?).map(Nanos)
}

/// Dollars with as many decimals as needed, at least two: `0.0123`, `12.50`.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let abs = self.0.unsigned_abs();
        let unit = NANOS_PER_USD.unsigned_abs();
        let fraction = format!("{:09}", abs % unit);
        let keep = fraction.trim_end_matches('0').len().max(2);
        let sign = if self.0 < 0 { "-" } else { "" };
        f.pad(&format!("{sign}{}.{}", abs / unit, &fraction[..keep]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dollars() {
        for (text, nanos) in [("250", 250_000_000_000), ("$0.01", 10_000_000), ("0.000000001", 1), ("0", 0)] {
            assert_eq!(text.parse(), Ok(Nanos(nanos)), "{text}");
        }
        for text in ["", "-1", "1.", ".5", "1e3", "0.0000000001", "9223372037", "1,5", "$"] {
            assert!(text.parse::<Nanos>().is_err(), "{text}");
        }
    }

    #[test]
    fn prints_dollars() {
        for (nanos, text) in [
            (0, "0.00"),
            (1, "0.000000001"),
            (-1_500_000_000, "-1.50"),
            (12_345_678_900, "12.3456789"),
            (i64::MIN, "-9223372036.854775808"),
        ] {
            assert_eq!(Nanos(nanos).to_string(), text);
        }
    }
}

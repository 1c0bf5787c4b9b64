//! Dated exchange rates. They serve for display only: what is kept, summed and closed is nano-dollars.

use std::fmt;
use std::str::FromStr;

use crate::money::{NANOS_PER_USD, Nanos};
use crate::time::UnixMillis;

/// A currency by its code of three letters (ISO 4217), such as `EUR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// A text that is no currency's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a currency (expected three capital letters such as EUR)")]
pub struct BadCurrency(String);

impl FromStr for Currency {
    type Err = BadCurrency;

    fn from_str(text: &str) -> Result<Self, BadCurrency> {
        match text.as_bytes() {
            [a, b, c] if text.bytes().all(|byte| byte.is_ascii_uppercase()) => Ok(Self([*a, *b, *c])),
            _ => Err(BadCurrency(text.chars().take(16).collect())),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}

/// A rate that holds from a day on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeRate {
    /// The currency.
    pub currency: Currency,
    /// From this UTC day on, until a later rate of the currency.
    pub from: UnixMillis,
    /// Units of the currency for one dollar, in thousand-millionths.
    pub per_dollar: i64,
}

impl ExchangeRate {
    /// An amount in this currency, rounded half away from zero to hundredths: `12.30`.
    pub fn shown(&self, amount: Nanos) -> String {
        // Both factors have 63 bits, so that their product has room.
        let exact = i128::from(amount.0) * i128::from(self.per_dollar);
        let hundredth = i128::from(NANOS_PER_USD) * i128::from(NANOS_PER_USD) / 100;
        let hundredths = (exact.abs() + hundredth / 2) / hundredth;
        let sign = if exact < 0 && hundredths > 0 { "-" } else { "" };
        format!("{sign}{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

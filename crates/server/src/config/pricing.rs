//! `[pricing]`: the price table to use, discounts, contracts, and the price of models nobody knows.

use std::path::PathBuf;

use super::read::{Section, brief};
use super::tree::Value;

/// Decimals of a price in dollars per million tokens. One unit of the last is a pico-dollar per token.
const PRICE_PLACES: u32 = 6;

/// What things cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pricing {
    /// A price table instead of the built-in one.
    pub(crate) file: Option<PathBuf>,
    /// Discount on everything, in hundredths of a percent.
    pub(crate) discount: u64,
    /// The price of a model that no table knows.
    pub(crate) default: Rates,
    /// Contracts; the first that matches counts.
    pub(crate) contracts: Vec<Contract>,
}

/// Prices in pico-dollars (10⁻¹² USD) per token, that is micro-dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Input.
    pub(crate) input: u64,
    /// Output.
    pub(crate) output: u64,
    /// Cache writes that live five minutes.
    pub(crate) cache_write_5m: u64,
    /// Cache writes that live one hour.
    pub(crate) cache_write_1h: u64,
    /// Cache reads.
    pub(crate) cache_read: u64,
}

/// A contract for some models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contract {
    /// A model's name, or a beginning followed by `*`.
    pub(crate) model: String,
    /// Discount in hundredths of a percent.
    pub(crate) discount: Option<u64>,
    /// Prices instead of the table's.
    pub(crate) rates: Option<Rates>,
}

/// Reads `[pricing]`.
pub(crate) fn pricing(s: &Section<'_, '_>) -> Pricing {
    let rate = |key| price(s, key).unwrap_or_default();
    let default = Rates {
        input: rate("default_input_usd"),
        output: rate("default_output_usd"),
        cache_write_5m: rate("default_cache_write_5m_usd"),
        cache_write_1h: rate("default_cache_write_1h_usd"),
        cache_read: rate("default_cache_read_usd"),
    };
    if default.input == 0 || default.output == 0 {
        s.mistake("default_input_usd", "the default prices must not be zero: unknown models would seem to be free");
    }
    Pricing {
        file: s.text("file").map(PathBuf::from),
        discount: percent(s).unwrap_or_default(),
        default,
        contracts: contracts(s),
    }
}

fn contracts(s: &Section<'_, '_>) -> Vec<Contract> {
    let Some(list) = s.node("contract") else { return Vec::new() };
    let Value::List(items) = &list.value else {
        s.mistake("contract", format!("expected [[pricing.contract]] sections, found {}", list.value.type_name()));
        return Vec::new();
    };
    let read = |(index, item)| s.reader().section(&format!("pricing.contract[{index}]"), item, None, contract);
    items.iter().enumerate().filter_map(read).collect()
}

fn contract(s: &Section<'_, '_>) -> Option<Contract> {
    let model = s.parsed("model", |text| {
        gatehouse_domain::model::ModelScope::only(&[text]).map(|_| text.trim().to_owned()).map_err(|error| error.to_string())
    });
    let discount = percent(s);
    let (input, output) = (price(s, "input_usd"), price(s, "output_usd"));
    let (write_5m, write_1h, read) =
        (price(s, "cache_write_5m_usd"), price(s, "cache_write_1h_usd"), price(s, "cache_read_usd"));
    let rates = match (input, output) {
        (Some(input), Some(output)) => Some(Rates {
            input,
            output,
            cache_write_5m: write_5m.unwrap_or(input + input / 4),
            cache_write_1h: write_1h.unwrap_or(input * 2),
            cache_read: read.unwrap_or(input / 10),
        }),
        (None, None) if write_5m.or(write_1h).or(read).is_none() => None,
        _ => {
            s.mistake("input_usd", "prices of a contract need both input_usd and output_usd");
            None
        }
    };
    if discount.is_none() && rates.is_none() {
        s.mistake("model", format!("the contract for `{}` says neither a discount nor prices", brief(model.as_deref().unwrap_or("?"))));
    }
    Some(Contract { model: model?, discount, rates })
}

fn price(s: &Section<'_, '_>, key: &'static str) -> Option<u64> {
    s.decimal(key, PRICE_PLACES, 1_000_000)
}

fn percent(s: &Section<'_, '_>) -> Option<u64> {
    s.decimal("discount_percent", 2, 100)
}

//! `[pricing]`: the price table to use, discounts, contracts, and the price of models nobody knows.

use std::path::PathBuf;

use gatehouse_domain::model::ModelScope;
use gatehouse_domain::price::{Contract, Discount, Rates, Terms};

use super::read::{Section, brief};

/// Decimals of a price in dollars per million tokens. One unit of the last is a pico-dollar per token.
const PRICE_PLACES: u32 = 6;

/// What things cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pricing {
    /// A price table instead of the built-in one.
    pub(crate) file: Option<PathBuf>,
    /// The organization's own terms, over the table.
    pub(crate) terms: Terms,
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
    if !default.all_positive() {
        s.mistake(
            "default_input_usd",
            "the default prices must not be zero: unknown models would seem to be free",
        );
    }
    let terms =
        Terms { discount: percent(s).unwrap_or_default(), contracts: contracts(s), default: Some(default) };
    Pricing { file: s.text("file").map(PathBuf::from), terms }
}

fn contracts(s: &Section<'_, '_>) -> Vec<Contract> {
    let Some(list) = s.node("contract") else { return Vec::new() };
    let Some(items) = list.value.items() else {
        s.mistake(
            "contract",
            format!("expected [[pricing.contract]] sections, found {}", list.value.type_name()),
        );
        return Vec::new();
    };
    let read =
        |(index, item)| s.reader().section(&format!("pricing.contract[{index}]"), item, None, contract);
    items.iter().enumerate().filter_map(read).collect()
}

fn contract(s: &Section<'_, '_>) -> Option<Contract> {
    let models = s.parsed("model", |text| ModelScope::only(&[text]));
    let (discount, rates) = (percent(s), rates(s));
    if discount.is_none() && rates.is_none() {
        let model = s.text("model").unwrap_or("?");
        s.mistake("model", format!("the contract for `{}` says neither a discount nor prices", brief(model)));
    }
    Some(Contract { models: models?, discount, rates })
}

/// A contract's prices. Those of the cache follow from the input's, in the proportions of the public price list, unless
/// given.
fn rates(s: &Section<'_, '_>) -> Option<Rates> {
    let (input, output) = (price(s, "input_usd"), price(s, "output_usd"));
    let (write_5m, write_1h, read) =
        (price(s, "cache_write_5m_usd"), price(s, "cache_write_1h_usd"), price(s, "cache_read_usd"));
    match (input, output) {
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
    }
}

fn price(s: &Section<'_, '_>, key: &'static str) -> Option<u64> {
    s.decimal(key, PRICE_PLACES, 1_000_000)
}

fn percent(s: &Section<'_, '_>) -> Option<Discount> {
    s.decimal("discount_percent", 2, 100).map(Discount)
}

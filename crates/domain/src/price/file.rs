//! Reading a price table.

use std::collections::HashMap;

use serde::Deserialize;

use super::rate::{Factor, Rates};
use super::spelling::Spelling;
use super::terms::Terms;
use super::{Factors, KnownModel, Model, Price, PriceTable, ToolPrices};
use crate::model::is_model_name;
use crate::time::UnixMillis;
use crate::usage::Speed;

/// Most dollars per million tokens (or per thousand requests) that count as a price and not as a slip.
const MAX_DOLLARS: u64 = 1_000_000;
/// Millionths of a dollar.
const MICROS: u64 = 1_000_000;
/// Largest factor that counts as one.
const MAX_FACTOR: u64 = 100;

/// A price table that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTable {
    /// It is not TOML, a key is missing or unknown, or a value has the wrong type.
    #[error("the price table cannot be read: {0}")]
    Syntax(String),
    /// A text is not an amount.
    #[error("`{field}` of {owner} is `{given}`, not a number with at most six decimals and at most {max}")]
    Amount {
        /// The model or section.
        owner: String,
        /// The key.
        field: &'static str,
        /// What stands there.
        given: String,
        /// The largest number that is taken.
        max: u64,
    },
    /// A text is not a date.
    #[error("`{field}` of {owner} is `{given}`, not a date such as 2026-11-22")]
    Date {
        /// The model or section.
        owner: String,
        /// The key.
        field: &'static str,
        /// What stands there.
        given: String,
    },
    /// An identifier is not a model's name.
    #[error("`{0}` is not a model's name")]
    Name(String),
    /// Two models have the same name.
    #[error("`{0}` is the name of two models")]
    Duplicate(String),
    /// A model has no price without conditions, or two that hold under the same conditions at the same time.
    #[error("the prices of `{model}` are ambiguous or incomplete: {why}")]
    Prices {
        /// The model.
        model: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A kind of token of the default price is free.
    #[error(
        "the default price must be above zero for every kind of token, or unknown models would seem to be free"
    )]
    FreeDefault,
}

pub(super) fn parse(text: &str) -> Result<PriceTable, BadTable> {
    let file: File =
        toml::from_str(text).map_err(|error| BadTable::Syntax(error.to_string().trim_end().to_owned()))?;
    let default = file.default.rates("the default price")?;
    if !default.all_positive() {
        return Err(BadTable::FreeDefault);
    }
    let mut models = Vec::with_capacity(file.model.len());
    let mut by_name = HashMap::new();
    for line in &file.model {
        for name in line.also.iter().chain([&line.id]) {
            if !is_model_name(name) {
                return Err(BadTable::Name(name.chars().take(80).collect()));
            }
            if by_name.insert(name.as_str().into(), models.len()).is_some() {
                return Err(BadTable::Duplicate(name.clone()));
            }
        }
        models.push(model(line)?);
    }
    Ok(PriceTable {
        as_of: date("the table", "as_of", &file.as_of)?,
        default,
        factors: file.factors.read()?,
        tools: file.tools.read()?,
        spelling: Spelling { places: file.spelling.places, vendors: file.spelling.vendors },
        models,
        by_name,
        terms: Terms::default(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    as_of: String,
    default: RatesText,
    factors: FactorsText,
    tools: ToolsText,
    spelling: SpellingText,
    #[serde(default)]
    model: Vec<ModelText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RatesText {
    input: String,
    write_5m: String,
    write_1h: String,
    read: String,
    output: String,
}

impl RatesText {
    fn rates(&self, owner: &str) -> Result<Rates, BadTable> {
        let read = |field, text: &str| amount(owner, field, text, MAX_DOLLARS);
        Ok(Rates {
            input: read("input", &self.input)?,
            cache_write_5m: read("write_5m", &self.write_5m)?,
            cache_write_1h: read("write_1h", &self.write_1h)?,
            cache_read: read("read", &self.read)?,
            output: read("output", &self.output)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FactorsText {
    batch: String,
    us: String,
    regional: String,
}

impl FactorsText {
    fn read(&self) -> Result<Factors, BadTable> {
        let read = |field, text| Ok(Factor::new(amount("factors", field, text, MAX_FACTOR)?, MICROS));
        Ok(Factors {
            batch: read("batch", &self.batch)?,
            us: read("us", &self.us)?,
            regional: read("regional", &self.regional)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolsText {
    web_search: String,
    web_fetch: String,
    code_execution: String,
}

impl ToolsText {
    fn read(&self) -> Result<ToolPrices, BadTable> {
        // A micro-dollar per thousand requests is a thousand pico-dollars per request.
        let read = |field, text| Ok(1000 * amount("tools", field, text, MAX_DOLLARS)?);
        Ok(ToolPrices {
            web_search: read("web_search", &self.web_search)?,
            web_fetch: read("web_fetch", &self.web_fetch)?,
            code_execution: read("code_execution", &self.code_execution)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpellingText {
    places: Vec<String>,
    vendors: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelText {
    id: String,
    #[serde(default)]
    also: Vec<String>,
    name: String,
    created: Option<String>,
    retires: Option<String>,
    may_retire_from: Option<String>,
    #[serde(default)]
    retired: bool,
    prices: Vec<PriceText>,
}

/// One line of `prices`. (Written out, since serde cannot both flatten and refuse unknown keys.)
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceText {
    from: Option<String>,
    until: Option<String>,
    #[serde(default)]
    speed: Speed,
    prompt_over: Option<u64>,
    input: String,
    write_5m: String,
    write_1h: String,
    read: String,
    output: String,
}

fn model(line: &ModelText) -> Result<Model, BadTable> {
    let day = |field, text: &Option<String>| text.as_ref().map(|t| date(&line.id, field, t)).transpose();
    let prices = line.prices.iter().map(|p| price(&line.id, p)).collect::<Result<Vec<_>, _>>()?;
    check_prices(&line.id, &prices)?;
    Ok(Model {
        known: KnownModel {
            id: line.id.clone(),
            display_name: line.name.clone(),
            created_at: day("created", &line.created)?,
            retires_at: day("retires", &line.retires)?,
            may_retire_from: day("may_retire_from", &line.may_retire_from)?,
            retired: line.retired,
        },
        prices,
    })
}

fn price(owner: &str, line: &PriceText) -> Result<Price, BadTable> {
    let day = |field, text: &Option<String>| text.as_ref().map(|t| date(owner, field, t)).transpose();
    let read = |field, text: &str| amount(owner, field, text, MAX_DOLLARS);
    Ok(Price {
        from: day("from", &line.from)?,
        until: day("until", &line.until)?,
        speed: line.speed,
        prompt_over: line.prompt_over,
        rates: Rates {
            input: read("input", &line.input)?,
            cache_write_5m: read("write_5m", &line.write_5m)?,
            cache_write_1h: read("write_1h", &line.write_1h)?,
            cache_read: read("read", &line.read)?,
            output: read("output", &line.output)?,
        },
    })
}

/// Every line must have a time, a plain line must exist, and no two lines may hold equally at the same time.
fn check_prices(model: &str, prices: &[Price]) -> Result<(), BadTable> {
    let bad = |why| Err(BadTable::Prices { model: model.to_owned(), why });
    if prices.iter().any(|p| p.from.zip(p.until).is_some_and(|(from, until)| from >= until)) {
        return bad("a line ends before it begins");
    }
    if !prices.iter().any(|p| !p.is_conditional()) {
        return bad("there is no line without conditions");
    }
    for (n, a) in prices.iter().enumerate() {
        let rivals =
            prices.iter().skip(n + 1).filter(|b| (a.speed, a.prompt_over) == (b.speed, b.prompt_over));
        for b in rivals {
            let ends = |x: &Price, y: &Price| x.until.zip(y.from).is_some_and(|(until, from)| until <= from);
            if !ends(a, b) && !ends(b, a) {
                return bad("two lines hold under the same conditions at the same time");
            }
        }
    }
    Ok(())
}

fn date(owner: &str, field: &'static str, text: &str) -> Result<UnixMillis, BadTable> {
    text.parse().map_err(|_| BadTable::Date { owner: owner.to_owned(), field, given: text.to_owned() })
}

/// A decimal number in millionths.
fn amount(owner: &str, field: &'static str, text: &str, max: u64) -> Result<u64, BadTable> {
    micros(text).filter(|micros| *micros <= max * MICROS).ok_or_else(|| BadTable::Amount {
        owner: owner.to_owned(),
        field,
        given: text.chars().take(80).collect(),
        max,
    })
}

fn micros(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<6}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(MICROS)?.checked_add(fraction)
}

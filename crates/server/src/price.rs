//! The price table under the configuration's terms, and the two commands that show it.

use gatehouse_domain::price::{BadTable, BadTerms, KnownModel, PriceTable};
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::usage::{Geo, ServiceTier, Speed, Tokens, Usage};
use serde_json::{Value, json};

use crate::cli::{Align, Failure, Out, ServeArgs, Table, read_config};
use crate::clock;
use crate::config::Pricing;
use crate::environment::Environment;

/// Why there is no price table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PriceError {
    /// The file cannot be read.
    #[error("pricing.file: cannot read `{0}`: {1}")]
    File(String, std::io::Error),
    /// It is no price table.
    #[error("pricing.file: `{0}`: {1}")]
    Table(String, BadTable),
    /// The terms cannot be used.
    #[error("pricing: {0}")]
    Terms(#[from] BadTerms),
}

/// Builds the table that a configuration asks for.
pub(crate) fn table(pricing: &Pricing) -> Result<PriceTable, PriceError> {
    let table = match &pricing.file {
        None => PriceTable::builtin(),
        Some(path) => {
            let name = path.display().to_string();
            let text =
                std::fs::read_to_string(path).map_err(|error| PriceError::File(name.clone(), error))?;
            PriceTable::parse(&text).map_err(|error| PriceError::Table(name, error))?
        }
    };
    Ok(table.with_terms(pricing.terms.clone())?)
}

/// A kind of use, and its name for people.
type Case = (&'static str, &'static str, fn(&mut Usage, u64));

/// What a million tokens of each kind are called, and where they are counted.
const CASES: [Case; 5] = [
    ("input", "input", |usage, n| usage.tokens.input = n),
    ("cache_write_5m", "cache write, 5 minutes", |usage, n| usage.tokens.cache_write_5m = n),
    ("cache_write_1h", "cache write, 1 hour", |usage, n| usage.tokens.cache_write_1h = n),
    ("cache_read", "cache read", |usage, n| usage.tokens.cache_read = n),
    ("output", "output", |usage, n| usage.tokens.output = n),
];

/// A condition under which prices may differ, and its name for people.
type Condition = (&'static str, fn(&mut Usage));

const CONDITIONS: [Condition; 5] = [
    ("standard", |_| {}),
    ("long prompt", |usage| usage.tokens.cache_read += 1_000_000),
    ("fast mode", |usage| usage.speed = Speed::Fast),
    ("batch", |usage| usage.tier = ServiceTier::Batch),
    ("geo us", |usage| usage.geo = Geo::Us),
];

/// Tokens that are priced to show a price per million: few enough not to make the prompt a long one.
const SAMPLE: u64 = 1000;

/// Runs `price list`.
pub(crate) fn list(serve: &ServeArgs, environment: &Environment, out: &mut Out) -> Result<u8, Failure> {
    let (table, now) = (configured(serve, environment)?, clock::now());
    let kinds = ["INPUT", "WRITE 5M", "WRITE 1H", "READ", "OUTPUT"].map(|title| (title, Align::Right));
    let mut shown =
        Table::new(&[&[("MODEL", Align::Left)][..], &kinds, &[("RETIRES", Align::Left)]].concat());
    let mut items = Vec::new();
    for model in table.models(now) {
        let prices = CASES.map(|(_, _, set)| difference(&table, &model.id, set, |_| {}, now));
        items.push(item(model, &prices));
        let retires = model.retires_at.map_or_else(|| "-".to_owned(), day);
        shown.row(std::iter::once(model.id.clone()).chain(prices).chain([retires]));
    }
    if out.wants_json() {
        out.json(&json!({"as_of": day(table.as_of()), "items": items}))?;
        return Ok(0);
    }
    out.line(format!("US dollars per million tokens, as of {}:\n", day(table.as_of())))?;
    out.table(&shown, "The price table names no model.")?;
    Ok(0)
}

fn item(model: &KnownModel, prices: &[String; 5]) -> Value {
    let mut item =
        json!({"model": model.id, "name": model.display_name, "retires_at": model.retires_at.map(day)});
    for ((key, _, _), price) in CASES.iter().zip(prices) {
        item[*key] = json!(price);
    }
    item
}

/// Runs `price explain`.
pub(crate) fn explain(
    model: &str,
    serve: &ServeArgs,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    let (table, now) = (configured(serve, environment)?, clock::now());
    let probe = Usage { tokens: Tokens { input: 1, ..Tokens::default() }, ..Usage::default() };
    let basis = table.price(model, &probe, now).cost.basis;
    let known = table.find(model);
    let mut shown =
        Table::new(&[("USD PER MTOK", Align::Left), ("INPUT", Align::Right), ("OUTPUT", Align::Right)]);
    let mut prices = json!({});
    for (name, more) in CONDITIONS {
        let of = |set: fn(&mut Usage, u64)| difference(&table, model, set, more, now);
        let (input, output) = (of(CASES[0].2), of(CASES[4].2));
        prices[name] = json!({"input": input, "output": output});
        shown.row([name.to_owned(), input, output]);
    }
    if out.wants_json() {
        let known = known.map(|known| known.id.clone());
        out.json(
            &json!({"model": model, "known_as": known, "basis": basis.as_str(), "usd_per_mtok": prices}),
        )?;
        return Ok(0);
    }
    let why = match known {
        Some(known) => {
            format!("`{model}` is {} ({}), priced by {}.", known.display_name, known.id, basis.as_str())
        }
        None => format!(
            "No table knows `{model}`: its price is by {}, and its use raises an alarm.",
            basis.as_str()
        ),
    };
    out.line(why)?;
    out.table(&shown, "")?;
    Ok(0)
}

/// What one kind of token costs under a condition, in dollars per million tokens.
fn difference(
    table: &PriceTable,
    model: &str,
    set: fn(&mut Usage, u64),
    more: fn(&mut Usage),
    now: UnixMillis,
) -> String {
    let price = |count: u64| {
        let mut usage = Usage::default();
        set(&mut usage, count);
        more(&mut usage);
        table.price(model, &usage, now).cost.nanos.0
    };
    // Two samples of the same condition, so that what the condition itself costs falls out.
    let nanos = price(2 * SAMPLE).saturating_sub(price(SAMPLE));
    gatehouse_domain::money::Nanos(nanos.saturating_mul(1000)).to_string()
}

fn configured(serve: &ServeArgs, environment: &Environment) -> Result<PriceTable, Failure> {
    let config = read_config(serve, environment)?;
    table(&config.pricing).map_err(|error| Failure::Usage(error.to_string()))
}

fn day(at: UnixMillis) -> String {
    at.to_string().chars().take(10).collect()
}

//! What an exchange costs (promise P8): the price table, contracts, and exact arithmetic.
//!
//! The table is data (`data/prices.toml`): dated, with conditions. An amount is the exact rational sum of all its parts,
//! rounded once, half up, to the nano-dollar. Every figure agrees with the `total_cost_usd` of the Claude Code client,
//! except that a model nobody knows costs the stated default here and the price of Opus 5.5 there, and that the client
//! knows no batches.

use std::collections::HashMap;

use crate::exchange::{Cost, PriceBasis};
use crate::money::Nanos;
use crate::time::UnixMillis;
use crate::usage::{Geo, ServerTools, ServiceTier, Speed, Tokens, Usage};

pub use file::BadTable;
pub use rate::{Factor, Rates};
pub use terms::{BadTerms, Contract, Discount, Terms};

use rate::Sum;
use spelling::Spelling;

mod file;
mod rate;
mod spelling;
mod terms;
#[cfg(test)]
mod tests;

/// Prices of all known models, with the rules that change them and an organization's own terms.
///
/// Finding a price takes a few look-ups whatever the table's size; nothing is allocated unless the model is unknown.
#[derive(Debug, Clone)]
pub struct PriceTable {
    as_of: UnixMillis,
    default: Rates,
    factors: Factors,
    tools: ToolPrices,
    spelling: Spelling,
    models: Vec<Model>,
    by_name: HashMap<Box<str>, usize>,
    terms: Terms,
}

/// A model that the table knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownModel {
    /// Its identifier at Anthropic, without a date.
    pub id: String,
    /// Its name for people.
    pub display_name: String,
    /// When it came out, where the list says so.
    pub created_at: Option<UnixMillis>,
    /// When Anthropic stops serving it, where announced.
    pub retires_at: Option<UnixMillis>,
    /// The earliest time at which it may be retired, where announced.
    pub may_retire_from: Option<UnixMillis>,
    /// Whether Anthropic no longer serves it. It has a price since some clouds still do.
    pub retired: bool,
}

/// An exchange's price, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Priced {
    /// What it costs, and by which price.
    pub cost: Cost,
    /// The first of its models that has no price and was billed at the default. Raise an alarm.
    pub unknown: Option<String>,
    /// Whether the amount is more than can be written down; it is then [`i64::MAX`] nano-dollars.
    pub saturated: bool,
}

/// What is known of a request before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Worst {
    /// Input tokens, estimated.
    pub input: u64,
    /// Most output tokens that it allows.
    pub output: u64,
    /// The speed asked for.
    pub speed: Speed,
    /// The place asked for.
    pub geo: Geo,
}

/// Which of a cloud's endpoints was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Place {
    /// Anthropic's own API, or a cloud's global endpoint.
    #[default]
    Global,
    /// A regional or multi-regional endpoint of Amazon Bedrock or Google Vertex AI, which costs more.
    Regional,
}

impl PriceTable {
    /// The table that comes with this release.
    pub fn builtin() -> Self {
        Self::parse(include_str!("../data/prices.toml")).expect("the built-in table is parsed by a test")
    }

    /// Reads a table in the form of `data/prices.toml`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadTable> {
        file::parse(text)
    }

    /// The table under an organization's own terms, which replace any it had.
    ///
    /// # Errors
    /// Terms under which something unknown would seem to be free, or a discount over 100 percent.
    pub fn with_terms(mut self, terms: Terms) -> Result<Self, BadTerms> {
        terms.check()?;
        self.terms = terms;
        Ok(self)
    }

    /// The day for which the prices were last checked.
    pub const fn as_of(&self) -> UnixMillis {
        self.as_of
    }

    /// The models that Anthropic serves at this time, the newest first.
    pub fn models(&self, now: UnixMillis) -> impl Iterator<Item = &KnownModel> {
        let served = move |m: &&KnownModel| !m.retired && m.retires_at.is_none_or(|at| now < at);
        self.models.iter().map(|m| &m.known).filter(served)
    }

    /// The model behind a name, however it is spelled.
    pub fn find(&self, name: &str) -> Option<&KnownModel> {
        Some(&self.model(name)?.known)
    }

    /// What an exchange at a global endpoint costs.
    pub fn price(&self, model: &str, usage: &Usage, at: UnixMillis) -> Priced {
        self.price_in(Place::Global, model, usage, at)
    }

    /// What an exchange costs, for its place.
    pub fn price_in(&self, place: Place, model: &str, usage: &Usage, at: UnixMillis) -> Priced {
        let mut bill = Bill::default();
        let everywhere = self.everywhere(place, usage.geo);
        if usage.tokens != Tokens::default() || usage.server_tools != ServerTools::default() {
            let line = self.line(model, &usage.tokens, usage.speed, at);
            let tier = match usage.tier {
                ServiceTier::Batch => self.factors.batch,
                ServiceTier::Standard | ServiceTier::Priority => Factor::ONE,
            };
            bill.add(&line, &usage.tokens, everywhere.times(tier));
            bill.sum.add(self.tools.of(&usage.server_tools), line.discount);
            bill.note(model, line.basis);
        }
        // An advisor is an inference of its own: its model and its prompt's length decide, and fast mode does not
        // reach it.
        for advisor in usage.advisors.iter().filter(|a| a.tokens != Tokens::default()) {
            let line = self.line(&advisor.model, &advisor.tokens, Speed::Standard, at);
            bill.add(&line, &advisor.tokens, everywhere);
            bill.note(&advisor.model, line.basis);
        }
        bill.total()
    }

    /// The most that a request of this size can cost, all its input being of the dearest kind (that is written to the
    /// cache for an hour) and all its output written. What it does not cover is what no request says beforehand:
    /// searches, advisors, and a prompt of more tokens than were estimated.
    pub fn worst(&self, model: &str, asked: &Worst, at: UnixMillis) -> Nanos {
        let size = Tokens { input: asked.input, output: asked.output, ..Tokens::default() };
        let line = self.line(model, &size, asked.speed, at);
        let Rates { input, cache_write_5m, cache_write_1h, cache_read, .. } = line.rates;
        let dearest = input.max(cache_write_5m).max(cache_write_1h).max(cache_read);
        let rates = Rates { input: dearest, ..line.rates };
        let mut bill = Bill::default();
        bill.add(&Line { rates, ..line }, &size, self.everywhere(Place::Global, asked.geo));
        bill.total().cost.nanos
    }

    /// The prices of a model for a short prompt at ordinary speed, without discount; `None` when it has none.
    pub fn rates(&self, name: &str, at: UnixMillis) -> Option<Rates> {
        let line = self.line(name, &Tokens::default(), Speed::Standard, at);
        (line.basis != PriceBasis::Default).then_some(line.rates)
    }

    fn everywhere(&self, place: Place, geo: Geo) -> Factor {
        let place = match place {
            Place::Global => Factor::ONE,
            Place::Regional => self.factors.regional,
        };
        match geo {
            Geo::Global => place,
            Geo::Us => place.times(self.factors.us),
        }
    }

    /// The price of one model's tokens.
    fn line(&self, name: &str, tokens: &Tokens, speed: Speed, at: UnixMillis) -> Line {
        let model = self.model(name);
        let listed = model.and_then(|m| m.price(speed, tokens.prompt(), at));
        let canonical = model.map_or(name, |m| &m.known.id);
        let (discount, own) = self.terms.of(name, canonical);
        match (listed, own) {
            // A contract's prices stand for the plain ones; a dearer price under a condition stays the table's.
            (Some(price), Some(rates)) if !price.is_conditional() => Line::contract(rates, discount),
            (None, Some(rates)) => Line::contract(rates, discount),
            (Some(price), _) if discount == Factor::ONE => {
                Line { rates: price.rates, discount, basis: PriceBasis::Table }
            }
            (Some(price), _) => Line::contract(price.rates, discount),
            // Never discounted: nothing unknown may come out as free.
            (None, None) => Line {
                rates: self.terms.default.unwrap_or(self.default),
                discount: Factor::ONE,
                basis: PriceBasis::Default,
            },
        }
    }

    fn model(&self, name: &str) -> Option<&Model> {
        let index = self.by_name.get(name).or_else(|| self.by_name.get(self.spelling.canonical(name)))?;
        self.models.get(*index)
    }
}

/// A model with its prices.
#[derive(Debug, Clone)]
struct Model {
    known: KnownModel,
    prices: Vec<Price>,
}

impl Model {
    /// The price that holds and demands most: fast before standard, then the longest prompt.
    fn price(&self, speed: Speed, prompt: u64, at: UnixMillis) -> Option<&Price> {
        self.prices
            .iter()
            .filter(|p| p.holds(speed, prompt, at))
            .max_by_key(|p| (p.speed == Speed::Fast, p.prompt_over))
    }
}

/// One price of a model, with the conditions under which it holds.
#[derive(Debug, Clone)]
struct Price {
    from: Option<UnixMillis>,
    until: Option<UnixMillis>,
    speed: Speed,
    prompt_over: Option<u64>,
    rates: Rates,
}

impl Price {
    fn holds(&self, speed: Speed, prompt: u64, at: UnixMillis) -> bool {
        let in_time = self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until);
        let fast_enough = self.speed == Speed::Standard || self.speed == speed;
        in_time && fast_enough && self.prompt_over.is_none_or(|over| prompt > over)
    }

    fn is_conditional(&self) -> bool {
        self.speed == Speed::Fast || self.prompt_over.is_some()
    }
}

/// What multiplies the price of all tokens.
#[derive(Debug, Clone, Copy)]
struct Factors {
    batch: Factor,
    us: Factor,
    regional: Factor,
}

/// Pico-dollars per request.
#[derive(Debug, Clone, Copy)]
struct ToolPrices {
    web_search: u64,
    web_fetch: u64,
    code_execution: u64,
}

impl ToolPrices {
    fn of(&self, used: &ServerTools) -> i128 {
        let part = |count: u64, price: u64| i128::from(count) * i128::from(price);
        part(used.web_search, self.web_search)
            + part(used.web_fetch, self.web_fetch)
            + part(used.code_execution, self.code_execution)
    }
}

/// The price of one model within a bill.
struct Line {
    rates: Rates,
    discount: Factor,
    basis: PriceBasis,
}

impl Line {
    fn contract(rates: Rates, discount: Factor) -> Self {
        Self { rates, discount, basis: PriceBasis::Contract }
    }
}

/// The sum so far, and the least certain of the prices that went into it.
#[derive(Default)]
struct Bill {
    sum: Sum,
    basis: PriceBasis,
    unknown: Option<String>,
}

impl Bill {
    fn add(&mut self, line: &Line, tokens: &Tokens, factor: Factor) {
        self.sum.add(line.rates.of(tokens), line.discount.times(factor));
    }

    fn note(&mut self, model: &str, basis: PriceBasis) {
        if basis == PriceBasis::Default && self.unknown.is_none() {
            self.unknown = Some(model.to_owned());
        }
        let certainty = |basis| match basis {
            PriceBasis::None => 0,
            PriceBasis::Table => 1,
            PriceBasis::Contract => 2,
            PriceBasis::Default => 3,
        };
        if certainty(basis) > certainty(self.basis) {
            self.basis = basis;
        }
    }

    fn total(self) -> Priced {
        let nanos = self.sum.nanos();
        Priced {
            cost: Cost { nanos: Nanos(nanos.unwrap_or(i64::MAX)), basis: self.basis },
            unknown: self.unknown,
            saturated: nanos.is_none(),
        }
    }
}

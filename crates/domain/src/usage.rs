//! What an exchange consumed, in the provider's own units.
//!
//! Source: the Anthropic Messages API's `usage` object. The shapes are parsed in the `providers` crate; here they
//! are counts that can be priced and added up.

use serde::{Deserialize, Serialize};

/// Tokens by kind. The five kinds are disjoint and each has its own price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tokens {
    /// Input tokens after the last cache breakpoint (neither read from nor written to the cache).
    pub input: u64,
    /// Tokens written to the prompt cache with a life of five minutes.
    pub cache_write_5m: u64,
    /// Tokens written to the prompt cache with a life of one hour.
    pub cache_write_1h: u64,
    /// Tokens read from the prompt cache.
    pub cache_read: u64,
    /// Output tokens, thinking included.
    pub output: u64,
}

impl Tokens {
    /// Adds others, up to the end of the range.
    pub fn add(&mut self, more: &Self) {
        self.input = self.input.saturating_add(more.input);
        self.cache_write_5m = self.cache_write_5m.saturating_add(more.cache_write_5m);
        self.cache_write_1h = self.cache_write_1h.saturating_add(more.cache_write_1h);
        self.cache_read = self.cache_read.saturating_add(more.cache_read);
        self.output = self.output.saturating_add(more.output);
    }

    /// All input kinds together: what a price condition on the prompt's length looks at.
    pub fn prompt(&self) -> u64 {
        self.input
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.cache_read)
    }
}

/// The service tier the provider says it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    /// The ordinary tier.
    #[default]
    Standard,
    /// Committed capacity; priced as standard unless configuration says otherwise.
    Priority,
    /// The batch API: half price.
    Batch,
}

/// The inference speed the provider says it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speed {
    /// The ordinary speed.
    #[default]
    Standard,
    /// Fast mode, with its own prices.
    Fast,
}

/// Where the provider says inference ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Geo {
    /// Anywhere, or not said.
    #[default]
    Global,
    /// Pinned to the United States (`inference_geo: "us"`).
    Us,
}

/// Calls of tools that the provider runs itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServerTools {
    /// Web searches (billed per thousand).
    pub web_search: u64,
    /// Web fetches (free).
    pub web_fetch: u64,
    /// Code execution requests.
    pub code_execution: u64,
}

/// A sub-inference billed at its own model's rate and absent from the top-level counts
/// (an `iterations[]` entry of type `advisor_message`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advisor {
    /// The model that answered.
    pub model: String,
    /// What it consumed.
    pub tokens: Tokens,
}

/// Everything an exchange consumed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the model asked for.
    pub tokens: Tokens,
    /// Thinking tokens; contained in `tokens.output`.
    pub thinking: u64,
    /// Provider-run tools.
    pub server_tools: ServerTools,
    /// Tier as reported.
    pub tier: ServiceTier,
    /// Speed as reported.
    pub speed: Speed,
    /// Place as reported.
    pub geo: Geo,
    /// Advisors, each with its own model.
    pub advisors: Vec<Advisor>,
}

impl Usage {
    /// Tokens of the model and all advisors, saturating.
    pub fn total(&self) -> Tokens {
        self.advisors.iter().fold(self.tokens, |sum, a| Tokens {
            input: sum.input.saturating_add(a.tokens.input),
            cache_write_5m: sum.cache_write_5m.saturating_add(a.tokens.cache_write_5m),
            cache_write_1h: sum.cache_write_1h.saturating_add(a.tokens.cache_write_1h),
            cache_read: sum.cache_read.saturating_add(a.tokens.cache_read),
            output: sum.output.saturating_add(a.tokens.output),
        })
    }
}

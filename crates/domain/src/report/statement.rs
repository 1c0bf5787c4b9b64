//! The lines of a month, and the digest by which a locked statement is known.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::month::Month;
use crate::id::OrgId;
use crate::money::Nanos;
use crate::usage::Tokens;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What was used in the month.
    Usage,
    /// What was used in a month that had been closed before it arrived.
    Adjustment,
    /// Shared overhead that a rule puts on a team.
    Overhead,
}

impl Kind {
    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Adjustment => "adjustment",
            Self::Overhead => "overhead",
        }
    }

    /// The kind of this name.
    pub fn named(text: &str) -> Option<Self> {
        [Self::Usage, Self::Adjustment, Self::Overhead].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Counts and cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Exchanges.
    pub requests: u64,
    /// Tokens by kind.
    pub tokens: Tokens,
    /// Web searches.
    pub web_searches: u64,
    /// What it cost.
    pub cost: Nanos,
}

impl Figures {
    /// Adds others; every sum stops at the end of its range.
    pub fn add(&mut self, more: &Self) {
        let (sum, tokens) = (&mut self.tokens, &more.tokens);
        self.requests = self.requests.saturating_add(more.requests);
        sum.input = sum.input.saturating_add(tokens.input);
        sum.cache_write_5m = sum.cache_write_5m.saturating_add(tokens.cache_write_5m);
        sum.cache_write_1h = sum.cache_write_1h.saturating_add(tokens.cache_write_1h);
        sum.cache_read = sum.cache_read.saturating_add(tokens.cache_read);
        sum.output = sum.output.saturating_add(tokens.output);
        self.web_searches = self.web_searches.saturating_add(more.web_searches);
        self.cost = Nanos(self.cost.0.saturating_add(more.cost.0));
    }
}

/// Whose a line is. Texts are empty for "none"; names are those of the time at which the line was written down.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Whose {
    /// The team that was charged at the time of the request.
    pub team_id: String,
    /// Its name.
    pub team: String,
    /// The project that was charged.
    pub project_id: String,
    /// Its name.
    pub project: String,
    /// The person.
    pub user_id: String,
    /// Their e-mail address.
    pub user: String,
    /// The key.
    pub key_id: String,
    /// Its public part.
    pub key: String,
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
}

/// A line of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What it is.
    pub kind: Kind,
    /// The rule, of overhead; else empty.
    pub rule: String,
    /// The month in which it was used, `2026-10`.
    pub month: String,
    /// Whose it is.
    pub whose: Whose,
    /// How much.
    pub figures: Figures,
}

/// The total of lines; it stops at the end of its range.
pub fn total(lines: &[Line]) -> Nanos {
    Nanos(lines.iter().fold(0, |sum: i64, line| sum.saturating_add(line.figures.cost.0)))
}

/// SHA-256 in lower-case hexadecimal of a statement: a line of JSON with organization and month, then each of its lines
/// as a line of JSON in their order.
pub fn digest(org: OrgId, month: Month, lines: &[Line]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{{\"org\":\"{org}\",\"month\":\"{month}\"}}\n"));
    for line in lines {
        hash.update(serde_json::to_vec(line).expect("a line has string keys only"));
        hash.update(b"\n");
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

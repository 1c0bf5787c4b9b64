//! What a provider lets us have: the limits that it tells of, the ones that are configured, and whose turn it is when they are
//! used up.
//!
//! Everything here is decided from what is passed in; times are milliseconds of any clock that does not go back.
//! See `docs/routing.md`.

mod fair;
mod lane;
mod rate;
#[cfg(test)]
mod tests;

use crate::exchange::Principal;
use crate::id::{TeamId, UserId};

pub use fair::{Fair, Ticket};
pub use lane::Lane;
pub use rate::Rate;

/// The greatest weight of a share.
pub const MAX_WEIGHT: u32 = 1000;
/// Largest amount of a provider's limit that is believed.
pub const MAX_AMOUNT: u64 = 1_000_000_000_000;

/// What a provider limits, by the names of its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Requests.
    Requests,
    /// Tokens of either kind.
    Tokens,
    /// Input tokens, those read from caches excluded.
    InputTokens,
    /// Output tokens.
    OutputTokens,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Requests, Self::Tokens, Self::InputTokens, Self::OutputTokens];

    /// The name used in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
        }
    }
}

/// What a reply tells of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The limit; at least 1, at most [`MAX_AMOUNT`].
    pub limit: u64,
    /// What is left of it; at most the limit.
    pub remaining: u64,
    /// In how many milliseconds it will be whole again.
    pub whole_in: u64,
}

/// What a reply's head tells of the provider's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// One for each of [`Measure::ALL`].
    pub told: [Option<Told>; Measure::ALL.len()],
    /// Whether the reply is a refusal for want of quota, after which others would be refused as well; with how many
    /// milliseconds it asks to be left alone, where it says so.
    pub refused: Option<Option<u64>>,
}

impl Heard {
    /// Whether it tells nothing.
    pub fn is_nothing(&self) -> bool {
        self.refused.is_none() && self.told.iter().all(Option::is_none)
    }
}

/// How requests wait for a provider whose quota is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queuing {
    /// The longest that one waits, in milliseconds; 0 if none does.
    pub wait_ms: u64,
    /// Requests of one user that wait for one provider.
    pub per_user: usize,
    /// Requests that wait for one provider.
    pub total: usize,
    /// Who gets more than others; the first that fits decides.
    pub shares: Vec<Share>,
}

impl Default for Queuing {
    fn default() -> Self {
        Self { wait_ms: 0, per_user: 100, total: 1000, shares: Vec::new() }
    }
}

/// The weight of some users among all that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Its name; unique.
    pub name: String,
    /// Each user whose request is charged to one of these teams has it.
    pub teams: Vec<TeamId>,
    /// Each of these users has it.
    pub users: Vec<UserId>,
    /// At least 1, at most [`MAX_WEIGHT`].
    pub weight: u32,
}

impl Queuing {
    /// Whether requests wait at all.
    pub const fn is_on(&self) -> bool {
        self.wait_ms > 0
    }

    /// The weight of a user: 1 unless a share says otherwise.
    pub fn weight(&self, principal: &Principal) -> u32 {
        let is_of = |share: &&Share| {
            share.users.contains(&principal.user)
                || principal.team.is_some_and(|team| share.teams.contains(&team))
        };
        self.shares.iter().find(is_of).map_or(1, |share| share.weight)
    }
}

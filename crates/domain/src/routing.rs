//! Routing: which provider a request goes to, which others may take its place, and what a model's name stands for.
//!
//! Everything here is decided from what is passed in: configuration, the state of providers, a time. See `docs/routing.md`.

mod breaker;
mod cache;
mod fault;
mod limit;
mod memory;
mod order;
mod retry;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::id::TeamId;
use crate::model::ModelScope;
use crate::quota::Queuing;
use crate::time::UnixMillis;

pub use breaker::{Breaker, Gate, Thresholds};
pub use cache::{CacheUse, CacheWatch};
pub use fault::Fault;
pub use limit::Limit;
pub use memory::Memory;
pub use order::{Seat, fingerprint, order, session_key};
pub use retry::{RetryBudget, backoff_ms};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// How requests are routed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routing {
    /// Names that stand for models, and models that go out of use.
    pub aliases: Vec<Alias>,
    /// The first that fits a request decides. Where none fits, providers are asked in the order of their configuration.
    pub routes: Vec<Route>,
    /// What becomes of models that the price table does not know.
    pub unknown_models: UnknownModels,
    /// How another provider takes over.
    pub failover: Failover,
    /// How requests wait for a provider whose quota is used up.
    pub queuing: Queuing,
    /// Whether replies name the provider and the number of attempts.
    pub reply_headers: bool,
    /// How long it is remembered that a provider does not know something of a request; zero if that is not to be learned.
    pub learn_for: Duration,
    /// How much of what is usual must be read from providers' caches, in percent; 0 for no alarm. See [`CacheWatch`].
    pub cache_alarm_percent: u32,
}

/// What becomes of models that the price table does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownModels {
    /// They go on: a new model works on the day it appears.
    #[default]
    Pass,
    /// They are refused.
    Refuse,
}

/// How another provider takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    /// Attempts for one request, the first included; at least 1.
    pub attempts: u32,
    /// How often each provider may be asked for one request; at least 1.
    pub rounds: u32,
    /// No attempt begins later than this after the request's head came, in milliseconds.
    pub deadline_ms: u64,
    /// Full-jitter backoff between rounds: its base, in milliseconds.
    pub backoff_base_ms: u64,
    /// The longest wait between rounds, in milliseconds.
    pub backoff_max_ms: u64,
    /// Further attempts, in percent of requests.
    pub retry_percent: u32,
    /// Further attempts that may come at once, before the percentage counts.
    pub retry_burst: u32,
    /// When a provider's breaker opens and closes.
    pub breaker: Thresholds,
    /// How long a provider that answered 429 without `retry-after` is left alone, in milliseconds.
    pub cooldown_ms: u64,
    /// The longest that a `retry-after` counts, in milliseconds.
    pub cooldown_max_ms: u64,
    /// Whether each provider's requests under way are limited by how it answers.
    pub adaptive: bool,
    /// When the first provider has not begun after so many milliseconds, another one is asked as well; 0 for never.
    pub hedge_after_ms: u64,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            attempts: 3,
            rounds: 1,
            deadline_ms: 600_000,
            backoff_base_ms: 250,
            backoff_max_ms: 5_000,
            retry_percent: 20,
            retry_burst: 10,
            breaker: Thresholds::default(),
            cooldown_ms: 5_000,
            cooldown_max_ms: 300_000,
            adaptive: false,
            hedge_after_ms: 0,
        }
    }
}

/// A name that stands for a model, or a model that goes out of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// What clients ask for.
    pub name: String,
    /// The model that is meant, or takes its place; none if it is refused once it is retired.
    pub model: Option<String>,
    /// From this day on it is retired. Before it goes on as it is. An alias without a day always stands for its model.
    pub retires: Option<UnixMillis>,
    /// So many days before, replies begin to tell of it.
    pub warn_days: u16,
}

/// What a model's name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved<'a> {
    /// The model of that name; told of, if it goes out of use soon.
    Itself(Option<&'a Alias>),
    /// Another model; told of, if the name asked for was a model's that is out of use.
    Other(&'a str, Option<&'a Alias>),
    /// It is out of use, and nothing takes its place.
    Retired(&'a Alias),
}

impl Alias {
    /// The sentence that tells of a model that goes, or went, out of use.
    pub fn notice(&self) -> String {
        let day = self.retires.map(|at| at.to_string()).unwrap_or_default();
        let day = day.get(..10).unwrap_or_default();
        match &self.model {
            Some(model) => format!("the model {} retires on {day}; {model} takes its place", self.name),
            None => format!("the model {} retires on {day}", self.name),
        }
    }
}

impl Routing {
    /// What a name stands for at this time.
    pub fn resolve(&self, name: &str, now: UnixMillis) -> Resolved<'_> {
        let Some(alias) = self.aliases.iter().find(|alias| alias.name == name) else {
            return Resolved::Itself(None);
        };
        match (alias.retires, &alias.model) {
            (None, Some(model)) => Resolved::Other(model, None),
            (Some(at), _) if now < at => {
                let warned = at.plus_millis(-DAY * i64::from(alias.warn_days));
                Resolved::Itself((now >= warned).then_some(alias))
            }
            (Some(_), Some(model)) => Resolved::Other(model, Some(alias)),
            (Some(_) | None, None) => Resolved::Retired(alias),
        }
    }

    /// The first route for a model and a team.
    pub fn route(&self, model: &str, team: Option<TeamId>) -> Option<&Route> {
        self.routes.iter().find(|route| route.is_for(model, team))
    }
}

/// Where requests of a kind go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name; unique.
    pub name: String,
    /// The models that it is for.
    pub models: ModelScope,
    /// The teams whose requests it is for; empty for everybody's.
    pub teams: Vec<TeamId>,
    /// How one of several is chosen.
    pub strategy: Strategy,
    /// Only providers in these regions (names, or beginnings of names followed by `*`); empty for any.
    pub regions: Vec<String>,
    /// The providers; empty for all that serve the model, in the order of their configuration.
    pub members: Vec<Member>,
    /// Whether a session stays with the provider that served it.
    pub affinity: bool,
    /// The model that is asked for when no provider can answer for the one that was asked for.
    pub fallback: Option<String>,
}

impl Route {
    fn is_for(&self, model: &str, team: Option<TeamId>) -> bool {
        let is_team = self.teams.is_empty() || team.is_some_and(|team| self.teams.contains(&team));
        is_team && self.models.allows(model)
    }

    /// Whether a provider in this region may take part.
    pub fn takes_region(&self, region: &str) -> bool {
        self.regions.is_empty()
            || self.regions.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(start) => region.starts_with(start),
                None => region == wanted,
            })
    }
}

/// A provider in a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The provider's name.
    pub provider: String,
    /// Its share among those of the same priority; at least 1.
    pub weight: u32,
    /// The smallest is asked first; the next when none of those before can answer.
    pub priority: u32,
}

/// How one of several providers of the same priority is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// By weight; the same session gets the same one.
    #[default]
    Weighted,
    /// The one with the fewest requests under way, by weight.
    LeastBusy,
    /// The one whose replies begin soonest, by weight.
    Latency,
}

impl Strategy {
    /// The name used in configuration and explanations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Weighted => "weighted",
            Self::LeastBusy => "least_busy",
            Self::Latency => "latency",
        }
    }
}

//! Budgets: what may be spent in a period, by whom (promise P2).
//!
//! A *hard* budget is a cap. A request is let through only if what was spent, what requests under way may still cost and
//! the most that it may cost itself stay within every hard budget that applies. A *shadow* budget is counted like a hard
//! one and refuses nothing. Periods are of the calendar of the budget's time zone.

mod book;
mod raise;
pub mod share;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use crate::exchange::Principal;
use crate::id::{BudgetId, KeyId, ProjectId, TeamId, UserId};
use crate::model::ModelScope;
use crate::money::Nanos;
use crate::time::{DAY_MS, UnixMillis};
use crate::zone::Zone;

pub use book::{Admission, Book, Cause, Charge, Exceeded, HOLD_MS, Hold, MAX_WAITING, Standing};
pub use raise::{LONGEST_RAISE_MS, MAX_ASKED, MAX_REASON, Raise, RaiseState, Raised};

/// Most budgets of an organization.
pub const MAX_BUDGETS: usize = 10_000;
/// Most soft thresholds of a budget.
pub const MAX_THRESHOLDS: usize = 5;
/// The soft thresholds of a budget whose maker gave none: those at which the client tells its user.
pub const THRESHOLDS: [u8; 2] = [75, 95];

/// Whose spending a budget limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Everybody's together.
    Organization,
    /// What is charged to a team.
    Team(TeamId),
    /// What is charged to a project.
    Project(ProjectId),
    /// One person's.
    User(UserId),
    /// One key's.
    Key(KeyId),
}

impl Holder {
    /// The name of its kind, as used in the database and JSON.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Team(_) => "team",
            Self::Project(_) => "project",
            Self::User(_) => "user",
            Self::Key(_) => "key",
        }
    }

    /// Its identifier; empty for the organization.
    pub fn id(self) -> String {
        match self {
            Self::Organization => String::new(),
            Self::Team(id) => id.to_string(),
            Self::Project(id) => id.to_string(),
            Self::User(id) => id.to_string(),
            Self::Key(id) => id.to_string(),
        }
    }

    /// The holder of this kind and identifier.
    pub fn read(kind: &str, id: &str) -> Option<Self> {
        Some(match kind {
            "organization" => Self::Organization,
            "team" => Self::Team(id.parse().ok()?),
            "project" => Self::Project(id.parse().ok()?),
            "user" => Self::User(id.parse().ok()?),
            "key" => Self::Key(id.parse().ok()?),
            _ => return None,
        })
    }

    /// Whether several people share it.
    pub const fn is_shared(self) -> bool {
        match self {
            Self::Organization | Self::Team(_) | Self::Project(_) => true,
            Self::User(_) | Self::Key(_) => false,
        }
    }

    /// The holders that an exchange of this principal is charged to.
    pub(crate) fn of(principal: &Principal) -> impl Iterator<Item = Self> {
        [
            Some(Self::Organization),
            principal.team.map(Self::Team),
            principal.project.map(Self::Project),
            Some(Self::User(principal.user)),
            principal.key().map(Self::Key),
        ]
        .into_iter()
        .flatten()
    }
}

/// After what time a budget begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// A day.
    Day,
    /// A week, from Monday on.
    Week,
    /// A month.
    Month,
    /// Never.
    Total,
}

/// A text that names no period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no period (day, week, month or total)")]
pub struct BadPeriod(String);

impl Period {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Total];

    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// As a word before "budget", and as the client knows it; empty for [`Period::Total`].
    pub const fn adjective(self) -> &'static str {
        match self {
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Total => "",
        }
    }

    /// The start of the UTC period that holds this time. It is the start of an hour.
    pub fn start(self, at: UnixMillis) -> UnixMillis {
        match self {
            Self::Day => at.day(),
            Self::Week => at.week(),
            Self::Month => at.month(),
            Self::Total => UnixMillis(0),
        }
    }

    /// When the UTC period that holds this time is over and the next one begins.
    pub fn end(self, at: UnixMillis) -> Option<UnixMillis> {
        match self {
            Self::Day => Some(at.day().plus_millis(DAY_MS)),
            Self::Week => Some(at.week().plus_millis(7 * DAY_MS)),
            Self::Month => Some(at.next_month()),
            Self::Total => None,
        }
    }
}

impl FromStr for Period {
    type Err = BadPeriod;

    fn from_str(text: &str) -> Result<Self, BadPeriod> {
        let found = Self::ALL.into_iter().find(|period| period.as_str() == text);
        found.ok_or_else(|| BadPeriod(text.chars().take(40).collect()))
    }
}

/// What happens at a budget's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Requests are refused.
    Hard,
    /// Nothing: it is only observed.
    Shadow,
}

impl Mode {
    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Shadow => "shadow",
        }
    }

    /// The mode of this name.
    pub fn named(text: &str) -> Option<Self> {
        [Self::Hard, Self::Shadow].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// What happens to requests while it cannot be found out what other nodes spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WhenAway {
    /// A node lets through what it was granted, and refuses what is beyond: the limit holds.
    #[default]
    Closed,
    /// A node goes on by what it knows: nobody is kept from work, and the limit may be exceeded by what other nodes spend
    /// meanwhile.
    Open,
}

impl WhenAway {
    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }

    /// The stance of this name.
    pub fn named(text: &str) -> Option<Self> {
        [Self::Closed, Self::Open].into_iter().find(|stance| stance.as_str() == text)
    }
}

/// A budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Its identifier.
    pub id: BudgetId,
    /// Whose spending it limits.
    pub holder: Holder,
    /// On which models.
    pub models: ModelScope,
    /// At which provider, by its name in the configuration; `None` for all.
    pub provider: Option<String>,
    /// After what time it begins anew.
    pub period: Period,
    /// In whose calendar.
    pub zone: Zone,
    /// What may be spent in a period, not negative.
    pub limit: Nanos,
    /// By how much the limit is raised, and until when.
    pub raised: Vec<Raised>,
    /// How far beyond the limit a hard budget lets requests through, in percent of the limit: 0 to 100. People are told at
    /// the limit, and stopped behind the grace.
    pub grace: u8,
    /// What happens at the limit.
    pub mode: Mode,
    /// At which parts of the limit people are told, in percent: 1 to 100, ascending.
    pub thresholds: Vec<u8>,
    /// What happens while nodes cannot count together.
    pub when_away: WhenAway,
    /// When it was made.
    pub created_at: UnixMillis,
}

impl Budget {
    /// The start and the end of the period that holds this time.
    pub fn bounds(&self, at: UnixMillis) -> (UnixMillis, Option<UnixMillis>) {
        self.zone.bounds(self.period, at)
    }

    /// The start of the period that holds this time.
    pub fn start(&self, at: UnixMillis) -> UnixMillis {
        self.bounds(at).0
    }

    /// What may be spent at this time, raises included.
    pub fn limit_at(&self, at: UnixMillis) -> Nanos {
        let now = self.raised.iter().filter(|raised| at < raised.until);
        Nanos(now.fold(self.limit.0, |sum, raised| sum.saturating_add(raised.amount.0)))
    }

    /// Up to where requests are let through at this time: the limit and the grace.
    pub fn ceiling_at(&self, at: UnixMillis) -> Nanos {
        let limit = i128::from(self.limit_at(at).0);
        let ceiling = limit + limit * i128::from(self.grace) / 100;
        Nanos(i64::try_from(ceiling).unwrap_or(i64::MAX))
    }

    /// Whether an exchange with this model of this provider counts, if it is its holder's.
    fn covers(&self, model: &str, provider: &str) -> bool {
        self.models.allows(model) && self.provider.as_deref().is_none_or(|only| only == provider)
    }

    /// Whether both count the same exchanges in the same periods, so that what was spent is the same.
    pub fn counts_as(&self, other: &Self) -> bool {
        (self.holder, self.period, &self.zone, &self.models, &self.provider)
            == (other.holder, other.period, &other.zone, &other.models, &other.provider)
    }
}

/// All budgets of an organization. Finding those that apply costs the same with ten of them and with 10,000.
#[derive(Debug, Clone, Default)]
pub struct Budgets {
    all: Vec<Arc<Budget>>,
    by_holder: HashMap<Holder, Vec<usize>>,
}

impl Budgets {
    /// These budgets.
    pub fn new(budgets: impl IntoIterator<Item = Budget>) -> Self {
        let all: Vec<_> = budgets.into_iter().map(Arc::new).collect();
        let mut by_holder: HashMap<Holder, Vec<usize>> = HashMap::new();
        for (index, budget) in all.iter().enumerate() {
            by_holder.entry(budget.holder).or_default().push(index);
        }
        Self { all, by_holder }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Budget>> {
        self.all.iter()
    }

    /// Those that count an exchange of this principal with this model of this provider.
    pub fn applying<'a>(
        &'a self,
        principal: &'a Principal,
        model: &'a str,
        provider: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Budget>> {
        Holder::of(principal)
            .filter_map(|holder| self.by_holder.get(&holder))
            .flatten()
            .map(|index| &self.all[*index])
            .filter(move |budget| budget.covers(model, provider))
    }

    /// Those that count exchanges of this principal, with whatever model.
    pub fn of<'a>(&'a self, principal: &'a Principal) -> impl Iterator<Item = &'a Arc<Budget>> {
        Holder::of(principal)
            .filter_map(|holder| self.by_holder.get(&holder))
            .flatten()
            .map(|index| &self.all[*index])
    }
}

/// The soft thresholds of a budget, as given: 1 to 100 percent, in whatever order; none given are [`THRESHOLDS`].
///
/// # Errors
/// What is wrong with them.
pub fn read_thresholds(given: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let mut list = given.unwrap_or(&THRESHOLDS).to_vec();
    list.sort_unstable();
    list.dedup();
    if list.len() > MAX_THRESHOLDS || list.iter().any(|percent| !(1..=100).contains(percent)) {
        return Err(format!("expected at most {MAX_THRESHOLDS} whole numbers from 1 to 100"));
    }
    Ok(list)
}

//! Raises: a limit that is higher for a while.
//!
//! Somebody asks for one, an administrator decides. One that was approved counts until its end and needs nobody to take it
//! back: whoever looks at the limit after that does not find it.

use crate::id::{BudgetId, RaiseId, UserId};
use crate::money::Nanos;
use crate::time::{DAY_MS, UnixMillis};

/// Longest time for which a limit can be raised, in milliseconds.
pub const LONGEST_RAISE_MS: i64 = 92 * DAY_MS;
/// Most requests of one person that wait for a decision.
pub const MAX_ASKED: usize = 5;
/// Longest reason, in bytes.
pub const MAX_REASON: usize = 1000;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RaiseState {
    /// Nobody has decided.
    Asked,
    /// The limit is higher until the end of the raise.
    Approved,
    /// It is not.
    Denied,
}

impl RaiseState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Asked, Self::Approved, Self::Denied];

    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }

    /// The state of this name.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A request to raise a budget's limit for a while, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raise {
    /// Its identifier.
    pub id: RaiseId,
    /// The budget.
    pub budget: BudgetId,
    /// Who asked.
    pub user: UserId,
    /// By how much, more than zero.
    pub amount: Nanos,
    /// Why, in their words.
    pub reason: String,
    /// Until when. `None`: to the end of the period in which it is decided.
    pub until: Option<UnixMillis>,
    /// What became of it.
    pub state: RaiseState,
    /// When it was asked for.
    pub created_at: UnixMillis,
    /// When it was decided.
    pub decided_at: Option<UnixMillis>,
    /// Who decided: an administrator's name at that time.
    pub decided_by: Option<String>,
}

/// A raise in force, as a budget carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// By how much.
    pub amount: Nanos,
    /// Until when.
    pub until: UnixMillis,
}

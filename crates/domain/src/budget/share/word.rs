//! What shares and pools tell each other.

use crate::id::BudgetId;
use crate::time::UnixMillis;

/// Which pool: a budget in the period that begins at this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pool {
    /// The budget.
    pub budget: BudgetId,
    /// The start of the period.
    pub start: UnixMillis,
}

/// What a share tells its pool and asks of it. Amounts are nano-dollars since the base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The pool.
    pub pool: Pool,
    /// The base that the share has joined; empty if none.
    pub base: String,
    /// The budget's limit.
    pub limit: i128,
    /// What was spent here.
    pub used: i128,
    /// What is held here.
    pub held: i128,
    /// The least that somebody waits for, 0 if nobody does.
    pub need: i128,
    /// All that is waited for.
    pub wanted: i128,
    /// What would be welcome beyond that.
    pub slack: i128,
    /// What was granted before and is neither spent nor held, and is kept.
    pub keep: i128,
    /// Whether all that could be given back is, so that this answers every recall so far.
    pub yields: bool,
    /// The recall whose answers are waited for; 0 if none is.
    pub recall: u64,
    /// Those who wait up to this number are asked for.
    pub(super) asks: u64,
}

/// What a pool answers about need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was granted, or nothing was needed.
    Granted,
    /// There is no room for it, however much others give back.
    Full,
    /// Others were asked to give back what they do not need.
    Recalled(u64),
}

/// What a pool answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// What this node may have spent or hold from now on.
    pub granted: i128,
    /// What others have spent since the base.
    pub others_spent: i128,
    /// What others hold.
    pub others_held: i128,
    /// What became of the need.
    pub verdict: Verdict,
}

/// A share's notes do not reach back to what the pool's base has: it is to be built anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pool was built before this node began to note")]
pub struct Stale;

/// Whether what was granted still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapsed {
    /// It does.
    No,
    /// The pools were out of reach for too long.
    Yes,
}

/// Which news are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Those that others may wait for.
    Urgent,
    /// All.
    All,
}

//! Reports: who bears what, locked months, forecasts, anomalies, caching, what nobody uses, reconciliation.
//!
//! All of them read daily and hourly sums and locked statements; none reads single exchanges.

pub mod terms;
pub mod month;
pub mod chargeback;
pub mod outlook;
pub mod hygiene;
pub mod focus;
pub mod page;
pub mod document;
pub mod bill;
pub mod reconcile;

use gatehouse_domain::report::Month;
use gatehouse_domain::report::statement::Whose;
use gatehouse_store::report::Side;

use crate::act::{ActError, read};

/// Reads a month.
///
/// # Errors
/// It is none.
pub fn read_month(text: &str) -> Result<Month, ActError> {
    read("month", text.parse::<Month>())
}

/// Reads what rows are told apart by: `team`, `project`, `user`, `key`, `provider` or `model`.
///
/// # Errors
/// It is none of these.
pub fn read_side(text: &str) -> Result<Side, ActError> {
    let named = |side: &Side| side_name(*side) == text;
    let bad = || ActError::field("by", "expected `team`, `project`, `user`, `key`, `provider` or `model`");
    Side::ALL.into_iter().find(named).ok_or_else(bad)
}

/// The name of a side.
pub const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Team => "team",
        Side::Project => "project",
        Side::User => "user",
        Side::Key => "key",
        Side::Provider => "provider",
        Side::Model => "model",
    }
}

/// Identifier and name of what a line is of, seen from a side; both are empty for "none".
pub fn seen(whose: &Whose, side: Side) -> (&str, &str) {
    match side {
        Side::Team => (&whose.team_id, &whose.team),
        Side::Project => (&whose.project_id, &whose.project),
        Side::User => (&whose.user_id, &whose.user),
        Side::Key => (&whose.key_id, &whose.key),
        Side::Provider => (&whose.provider, &whose.provider),
        Side::Model => (&whose.model, &whose.model),
    }
}

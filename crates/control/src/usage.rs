//! Sums of usage.

use gatehouse_domain::role::Scope;
use gatehouse_store::ledger::{By, UsageRow};

use crate::act::{ActError, Range};
use crate::app::App;

/// Sums usage within a scope over a range, exchanges that have just ended included.
///
/// # Errors
/// A range that is none; the ledger is behind; the database.
pub async fn sums(app: &App, scope: Scope, by: By, range: Range) -> Result<Vec<UsageRow>, ActError> {
    let (since, until) = range.read(app.now())?;
    (app.house.flush_ledger)().await?;
    Ok(app.store.usage(app.org, scope, by, since, until).await?)
}

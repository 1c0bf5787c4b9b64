//! Sums of usage.

use gatehouse_store::ledger::{By, UsageRow};

use crate::act::{ActError, Range};
use crate::app::App;

/// Sums usage over a range, exchanges that have just ended included.
///
/// # Errors
/// A range that is none; the ledger is behind; the database.
pub async fn sums(app: &App, by: By, range: Range) -> Result<Vec<UsageRow>, ActError> {
    let (since, until) = range.read(app.now())?;
    (app.house.flush_ledger)().await?;
    Ok(app.store.usage(app.org, by, since, until).await?)
}

//! Counting what was spent of budgets before this process knew them.

use std::time::{Duration, Instant};

use gatehouse_gateway::counters::Tally;
use gatehouse_store::ledger::Alike;
use gatehouse_store::{StoreError, in_time};

use super::ledger::Books;
use crate::clock;

/// While running, how long the ledger may take to catch up before a new budget is counted; it is tried again and again.
pub(super) const COUNT: Duration = Duration::from_secs(2);
/// At the start, how long the ledger may take for what earlier runs left. Nobody is served before: their spending counts.
const CATCH_UP: Duration = Duration::from_mins(5);
/// How long reading the sums may take.
const READ: Duration = Duration::from_secs(30);

/// Why budgets are not counted yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotCounted {
    /// The ledger is behind.
    #[error("the ledger did not catch up, so that budgets cannot be counted yet")]
    Behind,
    /// More ended than is noted.
    #[error("too much ended while a budget was counted; it is counted anew")]
    Overtaken,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Counts the budgets that are not counted yet. Until then they refuse nothing.
///
/// What has ended when the ledger is asked to catch up is in the database when it has; for what ends later, the sum comes
/// with the place in the journal that it reaches, and the account adds what came after that
/// ([`gatehouse_domain::budget::Book`] says why nothing is missed or counted twice).
///
/// # Errors
/// The ledger did not catch up in this time; the database.
pub(super) async fn count(counters: &Tally, books: &Books, limit: Duration) -> Result<(), NotCounted> {
    // Those that nodes count together are read by the link.
    let Some(counters) = counters.alone() else { return Ok(()) };
    let waiting = counters.uncounted();
    if waiting.is_empty() {
        return Ok(());
    }
    if !books.flush(limit).await {
        return Err(NotCounted::Behind);
    }
    for alike in Alike::group(waiting, clock::now()) {
        let now = clock::now();
        let spent = in_time(READ, books.spent_of(&alike, now)).await?;
        for (budget, spent) in alike.budgets().iter().zip(spent) {
            if !counters.count(budget.id, now, spent.nanos, spent.through) {
                return Err(NotCounted::Overtaken);
            }
        }
    }
    Ok(())
}

/// Counts all budgets before the first request comes.
///
/// # Errors
/// A sentence, when the ledger or the database takes too long.
pub(super) async fn count_at_start(counters: &Tally, books: &Books) -> Result<(), Vec<String>> {
    let began = Instant::now();
    let replayed = || async {
        // What earlier runs ended has to be in the database before a pool is built from it.
        if counters.together().is_some() && !books.flush(COUNT).await {
            return Err(NotCounted::Behind);
        }
        count(counters, books, COUNT).await
    };
    loop {
        match replayed().await {
            Ok(()) => return Ok(()),
            Err(error) if began.elapsed() < CATCH_UP => {
                tracing::warn!(%error, "the budgets are not counted yet, so that nobody is served");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(vec![format!("the budgets cannot be counted: {error}")]),
        }
    }
}

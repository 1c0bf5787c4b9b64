//! The ledger beside a provider's bill, and beside what clients report where that is given.

use gatehouse_domain::report::Month;
use gatehouse_domain::report::reconcile::{Amounts, Reconciliation, Threshold, compare, family};
use gatehouse_store::report::{Ask, Bucket, Side};

use crate::act::ActError;
use crate::app::App;

/// What the ledger is compared with.
#[derive(Debug, Clone)]
pub struct Compared {
    /// The month.
    pub month: Month,
    /// Only what went to this provider of ours.
    pub provider: Option<String>,
    /// What the provider bills.
    pub billed: Amounts,
    /// What clients report.
    pub client: Option<Amounts>,
    /// When a difference raises an alarm.
    pub threshold: Threshold,
}

/// Compares a month of the ledger, by model family and day.
///
/// # Errors
/// The ledger is behind; the database.
pub async fn reconcile(app: &App, with: &Compared) -> Result<Reconciliation, ActError> {
    (app.house.flush_ledger)().await?;
    let only = with.provider.iter().map(|name| (Side::Provider, vec![name.clone()])).collect();
    let span = Ask::span(with.month.start(), with.month.end(), vec![Side::Model]);
    let mut ours = Amounts::new();
    for sums in app.store.report_sums(app.org, &Ask { bucket: Bucket::Day, only, ..span }).await? {
        if sums.figures.cost.0 != 0 {
            let sum = ours.entry((sums.at, family(&sums.whose.model))).or_default();
            sum.0 = sum.0.saturating_add(sums.figures.cost.0);
        }
    }
    Ok(compare(&ours, &with.billed, with.client.as_ref(), with.threshold))
}

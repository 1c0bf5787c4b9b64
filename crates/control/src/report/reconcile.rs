//! The ledger beside a provider's bill, and beside what clients report where that is given.

use gatehouse_domain::alert::Sample;
use gatehouse_domain::audit::Object;
use gatehouse_domain::report::Month;
use gatehouse_domain::report::reconcile::{Amounts, Reconciliation, Threshold, compare, family};
use gatehouse_domain::time::DAY_MS;
use gatehouse_store::report::{Ask, Bucket, Side};

use crate::act::{ActError, Caller};
use crate::app::App;

/// How long a comparison counts for alerts, in days: until the bill of the next month should be there.
const COUNTS_DAYS: i64 = 35;

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

/// Notes what a comparison came to, so that rules for alerts can look at it.
///
/// # Errors
/// The database.
pub async fn note(
    app: &App,
    caller: &Caller,
    with: &Compared,
    told: &Reconciliation,
) -> Result<(), ActError> {
    let (now, month) = (app.now(), with.month.to_string());
    let provider = with.provider.as_deref().unwrap_or("all");
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    let drift =
        (told.ours.0 as f64 - told.billed.0 as f64).abs() / told.billed.0.unsigned_abs().max(1) as f64;
    let labels = [("month", month.as_str()), ("provider", provider)];
    let sample = Sample::new("reconciliation_drift_ratio", &labels, drift);
    let act = caller
        .draft(now, "report.reconcile", Object::new("month", &month, &month))
        .with("provider", provider)
        .with("ours_nanos", told.ours.0)
        .with("billed_nanos", told.billed.0);
    let source = format!("reconciliation {month} {provider}");
    let until = now.plus_millis(COUNTS_DAYS * DAY_MS);
    Ok(app.store.keep_readings(app.org, &source, &[sample], now, until, Some(&act)).await?)
}

//! The provider's client analytics: what it says of people's use of the coding client, kept beside what was counted here.
//!
//! Figures are kept apart from the ledger and from telemetry, by day, person, terminal and model. A day that comes again takes
//! the place of what was there, since the provider's figures arrive late and change. Where figures are added up with others,
//! of each person and UTC day one word counts: recorded exchanges, else telemetry, else these.

pub mod read;

use gatehouse_domain::audit::Object;
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::analytics::{AnalyticsBy, Import, Taken};
use gatehouse_store::telemetry::ClientUsageRow;
use serde_json::Value;

use crate::act::{ActError, Caller, Range};
use crate::app::App;
use read::Reading;

/// What an import brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Records that were read.
    pub records: usize,
    /// The days that they are of, in their order.
    pub days: Vec<UnixMillis>,
    /// Whom they are of.
    pub taken: Taken,
}

/// Imports a report by hand: one that was fetched elsewhere. Each day of each organization in it takes the place of what was
/// there.
///
/// # Errors
/// It cannot be read, or has no record; the database.
pub async fn import(app: &App, caller: &Caller, report: &Value) -> Result<Imported, ActError> {
    let mut reading = Reading::default();
    reading.page(report, app.now()).map_err(|error| ActError::field("data", error.to_string()))?;
    if reading.records() == 0 {
        return Err(ActError::field("data", "there is no record in it, so that no day can be told"));
    }
    let (records, days): (usize, Vec<UnixMillis>) = (reading.records(), reading.days().into_iter().collect());
    let day = |day: Option<&UnixMillis>| day.map(|day| day.to_string()[..10].to_owned()).unwrap_or_default();
    let (first, last) = (day(days.first()), day(days.last()));
    let act = caller
        .draft(app.now(), "analytics.import", Object::new("analytics", format!("{first}..{last}"), ""))
        .with("records", records as u64)
        .with("days", days.len() as u64);
    let figures = reading.figures();
    let import = Import { days: &days, source: None, figures: &figures };
    let taken = app.store.keep_analytics(app.org, &import, Some(&act)).await?;
    Ok(Imported { records, days, taken })
}

/// Keeps what a configured report of the provider says of a day: it takes the place of what it said of it before.
///
/// # Errors
/// The database.
pub async fn keep(app: &App, source: &str, day: UnixMillis, reading: Reading) -> Result<Imported, ActError> {
    let (records, days) = (reading.records(), vec![day]);
    let figures = reading.figures();
    let import = Import { days: &days, source: Some(source), figures: &figures };
    let taken = app.store.keep_analytics(app.org, &import, None).await?;
    Ok(Imported { records, days, taken })
}

/// Sums what the provider says within a scope over a range of UTC days: from the day in which it begins.
///
/// # Errors
/// A range that is none; the database.
pub async fn sums(
    app: &App,
    scope: Scope,
    by: AnalyticsBy,
    range: Range,
) -> Result<Vec<ClientUsageRow>, ActError> {
    let (since, until) = range.read(app.now())?;
    Ok(app.store.analytics(app.org, scope, by, since, until).await?)
}

//! What is to come, and what stands out.

use std::collections::BTreeMap;

use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::forecast::{Forecast, forecast};
use gatehouse_domain::report::{Month, anomaly};
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::report::{Ask, Bucket, Side};

use super::seen;
use crate::act::ActError;
use crate::app::App;
use crate::team;

/// Days of history that a forecast looks at: what the oldest prediction of its backtest needs.
const HISTORY: i64 = 13 * 7;

/// What this month will probably cost.
#[derive(Debug, Clone, Copy)]
pub struct Outlook {
    /// The month.
    pub month: Month,
    /// What was spent in it so far, today included.
    pub so_far: Nanos,
    /// What was spent today, which counts as part of a day to come and is not counted twice.
    pub today: Nanos,
    /// Days that the forecast covers: today and those after it.
    pub days_ahead: i64,
    /// Today and the days to come, and how good such predictions were; `None` with less than a week of history.
    pub forecast: Option<Forecast>,
}

/// Forecasts the running month, of the organization or of a team.
///
/// # Errors
/// There is no such team; the ledger is behind; the database.
pub async fn outlook(app: &App, of: Option<&str>) -> Result<Outlook, ActError> {
    let (now, mut only) = (app.now(), Vec::new());
    if let Some(given) = of {
        only.push((Side::Team, vec![team::get(app, given).await?.id.to_string()]));
    }
    (app.house.flush_ledger)().await?;
    let (today, month) = (now.day(), Month::of(now));
    let since = UnixMillis(today.plus_millis(-HISTORY * DAY_MS).0.min(month.start().0));
    let ask = Ask { bucket: Bucket::Day, only, ..Ask::span(since, today.plus_millis(DAY_MS), Vec::new()) };
    let days: BTreeMap<i64, i64> =
        app.store.report_sums(app.org, &ask).await?.into_iter().map(|s| (s.at.0, s.figures.cost.0)).collect();
    let spent =
        |from: UnixMillis| days.range(from.0..).fold(0, |sum: i64, (_, cost)| sum.saturating_add(*cost));
    // Days before the first use say nothing about the future.
    let first = days.keys().next().copied().unwrap_or(today.0);
    let over = (today.0 - first) / DAY_MS;
    let cost = |n: i64| days.get(&(first + n * DAY_MS)).copied().unwrap_or(0);
    let series: Vec<i64> = (0..over).map(cost).collect();
    let days_ahead = (month.end().0 - today.0) / DAY_MS;
    Ok(Outlook {
        month,
        so_far: Nanos(spent(month.start())),
        today: Nanos(spent(today)),
        days_ahead,
        forecast: forecast(&series, usize::try_from(days_ahead).unwrap_or(0)),
    })
}

/// Somebody whose day stands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standout {
    /// Identifier of the team, person or whatever was asked by; empty for what belongs to none.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What was spent on that day.
    pub spent: Nanos,
    /// What is usual, and how far from it that is.
    pub anomaly: anomaly::Anomaly,
}

/// Finds who spent far more on a day than usual, the most unusual first. Without a day it is yesterday.
///
/// # Errors
/// A day that is not over; the ledger is behind; the database.
pub async fn anomalies(
    app: &App,
    by: Side,
    day: Option<UnixMillis>,
) -> Result<(UnixMillis, Vec<Standout>), ActError> {
    let today = app.now().day();
    let day = day.map_or(today.plus_millis(-DAY_MS), UnixMillis::day);
    if day > today {
        return Err(ActError::field("day", "it lies in the future"));
    }
    (app.house.flush_ledger)().await?;
    let span = i64::try_from(anomaly::DAYS).unwrap_or(28);
    let since = day.plus_millis(-span * DAY_MS);
    let ask = Ask { bucket: Bucket::Day, ..Ask::span(since, day.plus_millis(DAY_MS), vec![by]) };
    let mut series: BTreeMap<String, (String, Vec<i64>)> = BTreeMap::new();
    for sums in app.store.report_sums(app.org, &ask).await? {
        let (id, name) = seen(&sums.whose, by);
        let (_, days) =
            series.entry(id.to_owned()).or_insert_with(|| (name.to_owned(), vec![0; anomaly::DAYS + 1]));
        if let Some(cost) = usize::try_from((sums.at.0 - since.0) / DAY_MS).ok().and_then(|n| days.get_mut(n))
        {
            *cost = sums.figures.cost.0;
        }
    }
    let judged = |(id, (name, days)): (String, (String, Vec<i64>))| {
        let (spent, before) = days.split_last()?;
        let anomaly = anomaly::judge(before, *spent)?;
        Some(Standout { id, name, spent: Nanos(*spent), anomaly })
    };
    let mut found: Vec<Standout> = series.into_iter().filter_map(judged).collect();
    found.sort_by_key(|standout| std::cmp::Reverse(standout.anomaly.score));
    Ok((day, found))
}

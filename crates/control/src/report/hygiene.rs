//! What could be had for less: how well caching works, and what nobody uses.

use std::collections::BTreeMap;

use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::cache::saved;
use gatehouse_domain::report::statement::Figures;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::report::{Ask, Side, Unused, UnusedKind};

use super::seen;
use crate::act::ActError;
use crate::app::App;

/// Longest time that is looked back, in days.
const MAX_DAYS: i64 = 400;

/// How well caching works for somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caching {
    /// Identifier of the person, model or whatever was asked by.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What was used.
    pub figures: Figures,
    /// What the cache saved; negative where writing cost more than reading saved. Of models whose price is known.
    pub saved: Nanos,
    /// Tokens of models whose price is not known, which `saved` leaves out.
    pub unpriced_tokens: u64,
}

/// Says how well caching works since the UTC day that was so many days ago, by person, model, team or project; who loses
/// most first. By the prices of now, without discounts and surcharges.
///
/// # Errors
/// Too many days; the ledger is behind; the database.
pub async fn caching(app: &App, by: Side, days: i64) -> Result<Vec<Caching>, ActError> {
    let (since, until) = (ago(app, days)?.day(), app.now().day().plus_millis(DAY_MS));
    (app.house.flush_ledger)().await?;
    let sides = if by == Side::Model { vec![by] } else { vec![by, Side::Model] };
    let ask = Ask::span(since, until, sides);
    let mut rows: BTreeMap<String, Caching> = BTreeMap::new();
    for sums in app.store.report_sums(app.org, &ask).await? {
        let (id, name) = seen(&sums.whose, by);
        let row = rows.entry(id.to_owned()).or_default();
        (row.id, row.name) = (id.to_owned(), name.to_owned());
        row.figures.add(&sums.figures);
        let tokens = &sums.figures.tokens;
        match (app.house.rates)(&sums.whose.model) {
            Some(rates) => row.saved = Nanos(row.saved.0.saturating_add(saved(tokens, &rates).0)),
            None => row.unpriced_tokens = row.unpriced_tokens.saturating_add(tokens.prompt()),
        }
    }
    let mut rows: Vec<Caching> = rows.into_values().collect();
    rows.sort_by(|a, b| a.saved.cmp(&b.saved).then_with(|| a.id.cmp(&b.id)));
    Ok(rows)
}

/// Active seats and keys that were there so many days ago and have not been used since.
///
/// # Errors
/// Too many days; the ledger is behind; the database.
pub async fn unused(app: &App, days: i64) -> Result<(Vec<Unused>, Vec<Unused>), ActError> {
    let since = ago(app, days)?;
    (app.house.flush_ledger)().await?;
    let seats = app.store.unused(app.org, UnusedKind::Seat, since).await?;
    Ok((seats, app.store.unused(app.org, UnusedKind::Key, since).await?))
}

fn ago(app: &App, days: i64) -> Result<UnixMillis, ActError> {
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(ActError::field("days", format!("expected 1 to {MAX_DAYS}")));
    }
    Ok(app.now().plus_millis(-days * DAY_MS))
}

//! Who bears what in a month.

use std::collections::BTreeMap;

use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::Month;
use gatehouse_domain::report::exchange_rate::ExchangeRate;
use gatehouse_domain::report::statement::{Figures, Kind, Line};
use gatehouse_store::report::{Side, Statement};

use super::{month, seen, terms};
use crate::act::ActError;
use crate::app::App;

/// What one team, person or whatever is asked by bears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Charged {
    /// Its identifier; empty for what belongs to none.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What was used in the month.
    pub usage: Figures,
    /// What was used in months that had been closed before it arrived.
    pub adjustment: Nanos,
    /// What the rules put on it; negative where they move something away.
    pub overhead: Nanos,
}

impl Charged {
    /// All of it together; it stops at the end of its range.
    pub const fn total(&self) -> Nanos {
        Nanos(self.usage.cost.0.saturating_add(self.adjustment.0).saturating_add(self.overhead.0))
    }

    fn add(&mut self, line: &Line) {
        let add = |sum: &mut Nanos| *sum = Nanos(sum.0.saturating_add(line.figures.cost.0));
        match line.kind {
            Kind::Usage => self.usage.add(&line.figures),
            Kind::Adjustment => add(&mut self.adjustment),
            Kind::Overhead => add(&mut self.overhead),
        }
    }
}

/// A month's report.
#[derive(Debug, Clone)]
pub struct Chargeback {
    /// The month.
    pub month: Month,
    /// What rows are told apart by.
    pub by: Side,
    /// The locked statement that it is of; `None` while the month is open.
    pub statement: Option<Statement>,
    /// The rows, the dearest first.
    pub rows: Vec<Charged>,
    /// Their sum.
    pub total: Charged,
    /// The rate for display, if one was asked for.
    pub rate: Option<ExchangeRate>,
}

/// Says who bears what in a month. A closed month is told from its statement, an open one as it stands now.
///
/// # Errors
/// A currency without a rate; the ledger is behind; the database.
pub async fn chargeback(
    app: &App,
    which: Month,
    by: Side,
    currency: Option<&str>,
) -> Result<Chargeback, ActError> {
    let rate = rate(app, which, currency).await?;
    let (statement, lines) = match app.store.statement(app.org, which).await? {
        Some(_) => month::lines(app, which).await?,
        None => (None, open_lines(app, which, by).await?),
    };
    Ok(of_lines(which, by, statement, &lines, rate))
}

/// The rate at which a month is shown in a currency; none for dollars.
pub(super) async fn rate(
    app: &App,
    which: Month,
    currency: Option<&str>,
) -> Result<Option<ExchangeRate>, ActError> {
    match currency {
        None | Some("USD") => Ok(None),
        Some(currency) => Ok(Some(terms::rate_for(app, currency, which.end()).await?)),
    }
}

/// The report of a month's lines.
pub(super) fn of_lines(
    month: Month,
    by: Side,
    statement: Option<Statement>,
    lines: &[Line],
    rate: Option<ExchangeRate>,
) -> Chargeback {
    let (rows, total) = summed(lines, by);
    Chargeback { month, by, statement, rows, total, rate }
}

/// Only what this side needs of an open month, and the team, which is what overhead is shared out by.
async fn open_lines(app: &App, which: Month, by: Side) -> Result<Vec<Line>, ActError> {
    (app.house.flush_ledger)().await?;
    let sides: &[Side] = if by == Side::Team { &[by] } else { &[by, Side::Team] };
    let mut lines = month::usage_lines(app, which, sides).await?;
    lines.extend(month::overhead_lines(app, which, &lines).await?);
    Ok(lines)
}

fn summed(lines: &[Line], by: Side) -> (Vec<Charged>, Charged) {
    let mut rows: BTreeMap<&str, Charged> = BTreeMap::new();
    let mut total = Charged::default();
    for line in lines {
        let (id, name) = seen(&line.whose, by);
        let row = rows.entry(id).or_default();
        id.clone_into(&mut row.id);
        if row.name.is_empty() {
            name.clone_into(&mut row.name);
        }
        row.add(line);
        total.add(line);
    }
    let mut rows: Vec<Charged> = rows.into_values().collect();
    rows.sort_by(|a, b| b.total().cmp(&a.total()).then_with(|| a.id.cmp(&b.id)));
    (rows, total)
}

/// The report as comma-separated values: a head, a row for each, and the total. Texts that a spreadsheet would take for a
/// formula begin with an apostrophe.
pub fn csv(report: &Chargeback) -> String {
    let mut out = String::from(
        "id,name,requests,input_tokens,cache_write_5m_tokens,cache_write_1h_tokens,cache_read_tokens,output_tokens,\
         web_searches,usage_usd,adjustment_usd,overhead_usd,total_usd,total_nanos,currency,total_in_currency\r\n",
    );
    let total = Charged { name: "TOTAL".to_owned(), ..report.total.clone() };
    for row in report.rows.iter().chain(std::iter::once(&total)) {
        let tokens = &row.usage.tokens;
        let counts = [
            row.usage.requests,
            tokens.input,
            tokens.cache_write_5m,
            tokens.cache_write_1h,
            tokens.cache_read,
            tokens.output,
            row.usage.web_searches,
        ];
        let mut cells = vec![cell(&row.id), cell(&row.name)];
        cells.extend(counts.map(|count| count.to_string()));
        cells.extend(
            [row.usage.cost, row.adjustment, row.overhead, row.total()].map(|amount| amount.to_string()),
        );
        cells.push(row.total().0.to_string());
        cells.push(report.rate.map_or_else(|| "USD".to_owned(), |rate| rate.currency.to_string()));
        cells.push(report.rate.map_or_else(|| row.total().to_string(), |rate| rate.shown(row.total())));
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

/// A text as a cell (RFC 4180).
pub(super) fn cell(text: &str) -> String {
    let guarded =
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if guarded.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

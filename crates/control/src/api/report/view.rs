//! Reports as the API shows them.

use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::exchange_rate::ExchangeRate;
use gatehouse_domain::report::statement::{Figures, Line};
use gatehouse_store::report::Statement;
use serde::Serialize;
use utoipa::ToSchema;

use crate::report::chargeback::{Chargeback, Charged};
use crate::report::side_name;

/// What was used, in the provider's units.
#[derive(Debug, Serialize, ToSchema)]
pub struct FiguresView {
    /// Exchanges.
    pub requests: u64,
    /// Input tokens outside the cache.
    pub input_tokens: u64,
    /// Tokens written to the cache for five minutes.
    pub cache_write_5m_tokens: u64,
    /// Tokens written to the cache for an hour.
    pub cache_write_1h_tokens: u64,
    /// Tokens read from the cache.
    pub cache_read_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Web searches.
    pub web_searches: u64,
    /// What it cost, in nano-dollars.
    pub cost_nanos: i64,
}

impl From<&Figures> for FiguresView {
    fn from(figures: &Figures) -> Self {
        Self {
            requests: figures.requests,
            input_tokens: figures.tokens.input,
            cache_write_5m_tokens: figures.tokens.cache_write_5m,
            cache_write_1h_tokens: figures.tokens.cache_write_1h,
            cache_read_tokens: figures.tokens.cache_read,
            output_tokens: figures.tokens.output,
            web_searches: figures.web_searches,
            cost_nanos: figures.cost.0,
        }
    }
}

/// What one team, person or whatever was asked by bears.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChargedView {
    /// Its identifier; empty for what belongs to none.
    pub id: String,
    /// Its name; empty for what belongs to none.
    pub name: String,
    /// What was used in the month.
    pub usage: FiguresView,
    /// Cost of what was used in months that had been closed before it arrived, in nano-dollars.
    pub adjustment_nanos: i64,
    /// What allocation rules put on it, in nano-dollars; negative where they move something away.
    pub overhead_nanos: i64,
    /// All of it, in nano-dollars.
    pub total_nanos: i64,
    /// The same in dollars.
    pub total_usd: String,
    /// The same in the currency that was asked for, rounded to hundredths; for display only.
    pub shown: Option<String>,
}

/// A locked statement's head.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatementView {
    /// The month.
    #[schema(example = "2026-10")]
    pub month: String,
    /// When it was closed (RFC 3339).
    pub closed_at: String,
    /// Who closed it.
    pub closed_by: String,
    /// SHA-256 of its lines; also in the audit log.
    pub digest: String,
    /// How many lines it has.
    pub lines: u64,
    /// Their sum, in nano-dollars.
    pub total_nanos: i64,
    /// The same in dollars.
    pub total_usd: String,
}

impl From<&Statement> for StatementView {
    fn from(statement: &Statement) -> Self {
        Self {
            month: statement.month.to_string(),
            closed_at: statement.closed_at.to_string(),
            closed_by: statement.closed_by.clone(),
            digest: statement.digest.clone(),
            lines: statement.lines,
            total_nanos: statement.total.0,
            total_usd: statement.total.to_string(),
        }
    }
}

/// Who bears what in a month.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChargebackView {
    /// The month.
    pub month: String,
    /// What rows are told apart by.
    pub by: &'static str,
    /// The locked statement that the report is of; null while the month is open.
    pub statement: Option<StatementView>,
    /// The rows, the dearest first.
    pub rows: Vec<ChargedView>,
    /// Their sum.
    pub total: ChargedView,
    /// The rate for display.
    pub rate: Option<RateView>,
}

fn charged(row: &Charged, rate: Option<&ExchangeRate>) -> ChargedView {
    ChargedView {
        id: row.id.clone(),
        name: row.name.clone(),
        usage: (&row.usage).into(),
        adjustment_nanos: row.adjustment.0,
        overhead_nanos: row.overhead.0,
        total_nanos: row.total().0,
        total_usd: row.total().to_string(),
        shown: rate.map(|rate| rate.shown(row.total())),
    }
}

impl From<&Chargeback> for ChargebackView {
    fn from(report: &Chargeback) -> Self {
        let rate = report.rate.as_ref();
        Self {
            month: report.month.to_string(),
            by: side_name(report.by),
            statement: report.statement.as_ref().map(Into::into),
            rows: report.rows.iter().map(|row| charged(row, rate)).collect(),
            total: charged(&report.total, rate),
            rate: rate.map(Into::into),
        }
    }
}

/// An exchange rate, for display.
#[derive(Debug, Serialize, ToSchema)]
pub struct RateView {
    /// Code of three letters.
    pub currency: String,
    /// From this UTC day on.
    pub from: String,
    /// Units of the currency for one dollar.
    pub per_dollar: String,
}

impl From<&ExchangeRate> for RateView {
    fn from(rate: &ExchangeRate) -> Self {
        Self {
            currency: rate.currency.to_string(),
            from: day(rate.from),
            per_dollar: Nanos(rate.per_dollar).to_string(),
        }
    }
}

/// A line of a statement.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineView {
    /// `usage`, `adjustment` or `overhead`.
    pub kind: &'static str,
    /// The allocation rule, of overhead.
    pub rule: String,
    /// The month in which it was used.
    pub month: String,
    /// The team's identifier and name at closing; empty for none.
    pub team_id: String,
    /// Its name.
    pub team: String,
    /// The project's identifier.
    pub project_id: String,
    /// Its name.
    pub project: String,
    /// The person's identifier.
    pub user_id: String,
    /// Their e-mail address.
    pub user: String,
    /// The key's identifier.
    pub key_id: String,
    /// Its public part.
    pub key: String,
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// How much.
    pub figures: FiguresView,
}

impl From<&Line> for LineView {
    fn from(line: &Line) -> Self {
        let whose = line.whose.clone();
        Self {
            kind: line.kind.as_str(),
            rule: line.rule.clone(),
            month: line.month.clone(),
            team_id: whose.team_id,
            team: whose.team,
            project_id: whose.project_id,
            project: whose.project,
            user_id: whose.user_id,
            user: whose.user,
            key_id: whose.key_id,
            key: whose.key,
            provider: whose.provider,
            model: whose.model,
            figures: (&line.figures).into(),
        }
    }
}

/// A UTC day as `2026-10-31`.
pub fn day(at: gatehouse_domain::time::UnixMillis) -> String {
    at.to_string().get(..10).unwrap_or_default().to_owned()
}

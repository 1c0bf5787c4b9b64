//! `/api/v1/reports/forecast`, `/anomalies`, `/caching` and `/unused`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::report::cache::ratio;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::report::Unused;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::auth::{Admin, ReadUsage};
use super::super::error::ApiError;
use super::super::extract::Params;
use super::view::{FiguresView, day};
use crate::act::read;
use crate::app::App;
use crate::report::{hygiene, outlook, read_side};

/// Whose forecast is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ForecastQuery {
    /// Only what is charged to this team, by id or name.
    team: Option<String>,
}

/// What the running month will probably cost.
#[derive(Debug, Serialize, ToSchema)]
pub struct ForecastView {
    /// The month.
    pub month: String,
    /// What was spent in it so far, today included, in nano-dollars.
    pub so_far_nanos: i64,
    /// Days that are predicted: today and those after it.
    pub days_ahead: i64,
    /// The month's probable cost in nano-dollars: the days before today, and for each day from today on the mean of the
    /// same weekday in the last eight weeks. Null with less than a week of history.
    pub expected_nanos: Option<i64>,
    /// The same with the 10th percentile of these days.
    pub low_nanos: Option<i64>,
    /// The same with the 90th percentile of these days.
    pub high_nanos: Option<i64>,
    /// How good the same prediction was for the last days, each from the days before it only.
    pub backtest: Option<BacktestView>,
}

/// How good predictions were.
#[derive(Debug, Serialize, ToSchema)]
pub struct BacktestView {
    /// Days that were predicted.
    pub days: u64,
    /// Mean of the absolute errors, in nano-dollars.
    pub mean_error_nanos: i64,
    /// Sum of the absolute errors in thousandths of what was spent on those days.
    pub error_permille: Option<u64>,
    /// Days that lay between low and high.
    pub within_band: u64,
}

/// Forecasts the running month.
#[utoipa::path(
    get, path = "/api/v1/reports/forecast", tag = "reports", operation_id = "reports_forecast", params(ForecastQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = ForecastView))
)]
pub async fn forecast(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<ForecastQuery>,
) -> Result<Json<ForecastView>, ApiError> {
    let told = outlook::outlook(&app, query.team.as_deref()).await?;
    // Today is predicted whole; what it has cost already is at least that.
    let before = told.so_far.0 - told.today.0;
    let sum = |ahead: i64| before.saturating_add(ahead.max(told.today.0));
    Ok(Json(ForecastView {
        month: told.month.to_string(),
        so_far_nanos: told.so_far.0,
        days_ahead: told.days_ahead,
        expected_nanos: told.forecast.map(|f| sum(f.ahead.expected.0)),
        low_nanos: told.forecast.map(|f| sum(f.ahead.low.0)),
        high_nanos: told.forecast.map(|f| sum(f.ahead.high.0)),
        backtest: told.forecast.map(|f| BacktestView {
            days: f.backtest.days,
            mean_error_nanos: f.backtest.mean_error.0,
            error_permille: f.backtest.error_permille,
            within_band: f.backtest.within_band,
        }),
    }))
}

/// Which anomalies are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AnomalyQuery {
    /// `team`, `project`, `user`, `key`, `provider` or `model`; `team` if not given.
    by: Option<String>,
    /// The UTC day that is judged; yesterday if not given.
    day: Option<String>,
}

/// Who spent far more on a day than usual.
#[derive(Debug, Serialize, ToSchema)]
pub struct Anomalies {
    /// The day.
    pub day: String,
    /// The rule, in words.
    pub rule: &'static str,
    /// Who stands out, the most unusual first.
    pub items: Vec<AnomalyView>,
}

/// Somebody whose day stands out.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnomalyView {
    /// Identifier; empty for what belongs to none.
    pub id: String,
    /// Name.
    pub name: String,
    /// What was spent on that day, in nano-dollars.
    pub spent_nanos: i64,
    /// The same in dollars.
    pub spent_usd: String,
    /// The median of the days before, in nano-dollars.
    pub median_nanos: i64,
    /// The same in dollars.
    pub median_usd: String,
    /// The robust z-score in hundredths.
    pub score_hundredths: i64,
}

const RULE: &str = "a day stands out when its robust z-score (0.6745 times the distance from the median of the 28 days \
    before, over their median absolute deviation, taken as at least a twentieth of the median and 0.10 USD) is over 3.5, it \
    is at least 1 USD above the median, and there are at least 14 days since the first spending";

/// Finds who spent far more on a day than usual.
#[utoipa::path(
    get, path = "/api/v1/reports/anomalies", tag = "reports", operation_id = "reports_anomalies", params(AnomalyQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Anomalies))
)]
pub async fn anomalies(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<AnomalyQuery>,
) -> Result<Json<Anomalies>, ApiError> {
    let by = read_side(query.by.as_deref().unwrap_or("team"))?;
    let which = query.day.as_deref().map(|text| read("day", text.parse::<UnixMillis>())).transpose()?;
    let (which, found) = outlook::anomalies(&app, by, which).await?;
    let view = |standout: outlook::Standout| AnomalyView {
        id: standout.id,
        name: standout.name,
        spent_nanos: standout.spent.0,
        spent_usd: standout.spent.to_string(),
        median_nanos: standout.anomaly.median.0,
        median_usd: standout.anomaly.median.to_string(),
        score_hundredths: standout.anomaly.score,
    };
    Ok(Json(Anomalies { day: day(which), rule: RULE, items: found.into_iter().map(view).collect() }))
}

/// How caching is looked at.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CachingQuery {
    /// `team`, `project`, `user`, `key`, `provider` or `model`; `user` if not given.
    by: Option<String>,
    /// Days back from now; 30 if not given.
    days: Option<i64>,
}

/// How well caching works.
#[derive(Debug, Serialize, ToSchema)]
pub struct CachingReport {
    /// Who loses most, or saves least, first.
    pub items: Vec<CachingView>,
}

/// How well caching works for somebody.
#[derive(Debug, Serialize, ToSchema)]
pub struct CachingView {
    /// Identifier; empty for what belongs to none.
    pub id: String,
    /// Name.
    pub name: String,
    /// What was used.
    pub usage: FiguresView,
    /// Tokens read from the cache for each one written, in hundredths; null when none was written.
    pub reads_per_write_hundredths: Option<u64>,
    /// What the cache saved against fresh input, in nano-dollars; negative where writing cost more than reading saved. By
    /// today's prices, without discounts and surcharges.
    pub saved_nanos: i64,
    /// The same in dollars.
    pub saved_usd: String,
    /// Input tokens of models whose price is not known, which `saved_nanos` leaves out.
    pub unpriced_tokens: u64,
}

/// Says how well caching works, by person or model.
#[utoipa::path(
    get, path = "/api/v1/reports/caching", tag = "reports", operation_id = "reports_caching", params(CachingQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = CachingReport))
)]
pub async fn caching(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<CachingQuery>,
) -> Result<Json<CachingReport>, ApiError> {
    let by = read_side(query.by.as_deref().unwrap_or("user"))?;
    let rows = hygiene::caching(&app, by, query.days.unwrap_or(30)).await?;
    let view = |row: hygiene::Caching| CachingView {
        id: row.id,
        name: row.name,
        usage: (&row.figures).into(),
        reads_per_write_hundredths: ratio(&row.figures.tokens),
        saved_nanos: row.saved.0,
        saved_usd: row.saved.to_string(),
        unpriced_tokens: row.unpriced_tokens,
    };
    Ok(Json(CachingReport { items: rows.into_iter().map(view).collect() }))
}

/// Since when something must be unused.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UnusedQuery {
    /// Days back from now; 30 if not given.
    days: Option<i64>,
}

/// What nobody uses.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnusedReport {
    /// Active people without an exchange.
    pub seats: Vec<UnusedView>,
    /// Active keys without an exchange.
    pub keys: Vec<UnusedView>,
}

/// A person or key without an exchange.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnusedView {
    /// Identifier.
    pub id: String,
    /// E-mail address, or the public part of the key.
    pub name: String,
    /// The key's holder; the person themselves for a seat.
    pub holder: String,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// When it was last used, as far as that is known (of a seat: with a key).
    pub last_used_at: Option<String>,
}

/// Lists active people and keys that were there so many days ago and have not been used since.
#[utoipa::path(
    get, path = "/api/v1/reports/unused", tag = "reports", operation_id = "reports_unused", params(UnusedQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = UnusedReport))
)]
pub async fn unused(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<UnusedQuery>,
) -> Result<Json<UnusedReport>, ApiError> {
    let (seats, keys) = hygiene::unused(&app, query.days.unwrap_or(30)).await?;
    let view = |found: Unused| UnusedView {
        id: found.id,
        name: found.name,
        holder: found.holder,
        created_at: found.created_at.to_string(),
        last_used_at: found.last_used_at.map(|at| at.to_string()),
    };
    let all = |found: Vec<Unused>| found.into_iter().map(view).collect();
    Ok(Json(UnusedReport { seats: all(seats), keys: all(keys) }))
}

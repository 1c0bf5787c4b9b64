//! `/api/v1/metrics`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::metrics::{Amount, Counts, Figure, Quantiles};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::auth::{ReadUsage, Scoped};
use super::error::ApiError;
use super::extract::Params;
use crate::app::App;
use crate::metrics::told::Share;
use crate::metrics::{self, Summary};

/// Of what, and since when.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// `org`, `team:NAME`, `user:EMAIL`, `rollout:NAME`, `rollout:NAME/PHASE` or `mode:MODE`; what the token is limited to if
    /// not given.
    scope: Option<String>,
    /// How far back, such as `7d`; 30 days if not given.
    window: Option<String>,
}

/// A figure with what it rests on.
#[derive(Debug, Serialize, ToSchema)]
pub struct FigureView {
    /// The figure; 0 without data.
    pub value: f64,
    /// What it is a share or mean of.
    pub n: u64,
    /// Whether there was nothing to reckon with.
    pub no_data: bool,
}

/// An amount of money with what it rests on.
#[derive(Debug, Serialize, ToSchema)]
pub struct AmountView {
    /// Dollars; 0 without data.
    pub usd: String,
    /// The same in nano-dollars.
    pub nanos: i64,
    /// What it is divided by.
    pub n: u64,
    /// Whether there was nothing to reckon with.
    pub no_data: bool,
}

/// Median and upper quantiles in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuantilesView {
    /// Half of all.
    pub p50: u32,
    /// 95 of 100.
    pub p95: u32,
    /// 99 of 100.
    pub p99: u32,
    /// How many there are; none where the hourly sums stand in.
    pub n: u64,
}

/// What was counted.
#[derive(Debug, Serialize, ToSchema)]
pub struct CountsView {
    /// Enabled people in the scope.
    pub total_users: u64,
    /// Of these, those with at least one successful request in the window, or who used a client as others tell.
    pub active_users: u64,
    /// Of these, those of whom only telemetry or the provider's client analytics tell: their requests are not known.
    pub told_users: u64,
    /// Sessions begun, as telemetry or the provider's client analytics tell.
    pub sessions: u64,
    /// Requests as users saw them: completed and failed ones.
    pub total_requests: u64,
    /// Of these, failed ones.
    pub failed_requests: u64,
    /// Requests refused by a rule; not among the total.
    pub refused_requests: u64,
    /// Failed tries that the client repeated by itself; not among the total.
    pub retried_requests: u64,
    /// Requests that the client gave up; not among the total.
    pub abandoned_requests: u64,
    /// Days on which somebody was active, summed over people.
    pub active_days: u64,
    /// Active in the last day.
    pub active_1d: u64,
    /// Active in the last seven days.
    pub active_7d: u64,
    /// Active in the last thirty days.
    pub active_30d: u64,
}

/// What one word brings to the figures.
#[derive(Debug, Serialize, ToSchema)]
pub struct ToldShare {
    /// People of whom it tells.
    pub users: u64,
    /// Days on which they used it, summed over people.
    pub days: u64,
    /// Dollars, as it says.
    pub cost_usd: String,
    /// The same in nano-dollars.
    pub cost_nanos: i64,
}

/// What is in the figures that no recorded exchange shows. Of each person and UTC day one word counts: exchanges, else
/// telemetry, else the provider's client analytics; of the latter two whole days from that in which the window begins.
#[derive(Debug, Serialize, ToSchema)]
pub struct ToldView {
    /// By telemetry of clients.
    pub telemetry: ToldShare,
    /// By the provider's client analytics.
    pub analytics: ToldShare,
}

/// The figures of a scope.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricsSummary {
    /// Of what.
    pub scope: String,
    /// From when on (RFC 3339).
    pub since: String,
    /// Until when (RFC 3339).
    pub until: String,
    /// What they rest on: `exchanges`; or `rollups` where there are too many, and then those given up count as failed.
    pub basis: &'static str,
    /// `user_adoption`, `usage_frequency`, `error_rate`, `response_time` (milliseconds), `cost_per_user` (dollars) and
    /// `satisfaction_score`, each with `value`, `n` and `no_data`; `usage_frequency` says in `of` whether it counts `requests`, or
    /// `sessions` since nobody's requests are known.
    #[schema(value_type = Object)]
    pub metrics: Value,
    /// What was counted.
    pub counts: CountsView,
    /// What of it others tell.
    pub told: ToldView,
    /// Sessions of an active person, as telemetry or the provider's client analytics tell.
    pub sessions_per_active_user: FigureView,
    /// Requests of a day on which somebody was active.
    pub requests_per_active_day: FigureView,
    /// Cost of a day on which somebody was active.
    pub cost_per_active_day: AmountView,
    /// Tokens read from the cache, of all input.
    pub cache_read_ratio: FigureView,
    /// Edits that people accepted, of all that they decided on, as their clients say (from the hour in which the window begins).
    pub edit_accept_rate: FigureView,
    /// Times to the end of requests.
    pub response_time_ms: QuantilesView,
    /// Times to the first byte.
    pub first_byte_ms: QuantilesView,
}

impl From<Figure> for FigureView {
    fn from(Figure { value, n, no_data }: Figure) -> Self {
        Self { value, n, no_data }
    }
}

impl From<Amount> for AmountView {
    fn from(Amount { value, n, no_data }: Amount) -> Self {
        Self { usd: value.to_string(), nanos: value.0, n, no_data }
    }
}

impl From<Quantiles> for QuantilesView {
    fn from(Quantiles { p50, p95, p99, n }: Quantiles) -> Self {
        Self { p50, p95, p99, n }
    }
}

impl From<Share> for ToldShare {
    fn from(Share { users, days, cost }: Share) -> Self {
        Self { users, days, cost_usd: cost.to_string(), cost_nanos: cost.0 }
    }
}

impl From<&Counts> for CountsView {
    fn from(c: &Counts) -> Self {
        let [active_1d, active_7d, active_30d] = c.active_in;
        Self {
            total_users: c.total_users,
            active_users: c.active_users,
            told_users: c.told_users,
            sessions: c.sessions,
            total_requests: c.total_requests,
            failed_requests: c.failed_requests,
            refused_requests: c.refused_requests,
            retried_requests: c.retried_requests,
            abandoned_requests: c.abandoned_requests,
            active_days: c.active_days,
            active_1d,
            active_7d,
            active_30d,
        }
    }
}

impl From<Summary> for MetricsSummary {
    fn from(summary: Summary) -> Self {
        let c = &summary.counts;
        Self {
            metrics: metrics::six(c, &summary.feedback),
            counts: c.into(),
            told: ToldView {
                telemetry: summary.told.telemetry.into(),
                analytics: summary.told.analytics.into(),
            },
            sessions_per_active_user: c.sessions_per_user().into(),
            requests_per_active_day: c.frequency_per_active_day().into(),
            cost_per_active_day: c.cost_per_active_day().into(),
            cache_read_ratio: c.cache_read_ratio().into(),
            edit_accept_rate: c.edit_accept_rate().into(),
            response_time_ms: c.durations().into(),
            first_byte_ms: c.first_bytes().into(),
            since: summary.since.to_string(),
            until: summary.until.to_string(),
            basis: summary.basis,
            scope: summary.scope,
        }
    }
}

/// Reckons the six figures of a scope, and those beside them.
#[utoipa::path(
    get, path = "/api/v1/metrics/summary", tag = "metrics", operation_id = "metrics_summary", params(Query),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = MetricsSummary))
)]
pub async fn summary(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<MetricsSummary>, ApiError> {
    let (scope, window) = (query.scope.as_deref(), query.window.as_deref());
    let found = metrics::summary(&app, admin.scope, scope, window, metrics::MOST_WAITED_FOR).await?;
    Ok(Json(found.into()))
}

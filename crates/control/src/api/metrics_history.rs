//! `/api/v1/metrics/history`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::feedback::FEWEST_SHOWN;
use gatehouse_domain::metrics::snapshot::Snapshot;
use gatehouse_domain::metrics::{Amount, Counts, Figure};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{ReadUsage, Scoped};
use super::error::ApiError;
use super::extract::Params;
use super::metrics::{CountsView, QuantilesView};
use crate::act::Range;
use crate::app::App;
use crate::metrics::snapshot::{self, History};

/// Of what, and of which days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// `org`, `team:NAME`, `rollout:NAME/PHASE` or `mode:MODE`; what the token is limited to if not given. A team that is no
    /// more can be given by its identifier too.
    scope: Option<String>,
    /// The first day: `30d`, `2026-11-01`; 30 days before `until` if not given.
    since: Option<String>,
    /// The day after the last; now if not given. At most 366 days after the first.
    until: Option<String>,
}

/// A figure of a day as the quotient that it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct SnapshotFigure {
    /// The quotient; 0 without data, null where few answers would give somebody away.
    pub value: Option<f64>,
    /// What is divided; null with the value.
    pub numerator: Option<u64>,
    /// What it is divided by: the size of the sample.
    pub n: u64,
    /// Whether there was nothing to reckon with.
    pub no_data: bool,
}

/// An amount of money of a day as the quotient that it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct SnapshotAmount {
    /// Dollars; 0 without data.
    pub usd: String,
    /// The same in nano-dollars, rounded half up.
    pub nanos: i64,
    /// What is divided, in nano-dollars.
    pub numerator_nanos: i64,
    /// What it is divided by: the size of the sample.
    pub n: u64,
    /// Whether there was nothing to reckon with.
    pub no_data: bool,
}

/// The six figures of a day.
#[derive(Debug, Serialize, ToSchema)]
pub struct SnapshotSix {
    /// Active people of enabled ones.
    pub user_adoption: SnapshotFigure,
    /// Requests of active people.
    pub usage_frequency: SnapshotFigure,
    /// Failed requests of all.
    pub error_rate: SnapshotFigure,
    /// Milliseconds of requests.
    pub response_time: SnapshotFigure,
    /// Cost of active people.
    pub cost_per_user: SnapshotAmount,
    /// Scores of answers.
    pub satisfaction_score: SnapshotFigure,
}

/// The figures of a scope on a day, as they were when the day was over.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricsSnapshot {
    /// The day, in UTC.
    #[schema(example = "2026-11-22")]
    pub day: String,
    /// How much time it is of: always `1d`.
    pub window: &'static str,
    /// What the scope was called then.
    pub scope: String,
    /// When it was taken (RFC 3339).
    pub taken_at: String,
    /// What it rests on: `exchanges`; or `rollups` where there were too many, and then those given up count as failed.
    pub basis: &'static str,
    /// The six.
    pub metrics: SnapshotSix,
    /// What was counted.
    pub counts: CountsView,
    /// Requests of a day on which somebody was active.
    pub requests_per_active_day: SnapshotFigure,
    /// Cost of a day on which somebody was active.
    pub cost_per_active_day: SnapshotAmount,
    /// Tokens read from the cache, of all input.
    pub cache_read_ratio: SnapshotFigure,
    /// Edits that people accepted, of all that they decided on, as their clients say.
    pub edit_accept_rate: SnapshotFigure,
    /// Times to the end of requests.
    pub response_time_ms: QuantilesView,
    /// Times to the first byte.
    pub first_byte_ms: QuantilesView,
}

/// The snapshots of a scope, day by day. A day that is not there was not kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricsHistory {
    /// Of what.
    pub scope: String,
    /// The first day that was asked for (RFC 3339).
    pub since: String,
    /// The day after the last (RFC 3339).
    pub until: String,
    /// The days, the oldest first.
    pub items: Vec<MetricsSnapshot>,
}

fn shown(figure: Figure, numerator: u64) -> SnapshotFigure {
    let Figure { value, n, no_data } = figure;
    SnapshotFigure { value: Some(value), numerator: Some(numerator), n, no_data }
}

fn paid(amount: Amount, counts: &Counts) -> SnapshotAmount {
    let Amount { value, n, no_data } = amount;
    let numerator_nanos = counts.total_cost.0;
    SnapshotAmount { usd: value.to_string(), nanos: value.0, numerator_nanos, n, no_data }
}

/// Of few answers nothing is told but how many there are.
fn satisfaction(counts: &Counts) -> SnapshotFigure {
    let figure = shown(counts.satisfaction(), counts.score_sum);
    if (1..FEWEST_SHOWN).contains(&counts.answers) {
        SnapshotFigure { value: None, numerator: None, ..figure }
    } else {
        figure
    }
}

impl From<Snapshot> for MetricsSnapshot {
    fn from(snapshot: Snapshot) -> Self {
        let c = &snapshot.counts;
        Self {
            day: snapshot.day.to_string().chars().take("2026-11-22".len()).collect(),
            window: "1d",
            taken_at: snapshot.taken_at.to_string(),
            basis: if snapshot.from_rollups { "rollups" } else { "exchanges" },
            metrics: SnapshotSix {
                user_adoption: shown(c.adoption(), c.active_users),
                usage_frequency: shown(c.frequency(), c.total_requests),
                error_rate: shown(c.error_rate(), c.failed_requests),
                response_time: shown(c.response_time(), c.total_time_ms),
                cost_per_user: paid(c.cost_per_user(), c),
                satisfaction_score: satisfaction(c),
            },
            counts: c.into(),
            requests_per_active_day: shown(c.frequency_per_active_day(), c.total_requests),
            cost_per_active_day: paid(c.cost_per_active_day(), c),
            cache_read_ratio: shown(c.cache_read_ratio(), c.tokens.cache_read),
            edit_accept_rate: shown(c.edit_accept_rate(), c.edits_accepted),
            response_time_ms: snapshot.durations.into(),
            first_byte_ms: snapshot.first_bytes.into(),
            scope: snapshot.scope.name,
        }
    }
}

impl From<History> for MetricsHistory {
    fn from(history: History) -> Self {
        Self {
            scope: history.scope,
            since: history.since.to_string(),
            until: history.until.to_string(),
            items: history.snapshots.into_iter().map(MetricsSnapshot::from).collect(),
        }
    }
}

/// Shows the figures of a scope day by day, as they were kept an hour after each day's end.
#[utoipa::path(
    get, path = "/api/v1/metrics/history", tag = "metrics", operation_id = "metrics_history", params(HistoryQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = MetricsHistory))
)]
pub async fn list(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<HistoryQuery>,
) -> Result<Json<MetricsHistory>, ApiError> {
    let range = Range { since: query.since, until: query.until };
    let found = snapshot::history(&app, admin.scope, query.scope.as_deref(), &range).await?;
    Ok(Json(found.into()))
}

//! `/api/v1/analytics/imports`, and the provider's client analytics as sums of usage.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::telemetry::Measure;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::analytics::AnalyticsBy;
use gatehouse_store::telemetry::ClientUsageRow;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::auth::{Admin, WriteConfig};
use super::error::ApiError;
use super::extract::BodyUpTo;
use super::usage::UsageView;
use crate::analytics::{self, Imported};
use crate::app::App;

/// Largest report that is imported at once, in bytes.
pub const MAX_REPORT: usize = 16 * 1024 * 1024;

/// A report of client analytics, as the provider's `GET /v1/organizations/usage_report/claude_code` answers it; all pages of a
/// day together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalyticsReport {
    /// The records, at most 20,000.
    #[schema(value_type = Vec<Object>)]
    pub data: Value,
}

/// What an import of client analytics brought.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnalyticsImported {
    /// Records that were read.
    pub records: u64,
    /// UTC days that they replaced.
    pub days: Vec<String>,
    /// How many of our users these days tell of.
    pub people: u64,
    /// How many they tell of who are none of our users.
    pub unmatched: u64,
    /// Of those, the first hundred by name.
    pub unmatched_actors: Vec<UnmatchedActor>,
}

/// Somebody of whom client analytics tell, and who is none of our users.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnmatchedActor {
    /// `person` or `key`.
    pub kind: String,
    /// The address, or the name of the key at the provider.
    pub name: String,
}

/// What only client analytics tell.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnalyticsUsage {
    /// Sessions begun.
    pub sessions: i64,
    /// Lines added.
    pub lines_added: i64,
    /// Lines removed.
    pub lines_removed: i64,
    /// Commits.
    pub commits: i64,
    /// Pull requests.
    pub pull_requests: i64,
    /// Edits that people accepted.
    pub edits_accepted: i64,
    /// Edits that people rejected.
    pub edits_rejected: i64,
}

impl From<Imported> for AnalyticsImported {
    fn from(Imported { records, days, taken }: Imported) -> Self {
        Self {
            records: records as u64,
            days: days.iter().map(|day| day.to_string().chars().take(10).collect()).collect(),
            people: taken.people,
            unmatched: taken.strangers,
            unmatched_actors: taken
                .named
                .into_iter()
                .map(|(name, kind)| UnmatchedActor { kind, name })
                .collect(),
        }
    }
}

/// Imports the provider's client analytics by hand. Each day of each organization in it takes the place of what was there.
#[utoipa::path(
    post, path = "/api/v1/analytics/imports", tag = "usage", operation_id = "analytics_import",
    request_body = AnalyticsReport, security(("admin_token" = ["write_config"])),
    responses((status = 200, body = AnalyticsImported))
)]
pub async fn import(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    BodyUpTo(report): BodyUpTo<AnalyticsReport, MAX_REPORT>,
) -> Result<Json<AnalyticsImported>, ApiError> {
    let report = json!({"data": report.data});
    Ok(Json(analytics::import(&app, &admin.caller, &report).await?.into()))
}

/// A sum of client analytics as a sum of usage. What the provider does not tell (requests, errors, times) is zero.
#[expect(clippy::needless_pass_by_value, reason = "it is mapped over a list that is used up")]
pub(super) fn view(by: AnalyticsBy, row: ClientUsageRow) -> UsageView {
    let of = |measure| row.sums.of(measure);
    let count = |measure| of(measure).max(0).unsigned_abs();
    let name = match by {
        AnalyticsBy::Day => row.id.parse().map_or_else(|_| row.id.clone(), |ms| UnixMillis(ms).to_string()),
        AnalyticsBy::User | AnalyticsBy::Model | AnalyticsBy::Terminal | AnalyticsBy::Total => {
            row.name.clone().unwrap_or_else(|| row.id.clone())
        }
    };
    let cost = Nanos(of(Measure::Cost));
    UsageView {
        id: row.id.clone(),
        name,
        requests: 0,
        errors: 0,
        refusals: 0,
        estimated: 0,
        input_tokens: count(Measure::Input),
        cache_creation_input_tokens: count(Measure::CacheWrite),
        cache_creation_1h_input_tokens: 0,
        cache_read_input_tokens: count(Measure::CacheRead),
        output_tokens: count(Measure::Output),
        web_search_requests: 0,
        cost_nanos: cost.0,
        cost_usd: cost.to_string(),
        mean_duration_ms: 0,
        mean_first_byte_ms: None,
        source: "analytics",
        client: None,
        analytics: Some(AnalyticsUsage {
            sessions: of(Measure::Sessions),
            lines_added: of(Measure::LinesAdded),
            lines_removed: of(Measure::LinesRemoved),
            commits: of(Measure::Commits),
            pull_requests: of(Measure::PullRequests),
            edits_accepted: of(Measure::EditsAccepted),
            edits_rejected: of(Measure::EditsRejected),
        }),
    }
}

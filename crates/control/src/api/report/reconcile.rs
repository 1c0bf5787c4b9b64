//! `/api/v1/reports/reconciliations`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::Month;
use gatehouse_domain::report::reconcile::{Amounts, Threshold, family};
use gatehouse_domain::time::UnixMillis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::auth::{Admin, ReadUsage};
use super::super::error::ApiError;
use super::super::extract::Body;
use super::view::day;
use crate::act::{ActError, read};
use crate::app::App;
use crate::report::read_month;
use crate::report::reconcile::{Compared, note, reconcile};

/// What the ledger is to be compared with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReconciliationBody {
    /// The month, `2026-10`.
    month: String,
    /// Only what went to this provider, by its name in the configuration.
    provider: Option<String>,
    /// What the provider bills, by day and model.
    billed: Vec<ReconciledAmount>,
    /// What clients report, by day and model, for a comparison of three.
    client: Option<Vec<ReconciledAmount>>,
    /// From which difference on an alarm is raised, in thousandths of what the provider bills; 10 if not given.
    threshold_permille: Option<u64>,
    /// Differences up to this amount never raise one, in dollars; 0.01 if not given.
    least_usd: Option<String>,
}

/// An amount of one model on one day.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReconciledAmount {
    /// The UTC day, `2026-10-31`.
    pub day: String,
    /// The model, however it is spelled.
    pub model: String,
    /// Nano-dollars.
    pub nanos: i64,
}

/// The comparison.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReconciliationView {
    /// By day, then model.
    pub lines: Vec<DriftView>,
    /// By our ledger, in nano-dollars.
    pub ours_nanos: i64,
    /// By the provider, in nano-dollars.
    pub billed_nanos: i64,
    /// Ours less the provider's, in nano-dollars.
    pub drift_nanos: i64,
    /// Whether a line or the sum is over the threshold.
    pub alarm: bool,
}

/// One model on one day.
#[derive(Debug, Serialize, ToSchema)]
pub struct DriftView {
    /// The UTC day.
    pub day: String,
    /// The model family.
    pub model: String,
    /// By our ledger, in nano-dollars.
    pub ours_nanos: i64,
    /// By the provider, in nano-dollars.
    pub billed_nanos: i64,
    /// By the clients, in nano-dollars, where their figures are given.
    pub client_nanos: Option<i64>,
    /// Ours less the provider's, in nano-dollars.
    pub drift_nanos: i64,
    /// Whether that, or the difference from the clients' figure, is over the threshold.
    pub alarm: bool,
}

/// Compares a month of the ledger with what a provider bills, and with what clients report where that is given. How
/// far they are apart is kept for the alerts.
#[utoipa::path(
    post, path = "/api/v1/reports/reconciliations", tag = "reports", operation_id = "reports_reconcile",
    request_body = ReconciliationBody,
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = ReconciliationView))
)]
pub async fn compare(
    admin: Admin<ReadUsage>,
    State(app): State<App>,
    Body(body): Body<ReconciliationBody>,
) -> Result<Json<ReconciliationView>, ApiError> {
    let month = read_month(&body.month)?;
    let least = body.least_usd.as_deref().unwrap_or("0.01");
    let with = Compared {
        month,
        provider: body.provider,
        billed: amounts("billed", month, &body.billed)?,
        client: body.client.map(|list| amounts("client", month, &list)).transpose()?,
        threshold: Threshold {
            permille: body.threshold_permille.unwrap_or(10),
            least: read("least_usd", least.parse::<Nanos>())?,
        },
    };
    let told = reconcile(&app, &with).await?;
    note(&app, &admin.caller, &with, &told).await?;
    let line = |line: gatehouse_domain::report::reconcile::Line| DriftView {
        day: day(line.day),
        model: line.model,
        ours_nanos: line.ours.0,
        billed_nanos: line.billed.0,
        client_nanos: line.client.map(|nanos| nanos.0),
        drift_nanos: line.drift.0,
        alarm: line.alarm,
    };
    Ok(Json(ReconciliationView {
        lines: told.lines.into_iter().map(line).collect(),
        ours_nanos: told.ours.0,
        billed_nanos: told.billed.0,
        drift_nanos: told.ours.0.saturating_sub(told.billed.0),
        alarm: told.alarm,
    }))
}

fn amounts(field: &'static str, month: Month, list: &[ReconciledAmount]) -> Result<Amounts, ActError> {
    let mut amounts = Amounts::new();
    for given in list {
        let day = read(field, given.day.parse::<UnixMillis>())?.day();
        if Month::of(day) != month {
            return Err(ActError::field(field, format!("{} is not in {month}", given.day)));
        }
        let sum = amounts.entry((day, family(&given.model))).or_default();
        *sum = sum
            .checked_add(Nanos(given.nanos))
            .ok_or_else(|| ActError::field(field, "the sum is too large"))?;
    }
    Ok(amounts)
}

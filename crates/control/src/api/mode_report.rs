//! `/api/v1/modes/report`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::mode::detour::Detour;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadUsage};
use super::error::ApiError;
use super::extract::Params;
use crate::app::App;
use crate::mode::report::{self, Person, Report};

/// Days that are looked back on unless it is said otherwise.
const DAYS: u32 = 30;

/// How far is looked back.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ModeReportQuery {
    /// So many UTC days before today, at most 400; 30 if not given.
    days: Option<u32>,
}

/// Who used models by which way.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModeReport {
    /// Since when (RFC 3339): the start of a UTC day.
    pub since: String,
    /// The hosts of models whose tunnels are counted (`inspection.model_hosts`).
    pub hosts: Vec<String>,
    /// Those of whom anything was seen: who went past their mode first, then by address.
    pub people: Vec<ModeReportPerson>,
}

/// What was seen of a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModeReportPerson {
    /// E-mail address.
    pub user: String,
    /// Their mode now.
    pub mode: &'static str,
    /// Requests that the gateway made by a provider of the organization.
    pub gateway_requests: u64,
    /// What they cost, in nano-dollars.
    pub gateway_cost_nanos: i64,
    /// Requests by credentials of their own, which the proxy has looked into.
    pub own_requests: u64,
    /// What they would cost at list prices, in nano-dollars.
    pub own_cost_nanos: i64,
    /// Tunnels to hosts of models that were not looked into.
    pub tunnels: u64,
    /// Bytes in them.
    pub tunnel_bytes: u64,
    /// Tunnels to hosts of models that were refused.
    pub refused: u64,
    /// Tunnels to where people sign in with the provider's accounts.
    pub sign_ins: u64,
    /// Requests that their clients claim (`gatehouse usage --source client`).
    pub claimed_requests: u64,
    /// What these cost, as their clients claim, in nano-dollars.
    pub claimed_cost_nanos: i64,
    /// What went past the mode: `direct`, `own_credential`, `claims`, `account`, `refused`.
    pub detours: Vec<&'static str>,
}

impl From<Person> for ModeReportPerson {
    fn from(person: Person) -> Self {
        let seen = person.seen;
        Self {
            user: person.email,
            mode: person.mode.as_str(),
            gateway_requests: seen.gateway,
            gateway_cost_nanos: person.cost.0,
            own_requests: seen.own,
            own_cost_nanos: person.own_cost.0,
            tunnels: seen.tunnels,
            tunnel_bytes: seen.bytes,
            refused: seen.refused,
            sign_ins: seen.sign_ins,
            claimed_requests: seen.claimed,
            claimed_cost_nanos: person.claimed_cost.0,
            detours: person.detours.into_iter().map(Detour::as_str).collect(),
        }
    }
}

/// Says who used models by which way, and what of it went past their mode: direct and personal use as far as it was seen.
#[utoipa::path(
    get, path = "/api/v1/modes/report", tag = "mode", operation_id = "mode_report", params(ModeReportQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = ModeReport))
)]
pub async fn report(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<ModeReportQuery>,
) -> Result<Json<ModeReport>, ApiError> {
    let Report { since, hosts, people } = report::report(&app, query.days.unwrap_or(DAYS)).await?;
    let people = people.into_iter().map(ModeReportPerson::from).collect();
    Ok(Json(ModeReport { since: since.to_string(), hosts, people }))
}

//! `/api/v1/reports/allocations` and `/api/v1/reports/exchange-rates`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::report::allocate::{Allocation, Method, Source};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::auth::{Admin, CloseMonths, ReadUsage};
use super::super::error::ApiError;
use super::super::extract::{Body, Segment};
use super::super::page::Items;
use super::view::RateView;
use crate::app::App;
use crate::report::terms::{self, NewAllocation};

/// A rule by which overhead is shared among teams.
#[derive(Debug, Serialize, ToSchema)]
pub struct AllocationView {
    /// Its name.
    pub name: String,
    /// Dollars a month that are added; null for what was spent and charged to no team, which is moved.
    pub amount_usd: Option<String>,
    /// `even`, `proportional` or `fixed`.
    pub method: &'static str,
    /// Teams with their weights, of `fixed`.
    pub shares: Vec<ShareView>,
}

/// A team's share.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareView {
    /// The team: shown by id, given by id or name.
    pub team: String,
    /// Its weight among the others.
    pub weight: u64,
}

/// A rule to write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllocationBody {
    /// Dollars a month; leave it out to share what was charged to no team.
    pub amount_usd: Option<String>,
    /// `even` (all teams the same), `proportional` (to what teams spent) or `fixed`.
    pub method: String,
    /// Teams with their weights, for `fixed`.
    #[serde(default)]
    pub shares: Vec<ShareView>,
}

fn view(rule: Allocation) -> AllocationView {
    let method = rule.method.as_str();
    let amount_usd = match rule.source {
        Source::Unassigned => None,
        Source::Amount(amount) => Some(amount.to_string()),
    };
    let shares = match rule.method {
        Method::Even | Method::Proportional => Vec::new(),
        Method::Fixed(shares) => {
            shares.into_iter().map(|(team, weight)| ShareView { team: team.to_string(), weight }).collect()
        }
    };
    AllocationView { name: rule.name, amount_usd, method, shares }
}

/// Lists the rules by which overhead is shared.
#[utoipa::path(
    get, path = "/api/v1/reports/allocations", tag = "reports", operation_id = "allocations_list",
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<AllocationView>))
)]
pub async fn allocations(
    _: Admin<ReadUsage>,
    State(app): State<App>,
) -> Result<Json<Items<AllocationView>>, ApiError> {
    Ok(Json(Items::all(terms::allocations(&app).await?.into_iter().map(view).collect())))
}

/// Writes a rule, in place of any of its name. It holds for months that are not closed yet.
#[utoipa::path(
    put, path = "/api/v1/reports/allocations/{name}", tag = "reports", operation_id = "allocations_set",
    params(("name" = String, Path, description = "The rule's name")), request_body = AllocationBody,
    security(("admin_token" = ["close_months"])),
    responses((status = 200, body = AllocationView))
)]
pub async fn set_allocation(
    admin: Admin<CloseMonths>,
    State(app): State<App>,
    Segment(name): Segment,
    Body(body): Body<AllocationBody>,
) -> Result<Json<AllocationView>, ApiError> {
    let shares = body.shares.into_iter().map(|share| (share.team, share.weight)).collect();
    let new = NewAllocation { method: body.method, amount: body.amount_usd, shares };
    Ok(Json(view(terms::set_allocation(&app, &admin.caller, &name, &new).await?)))
}

/// Removes a rule. Closed months stay as they are.
#[utoipa::path(
    delete, path = "/api/v1/reports/allocations/{name}", tag = "reports", operation_id = "allocations_remove",
    params(("name" = String, Path, description = "The rule's name")),
    security(("admin_token" = ["close_months"])),
    responses((status = 204))
)]
pub async fn remove_allocation(
    admin: Admin<CloseMonths>,
    State(app): State<App>,
    Segment(name): Segment,
) -> Result<StatusCode, ApiError> {
    terms::remove_allocation(&app, &admin.caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the exchange rates, by currency, the newest first.
#[utoipa::path(
    get, path = "/api/v1/reports/exchange-rates", tag = "reports", operation_id = "exchange_rates_list",
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<RateView>))
)]
pub async fn rates(_: Admin<ReadUsage>, State(app): State<App>) -> Result<Json<Items<RateView>>, ApiError> {
    Ok(Json(Items::all(terms::rates(&app).await?.iter().map(Into::into).collect())))
}

/// An exchange rate to write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateBody {
    /// From this UTC day on, `2026-10-01`.
    pub from: String,
    /// Units of the currency for one dollar, with at most nine decimals.
    pub per_dollar: String,
}

/// Writes an exchange rate for display. Amounts are kept, summed and closed in dollars.
#[utoipa::path(
    put, path = "/api/v1/reports/exchange-rates/{currency}", tag = "reports", operation_id = "exchange_rates_set",
    params(("currency" = String, Path, description = "Code of three letters, `EUR`")), request_body = RateBody,
    security(("admin_token" = ["close_months"])),
    responses((status = 200, body = RateView))
)]
pub async fn set_rate(
    admin: Admin<CloseMonths>,
    State(app): State<App>,
    Segment(currency): Segment,
    Body(body): Body<RateBody>,
) -> Result<Json<RateView>, ApiError> {
    let rate = terms::set_rate(&app, &admin.caller, &currency, &body.from, &body.per_dollar).await?;
    Ok(Json((&rate).into()))
}

//! `/api/v1/budget-raises`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::budget::Raise;
use gatehouse_store::raise::RaiseRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, WriteBudgets};
use super::change::Changed;
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::raise::{self, Decision, Wanted};

/// A request to raise a budget's limit for a while.
#[derive(Debug, Serialize, ToSchema)]
pub struct RaiseView {
    /// Identifier.
    #[schema(example = "rse_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// Identifier of the budget.
    pub budget: String,
    /// Who asked, by e-mail address.
    pub user: String,
    /// By how much, in nano-dollars.
    pub amount_nanos: i64,
    /// The same in dollars.
    pub amount_usd: String,
    /// Why, in their words.
    pub reason: String,
    /// Until when (RFC 3339); null, to the end of the period in which it is approved.
    pub until: Option<String>,
    /// `asked`, `approved` or `denied`.
    pub state: &'static str,
    /// When it was asked for (RFC 3339).
    pub created_at: String,
    /// When it was decided (RFC 3339).
    pub decided_at: Option<String>,
    /// Who decided.
    pub decided_by: Option<String>,
}

/// What is decided.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RaiseDecision {
    /// Whether the limit is raised.
    pub approve: bool,
    /// By how much, in dollars; what was asked for if not given.
    pub amount_usd: Option<String>,
    /// Until when: a span such as `7d`, or a time; what was asked for if not given, and the end of the period if that was
    /// left open.
    pub until: Option<String>,
}

/// Which requests are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RaiseQuery {
    /// Only in this state: `asked`, `approved` or `denied`.
    state: Option<String>,
    /// Only of this person, by e-mail address or id.
    user: Option<String>,
    /// Only about this budget, by id.
    budget: Option<String>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

impl RaiseView {
    /// What is shown of a request.
    pub(crate) fn of(raise: Raise, email: String) -> Self {
        Self {
            id: raise.id.to_string(),
            budget: raise.budget.to_string(),
            user: email,
            amount_nanos: raise.amount.0,
            amount_usd: raise.amount.to_string(),
            reason: raise.reason,
            until: raise.until.map(|at| at.to_string()),
            state: raise.state.as_str(),
            created_at: raise.created_at.to_string(),
            decided_at: raise.decided_at.map(|at| at.to_string()),
            decided_by: raise.decided_by,
        }
    }
}

impl From<RaiseRow> for RaiseView {
    fn from(row: RaiseRow) -> Self {
        Self::of(row.raise, row.email)
    }
}

/// Lists requests to raise budgets, the newest first.
#[utoipa::path(
    get, path = "/api/v1/budget-raises", tag = "budget", operation_id = "raise_list", params(RaiseQuery),
    security(("admin_token" = ["write_budgets"])),
    responses((status = 200, body = Items<RaiseView>))
)]
pub async fn list(
    _admin: Admin<WriteBudgets>,
    State(app): State<App>,
    Params(query): Params<RaiseQuery>,
) -> Result<Json<Items<RaiseView>>, ApiError> {
    let RaiseQuery { state, user, budget, after, limit } = query;
    let raises = raise::list(&app, &Wanted { state, user, budget }, &page(after, limit)).await?;
    Ok(Json(Items::of(raises, RaiseView::from)))
}

/// Approves or denies a request. What is approved is in force at once and ends by itself.
#[utoipa::path(
    post, path = "/api/v1/budget-raises/{raise}/decision", tag = "budget", operation_id = "raise_decide",
    params(("raise" = String, Path, description = "Id")),
    request_body = RaiseDecision, security(("admin_token" = ["write_budgets"])),
    responses((status = 200, body = Changed<RaiseView>))
)]
pub async fn decide(
    admin: Admin<WriteBudgets>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(decision): Body<RaiseDecision>,
) -> Result<Json<Changed<RaiseView>>, ApiError> {
    let RaiseDecision { approve, amount_usd, until } = decision;
    let decision = Decision { approve, amount: amount_usd, until };
    let decided = raise::decide(&app, &admin.caller, &given, &decision).await?;
    Ok(Json(Changed::of(decided, RaiseView::from)))
}

//! `/api/v1/budgets`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::money::Nanos;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadUsage, Scoped, WriteBudgets};
use super::change::Changed;
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::budget::{self, Asked, Change, Explained, Shown};

/// A budget, and how it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetView {
    /// Identifier.
    #[schema(example = "bud_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// Whose spending it limits: `organization`, `team`, `project`, `user` or `key`.
    pub holder_kind: &'static str,
    /// Identifier of the holder; empty for the organization.
    pub holder_id: String,
    /// The holder's name, e-mail address or the public part of the key; null for the organization.
    pub holder: Option<String>,
    /// Pattern of the models that count; null for all.
    pub model: Option<String>,
    /// The provider that counts; null for all.
    pub provider: Option<String>,
    /// `day`, `week` (from Monday), `month` or `total`.
    pub period: &'static str,
    /// In which time zone days, weeks and months begin.
    #[schema(example = "Europe/Zurich")]
    pub time_zone: String,
    /// What may be spent in a period, in nano-dollars.
    pub limit_nanos: i64,
    /// The same in dollars.
    pub limit_usd: String,
    /// `hard`: requests are refused at the limit; `shadow`: it is only observed.
    pub mode: &'static str,
    /// How far beyond the limit requests are let through, in percent of it.
    pub grace_percent: u8,
    /// By how much the limit is raised now, in nano-dollars; null until this node has counted it.
    pub raised_nanos: Option<i64>,
    /// The same in dollars.
    pub raised_usd: Option<String>,
    /// At which parts of the limit people are told, in percent.
    pub thresholds: Vec<u8>,
    /// What happens while nodes cannot count together: `closed`, a node lets through only what it was granted before, or
    /// `open`, it goes on by what it knows.
    pub when_away: &'static str,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// What was spent in this period, in nano-dollars; null until this node has counted it.
    pub spent_nanos: Option<i64>,
    /// The same in dollars.
    pub spent_usd: Option<String>,
    /// The most that requests under way may still cost, in nano-dollars.
    pub held_nanos: Option<i64>,
    /// The same in dollars.
    pub held_usd: Option<String>,
    /// What was spent of the limit, in percent, rounded down.
    pub used_percent: Option<u64>,
    /// When the next period begins (RFC 3339); null for `total`.
    pub resets_at: Option<String>,
}

/// A budget to make. Of `team`, `project`, `user` and `key` at most one is given; none of them is the organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBudget {
    /// A team, by name or id.
    pub team: Option<String>,
    /// A project, by name or id.
    pub project: Option<String>,
    /// A person, by e-mail address or id.
    pub user: Option<String>,
    /// A key, by id or the public part of its text.
    pub key: Option<String>,
    /// Only these models: a name, or the beginning of one followed by `*`.
    pub model: Option<String>,
    /// Only this provider.
    pub provider: Option<String>,
    /// `day`, `week` (from Monday), `month` or `total`. What was spent in this period before counts.
    pub period: String,
    /// In which time zone days, weeks and months begin; the configured one (`budgets.time_zone`) if not given.
    #[schema(example = "Europe/Zurich")]
    pub time_zone: Option<String>,
    /// How far beyond the limit requests are let through, in percent of it, 0 to 100; none if not given.
    pub grace_percent: Option<u8>,
    /// What may be spent in a period, in dollars, with at most nine decimals.
    #[schema(example = "250.00")]
    pub limit_usd: String,
    /// `hard` (if not given) or `shadow`.
    pub mode: Option<String>,
    /// At which parts of the limit people are told, in percent; 75 and 95 if not given.
    pub thresholds: Option<Vec<u8>>,
    /// `closed` (if not given) or `open`.
    pub when_away: Option<String>,
}

/// What is to change; what is not given stays. What a budget counts cannot be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetChange {
    /// What may be spent in a period, in dollars.
    pub limit_usd: Option<String>,
    /// `hard` or `shadow`.
    pub mode: Option<String>,
    /// How far beyond the limit requests are let through, in percent of it.
    pub grace_percent: Option<u8>,
    /// At which parts of the limit people are told, in percent.
    pub thresholds: Option<Vec<u8>>,
    /// `closed` or `open`.
    pub when_away: Option<String>,
}

/// Which page is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

/// What is to be explained.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    /// Who, by e-mail address or id.
    user: String,
    /// By which of their keys, by id; the key's team and project are charged.
    key: Option<String>,
    /// Charged to which team, by name or id, where no key is given.
    team: Option<String>,
    /// Which model. Without one all budgets are shown, and no cost is reckoned.
    model: Option<String>,
    /// Input tokens of the request; none if not given.
    tokens: Option<u64>,
    /// Output tokens that it allows; 32,000 if not given.
    max_tokens: Option<u64>,
}

/// A budget that applies.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApplyingView {
    /// The budget.
    #[serde(flatten)]
    pub budget: BudgetView,
    /// Whether it would let the request through.
    pub passes: bool,
}

/// The answer, by the account of this node.
#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetExplained {
    /// Whether all budgets would let the request through.
    pub passes: bool,
    /// The most that the request may cost, in nano-dollars.
    pub worst_nanos: i64,
    /// The same in dollars.
    pub worst_usd: String,
    /// Every budget that applies.
    pub budgets: Vec<ApplyingView>,
}

impl From<Shown> for BudgetView {
    fn from(Shown { row, standing }: Shown) -> Self {
        let (budget, standing) = (row.budget, standing.as_ref());
        let raised = standing.map(|standing| Nanos(standing.limit.0.saturating_sub(standing.budget.limit.0)));
        Self {
            id: budget.id.to_string(),
            holder_kind: budget.holder.kind(),
            holder_id: budget.holder.id(),
            holder: row.holder_name,
            model: budget.models.patterns().map(|patterns| patterns.join(",")),
            provider: budget.provider,
            period: budget.period.as_str(),
            time_zone: budget.zone.to_string(),
            limit_nanos: budget.limit.0,
            limit_usd: budget.limit.to_string(),
            mode: budget.mode.as_str(),
            grace_percent: budget.grace,
            raised_nanos: raised.map(|raised| raised.0),
            raised_usd: raised.map(|raised| raised.to_string()),
            thresholds: budget.thresholds,
            when_away: budget.when_away.as_str(),
            created_at: budget.created_at.to_string(),
            spent_nanos: standing.map(|standing| standing.spent.0),
            spent_usd: standing.map(|standing| standing.spent.to_string()),
            held_nanos: standing.map(|standing| standing.held.0),
            held_usd: standing.map(|standing| standing.held.to_string()),
            used_percent: standing.map(|standing| standing.used() / 100),
            resets_at: standing.and_then(|standing| standing.resets_at).map(|at| at.to_string()),
        }
    }
}

impl From<Explained> for BudgetExplained {
    fn from(explained: Explained) -> Self {
        let view = |applying: budget::Applying| ApplyingView {
            budget: applying.shown.into(),
            passes: applying.passes,
        };
        Self {
            passes: explained.passes,
            worst_nanos: explained.worst.0,
            worst_usd: explained.worst.to_string(),
            budgets: explained.budgets.into_iter().map(view).collect(),
        }
    }
}

/// Lists budgets in the order in which they were made. Who is limited to a team or a person sees theirs.
#[utoipa::path(
    get, path = "/api/v1/budgets", tag = "budget", operation_id = "budget_list", params(Query),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<BudgetView>))
)]
pub async fn list(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<BudgetView>>, ApiError> {
    let budgets = budget::list(&app, admin.scope, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(budgets, BudgetView::from)))
}

/// Makes a budget.
#[utoipa::path(
    post, path = "/api/v1/budgets", tag = "budget", operation_id = "budget_add", request_body = NewBudget,
    security(("admin_token" = ["write_budgets"])),
    responses((status = 201, body = Changed<BudgetView>))
)]
pub async fn add(
    admin: Admin<WriteBudgets>,
    State(app): State<App>,
    Body(new): Body<NewBudget>,
) -> Result<(StatusCode, Json<Changed<BudgetView>>), ApiError> {
    let NewBudget {
        team,
        project,
        user,
        key,
        model,
        provider,
        period,
        limit_usd,
        mode,
        thresholds,
        when_away,
        ..
    } = new;
    let new = budget::NewBudget {
        team,
        project,
        user,
        key,
        model,
        provider,
        period,
        limit: limit_usd,
        mode,
        thresholds,
        when_away,
        zone: new.time_zone,
        grace: new.grace_percent,
    };
    let made = budget::add(&app, &admin.caller, &new).await?;
    Ok((StatusCode::CREATED, Json(Changed::of(made, BudgetView::from))))
}

/// Shows a budget.
#[utoipa::path(
    get, path = "/api/v1/budgets/{budget}", tag = "budget", operation_id = "budget_get",
    params(("budget" = String, Path, description = "Id")),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = BudgetView))
)]
pub async fn get(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<BudgetView>, ApiError> {
    Ok(Json(budget::get(&app, admin.scope, &given).await?.into()))
}

/// Changes a budget's limit, mode, grace or thresholds. What was spent of it stays.
#[utoipa::path(
    put, path = "/api/v1/budgets/{budget}", tag = "budget", operation_id = "budget_set",
    params(("budget" = String, Path, description = "Id")),
    request_body = BudgetChange, security(("admin_token" = ["write_budgets"])),
    responses((status = 200, body = Changed<BudgetView>))
)]
pub async fn set(
    admin: Admin<WriteBudgets>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(change): Body<BudgetChange>,
) -> Result<Json<Changed<BudgetView>>, ApiError> {
    let BudgetChange { limit_usd, mode, grace_percent, thresholds, when_away } = change;
    let change = Change { limit: limit_usd, mode, thresholds, grace: grace_percent, when_away };
    let changed = budget::set(&app, &admin.caller, &given, &change).await?;
    Ok(Json(Changed::of(changed, BudgetView::from)))
}

/// Removes a budget.
#[utoipa::path(
    delete, path = "/api/v1/budgets/{budget}", tag = "budget", operation_id = "budget_remove",
    params(("budget" = String, Path, description = "Id")),
    security(("admin_token" = ["write_budgets"])),
    responses((status = 200, description = "As it was", body = Changed<BudgetView>))
)]
pub async fn remove(
    admin: Admin<WriteBudgets>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<BudgetView>>, ApiError> {
    let gone = budget::remove(&app, &admin.caller, &given).await?;
    Ok(Json(Changed::of(gone, BudgetView::from)))
}

/// Says which budgets count what somebody spends, how they stand, and whether a request would pass.
#[utoipa::path(
    get, path = "/api/v1/budget-explanations", tag = "budget", operation_id = "budget_explain", params(ExplainQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = BudgetExplained))
)]
pub async fn explain(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<ExplainQuery>,
) -> Result<Json<BudgetExplained>, ApiError> {
    let ExplainQuery { user, key, team, model, tokens, max_tokens } = query;
    let asked = Asked { user, key, team, model, tokens: tokens.unwrap_or(0), max_tokens };
    Ok(Json(budget::explain(&app, admin.scope, &asked).await?.into()))
}

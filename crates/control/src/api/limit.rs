//! `/api/v1/limits`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_store::limit::LimitRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadUsage, Scoped, WriteBudgets};
use super::change::Changed;
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::limit::{self, Applying, Asked};

/// A limit on a rate.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitView {
    /// Identifier.
    #[schema(example = "lim_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// Whose requests it counts, together: `organization`, `team`, `project`, `user` or `key`.
    pub holder_kind: &'static str,
    /// Identifier of the holder; empty for the organization.
    pub holder_id: String,
    /// The holder's name, e-mail address or the public part of the key; null for the organization.
    pub holder: Option<String>,
    /// Pattern of the models that count; null for all.
    pub model: Option<String>,
    /// `requests`, `input_tokens` (those read from the provider's cache excluded) or `output_tokens`, in a minute; or
    /// `concurrency`, requests at the same time.
    pub measure: &'static str,
    /// How much.
    pub amount: u64,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A limit to make. Of `team`, `project`, `user` and `key` at most one is given; none of them is the organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLimit {
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
    /// `requests`, `input_tokens`, `output_tokens` or `concurrency`.
    pub measure: String,
    /// How much: in a minute, or at the same time. At least 1.
    pub amount: u64,
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
    /// By which of their keys, by id; the key's team and project count.
    key: Option<String>,
    /// With which model; without one all limits are shown.
    model: Option<String>,
}

/// A limit that applies, and how it stands on this node.
#[derive(Debug, Serialize, ToSchema)]
pub struct LevelView {
    /// The limit.
    #[serde(flatten)]
    pub limit: LimitView,
    /// What is left of it now.
    pub remaining: u64,
    /// In how many milliseconds it is whole again; 0 when it is, and for `concurrency`.
    pub whole_in_ms: u64,
}

/// The answer, by the account of this node.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitsExplained {
    /// Every limit that applies.
    pub limits: Vec<LevelView>,
}

impl From<LimitRow> for LimitView {
    fn from(row: LimitRow) -> Self {
        let limit = row.limit;
        Self {
            id: limit.id.to_string(),
            holder_kind: limit.holder.kind(),
            holder_id: limit.holder.id(),
            holder: row.holder_name,
            model: limit.models.patterns().map(|patterns| patterns.join(",")),
            measure: limit.measure.as_str(),
            amount: limit.amount,
            created_at: limit.created_at.to_string(),
        }
    }
}

impl From<Applying> for LevelView {
    fn from(Applying { row, level }: Applying) -> Self {
        Self { limit: row.into(), remaining: level.remaining, whole_in_ms: level.whole_in }
    }
}

/// Lists limits in the order in which they were made. Who is limited to a team or a person sees theirs.
#[utoipa::path(
    get, path = "/api/v1/limits", tag = "limit", operation_id = "limit_list", params(Query),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<LimitView>))
)]
pub async fn list(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<LimitView>>, ApiError> {
    let limits = limit::list(&app, admin.scope, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(limits, LimitView::from)))
}

/// Makes a limit.
#[utoipa::path(
    post, path = "/api/v1/limits", tag = "limit", operation_id = "limit_add", request_body = NewLimit,
    security(("admin_token" = ["write_budgets"])),
    responses((status = 201, body = Changed<LimitView>))
)]
pub async fn add(
    admin: Admin<WriteBudgets>,
    State(app): State<App>,
    Body(new): Body<NewLimit>,
) -> Result<(StatusCode, Json<Changed<LimitView>>), ApiError> {
    let NewLimit { team, project, user, key, model, measure, amount } = new;
    let new = limit::NewLimit { team, project, user, key, model, measure, amount };
    let made = limit::add(&app, &admin.caller, &new).await?;
    Ok((StatusCode::CREATED, Json(Changed::of(made, LimitView::from))))
}

/// Removes a limit.
#[utoipa::path(
    delete, path = "/api/v1/limits/{limit}", tag = "limit", operation_id = "limit_remove",
    params(("limit" = String, Path, description = "Id")),
    security(("admin_token" = ["write_budgets"])),
    responses((status = 200, description = "As it was", body = Changed<LimitView>))
)]
pub async fn remove(
    admin: Admin<WriteBudgets>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<LimitView>>, ApiError> {
    let gone = limit::remove(&app, &admin.caller, &given).await?;
    Ok(Json(Changed::of(gone, LimitView::from)))
}

/// Says which limits count what somebody asks, and how they stand.
#[utoipa::path(
    get, path = "/api/v1/limit-explanations", tag = "limit", operation_id = "limit_explain", params(ExplainQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = LimitsExplained))
)]
pub async fn explain(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<ExplainQuery>,
) -> Result<Json<LimitsExplained>, ApiError> {
    let ExplainQuery { user, key, model } = query;
    let limits = limit::explain(&app, admin.scope, &Asked { user, key, model }).await?;
    Ok(Json(LimitsExplained { limits: limits.into_iter().map(LevelView::from).collect() }))
}

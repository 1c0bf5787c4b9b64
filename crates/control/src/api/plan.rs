//! `/api/v1/plans`.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use gatehouse_domain::settings::lint::Language;
use gatehouse_store::plan::Plan;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::assessment::refused;
use super::auth::{Admin, ReadConfig, WriteConfig};
use super::error::ApiError;
use super::extract::{Body, Pair, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::plan::{self, NewPlan, PlanError, TaskChange, Tracked, Whole};

/// Answers of an assessment that become a plan, and what was decided.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanWanted {
    /// The answers, as `/api/v1/assessments` takes them.
    #[schema(value_type = Object)]
    pub answers: Value,
    /// The mode that was decided for: `direct`, `proxy`, `gateway` or `hybrid`. Left out, the score decides; it must be given
    /// where the score and the most demanding factor differ.
    #[serde(default)]
    pub mode: Option<String>,
    /// Why it was decided so. It goes with `mode`.
    #[serde(default)]
    pub because: Option<String>,
}

/// A plan without its tasks.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanSummary {
    /// Its identifier.
    pub id: String,
    /// The mode that it is for.
    pub mode: &'static str,
    /// Why it was decided so, if somebody decided.
    pub because: Option<String>,
    /// Who made it.
    pub author: String,
    /// When (RFC 3339).
    pub created_at: String,
}

/// A plan with its tasks, and the assessment that it follows from.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanView {
    /// The plan.
    #[serde(flatten)]
    pub plan: PlanSummary,
    /// What the assessment started from.
    #[schema(value_type = Object)]
    pub answers: Value,
    /// What it gave, as `/api/v1/assessments` told it then.
    #[schema(value_type = Object)]
    pub assessment: Value,
    /// The tasks, in their order.
    pub tasks: Vec<PlanTaskView>,
    /// Tasks that are over.
    pub done: usize,
}

/// A task of a plan.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanTaskView {
    /// Its name in commands.
    #[schema(example = "configure_sign_in")]
    pub task: String,
    /// What is there already and gave rise to it.
    pub because: Option<String>,
    /// `open`, `underway`, `done` or `dropped`. Where there are checks, they say whether it is done.
    pub state: &'static str,
    /// Who sees to it.
    pub owner: Option<String>,
    /// Until when (RFC 3339).
    pub due: Option<String>,
    /// Whether its day has passed and it is not over.
    pub overdue: bool,
    /// The items of the readiness checklist that show that it is done.
    pub checks: Vec<PlanCheck>,
    /// What was noted of it last.
    pub note: Option<String>,
    /// By whom.
    pub noted_by: Option<String>,
    /// When (RFC 3339).
    pub noted_at: Option<String>,
}

/// An item of the readiness checklist that shows that a task is done.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanCheck {
    /// The item.
    pub item: &'static str,
    /// How it stands: `fail`, `open`, `warn`, `waived`, `pass` or `not_needed`.
    pub state: &'static str,
    /// What shows it.
    pub evidence: String,
}

/// What is to change of a task. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanTaskChange {
    /// Who sees to it; empty for nobody.
    #[serde(default)]
    pub owner: Option<String>,
    /// Until when: a time, or a span from now such as `14d`; empty for no day.
    #[serde(default)]
    pub due: Option<String>,
    /// `open`, `underway`, `done` or `dropped`. `done` is refused where checks decide.
    #[serde(default)]
    pub state: Option<String>,
    /// What was done, or why it is not needed; one of them must be known of a task that is over.
    #[serde(default)]
    pub note: Option<String>,
}

/// Which page is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlansQuery {
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

/// In which language.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DocumentQuery {
    /// `en`, `zh-CN` or `zh-TW`; `en` if not given.
    #[serde(default)]
    #[param(inline)]
    lang: Spoken,
}

/// A language.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
pub enum Spoken {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    SimplifiedChinese,
    /// Traditional Chinese.
    #[serde(rename = "zh-TW")]
    TraditionalChinese,
}

impl From<Spoken> for Language {
    fn from(spoken: Spoken) -> Self {
        match spoken {
            Spoken::English => Self::English,
            Spoken::SimplifiedChinese => Self::SimplifiedChinese,
            Spoken::TraditionalChinese => Self::TraditionalChinese,
        }
    }
}

impl From<&Plan> for PlanSummary {
    fn from(plan: &Plan) -> Self {
        Self {
            id: plan.id.to_string(),
            mode: plan.mode.as_str(),
            because: plan.because.clone(),
            author: plan.author.clone(),
            created_at: plan.created_at.to_string(),
        }
    }
}

impl From<Tracked> for PlanTaskView {
    fn from(tracked: Tracked) -> Self {
        let Tracked { task, state, check, overdue } = tracked;
        let checks = check.into_iter().map(|judged| PlanCheck {
            item: judged.item.as_str(),
            state: judged.state.as_str(),
            evidence: judged.evidence,
        });
        Self {
            state: state.as_str(),
            owner: task.owner,
            due: task.due.map(|due| due.to_string()),
            overdue,
            checks: checks.collect(),
            note: task.note,
            noted_by: task.noted_by,
            noted_at: task.noted_at.map(|at| at.to_string()),
            task: task.task,
            because: task.because,
        }
    }
}

fn view(whole: Whole) -> PlanView {
    let read = |text: &str| serde_json::from_str(text).unwrap_or_default();
    PlanView {
        plan: PlanSummary::from(&whole.plan),
        answers: read(&whole.plan.answers),
        assessment: read(&whole.plan.result),
        done: whole.tasks.iter().filter(|tracked| tracked.state.is_over()).count(),
        tasks: whole.tasks.into_iter().map(PlanTaskView::from).collect(),
    }
}

/// Lists deployment plans, the newest first.
#[utoipa::path(
    get, path = "/api/v1/plans", tag = "plan", operation_id = "plan_list", params(PlansQuery),
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<PlanSummary>))
)]
pub async fn list(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    Params(query): Params<PlansQuery>,
) -> Result<Json<Items<PlanSummary>>, ApiError> {
    let listed = plan::list(&app, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(listed, |plan| PlanSummary::from(&plan))))
}

/// Assesses answers, and keeps the result as a plan with tasks.
#[utoipa::path(
    post, path = "/api/v1/plans", tag = "plan", operation_id = "plan_create", request_body = PlanWanted,
    security(("admin_token" = ["write_config"])),
    responses((status = 200, body = PlanView))
)]
pub async fn create(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    Body(body): Body<PlanWanted>,
) -> Result<Json<PlanView>, ApiError> {
    let new = NewPlan { answers: body.answers, mode: body.mode, because: body.because };
    match plan::create(&app, &admin.caller, &new).await {
        Ok(whole) => Ok(Json(view(whole))),
        Err(PlanError::Answers(mistakes)) => Err(refused(&mistakes)),
        Err(PlanError::Act(error)) => Err(error.into()),
    }
}

/// A plan with its tasks; `latest` is the newest one.
#[utoipa::path(
    get, path = "/api/v1/plans/{plan}", tag = "plan", operation_id = "plan_get",
    params(("plan" = String, Path, description = "Its identifier, or `latest`")),
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = PlanView))
)]
pub async fn get(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<PlanView>, ApiError> {
    Ok(Json(view(plan::get(&app, &given).await?)))
}

/// Notes who sees to a task, until when, how it stands, what was done.
#[utoipa::path(
    put, path = "/api/v1/plans/{plan}/tasks/{task}", tag = "plan", operation_id = "plan_task",
    params(
        ("plan" = String, Path, description = "Its identifier, or `latest`"),
        ("task" = String, Path, description = "Its name"),
    ),
    request_body = PlanTaskChange, security(("admin_token" = ["write_config"])),
    responses((status = 200, body = PlanTaskView))
)]
pub async fn task(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    Pair(plan, name): Pair,
    Body(body): Body<PlanTaskChange>,
) -> Result<Json<PlanTaskView>, ApiError> {
    let change = TaskChange { owner: body.owner, due: body.due, state: body.state, note: body.note };
    Ok(Json(plan::set_task(&app, &admin.caller, &plan, &name, &change).await?.into()))
}

/// A document of a plan: `gatehouse.toml` (the configuration of a server), `architecture.svg`, `deployment.md`,
/// `deployment.html`, `deployment.pdf`, or `gateways.md` (what is known of the gateways there are).
#[utoipa::path(
    get, path = "/api/v1/plans/{plan}/documents/{name}", tag = "plan", operation_id = "plan_document",
    params(
        ("plan" = String, Path, description = "Its identifier, or `latest`"),
        ("name" = String, Path, description = "The document's name"),
        DocumentQuery,
    ),
    security(("admin_token" = ["read_config"])),
    responses((status = 200, description = "The document", body = String, content_type = "text/plain"))
)]
pub async fn document(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    Pair(plan, name): Pair,
    Params(query): Params<DocumentQuery>,
) -> Result<Response, ApiError> {
    let (document, text) = plan::document(&app, &plan, &name, query.lang.into()).await?;
    Ok(([(CONTENT_TYPE, document.media_type())], text).into_response())
}

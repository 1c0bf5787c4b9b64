//! `/api/v1/readiness`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use gatehouse_domain::readiness::{Judged, score};
use gatehouse_domain::settings::lint::Language;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, MakeBackups, ReadConfig, WriteConfig};
use super::error::{ApiError, ErrorBody};
use super::extract::{Body, Params, Segment};
use super::plan::Spoken;
use super::report::pdf;
use crate::app::App;
use crate::readiness::{self, Change};

/// The readiness checklist.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChecklistView {
    /// Items that stand or need not, in percent; a warning or a waiver counts half.
    pub percent: u8,
    /// Whether people may be let in: nothing is broken, nothing is open.
    pub go: bool,
    /// The items, in the order of the checklist.
    pub items: Vec<ReadinessItemView>,
}

/// An item of the checklist.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadinessItemView {
    /// Its name in commands.
    #[schema(example = "backup")]
    pub item: &'static str,
    /// `infrastructure`, `network-security`, `identity`, `monitoring` or `compliance`.
    pub section: &'static str,
    /// Its name for people, in English, Simplified and Traditional Chinese.
    pub names: Vec<&'static str>,
    /// `fail`, `open`, `warn`, `waived`, `pass` or `not_needed`.
    pub state: &'static str,
    /// What shows it.
    pub evidence: String,
    /// Who sees to it.
    pub owner: Option<String>,
    /// Until when it is to be done (RFC 3339).
    pub due: Option<String>,
    /// Whether its day has passed and it does not stand.
    pub overdue: bool,
    /// What was stated last, by whom and when.
    pub statement: Option<StatementOfItem>,
    /// Why it may wait.
    pub waiver: Option<WaiverView>,
}

/// What somebody states of an item.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatementOfItem {
    /// What was done.
    pub text: String,
    /// By whom.
    pub by: String,
    /// When (RFC 3339).
    pub at: String,
}

/// Why an item may wait.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaiverView {
    /// Why.
    pub reason: String,
    /// Who decided it.
    pub by: String,
    /// Until when (RFC 3339).
    pub until: String,
}

/// What is to change of an item. What is not given stays; an empty text takes back what was.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadinessChange {
    /// Who sees to it.
    pub owner: Option<String>,
    /// Until when: a UTC time, or a span from now such as `14d`.
    pub due: Option<String>,
    /// What was done, and where it can be seen.
    pub statement: Option<String>,
    /// Why it may wait; needs `waived_until`.
    pub waiver: Option<String>,
    /// Until when it may wait: a UTC time, or a span from now.
    pub waived_until: Option<String>,
}

/// A backup that was restored in a drill.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// The SHA-256 of the backup, which names it.
    pub sha256: String,
}

impl From<Judged> for ReadinessItemView {
    fn from(judged: Judged) -> Self {
        let Judged { item, state, evidence, overdue, kept } = judged;
        let languages = [Language::English, Language::SimplifiedChinese, Language::TraditionalChinese];
        let statement = kept.statement.map(|said| StatementOfItem {
            text: said.text,
            by: said.by,
            at: said.at.to_string(),
        });
        let waiver = kept.waiver.map(|waiver| WaiverView {
            reason: waiver.reason,
            by: waiver.by,
            until: waiver.until.to_string(),
        });
        Self {
            item: item.as_str(),
            section: item.section().as_str(),
            names: languages.map(|language| item.name(language)).to_vec(),
            state: state.as_str(),
            evidence,
            owner: kept.owner,
            due: kept.due.map(|due| due.to_string()),
            overdue,
            statement,
            waiver,
        }
    }
}

/// How the checklist is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChecklistQuery {
    /// The form; `json` if not given.
    #[param(inline)]
    format: Option<ChecklistFormat>,
    /// The document's language: `en`, `zh-CN` or `zh-TW`; `en` if not given.
    #[serde(default)]
    #[param(inline)]
    lang: Spoken,
}

/// The form of the checklist.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChecklistFormat {
    /// JSON.
    Json,
    /// A document.
    Pdf,
}

/// Judges the readiness checklist: what this node finds out now, and what people state.
#[utoipa::path(
    get, path = "/api/v1/readiness", tag = "readiness", operation_id = "readiness_list", params(ChecklistQuery),
    security(("admin_token" = ["read_config"])),
    responses(
        (status = 200, body = ChecklistView),
        (status = 503, body = ErrorBody, description = "`unavailable`: the database is away. Without it no token can be \
            checked, so nothing is told to anybody; `gatehouse doctor` shows the checklist with the database in red")
    )
)]
pub async fn list(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    Params(query): Params<ChecklistQuery>,
) -> Result<Response, ApiError> {
    if matches!(query.format, Some(ChecklistFormat::Pdf)) {
        return Ok(pdf("readiness", readiness::document::checklist(&app, query.lang.into()).await?));
    }
    let all = readiness::all(&app).await?;
    let score = score(&all);
    let items = all.into_iter().map(ReadinessItemView::from).collect();
    Ok(Json(ChecklistView { percent: score.percent, go: score.go, items }).into_response())
}

/// Notes who sees to an item, until when, what was done, or why it may wait.
#[utoipa::path(
    put, path = "/api/v1/readiness/{item}", tag = "readiness", operation_id = "readiness_set",
    params(("item" = String, Path, description = "Its name")), request_body = ReadinessChange,
    security(("admin_token" = ["write_config"])),
    responses((status = 200, body = ReadinessItemView))
)]
pub async fn set(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    Segment(item): Segment,
    Body(change): Body<ReadinessChange>,
) -> Result<Json<ReadinessItemView>, ApiError> {
    let change = Change {
        owner: change.owner,
        due: change.due,
        statement: change.statement,
        waiver: change.waiver,
        waived_until: change.waived_until,
    };
    Ok(Json(readiness::set(&app, &admin.caller, &item, &change).await?.into()))
}

/// Notes that a backup was restored in a drill, as `gatehouse restore --drill` does.
#[utoipa::path(
    post, path = "/api/v1/backups/drills", tag = "backups", operation_id = "backup_drill", request_body = Drill,
    security(("admin_token" = ["make_backups"])),
    responses((status = 204, description = "It is noted"))
)]
pub async fn drill(
    admin: Admin<MakeBackups>,
    State(app): State<App>,
    Body(drill): Body<Drill>,
) -> Result<axum::http::StatusCode, ApiError> {
    readiness::note_drill(&app, &admin.caller, &drill.sha256).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

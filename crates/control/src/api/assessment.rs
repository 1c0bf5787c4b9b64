//! `/api/v1/assessments`.

use axum::Json;
use gatehouse_domain::assessment::{
    Analysis, Answers, Assessment, Mistake, Recommendation, assess, assess_leniently,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadConfig};
use super::error::{ApiError, Code};
use super::extract::{Body, Params};

/// How answers are read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// `brief`: as leniently as the document computes from which the rules come (unknown words count one point, no analysis).
    #[param(inline)]
    compat: Option<Compat>,
}

/// Whose leniency.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compat {
    /// The document's.
    Brief,
}

/// Which deployment mode fits.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssessmentView {
    /// `direct`, `proxy`, `gateway` or `hybrid`.
    pub mode: &'static str,
    /// Why, in simplified Chinese; the analysis has other languages.
    pub reason: &'static str,
    /// The score, from 3.
    pub complexity_score: i64,
    /// What to do next, in simplified Chinese; the analysis has other languages.
    pub next_steps: Vec<&'static str>,
    /// The points of the score, what each factor alone recommends, whether the two agree, tasks and notes.
    #[schema(value_type = Object)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
}

/// Recommends a deployment mode from answers: `team_size`, `security_level`, `compliance_requirements`, `compliance_level`,
/// `cost_control`, `network_restrictions`, `existing_infrastructure`. Nothing is kept.
#[utoipa::path(
    post, path = "/api/v1/assessments", tag = "assessment", operation_id = "assess", params(Query),
    request_body(content = Object, content_type = "application/json"),
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = AssessmentView))
)]
pub async fn assess_answers(
    _: Admin<ReadConfig>,
    Params(query): Params<Query>,
    Body(answers): Body<Value>,
) -> Result<Json<AssessmentView>, ApiError> {
    if let Some(Compat::Brief) = query.compat {
        let recommendation = assess_leniently(&answers).map_err(|mistake| refused(&[mistake]))?;
        return Ok(Json(view(recommendation, None)));
    }
    let answers = Answers::read(&answers).map_err(|mistakes| refused(&mistakes))?;
    let Assessment { recommendation, analysis } = assess(&answers, None);
    Ok(Json(view(recommendation, Some(analysis))))
}

fn view(recommendation: Recommendation, analysis: Option<Analysis>) -> AssessmentView {
    let Recommendation { mode, reason, complexity_score, next_steps } = recommendation;
    AssessmentView { mode: mode.as_str(), reason, complexity_score, next_steps, analysis }
}

pub(super) fn refused(mistakes: &[Mistake]) -> ApiError {
    let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    let field = mistakes.first().map(|mistake| mistake.field.clone()).filter(|field| !field.is_empty());
    ApiError { field, ..ApiError::new(Code::AnswersRefused, told.join("; ")) }
}

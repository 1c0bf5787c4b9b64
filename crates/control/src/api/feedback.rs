//! `/api/v1/feedback`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::feedback::{Answer, Summary};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadUsage, WriteSettings};
use super::error::ApiError;
use super::extract::{Body, Params};
use crate::act::read;
use crate::app::App;
use crate::feedback::{self, About, Ask};

/// Whom to ask. With only a rollout, everybody who has it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskBody {
    /// People, by e-mail address or id.
    #[serde(default)]
    pub users: Vec<String>,
    /// Teams, by name or id: their members.
    #[serde(default)]
    pub teams: Vec<String>,
    /// The rollout that it is about, by name or id.
    pub rollout: Option<String>,
    /// How long a link works, such as `7d`; 14 days if not given.
    pub expires: Option<String>,
}

/// A survey that was sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct SurveyView {
    /// Who is asked.
    pub email: String,
    /// The address to open, once. Whoever opens it answers for this person.
    pub url: String,
    /// Until when it works (RFC 3339).
    pub expires_at: String,
}

/// The surveys that were sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct SurveysView {
    /// One for each person.
    pub items: Vec<SurveyView>,
}

/// Something that somebody said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFeedback {
    /// Who, by e-mail address or id.
    pub user: String,
    /// From 1 (not satisfied at all) to 5 (very).
    pub score: u64,
    /// How likely they would recommend it, from 0 to 10.
    pub nps: Option<u64>,
    /// A few words.
    pub comment: Option<String>,
    /// Whether they want to be named with it.
    #[serde(default)]
    pub named: bool,
    /// The rollout that it is about, by name or id.
    pub rollout: Option<String>,
}

/// What was said about what.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AboutQuery {
    /// Since when: a span back from now such as `30d`, or a time.
    since: Option<String>,
    /// Of this rollout, by name or id.
    rollout: Option<String>,
    /// In this phase of it.
    phase: Option<String>,
}

/// What all answers together say.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedbackSummary {
    /// How many people answered; of each the last word counts.
    pub answers: u64,
    /// Mean of the scores from 1 to 5; null without answers, or where it is withheld.
    pub mean: Option<f64>,
    /// How many gave each score, from 1 to 5.
    pub scores: [u64; 5],
    /// How many gave a recommendation.
    pub nps_answers: u64,
    /// Share of promoters less that of detractors, in percent; null for fewer than five recommendations.
    pub nps: Option<f64>,
    /// Whether figures are withheld: there are fewer than five answers.
    pub withheld: bool,
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedbackView {
    /// From 1 to 5.
    pub score: u8,
    /// From 0 to 10.
    pub nps: Option<u8>,
    /// A few words.
    pub comment: Option<String>,
    /// Who said it, where they want to be named.
    pub user: Option<String>,
    /// Whence it came: `survey` or `command`.
    pub source: String,
    /// In which phase of a rollout.
    pub phase: Option<String>,
}

/// What people said.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedbackList {
    /// All of it together.
    pub summary: FeedbackSummary,
    /// The answers, by score; none where there are fewer than five.
    pub items: Vec<FeedbackView>,
}

impl From<Summary> for FeedbackSummary {
    fn from(Summary { answers, mean, scores, nps_answers, nps, withheld }: Summary) -> Self {
        Self { answers, mean, scores, nps_answers, nps, withheld }
    }
}

impl From<AboutQuery> for About {
    fn from(AboutQuery { since, rollout, phase }: AboutQuery) -> Self {
        Self { since, rollout, phase }
    }
}

/// Asks people what they think, by a link each.
#[utoipa::path(
    post, path = "/api/v1/feedback/surveys", tag = "feedback", operation_id = "feedback_send", request_body = AskBody,
    security(("admin_token" = ["write_settings"])),
    responses((status = 201, body = SurveysView))
)]
pub async fn send(
    admin: Admin<WriteSettings>,
    State(app): State<App>,
    Body(ask): Body<AskBody>,
) -> Result<(StatusCode, Json<SurveysView>), ApiError> {
    let AskBody { users, teams, rollout, expires } = ask;
    let sent = feedback::send(&app, &admin.caller, &Ask { users, teams, rollout, expires }).await?;
    let view = |sent: feedback::Sent| SurveyView {
        email: sent.email,
        url: sent.url.to_string(),
        expires_at: sent.expires_at.to_string(),
    };
    Ok((StatusCode::CREATED, Json(SurveysView { items: sent.into_iter().map(view).collect() })))
}

/// Writes down what somebody said, on their behalf.
#[utoipa::path(
    post, path = "/api/v1/feedback", tag = "feedback", operation_id = "feedback_add", request_body = NewFeedback,
    security(("admin_token" = ["write_settings"])),
    responses((status = 204, description = "It is written down"))
)]
pub async fn add(
    admin: Admin<WriteSettings>,
    State(app): State<App>,
    Body(new): Body<NewFeedback>,
) -> Result<StatusCode, ApiError> {
    let NewFeedback { user, score, nps, comment, named, rollout } = new;
    let answer = read("score", Answer::new(score, nps, comment.as_deref(), named))?;
    feedback::add(&app, &admin.caller, &user, &answer, rollout.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists what people said, in no order that would tell who said it. Of fewer than five answers only their number is told.
#[utoipa::path(
    get, path = "/api/v1/feedback", tag = "feedback", operation_id = "feedback_list", params(AboutQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = FeedbackList))
)]
pub async fn list(
    _admin: Admin<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<AboutQuery>,
) -> Result<Json<FeedbackList>, ApiError> {
    let (summary, said) = feedback::list(&app, &query.into()).await?;
    let items = said.into_iter().map(|one| FeedbackView {
        score: one.answer.score.get(),
        nps: one.answer.nps.map(gatehouse_domain::feedback::Nps::get),
        user: one.answer.named.then_some(one.email),
        comment: one.answer.comment,
        source: one.source,
        phase: one.phase,
    });
    Ok(Json(FeedbackList { summary: summary.into(), items: items.collect() }))
}

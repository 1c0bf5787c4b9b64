//! Asking people what they think, and what they answered.
//!
//! A survey is asked by a link that holds its id and a proof of ours; the database holds no proof, so that who reads it can
//! answer for nobody. A link answers once.

use gatehouse_domain::audit::Object;
use gatehouse_domain::feedback::{Answer, FEWEST_SHOWN, Summary};
use gatehouse_domain::id::{FeedbackId, NotificationId, SurveyId, UserId};
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::feedback::{Feedback, Survey, Wanted};
use gatehouse_store::notification::NewNotification;
use gatehouse_store::rollout::Rollout;
use serde_json::json;
use zeroize::Zeroizing;

use crate::act::{ActError, Caller, read};
use crate::app::App;
use crate::period::span_ms;
use crate::{rollout, team, user};

/// Most people who are asked by one call.
pub const MOST_ASKED: usize = 1000;
/// How long a link works, where nothing is said.
const LIFE: &str = "14d";
/// Longest life of a link, in milliseconds.
const LONGEST_MS: i64 = 90 * DAY_MS;

/// Whom to ask, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// These people.
    pub users: Vec<String>,
    /// Members of these teams.
    pub teams: Vec<String>,
    /// Who has this rollout.
    pub rollout: Option<String>,
    /// How long a link works.
    pub expires: Option<String>,
}

/// A survey that was sent. The address is a secret until it was used.
pub struct Sent {
    /// Who is asked.
    pub email: String,
    /// The address to open.
    pub url: Zeroizing<String>,
    /// Until when it works.
    pub expires_at: UnixMillis,
}

/// What was said about what.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Since when: a span back from now, or a time.
    pub since: Option<String>,
    /// Of this rollout.
    pub rollout: Option<String>,
    /// In this phase of it.
    pub phase: Option<String>,
}

/// Asks people by a link each. They are told by the outbox; the links are in the answer too.
///
/// # Errors
/// Nobody, or too many, would be asked; somebody does not exist; there is no public address; the database.
pub async fn send(app: &App, caller: &Caller, ask: &Ask) -> Result<Vec<Sent>, ActError> {
    let base = (app.house.sign_in_base)().ok_or_else(|| {
        ActError::field("users", "there is no page to answer on: the server's listen.public_url is not set")
    })?;
    let now = app.now();
    let life = read("expires", span_ms(ask.expires.as_deref().unwrap_or(LIFE)))?;
    if !(60_000..=LONGEST_MS).contains(&life) {
        return Err(ActError::field("expires", "a link works for a minute at least and 90 days at most"));
    }
    let (people, about) = asked(app, ask).await?;
    if people.is_empty() || people.len() > MOST_ASKED {
        let told = format!("{} people would be asked; expected 1 to {MOST_ASKED}", people.len());
        return Err(ActError::field("users", told));
    }
    let expires_at = now.plus_millis(life);
    let phase = about.as_ref().and_then(rollout::phase_name);
    let survey = |user: UserId| Survey {
        id: SurveyId::new(now, app.random_bits()),
        user,
        rollout: about.as_ref().map(|about| about.id),
        phase: phase.clone(),
        created_at: now,
        expires_at,
        answered_at: None,
    };
    let surveys: Vec<Survey> = people.iter().map(|(user, _)| survey(*user)).collect();
    let tell = |survey: &Survey| NewNotification {
        id: NotificationId::new(now, app.random_bits()),
        user: survey.user,
        kind: "survey",
        detail: json!({"survey": survey.id, "expires_at": expires_at.to_string()}).to_string(),
    };
    let notify: Vec<NewNotification> = surveys.iter().map(tell).collect();
    let mut act = caller
        .draft(now, "feedback.send", Object::new("survey", surveys.len(), "surveys"))
        .with("people", u64::try_from(people.len()).unwrap_or(u64::MAX))
        .with("expires_at", expires_at.to_string());
    act.detail = act.detail.with_some("rollout", about.map(|about| about.name));
    app.store.create_surveys(app.org, &surveys, &notify, &act).await?;
    let sent = |(survey, (_, email)): (&Survey, (UserId, String))| {
        let url = Zeroizing::new(format!("{base}/feedback?survey={}", *link(app, survey.id)));
        Sent { email, url, expires_at }
    };
    Ok(surveys.iter().zip(people).map(sent).collect())
}

async fn asked(app: &App, ask: &Ask) -> Result<(Vec<(UserId, String)>, Option<Rollout>), ActError> {
    let mut who = std::collections::BTreeSet::new();
    for given in &ask.users {
        who.insert(user::named(app, Scope::Organization, "users", given).await?.id);
    }
    let mut teams = Vec::new();
    for given in &ask.teams {
        teams.push(team::named(app, Scope::Organization, "teams", given).await?.id);
    }
    let about = match &ask.rollout {
        Some(given) => Some(rollout::get(app, given).await?),
        None => None,
    };
    if let (Some(about), true) = (&about, ask.users.is_empty() && ask.teams.is_empty()) {
        who.extend(rollout::having(app, about).await?);
    }
    let everybody = app.store.active_people(app.org).await?;
    let is_asked = |user: &UserId, of: &[gatehouse_domain::id::TeamId]| {
        who.contains(user) || of.iter().any(|team| teams.contains(team))
    };
    let people = everybody.into_iter().filter(|one| is_asked(&one.user, &one.teams));
    Ok((people.map(|one| (one.user, one.email)).collect(), about))
}

/// What the address of a survey ends with: its id and our proof of it.
pub(crate) fn link(app: &App, survey: SurveyId) -> Zeroizing<String> {
    let proof = app.keys.with(|set| set.form_key(app.now()).survey_proof(&survey.to_string()));
    Zeroizing::new(format!("{survey}.{proof}"))
}

/// The survey that an address of ours names.
pub(crate) fn survey_of(app: &App, link: &str) -> Option<SurveyId> {
    let (id, proof) = link.split_once('.')?;
    let id = id.parse::<SurveyId>().ok()?;
    app.keys.with(|set| set.proves_survey(&id.to_string(), proof)).then_some(id)
}

/// An identifier for an answer.
pub(crate) fn fresh_id(app: &App) -> FeedbackId {
    FeedbackId::new(app.now(), app.random_bits())
}

/// Writes down what somebody said, on their behalf.
///
/// # Errors
/// There is no such person or rollout; a bad answer; the database.
pub async fn add(
    app: &App,
    caller: &Caller,
    given: &str,
    answer: &Answer,
    about: Option<&str>,
) -> Result<(), ActError> {
    let user = user::named(app, Scope::Organization, "user", given).await?;
    let about = match about {
        Some(given) => Some(rollout::get(app, given).await?),
        None => None,
    };
    let id = fresh_id(app);
    let act = caller.draft(app.now(), "feedback.add", Object::new("feedback", id, ""));
    let phase = about.as_ref().and_then(rollout::phase_name);
    let of = (about.map(|about| about.id), phase.as_deref());
    Ok(app.store.add_feedback(app.org, id, user.id, answer, of, &act).await?)
}

/// What people said, as far as it may be shown: of fewer than [`FEWEST_SHOWN`] answers only the summary.
///
/// # Errors
/// There is no such rollout; a bad time; the database.
pub async fn list(app: &App, about: &About) -> Result<(Summary, Vec<Feedback>), ActError> {
    let since = read(
        "since",
        about.since.as_deref().map(|text| crate::period::back_from(app.now(), text)).transpose(),
    )?;
    let of = match &about.rollout {
        Some(given) => Some(rollout::get(app, given).await?.id),
        None => None,
    };
    let wanted = Wanted { since, until: None, rollout: of, phase: about.phase.clone() };
    let mut said = app.store.feedback(app.org, &wanted).await?;
    let summary = Summary::of(said.iter().map(|one| (one.answer.score, one.answer.nps)));
    if summary.answers < FEWEST_SHOWN {
        said.clear();
    }
    // Not in the order in which they came: that would tell who it was to whoever knows when they were asked.
    said.sort_by_key(|one| (one.answer.score, one.id.bits() & u128::from(u64::MAX)));
    Ok((summary, said))
}

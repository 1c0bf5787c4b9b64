//! Surveys, and what people said.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::feedback::{Answer, Nps, Score};
use gatehouse_domain::id::{FeedbackId, OrgId, RolloutId, SurveyId, UserId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::notification::{self, NewNotification};
use crate::stored;

const NOUN: &str = "survey";
/// Most answers that are read at once, the newest.
pub const MAX_ANSWERS: i64 = 20_000;

/// A survey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Its identifier.
    pub id: SurveyId,
    /// Who is asked.
    pub user: UserId,
    /// About which rollout.
    pub rollout: Option<RolloutId>,
    /// In which of its phases.
    pub phase: Option<String>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Until when it may be answered.
    pub expires_at: UnixMillis,
    /// When it was.
    pub answered_at: Option<UnixMillis>,
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// Its identifier.
    pub id: FeedbackId,
    /// Who said it.
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// Whence it came: `survey`, `command`.
    pub source: String,
    /// What.
    pub answer: Answer,
    /// Of which rollout.
    pub rollout: Option<RolloutId>,
    /// In which of its phases.
    pub phase: Option<String>,
    /// When.
    pub at: UnixMillis,
}

/// Which feedback is wanted; all conditions apply.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Said then or later.
    pub since: Option<UnixMillis>,
    /// Said before.
    pub until: Option<UnixMillis>,
    /// Of this rollout.
    pub rollout: Option<RolloutId>,
    /// In this phase.
    pub phase: Option<String>,
}

type SurveyRow = (String, Option<String>, Option<String>, i64, i64, Option<i64>);

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    user_id: String,
    email: String,
    source: String,
    score: i64,
    nps: Option<i64>,
    comment: Option<String>,
    named: i64,
    rollout_id: Option<String>,
    phase: Option<String>,
    at: i64,
}

impl Store {
    /// Makes surveys, and notes that their people are to be told.
    ///
    /// # Errors
    /// Somebody does not exist; the database.
    pub async fn create_surveys(
        &self,
        org: OrgId,
        surveys: &[Survey],
        notify: &[NewNotification],
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for survey in surveys {
            change!(tx, |db| {
                sqlx::query(
                    "INSERT INTO surveys (org_id, id, user_id, rollout_id, phase, created_at, expires_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(org.to_string())
                .bind(survey.id.to_string())
                .bind(survey.user.to_string())
                .bind(survey.rollout.map(|id| id.to_string()))
                .bind(survey.phase.as_deref())
                .bind(survey.created_at.0)
                .bind(survey.expires_at.0)
                .execute(db)
                .await
            })
            .map_err(StoreError::inserting(NOUN, survey.id))?;
        }
        for one in notify {
            notification::put(&mut tx, org, one, act.at).await?;
        }
        tx.record(org, act).await
    }

    /// Looks a survey up; `None` if there is none of somebody enabled.
    ///
    /// # Errors
    /// The database.
    pub async fn survey(&self, org: OrgId, id: SurveyId) -> Result<Option<Survey>, StoreError> {
        let mut tx = self.begin().await?;
        let found = find(&mut tx, org, id).await;
        tx.rollback().await?;
        found
    }

    /// Takes the answer to a survey, once. Gives whether it was taken: not a second one, none that comes too late.
    ///
    /// # Errors
    /// The database.
    pub async fn answer_survey(
        &self,
        org: OrgId,
        id: SurveyId,
        new: FeedbackId,
        answer: &Answer,
        act: &Draft,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let Some(survey) = find(&mut tx, org, id).await? else { return Ok(false) };
        let taken = change!(tx, |db| {
            sqlx::query(
                "UPDATE surveys SET answered_at = $3 WHERE org_id = $1 AND id = $2 AND answered_at IS NULL \
                 AND expires_at > $3",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(act.at.0)
            .execute(db)
            .await
        })?;
        if taken == 0 {
            return Ok(false);
        }
        let about = (survey.rollout, survey.phase.as_deref());
        put(&mut tx, org, new, survey.user, "survey", answer, about, act.at).await?;
        tx.record(org, act).await?;
        Ok(true)
    }

    /// Writes down what somebody said without having been asked.
    ///
    /// # Errors
    /// There is no such person; the database.
    pub async fn add_feedback(
        &self,
        org: OrgId,
        new: FeedbackId,
        user: UserId,
        answer: &Answer,
        about: (Option<RolloutId>, Option<&str>),
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        put(&mut tx, org, new, user, "command", answer, about, act.at).await?;
        tx.record(org, act).await
    }

    /// What people said, the newest first, at most [`MAX_ANSWERS`]. Of one person the last word counts, and the others are
    /// left out.
    ///
    /// # Errors
    /// An answer that cannot be read; the database.
    pub async fn feedback(&self, org: OrgId, wanted: &Wanted) -> Result<Vec<Feedback>, StoreError> {
        let mut filter = Filter::new(
            "SELECT f.id, f.user_id, u.email, f.source, f.score, f.nps, f.comment, f.named, f.rollout_id, f.phase, f.at \
             FROM feedback f JOIN users u ON u.org_id = f.org_id AND u.id = f.user_id WHERE f.org_id = $1",
            org,
        );
        filter.int("AND f.at >= $?", wanted.since.map(|at| at.0));
        filter.int("AND f.at < $?", wanted.until.map(|at| at.0));
        filter.text("AND f.rollout_id = $?", wanted.rollout);
        filter.text("AND f.phase = $?", wanted.phase.as_ref());
        filter.arg("ORDER BY f.at DESC, f.id DESC LIMIT $?", Arg::Int(MAX_ANSWERS));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let mut seen = std::collections::HashSet::new();
        let latest = rows.into_iter().filter(|row| seen.insert(row.user_id.clone()));
        latest.collect::<Vec<_>>().into_iter().map(feedback_of).collect()
    }
}

async fn find(tx: &mut Tx, org: OrgId, id: SurveyId) -> Result<Option<Survey>, StoreError> {
    let found: Option<SurveyRow> = within!(tx, |db| {
        sqlx::query_as(
            "SELECT s.user_id, s.rollout_id, s.phase, s.created_at, s.expires_at, s.answered_at FROM surveys s \
             JOIN users u ON u.org_id = s.org_id AND u.id = s.user_id \
             WHERE s.org_id = $1 AND s.id = $2 AND u.state = 'active'",
        )
        .bind(org.to_string())
        .bind(id.to_string())
        .fetch_optional(db)
        .await
    })?;
    let Some((user, rollout, phase, created_at, expires_at, answered_at)) = found else { return Ok(None) };
    Ok(Some(Survey {
        id,
        user: stored::parsed("user", &user)?,
        rollout: stored::parsed_some("rollout", rollout.as_deref())?,
        phase,
        created_at: UnixMillis(created_at),
        expires_at: UnixMillis(expires_at),
        answered_at: answered_at.map(UnixMillis),
    }))
}

#[expect(clippy::too_many_arguments, reason = "one for each thing that a row holds")]
async fn put(
    tx: &mut Tx,
    org: OrgId,
    id: FeedbackId,
    user: UserId,
    source: &'static str,
    answer: &Answer,
    (rollout, phase): (Option<RolloutId>, Option<&str>),
    now: UnixMillis,
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO feedback (org_id, id, user_id, source, score, nps, comment, named, rollout_id, phase, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(org.to_string())
        .bind(id.to_string())
        .bind(user.to_string())
        .bind(source)
        .bind(i64::from(answer.score.get()))
        .bind(answer.nps.map(|nps| i64::from(nps.get())))
        .bind(answer.comment.as_deref())
        .bind(i64::from(answer.named))
        .bind(rollout.map(|id| id.to_string()))
        .bind(phase)
        .bind(now.0)
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting("feedback", id))?;
    Ok(())
}

fn feedback_of(row: Row) -> Result<Feedback, StoreError> {
    let corrupt = |why: &dyn std::fmt::Display| StoreError::corrupt("feedback", &row.id, why);
    let number = |number: i64| stored::unsigned("feedback", number);
    let nps = row.nps.map(|nps| Nps::new(number(nps)?).map_err(|why| corrupt(&why))).transpose()?;
    Ok(Feedback {
        id: stored::parsed("feedback", &row.id)?,
        user: stored::parsed("user", &row.user_id)?,
        answer: Answer {
            score: Score::new(number(row.score)?).map_err(|why| corrupt(&why))?,
            nps,
            comment: row.comment,
            named: row.named == 1,
        },
        rollout: stored::parsed_some("rollout", row.rollout_id.as_deref())?,
        email: row.email,
        source: row.source,
        phase: row.phase,
        at: UnixMillis(row.at),
    })
}

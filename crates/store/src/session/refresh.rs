//! What is kept of a session's refresh tokens.

use gatehouse_domain::directory::UserState;
use gatehouse_domain::id::{OrgId, SessionId, UserId};
use gatehouse_domain::time::UnixMillis;

use super::NOUN;
use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::stored;

/// What is kept of a session's refresh tokens, and what a refresh must know besides. Has no `Debug`, for the sake of its
/// secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Family {
    /// Who signed in.
    pub user: UserId,
    /// Their e-mail address.
    pub email: String,
    /// Their state.
    pub user_state: UserState,
    /// Where they signed in.
    pub source: String,
    /// The source's name for them.
    pub subject: Option<String>,
    /// The database's half of the tokens.
    pub seed: [u8; 32],
    /// The place of the token that has not been used.
    pub generation: u32,
    /// When the last few were used, the latest last.
    pub used_at: Vec<UnixMillis>,
    /// The identity provider's refresh token, sealed.
    pub source_token: Option<String>,
    /// When the session ends.
    pub expires_at: UnixMillis,
    /// When it was ended.
    pub ended_at: Option<UnixMillis>,
}

/// What a refresh changes.
#[derive(Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// The place of the token that has not been used.
    pub generation: u32,
    /// When the last few were used, the latest last.
    pub used_at: Vec<UnixMillis>,
    /// The identity provider's refresh token from now on, sealed.
    pub source_token: Option<String>,
    /// When it happened.
    pub at: UnixMillis,
}

#[derive(sqlx::FromRow)]
struct Row {
    user_id: String,
    email: String,
    user_state: String,
    source: String,
    subject: Option<String>,
    seed: Vec<u8>,
    generation: i64,
    used: String,
    source_token: Option<String>,
    expires_at: i64,
    ended_at: Option<i64>,
}

impl Store {
    /// What is kept of a session's refresh tokens; `None` when there is no such session.
    ///
    /// # Errors
    /// A row that cannot be read; the database.
    pub async fn family(&self, org: OrgId, id: SessionId) -> Result<Option<Family>, StoreError> {
        let row: Option<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT s.user_id, u.email, u.state AS user_state, s.source, s.subject, s.seed, s.generation, \
                 s.used, s.source_token, s.expires_at, s.ended_at FROM sessions s \
                 JOIN users u ON u.org_id = s.org_id AND u.id = s.user_id WHERE s.org_id = $1 AND s.id = $2",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .fetch_optional(db)
            .await
        })?;
        row.map(|row| family_of(id, row)).transpose()
    }

    /// Uses a refresh token up: goes on from this place to the next. False when another was faster, or the session has been
    /// ended. Not audited: it happens every hour, and the session's row tells of the last time.
    ///
    /// # Errors
    /// The database.
    pub async fn refresh_session(
        &self,
        org: OrgId,
        id: SessionId,
        from: u32,
        to: &Refreshed,
    ) -> Result<bool, StoreError> {
        let used: Vec<String> = to.used_at.iter().map(|at| at.0.to_string()).collect();
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE sessions SET generation = $4, used = $5, source_token = $6, refreshed_at = $7, \
                 asking_at = NULL WHERE org_id = $1 AND id = $2 AND generation = $3 AND ended_at IS NULL",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(i64::from(from))
            .bind(i64::from(to.generation))
            .bind(used.join(","))
            .bind(to.source_token.as_deref())
            .bind(to.at.0)
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Notes that this node asks the identity provider about a session. False when another has been at it since `since`, so
    /// that a token of the provider's is not used twice.
    ///
    /// # Errors
    /// The database.
    pub async fn begin_asking(
        &self,
        org: OrgId,
        id: SessionId,
        now: UnixMillis,
        since: UnixMillis,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE sessions SET asking_at = $3 WHERE org_id = $1 AND id = $2 AND ended_at IS NULL \
                 AND (asking_at IS NULL OR asking_at < $4 OR asking_at > $3)",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(now.0)
            .bind(since.0)
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Notes that the asking has ended without a refresh. A token that the provider gave meanwhile is kept.
    ///
    /// # Errors
    /// The database.
    pub async fn end_asking(&self, org: OrgId, id: SessionId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query("UPDATE sessions SET asking_at = NULL WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .execute(db)
                .await
        })?;
        tx.commit().await
    }
}

fn family_of(id: SessionId, row: Row) -> Result<Family, StoreError> {
    let corrupt = |why: &str| StoreError::corrupt(NOUN, id, why);
    let time = |text: &str| text.parse().map(UnixMillis).map_err(|_| corrupt("a time of use is no number"));
    Ok(Family {
        user: stored::parsed("user", &row.user_id)?,
        email: row.email,
        user_state: stored::user_state(&row.user_id, &row.user_state)?,
        source: row.source,
        subject: row.subject,
        seed: stored::bytes(NOUN, &id.to_string(), &row.seed)?,
        generation: u32::try_from(row.generation).map_err(|_| corrupt("its generation is out of range"))?,
        used_at: row.used.split(',').filter(|text| !text.is_empty()).map(time).collect::<Result<_, _>>()?,
        source_token: row.source_token,
        expires_at: UnixMillis(row.expires_at),
        ended_at: row.ended_at.map(UnixMillis),
    })
}

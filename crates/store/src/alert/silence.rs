//! Silences.

use gatehouse_domain::alert::Silence;
use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, SilenceId};
use gatehouse_domain::time::UnixMillis;

use super::{from_json, to_json};
use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::stored;

/// Most silences that hold or are to come at a time.
pub(super) const MOST: i64 = 1000;

type Row = (String, String, String, String, i64, i64, i64);

impl Store {
    /// Makes a silence.
    ///
    /// # Errors
    /// There are too many; the database.
    pub async fn create_silence(&self, org: OrgId, silence: &Silence, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let matchers = to_json(&silence.matchers);
        let made = change!(tx, |db| {
            sqlx::query(
                "INSERT INTO alert_silences (org_id, id, matchers, author, reason, created_at, starts_at, ends_at) \
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8 \
                 WHERE (SELECT count(*) FROM alert_silences WHERE org_id = $1 AND ends_at > $6) < $9",
            )
            .bind(org.to_string())
            .bind(silence.id.to_string())
            .bind(matchers.as_str())
            .bind(silence.author.as_str())
            .bind(silence.reason.as_str())
            .bind(silence.created_at.0)
            .bind(silence.starts_at.0)
            .bind(silence.ends_at.0)
            .bind(MOST)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting("silence", silence.id))?;
        if made == 0 {
            let why =
                format!("there are {MOST} silences already; end some with `gatehouse alerts silence end`");
            return Err(StoreError::Invalid { field: "matchers", why });
        }
        tx.record(org, act).await
    }

    /// Ends a silence now.
    ///
    /// # Errors
    /// There is none that has not ended; the database.
    pub async fn end_silence(&self, org: OrgId, id: SilenceId, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let ended = change!(tx, |db| {
            sqlx::query(
                "UPDATE alert_silences SET ends_at = $3 WHERE org_id = $1 AND id = $2 AND ends_at > $3",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(act.at.0)
            .execute(db)
            .await
        })?;
        if ended == 0 {
            return Err(StoreError::not_found("silence", id));
        }
        tx.record(org, act).await
    }

    /// Silences that end after a time, the newest first.
    ///
    /// # Errors
    /// One that cannot be read; the database.
    pub async fn silences(&self, org: OrgId, ending_after: UnixMillis) -> Result<Vec<Silence>, StoreError> {
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT id, matchers, author, reason, created_at, starts_at, ends_at FROM alert_silences \
                 WHERE org_id = $1 AND ends_at > $2 ORDER BY id DESC LIMIT $3",
            )
            .bind(org.to_string())
            .bind(ending_after.0)
            .bind(MOST)
            .fetch_all(db)
            .await
        })?;
        let one = |(id, matchers, author, reason, created, starts, ends): Row| {
            Ok(Silence {
                id: stored::parsed("silence", &id)?,
                matchers: from_json("silence", &id, &matchers)?,
                author,
                reason,
                created_at: UnixMillis(created),
                starts_at: UnixMillis(starts),
                ends_at: UnixMillis(ends),
            })
        };
        rows.into_iter().map(one).collect()
    }
}

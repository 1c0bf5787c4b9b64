//! What nodes saw lately.

use gatehouse_domain::alert::{Labels, Sample};
use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::time::UnixMillis;

use super::{from_json, to_json};
use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;

/// Most values that are read at once.
const MOST: i64 = 20_000;

impl Store {
    /// Writes what a source (a node, or a part of the program) sees over what it saw. Each value counts until a time. What
    /// somebody found out is an act.
    ///
    /// # Errors
    /// The database.
    pub async fn keep_readings(
        &self,
        org: OrgId,
        source: &str,
        samples: &[Sample],
        now: UnixMillis,
        until: UnixMillis,
        act: Option<&Draft>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query("DELETE FROM alert_readings WHERE org_id = $1 AND source = $2")
                .bind(org.to_string())
                .bind(source)
                .execute(db)
                .await
        })?;
        for sample in samples {
            let (labels, value) = (to_json(&sample.labels), sample.value.to_string());
            change!(tx, |db| {
                sqlx::query(
                    "INSERT INTO alert_readings (org_id, source, signal, labels, value, at, until_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (org_id, source, signal, labels) \
                     DO UPDATE SET value = excluded.value, at = excluded.at, until_at = excluded.until_at",
                )
                .bind(org.to_string())
                .bind(source)
                .bind(sample.signal.as_str())
                .bind(labels.as_str())
                .bind(value.as_str())
                .bind(now.0)
                .bind(until.0)
                .execute(db)
                .await
            })?;
        }
        match act {
            Some(act) => tx.record(org, act).await,
            None => tx.commit().await,
        }
    }

    /// All values that count at a time.
    ///
    /// # Errors
    /// One that cannot be read; the database.
    pub async fn readings(&self, org: OrgId, now: UnixMillis) -> Result<Vec<Sample>, StoreError> {
        let rows: Vec<(String, String, String)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT signal, labels, value FROM alert_readings WHERE org_id = $1 AND until_at > $2 \
                 ORDER BY signal, labels, source LIMIT $3",
            )
            .bind(org.to_string())
            .bind(now.0)
            .bind(MOST)
            .fetch_all(db)
            .await
        })?;
        let one = |(signal, labels, value): (String, String, String)| {
            let labels: Labels = from_json("reading", &signal, &labels)?;
            let value = value.parse().map_err(|error| StoreError::corrupt("reading", &signal, error))?;
            Ok(Sample { signal, labels, value })
        };
        rows.into_iter().map(one).collect()
    }
}

//! What ends on which day.

use gatehouse_domain::id::OrgId;
use gatehouse_domain::time::{DAY_MS, UnixMillis};

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::stored;

impl Store {
    /// How many keys that work end on each day of a range, by the day's beginning.
    ///
    /// # Errors
    /// The database.
    pub async fn key_ends(
        &self,
        org: OrgId,
        from: UnixMillis,
        until: UnixMillis,
    ) -> Result<Vec<(UnixMillis, u64)>, StoreError> {
        let rows: Vec<(i64, i64)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT expires_at / 86400000 AS day, COUNT(*) FROM keys \
                 WHERE org_id = $1 AND state = 'active' AND expires_at >= $2 AND expires_at < $3 \
                 GROUP BY expires_at / 86400000 ORDER BY 1",
            )
            .bind(org.to_string())
            .bind(from.0)
            .bind(until.0)
            .fetch_all(db)
            .await
        })?;
        let one = |(day, count): (i64, i64)| {
            Ok((UnixMillis(day.saturating_mul(DAY_MS)), stored::unsigned("key", count)?))
        };
        rows.into_iter().map(one).collect()
    }
}

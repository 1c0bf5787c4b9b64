//! What coding clients say of their own use: counted once, summed by hour, single events kept for a while.

mod event;
mod keep;
mod people;
mod usage;

pub use event::{EventFilter, EventRow};
pub use keep::{Kept, MAX_STREAMS};
pub use people::ClientCounts;
pub use usage::{ClientBy, ClientUsageRow};

use gatehouse_domain::id::{ClientEventId, OrgId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::change;
use crate::engine::Store;
use crate::error::StoreError;

/// How long it is remembered that a request was counted, in milliseconds: two days. A client gives up within minutes.
pub const REMEMBERED_MS: i64 = 2 * 86_400_000;
/// How long what is known of a running sum is kept after it was last heard of, in milliseconds: thirty days.
pub const STREAM_MS: i64 = 30 * 86_400_000;
/// Most rows that one call clears of each kind, so that none takes long.
const CLEARED: i64 = 20_000;

/// Statements that remove old rows, oldest first.
const OLD_BATCHES: &str = "DELETE FROM client_batches WHERE org_id = $1 AND digest IN \
     (SELECT digest FROM client_batches WHERE org_id = $1 AND came_at < $2 ORDER BY came_at LIMIT $3)";
const OLD_STREAMS: &str = "DELETE FROM client_streams WHERE org_id = $1 AND (user_id, stream) IN \
     (SELECT user_id, stream FROM client_streams WHERE org_id = $1 AND heard_at < $2 ORDER BY heard_at LIMIT $3)";
const OLD_EVENTS: &str = "DELETE FROM client_events WHERE org_id = $1 AND id IN \
     (SELECT id FROM client_events WHERE org_id = $1 AND id < $2 ORDER BY id LIMIT $3)";

impl Store {
    /// Clears what is older than it is kept: events after so many milliseconds, and what is remembered to count once. For a
    /// job; gives how many rows went.
    ///
    /// # Errors
    /// The database.
    pub async fn clear_reports(
        &self,
        org: OrgId,
        events_ms: i64,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let mut gone = 0;
        for (sql, kept) in [(OLD_BATCHES, REMEMBERED_MS), (OLD_STREAMS, STREAM_MS)] {
            gone += change!(tx, |db| {
                sqlx::query(sql).bind(org.to_string()).bind(now.0 - kept).bind(CLEARED).execute(db).await
            })?;
        }
        let before = ClientEventId::new(now.plus_millis(-events_ms), 0);
        gone += change!(tx, |db| {
            sqlx::query(OLD_EVENTS)
                .bind(org.to_string())
                .bind(before.to_string())
                .bind(CLEARED)
                .execute(db)
                .await
        })?;
        tx.commit().await?;
        Ok(gone)
    }
}

//! Deleting records that are older than they are kept.
//!
//! Sums (rollups, closed months) stay for ever, and so does the audit log. Of an exchange its record goes; the log keeps the
//! record's hash, and an entry of its own says up to which entry the records are gone. So records are deleted in the order
//! of the log, batch by batch: first the entry, which everybody can check afterwards, then the records, a few at a time.

use gatehouse_domain::audit::{Draft, EXCHANGES, Leaf, Leaves};
use gatehouse_domain::id::{ClientEventId, OrgId, TunnelId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::stored;

/// Entries of the log that are looked at in one statement.
const LOOK: i64 = 1_000;
/// Exchanges whose records are deleted in one transaction, unless one entry has more.
const BATCH: usize = 500;
/// Exchanges in one statement: binding many takes SQLite long.
const PIECE: usize = 64;
/// Bytes of a leaf in the log.
const LEAF: i64 = 48;

/// Which records of exchanges are older than they are kept and not yet announced as deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Due {
    /// The last entry of the log whose records are not kept; 0 if there is none.
    pub through: u64,
    /// How many entries for exchanges these are.
    pub entries: u64,
    /// How many exchanges.
    pub exchanges: u64,
    /// Whether there are more.
    pub more: bool,
}

/// What one turn deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deleted {
    /// How many records.
    pub records: u64,
    /// Whether more is announced than was deleted.
    pub more: bool,
}

impl Store {
    /// Up to which entry the log says that records are deleted; 0 if it does not.
    ///
    /// # Errors
    /// The database.
    pub(crate) async fn deleted_through(&self, org: OrgId) -> Result<i64, StoreError> {
        Ok(self.deletion_marks(org).await?.1)
    }

    async fn deletion_marks(&self, org: OrgId) -> Result<(i64, i64), StoreError> {
        let found: Option<(i64, i64)> = read!(self, |db| {
            sqlx::query_as("SELECT done_seq, through_seq FROM deletions WHERE org_id = $1")
                .bind(org.to_string())
                .fetch_optional(db)
                .await
        })?;
        Ok(found.unwrap_or((0, 0)))
    }

    /// Looks at what comes after the records already announced: the exchanges of entries before this time, up to so many
    /// exchanges. Changes nothing.
    ///
    /// # Errors
    /// The database.
    pub async fn exchanges_due(&self, org: OrgId, before: UnixMillis, most: u64) -> Result<Due, StoreError> {
        let (mut due, mut after) = (Due::default(), self.deletion_marks(org).await?.1);
        loop {
            let rows: Vec<(i64, i64, i64)> = read!(self, |db| {
                sqlx::query_as(
                    "SELECT seq, at, CAST(COALESCE(LENGTH(leaves), 0) AS BIGINT) FROM audit_entries \
                     WHERE org_id = $1 AND seq > $2 AND action = $3 ORDER BY seq LIMIT $4",
                )
                .bind(org.to_string())
                .bind(after)
                .bind(EXCHANGES)
                .bind(LOOK)
                .fetch_all(db)
                .await
            })?;
            for (seq, at, bytes) in &rows {
                if *at >= before.0 {
                    return Ok(due);
                }
                if due.exchanges >= most {
                    return Ok(Due { more: true, ..due });
                }
                due.through = stored::unsigned("audit entry", *seq)?;
                due.entries += 1;
                due.exchanges += stored::unsigned("audit entry", *bytes / LEAF)?;
            }
            match rows.last() {
                Some((seq, _, _)) => after = *seq,
                None => return Ok(due),
            }
        }
    }

    /// Says in the log that the records of these exchanges are deleted. From then on they may be.
    ///
    /// # Errors
    /// The database.
    pub async fn announce_deletion(&self, org: OrgId, due: &Due, act: &Draft) -> Result<(), StoreError> {
        let through = stored::signed("through", due.through)?;
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO deletions (org_id, done_seq, through_seq) VALUES ($1, 0, $2) \
                 ON CONFLICT (org_id) DO UPDATE SET through_seq = excluded.through_seq \
                 WHERE deletions.through_seq < excluded.through_seq",
            )
            .bind(org.to_string())
            .bind(through)
            .execute(db)
            .await
        })?;
        tx.record(org, act).await
    }

    /// Deletes announced records, in one short transaction: those of the next entries, about 500 exchanges.
    ///
    /// # Errors
    /// An entry that cannot be read; the database.
    pub async fn delete_announced(&self, org: OrgId) -> Result<Deleted, StoreError> {
        let (done, through) = self.deletion_marks(org).await?;
        if done >= through {
            return Ok(Deleted::default());
        }
        let rows: Vec<(i64, Option<Vec<u8>>)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT seq, leaves FROM audit_entries WHERE org_id = $1 AND seq > $2 AND seq <= $3 AND action = $4 \
                 ORDER BY seq LIMIT 20",
            )
            .bind(org.to_string())
            .bind(done)
            .bind(through)
            .bind(EXCHANGES)
            .fetch_all(db)
            .await
        })?;
        let (mut until, mut leaves) = (through, Vec::<Leaf>::new());
        for (seq, bytes) in rows {
            if leaves.len() >= BATCH {
                break;
            }
            let of = bytes.and_then(Leaves::from_bytes);
            let of = of.ok_or_else(|| {
                StoreError::corrupt("audit entry", seq, "its list of exchanges cannot be read")
            })?;
            leaves.extend(of.iter());
            until = seq;
        }
        if leaves.is_empty() {
            until = through;
        }
        let mut tx = self.begin().await?;
        let mut records = 0;
        for piece in leaves.chunks(PIECE) {
            let mut filter = Filter::new("DELETE FROM exchanges WHERE org_id = $1", org);
            let mut before = "AND id IN ($?";
            for leaf in piece {
                filter.arg(before, Arg::Text(leaf.id.to_string()));
                before = ", $?";
            }
            filter.sql(")");
            let (sql, args) = filter.into_parts();
            records += change!(tx, |db| bound!(sqlx::query(sql), args).execute(db).await)?;
        }
        change!(tx, |db| {
            sqlx::query("UPDATE deletions SET done_seq = $2 WHERE org_id = $1 AND done_seq < $2")
                .bind(org.to_string())
                .bind(until)
                .execute(db)
                .await
        })?;
        tx.commit().await?;
        Ok(Deleted { records, more: until < through })
    }

    /// How many tunnels and how many events of clients are older than these times. Changes nothing.
    ///
    /// # Errors
    /// The database.
    pub async fn old_records(
        &self,
        org: OrgId,
        tunnels: UnixMillis,
        events: UnixMillis,
    ) -> Result<(u64, u64), StoreError> {
        let counts: (i64, i64) = read!(self, |db| {
            sqlx::query_as(
                "SELECT (SELECT COUNT(*) FROM tunnels WHERE org_id = $1 AND id < $2 AND ended_at IS NOT NULL), \
                 (SELECT COUNT(*) FROM client_events WHERE org_id = $1 AND id < $3)",
            )
            .bind(org.to_string())
            .bind(TunnelId::new(tunnels, 0).to_string())
            .bind(ClientEventId::new(events, 0).to_string())
            .fetch_one(db)
            .await
        })?;
        Ok((stored::unsigned("tunnels", counts.0)?, stored::unsigned("events", counts.1)?))
    }
}

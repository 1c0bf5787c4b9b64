//! The log in the order in which it was written, and how far others were given it.
//!
//! Exchanges are recorded in batches, each with an entry in the audit log. So the audit log's order is the order of
//! everything, and one place in it says how far a destination is.

use std::collections::HashMap;

use gatehouse_domain::audit::{Hash, Leaf, Leaves};
use gatehouse_domain::id::OrgId;
use gatehouse_domain::log_forward::Line;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::stored;

const NOUN: &str = "log destination";
/// Entries read at a time. One for 500 exchanges takes 25 KiB, another one less than 1 KiB.
const ENTRIES: i64 = 64;

/// A place in the log: everything up to entry `seq`, and so many lines of the one after it (the entry itself is the first of
/// its lines, the exchanges that it covers are the others).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The last whole entry.
    pub seq: u64,
    /// Lines of the entry after it.
    pub lines: u64,
}

/// How far a destination was given the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogForward {
    /// Its name.
    pub destination: String,
    /// How far.
    pub cursor: Cursor,
    /// Lines that were delivered, ever.
    pub delivered: u64,
    /// When it moved last.
    pub moved_at: UnixMillis,
    /// Since when it fails, if it does.
    pub failing_since: Option<UnixMillis>,
    /// Why.
    pub failure: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    destination: String,
    seq: i64,
    records: i64,
    delivered: i64,
    moved_at: i64,
    failing_since: Option<i64>,
    failure: Option<String>,
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    seq: i64,
    at: i64,
    action: String,
    entry: String,
    hash: Vec<u8>,
    leaves: Option<Vec<u8>>,
}

impl Store {
    /// How far all destinations were given the log, by name.
    ///
    /// # Errors
    /// A row that cannot be read; the database.
    pub async fn log_forwards(&self, org: OrgId) -> Result<Vec<LogForward>, StoreError> {
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT destination, seq, records, delivered, moved_at, failing_since, failure FROM log_forwards \
                 WHERE org_id = $1 ORDER BY destination",
            )
            .bind(org.to_string())
            .fetch_all(db)
            .await
        })?;
        rows.into_iter().map(forward_of).collect()
    }

    /// Begins with a destination at a place, unless it was begun with.
    ///
    /// # Errors
    /// The database.
    pub async fn begin_log_forward(
        &self,
        org: OrgId,
        destination: &str,
        at: Cursor,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let (seq, lines) = (stored::signed("seq", at.seq)?, stored::signed("lines", at.lines)?);
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO log_forwards (org_id, destination, seq, records, delivered, moved_at) \
                 VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT (org_id, destination) DO NOTHING",
            )
            .bind(org.to_string())
            .bind(destination)
            .bind(seq)
            .bind(lines)
            .bind(now.0)
            .execute(db)
            .await
        })?;
        tx.commit().await
    }

    /// Moves a destination on from where it was, after so many lines; says whether it was there. Who is told no has been
    /// overtaken by another node.
    ///
    /// # Errors
    /// The database.
    pub async fn move_log_forward(
        &self,
        org: OrgId,
        destination: &str,
        (from, to): (Cursor, Cursor),
        lines: u64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let number = |value| stored::signed("place", value);
        let (seq, records, from_seq, from_lines) =
            (number(to.seq)?, number(to.lines)?, number(from.seq)?, number(from.lines)?);
        let lines = number(lines)?;
        let mut tx = self.begin().await?;
        let moved = change!(tx, |db| {
            sqlx::query(
                "UPDATE log_forwards SET seq = $3, records = $4, delivered = delivered + $5, moved_at = $6, \
                 failing_since = NULL, failure = NULL \
                 WHERE org_id = $1 AND destination = $2 AND seq = $7 AND records = $8",
            )
            .bind(org.to_string())
            .bind(destination)
            .bind(seq)
            .bind(records)
            .bind(lines)
            .bind(now.0)
            .bind(from_seq)
            .bind(from_lines)
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(moved > 0)
    }

    /// Notes that a destination does not take the log.
    ///
    /// # Errors
    /// The database.
    pub async fn fail_log_forward(
        &self,
        org: OrgId,
        destination: &str,
        why: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "UPDATE log_forwards SET failing_since = COALESCE(failing_since, $3), failure = $4 \
                 WHERE org_id = $1 AND destination = $2",
            )
            .bind(org.to_string())
            .bind(destination)
            .bind(now.0)
            .bind(why)
            .execute(db)
            .await
        })?;
        tx.commit().await
    }

    /// What comes after a place, at most so many lines, and the place behind them. Exchanges are left out on wish.
    ///
    /// # Errors
    /// An entry that cannot be read; the database.
    pub async fn log_lines(
        &self,
        org: OrgId,
        after: Cursor,
        exchanges: Exchanges,
        most: usize,
    ) -> Result<(Vec<Line>, Cursor), StoreError> {
        let seq = stored::signed("seq", after.seq)?;
        let rows: Vec<EntryRow> = read!(self, |db| {
            sqlx::query_as(
                "SELECT seq, at, action, entry, hash, leaves FROM audit_entries \
                 WHERE org_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            )
            .bind(org.to_string())
            .bind(seq)
            .bind(ENTRIES)
            .fetch_all(db)
            .await
        })?;
        let (mut lines, mut place) = (Vec::new(), after);
        for row in rows {
            let seq = stored::unsigned("audit entry", row.seq)?;
            let done = if seq == after.seq + 1 { after.lines } else { 0 };
            let room = most - lines.len();
            let whole = self.push_entry_lines(org, &row, seq, done, exchanges, room, &mut lines).await?;
            match whole {
                Whole::Yes => place = Cursor { seq, lines: 0 },
                Whole::No(lines) => place = Cursor { seq: seq - 1, lines },
            }
            if lines.len() >= most {
                break;
            }
        }
        Ok((lines, place))
    }

    /// Appends what is left of an entry's lines.
    #[expect(clippy::too_many_arguments, reason = "one step of the loop above")]
    async fn push_entry_lines(
        &self,
        org: OrgId,
        row: &EntryRow,
        seq: u64,
        done: u64,
        exchanges: Exchanges,
        room: usize,
        lines: &mut Vec<Line>,
    ) -> Result<Whole, StoreError> {
        let at = UnixMillis(row.at);
        let mut room = room;
        if done == 0 {
            let hash = Hash::from_bytes(stored::bytes("audit entry", &seq.to_string(), &row.hash)?);
            lines.push(Line::entry(org, seq, at, &row.action, &row.entry, &hash));
            room -= 1;
        }
        let Some(bytes) = row.leaves.clone().filter(|_| exchanges == Exchanges::Included) else {
            return Ok(Whole::Yes);
        };
        let leaves = Leaves::from_bytes(bytes)
            .ok_or_else(|| StoreError::corrupt("audit entry", seq, "what it covers cannot be read"))?;
        let skipped = usize::try_from(done.saturating_sub(1)).unwrap_or(usize::MAX);
        let wanted: Vec<Leaf> = leaves.iter().skip(skipped).take(room).collect();
        let records = self.records_of(org, &wanted).await?;
        for leaf in &wanted {
            let record =
                records.get(&leaf.id.to_string()).map(String::as_str).filter(|text| leaf.holds(text));
            lines.push(Line::exchange(org, seq, at, leaf.id, record));
        }
        let told = skipped + wanted.len();
        Ok(if told >= leaves.len() { Whole::Yes } else { Whole::No(told as u64 + 1) })
    }

    async fn records_of(&self, org: OrgId, leaves: &[Leaf]) -> Result<HashMap<String, String>, StoreError> {
        if leaves.is_empty() {
            return Ok(HashMap::new());
        }
        let mut filter = Filter::new("SELECT id, record FROM exchanges WHERE org_id = $1", org);
        let mut before = "AND id IN ($?";
        for leaf in leaves {
            filter.arg(before, Arg::Text(leaf.id.to_string()));
            before = ", $?";
        }
        filter.sql(")");
        let (sql, args) = filter.into_parts();
        let rows: Vec<(String, String)> =
            read!(self, |db| bound!(sqlx::query_as::<_, (String, String)>(sql), args).fetch_all(db).await)?;
        Ok(rows.into_iter().collect())
    }
}

/// Whether exchanges are part of what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchanges {
    /// They are.
    Included,
    /// Only audit entries.
    LeftOut,
}

/// Whether all lines of an entry are there, or how many.
enum Whole {
    Yes,
    No(u64),
}

fn forward_of(row: Row) -> Result<LogForward, StoreError> {
    let number = |value| stored::unsigned(NOUN, value);
    Ok(LogForward {
        cursor: Cursor { seq: number(row.seq)?, lines: number(row.records)? },
        delivered: number(row.delivered)?,
        destination: row.destination,
        moved_at: UnixMillis(row.moved_at),
        failing_since: row.failing_since.map(UnixMillis),
        failure: row.failure,
    })
}

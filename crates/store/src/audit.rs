//! The audit log: appending to an organization's chain, reading it, and signing checkpoints (promise P5).
//!
//! Nothing here changes or removes an entry.

mod checkpoint;
mod notary;
mod export;

use gatehouse_domain::audit::{Batch, Draft, EXCHANGES, Entry, Hash, Head, Linked, MAX_TEXT};
use gatehouse_domain::id::OrgId;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, beginning, bound};
use crate::page::{Listed, Page, check_text};
use crate::stored;

pub use checkpoint::{Altered, CheckpointError, CheckpointRule, Signed};
pub use export::{ExportError, Exported};
pub use notary::{Notary, NotaryError, SigningKeys};

/// Appends entries to an organization's chain, in this order, and gives where the chain then ends. Part of the
/// transaction of what they tell of, and its last step: from here to the end of the transaction others who append wait.
///
/// # Errors
/// There is no such organization; the database. The caller gives up the whole transaction then.
pub async fn append(tx: &mut Tx, org: OrgId, acts: &[Draft]) -> Result<Head, StoreError> {
    let mut head = lock_head(tx, org).await?;
    for act in acts {
        insert(tx, org, &mut head, act, None).await?;
    }
    move_head(tx, org, head).await?;
    Ok(head)
}

/// Appends one entry for a batch of exchanges, with their leaves; otherwise as [`append`].
///
/// # Errors
/// There is no such organization; the database. The caller gives up the whole transaction then.
pub(crate) async fn append_batch(tx: &mut Tx, org: OrgId, batch: Batch) -> Result<(), StoreError> {
    let Some((act, leaves)) = batch.finish() else { return Ok(()) };
    let mut head = lock_head(tx, org).await?;
    insert(tx, org, &mut head, &act, Some(leaves.into_bytes())).await?;
    move_head(tx, org, head).await
}

async fn move_head(tx: &mut Tx, org: OrgId, head: Head) -> Result<(), StoreError> {
    let seq = stored::signed("seq", head.seq)?;
    change!(tx, |db| {
        sqlx::query("UPDATE audit_heads SET seq = $2, hash = $3 WHERE org_id = $1")
            .bind(org.to_string())
            .bind(seq)
            .bind(head.hash.as_bytes().to_vec())
            .execute(db)
            .await
    })?;
    Ok(())
}

/// Locks the end of the chain and tells where it is. An update, since both engines know that as a lock.
async fn lock_head(tx: &mut Tx, org: OrgId) -> Result<Head, StoreError> {
    let found: Option<(i64, Vec<u8>)> = within!(tx, |db| {
        sqlx::query_as("UPDATE audit_heads SET seq = seq WHERE org_id = $1 RETURNING seq, hash")
            .bind(org.to_string())
            .fetch_optional(db)
            .await
    })?;
    let (seq, hash) = found.ok_or_else(|| StoreError::not_found("organization", org))?;
    let hash = Hash::from_bytes(stored::bytes("audit chain", &org.to_string(), &hash)?);
    Ok(Head { seq: stored::unsigned("audit chain", seq)?, hash })
}

async fn insert(
    tx: &mut Tx,
    org: OrgId,
    head: &mut Head,
    act: &Draft,
    leaves: Option<Vec<u8>>,
) -> Result<(), StoreError> {
    let Linked { seq, canonical, prev_hash, hash } = head.append(org, act);
    let seq = stored::signed("seq", seq)?;
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO audit_entries (org_id, seq, at, actor, action, object, entry, prev, hash, leaves) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(org.to_string())
        .bind(seq)
        .bind(act.at.0)
        .bind(column_text(&act.actor.id))
        .bind(column_text(&act.action))
        .bind(column_text(&act.object.id))
        .bind(canonical)
        .bind(prev_hash.as_bytes().to_vec())
        .bind(hash.as_bytes().to_vec())
        .bind(leaves)
        .execute(db)
        .await
    })?;
    Ok(())
}

/// A text as it stands in a column beside the entry: as in the entry, but without zero bytes, which PostgreSQL cannot
/// store (in the entry they are escaped).
fn column_text(text: &str) -> String {
    if text.len() <= MAX_TEXT && !text.contains('\0') {
        return text.to_owned();
    }
    text.chars().take(MAX_TEXT).filter(|c| *c != '\0').collect()
}

/// Which part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuditKind {
    /// Acts of management: everything but exchanges.
    #[default]
    Acts,
    /// Batches of exchanges only.
    Exchanges,
    /// Everything.
    All,
}

/// Which entries are wanted; all conditions apply. Acts are found by index. What is in a batch of exchanges is found by the
/// exchanges' own list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Which part of the log.
    pub kind: AuditKind,
    /// By this actor's identifier.
    pub actor: Option<String>,
    /// Of this action: `key.rotate`; or, when it ends in a dot, of all actions on a noun: `key.`.
    pub action: Option<String>,
    /// On the object of this identifier.
    pub object: Option<String>,
    /// At this time or later.
    pub since: Option<UnixMillis>,
    /// Before this time.
    pub until: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    entry: String,
    prev: Vec<u8>,
    hash: Vec<u8>,
}

impl Store {
    /// Lists audit entries, newest first. The chain is not checked here: that is what an export is for.
    ///
    /// # Errors
    /// A bad page or text; an entry that cannot be read; the database.
    pub async fn audit_entries(
        &self,
        org: OrgId,
        wanted: &AuditFilter,
        page: &Page,
    ) -> Result<Listed<Entry>, StoreError> {
        let rows = page.rows()?;
        for (field, text) in
            [("actor", &wanted.actor), ("action", &wanted.action), ("object", &wanted.object)]
        {
            text.as_ref().map_or(Ok(()), |text| check_text(field, text))?;
        }
        let mut filter =
            Filter::new("SELECT seq, entry, prev, hash FROM audit_entries WHERE org_id = $1", org);
        match wanted.kind {
            // Written out, not bound: only then the indexes on acts apply.
            AuditKind::Acts => filter.sql("AND action <> 'exchange.batch'"),
            AuditKind::Exchanges => filter.arg("AND action = $?", Arg::Text(EXCHANGES.to_owned())),
            AuditKind::All => {}
        }
        filter.int("AND seq < $?", page.cursor(|text| text.parse::<i64>().ok())?);
        filter.text("AND actor = $?", wanted.actor.as_ref());
        match &wanted.action {
            Some(noun) if noun.ends_with('.') => {
                filter.arg(r"AND action LIKE $? ESCAPE '\'", Arg::Text(beginning(noun)));
            }
            action => filter.text("AND action = $?", action.as_ref()),
        }
        filter.text("AND object = $?", wanted.object.as_ref());
        filter.int("AND at >= $?", wanted.since.map(|at| at.0));
        filter.int("AND at < $?", wanted.until.map(|at| at.0));
        filter.arg("ORDER BY seq DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.seq.to_string());
        let items = listed.items.iter().map(entry_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// Where an organization's chain ends.
    ///
    /// # Errors
    /// There is no such organization; the database.
    pub async fn audit_head(&self, org: OrgId) -> Result<Head, StoreError> {
        let found: Option<(i64, Vec<u8>)> = read!(self, |db| {
            sqlx::query_as("SELECT seq, hash FROM audit_heads WHERE org_id = $1")
                .bind(org.to_string())
                .fetch_optional(db)
                .await
        })?;
        let (seq, hash) = found.ok_or_else(|| StoreError::not_found("organization", org))?;
        let hash = Hash::from_bytes(stored::bytes("audit chain", &org.to_string(), &hash)?);
        Ok(Head { seq: stored::unsigned("audit chain", seq)?, hash })
    }

    /// Records an act that changed nothing in the database: a refused sign-in, a configuration that was read anew.
    ///
    /// # Errors
    /// There is no such organization; the database.
    pub async fn record(&self, org: OrgId, act: &Draft) -> Result<(), StoreError> {
        self.begin().await?.record(org, act).await
    }
}

fn entry_of(row: &Row) -> Result<Entry, StoreError> {
    let given = row.seq.to_string();
    let seq = stored::unsigned("audit entry", row.seq)?;
    let prev = Hash::from_bytes(stored::bytes("audit entry", &given, &row.prev)?);
    let hash = Hash::from_bytes(stored::bytes("audit entry", &given, &row.hash)?);
    Entry::read(seq, &row.entry, prev, hash).map_err(|e| StoreError::corrupt("audit entry", given, e))
}

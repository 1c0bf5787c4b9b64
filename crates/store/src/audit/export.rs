//! Writing an organization's chain to a file that can be checked without us.

mod records;

use std::io;

use gatehouse_domain::audit::{Export, Hash, Leaves, Promised, export_fault, export_line};
use gatehouse_domain::id::OrgId;
use gatehouse_domain::time::UnixMillis;
use serde::Deserialize;
use sqlx::Row as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::{CheckpointError, Notary, Signed, column_text};
use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::stored;

/// Entries read at a time. One for 500 exchanges takes 25 KiB, another one less than 1 KiB.
const BATCH: i64 = 100;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// How many entries.
    pub entries: u64,
    /// How many exchanges, all of which are in entries for many.
    pub exchanges: u64,
    /// The checkpoint that closes the file.
    pub closing: Signed,
}

/// Why an export was not finished. The file then lacks its closing checkpoint and does not pass for a whole one.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It cannot be written.
    #[error("cannot write the audit export")]
    Write(#[source] io::Error),
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be closed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A row as it is, whatever it is: an export of a damaged log must not stop at the damage, but name it.
pub(super) struct Raw {
    pub(super) seq: i64,
    at: i64,
    actor: String,
    action: String,
    object: String,
    entry: Vec<u8>,
    prev: Vec<u8>,
    hash: Vec<u8>,
    leaves: Option<Vec<u8>>,
}

const SELECT: &str = "SELECT seq, at, actor, action, object, entry, prev, hash, leaves FROM audit_entries \
     WHERE org_id = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq LIMIT $4";

impl Store {
    /// Signs a checkpoint and writes the chain from entry `first` (at least 1) up to it, as JSON lines. Memory stays
    /// the same however long the chain is; what is appended meanwhile is not part of it. A log that is not what it was is
    /// written up to the newest checkpoint that is known of it.
    ///
    /// # Errors
    /// `first` is 0 or after the chain's end; the output cannot be written; the database.
    pub async fn export_audit<W: AsyncWrite + Unpin + Send>(
        &self,
        org: OrgId,
        first: u64,
        notary: &Notary,
        now: UnixMillis,
        out: &mut W,
    ) -> Result<Exported, ExportError> {
        let closing = self.closing_checkpoint(org, notary, now).await?;
        let last = closing.checkpoint.seq;
        if first == 0 || first > last.saturating_add(1) {
            let why = format!("is {first}, expected 1 to {}", last.saturating_add(1));
            return Err(StoreError::Invalid { field: "first", why }.into());
        }
        let prev = self.hash_before(org, first).await?;
        let mut text = Export::new(org, first, last, prev, closing.checkpoint.key).line();
        text.push('\n');
        let (mut entries, mut exchanges, mut closed) = (0, 0, false);
        let (mut next, last) = (stored::signed("first", first)?, stored::signed("last", last)?);
        loop {
            let rows = self.raw_entries(org, next, last).await?;
            let until = rows.last().map_or(last, |row| row.seq);
            let mut points = self.checkpoints(org, next, until).await?.into_iter().peekable();
            for row in &rows {
                while let Some(point) = points.next_if(|point| is_before(point, row.seq)) {
                    push_point(&mut text, &point);
                }
                let leaves = push_entry(&mut text, row);
                entries += 1;
                for (n, piece) in records::pieces(&leaves) {
                    self.push_records(org, row.seq, n, &piece, &mut text).await?;
                    exchanges += piece.len() as u64;
                    out.write_all(text.as_bytes()).await.map_err(ExportError::Write)?;
                    text.clear();
                }
            }
            for point in points {
                push_point(&mut text, &point);
                closed |= point == closing;
            }
            out.write_all(text.as_bytes()).await.map_err(ExportError::Write)?;
            text.clear();
            if rows.is_empty() || until >= last {
                break;
            }
            next = until + 1;
        }
        // Entry 0 has a checkpoint only while the chain is empty; it stands outside the range above. And the checkpoint that
        // this node keeps may be missing in the database.
        if !closed {
            push_point(&mut text, &closing);
            out.write_all(text.as_bytes()).await.map_err(ExportError::Write)?;
        }
        out.flush().await.map_err(ExportError::Write)?;
        Ok(Exported { entries, exchanges, closing })
    }

    /// The hash that entry `first` is linked to.
    async fn hash_before(&self, org: OrgId, first: u64) -> Result<Hash, StoreError> {
        if first <= 1 {
            return Ok(Hash::genesis(org));
        }
        let before = first - 1;
        let seq = stored::signed("first", before)?;
        let found: Option<(Vec<u8>,)> = read!(self, |db| {
            sqlx::query_as("SELECT hash FROM audit_entries WHERE org_id = $1 AND seq = $2")
                .bind(org.to_string())
                .bind(seq)
                .fetch_optional(db)
                .await
        })?;
        let (hash,) = found.ok_or_else(|| StoreError::not_found("audit entry", before))?;
        Ok(Hash::from_bytes(stored::bytes("audit entry", &before.to_string(), &hash)?))
    }

    pub(super) async fn raw_entries(
        &self,
        org: OrgId,
        first: i64,
        last: i64,
    ) -> Result<Vec<Raw>, StoreError> {
        read!(self, |db| {
            let rows = sqlx::query(SELECT)
                .bind(org.to_string())
                .bind(first)
                .bind(last)
                .bind(BATCH)
                .fetch_all(db)
                .await?;
            let raw = rows.iter().map(|row| {
                // As bytes, without a check of what they are; see `Raw`.
                let text = |name: &str| {
                    row.try_get_unchecked::<Vec<u8>, _>(name)
                        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                };
                Ok(Raw {
                    seq: row.try_get("seq")?,
                    at: row.try_get("at")?,
                    actor: text("actor")?,
                    action: text("action")?,
                    object: text("object")?,
                    entry: row.try_get_unchecked("entry")?,
                    prev: row.try_get("prev")?,
                    hash: row.try_get("hash")?,
                    leaves: row.try_get("leaves")?,
                })
            });
            raw.collect::<Result<_, sqlx::Error>>().map_err(StoreError::from)
        })
    }
}

fn is_before(point: &Signed, seq: i64) -> bool {
    i64::try_from(point.checkpoint.seq).is_ok_and(|covered| covered < seq)
}

fn push_point(out: &mut String, point: &Signed) {
    out.push_str(&point.checkpoint.line(&point.signature));
    out.push('\n');
}

/// Appends an entry, and gives the exchanges it is for.
fn push_entry(out: &mut String, row: &Raw) -> Leaves {
    let parts = entry_parts(row);
    match &parts {
        Some(Parts { entry, prev, hash, .. }) => export_line(out, entry, prev, hash),
        None => export_fault(out, u64::try_from(row.seq).unwrap_or(0)),
    }
    out.push('\n');
    parts.map(|parts| parts.leaves).unwrap_or_default()
}

/// A row that is what we write.
pub(super) struct Parts<'a> {
    pub(super) entry: &'a str,
    pub(super) prev: Hash,
    pub(super) hash: Hash,
    leaves: Leaves,
}

/// What a row holds, unless it is not what we write.
pub(super) fn entry_parts(row: &Raw) -> Option<Parts<'_>> {
    let entry = std::str::from_utf8(&row.entry).ok()?;
    let hash = |bytes: &[u8]| bytes.try_into().map(Hash::from_bytes).ok();
    let leaves = leaves_of(entry, row)?;
    let sound = !entry.contains(['\n', '\r']) && agrees(entry, row);
    Some(Parts { entry, prev: hash(&row.prev)?, hash: hash(&row.hash)?, leaves }).filter(|_| sound)
}

/// The leaves beside an entry; `None` when they are not the ones it promises.
fn leaves_of(entry: &str, row: &Raw) -> Option<Leaves> {
    match (Promised::read(entry).ok()?, &row.leaves) {
        (Some(promised), Some(bytes)) => {
            Leaves::from_bytes(bytes.clone()).filter(|leaves| promised.is_of(leaves))
        }
        (None, None) => Some(Leaves::default()),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Columns {
    action: String,
    actor: Named,
    at: i64,
    object: Named,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// Whether the columns beside the entry say what the entry says. They are not hashed; who changes them hides an entry
/// from a search.
fn agrees(entry: &str, row: &Raw) -> bool {
    serde_json::from_str::<Columns>(entry).is_ok_and(|told| {
        told.at == row.at
            && column_text(&told.actor.id) == row.actor
            && column_text(&told.action) == row.action
            && column_text(&told.object.id) == row.object
    })
}

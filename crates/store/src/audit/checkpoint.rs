//! Signed checkpoints of an organization's chain.

use gatehouse_domain::audit::{Checkpoint, Hash, Head, PublicKey, Signature, Signer};
use gatehouse_domain::id::{NodeId, OrgId};
use gatehouse_domain::time::UnixMillis;

use super::lock_head;
use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::stored;

const NOUN: &str = "audit checkpoint";

/// When a checkpoint is due: as soon as either is reached, and there is anything new at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointRule {
    /// So many entries since the last one.
    pub entries: u64,
    /// So many milliseconds since the last one.
    pub millis: i64,
}

/// A checkpoint with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The statement.
    pub checkpoint: Checkpoint,
    /// Its signature.
    pub signature: Signature,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    seq: i64,
    at: i64,
    count: i64,
    hash: Vec<u8>,
    node: String,
    public_key: Vec<u8>,
    signature: Vec<u8>,
}

const NEWEST: &str = "SELECT seq, at, count, hash, node, public_key, signature FROM audit_checkpoints \
     WHERE org_id = $1 ORDER BY seq DESC LIMIT 1";

const RANGE: &str = "SELECT seq, at, count, hash, node, public_key, signature FROM audit_checkpoints \
     WHERE org_id = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq";

impl Store {
    /// Signs a checkpoint if one is due. Cheap when none is; to be called now and then by every node. `None` when none was
    /// due.
    ///
    /// # Errors
    /// There is no such organization; the database.
    pub async fn checkpoint_if_due(
        &self,
        org: OrgId,
        rule: CheckpointRule,
        node: NodeId,
        signer: &Signer,
        now: UnixMillis,
    ) -> Result<Option<Signed>, StoreError> {
        let head = self.audit_head(org).await?;
        let last = self.newest_checkpoint(org).await?;
        let (covered, at) =
            last.map_or((0, UnixMillis(i64::MIN)), |last| (last.checkpoint.seq, last.checkpoint.at));
        let new = head.seq.saturating_sub(covered);
        if new == 0 || (new < rule.entries && now < at.plus_millis(rule.millis)) {
            return Ok(None);
        }
        self.checkpoint(org, node, signer, now).await.map(Some)
    }

    /// Signs a checkpoint of the chain as it is now. When the newest one covers it already, that one is given.
    ///
    /// # Errors
    /// There is no such organization; the database.
    pub async fn checkpoint(
        &self,
        org: OrgId,
        node: NodeId,
        signer: &Signer,
        now: UnixMillis,
    ) -> Result<Signed, StoreError> {
        let mut tx = self.begin().await?;
        // The lock makes nodes take turns, so that each counts from the last one's checkpoint.
        let head = lock_head(&mut tx, org).await?;
        let newest: Option<Row> =
            within!(tx, |db| sqlx::query_as(NEWEST).bind(org.to_string()).fetch_optional(db).await)?;
        let newest = newest.map(|row| signed_of(org, row)).transpose()?;
        let covered = newest.as_ref().map_or(0, |newest| newest.checkpoint.seq);
        // A chain shorter than its newest checkpoint was cut off; an export with that checkpoint shows it.
        if let Some(newest) = newest.filter(|newest| newest.checkpoint.seq >= head.seq) {
            return Ok(newest);
        }
        let signed = sign(org, head, head.seq - covered, node, signer, now);
        insert(&mut tx, &signed).await?;
        tx.commit().await?;
        Ok(signed)
    }

    /// The newest checkpoint; `None` when there is none yet.
    ///
    /// # Errors
    /// It cannot be read; the database.
    pub async fn newest_checkpoint(&self, org: OrgId) -> Result<Option<Signed>, StoreError> {
        let row: Option<Row> =
            read!(self, |db| sqlx::query_as(NEWEST).bind(org.to_string()).fetch_optional(db).await)?;
        row.map(|row| signed_of(org, row)).transpose()
    }

    /// The checkpoints of the entries from `first` to `last`, in order.
    pub(super) async fn checkpoints(
        &self,
        org: OrgId,
        first: i64,
        last: i64,
    ) -> Result<Vec<Signed>, StoreError> {
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as(RANGE).bind(org.to_string()).bind(first).bind(last).fetch_all(db).await
        })?;
        rows.into_iter().map(|row| signed_of(org, row)).collect()
    }
}

fn sign(org: OrgId, head: Head, count: u64, node: NodeId, signer: &Signer, at: UnixMillis) -> Signed {
    let checkpoint = Checkpoint {
        at,
        count,
        hash: head.hash,
        key: signer.public(),
        node: node.to_string(),
        org,
        seq: head.seq,
    };
    let signature = checkpoint.sign(signer);
    Signed { checkpoint, signature }
}

async fn insert(tx: &mut Tx, signed: &Signed) -> Result<(), StoreError> {
    let point = &signed.checkpoint;
    let (seq, count) = (stored::signed("seq", point.seq)?, stored::signed("count", point.count)?);
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO audit_checkpoints (org_id, seq, at, count, hash, node, public_key, signature) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(point.org.to_string())
        .bind(seq)
        .bind(point.at.0)
        .bind(count)
        .bind(point.hash.as_bytes().to_vec())
        .bind(point.node.as_str())
        .bind(point.key.as_bytes().to_vec())
        .bind(signed.signature.as_bytes().to_vec())
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting(NOUN, point.seq))?;
    Ok(())
}

fn signed_of(org: OrgId, row: Row) -> Result<Signed, StoreError> {
    let given = row.seq.to_string();
    let checkpoint = Checkpoint {
        at: UnixMillis(row.at),
        count: stored::unsigned(NOUN, row.count)?,
        hash: Hash::from_bytes(stored::bytes(NOUN, &given, &row.hash)?),
        key: PublicKey::from_bytes(stored::bytes(NOUN, &given, &row.public_key)?),
        node: row.node,
        org,
        seq: stored::unsigned(NOUN, row.seq)?,
    };
    let signature = Signature::from_bytes(stored::bytes(NOUN, &given, &row.signature)?);
    Ok(Signed { checkpoint, signature })
}

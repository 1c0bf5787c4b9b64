//! Signed checkpoints of an organization's chain.

use gatehouse_domain::audit::{Checkpoint, Hash, Head, PublicKey, Signature};
use gatehouse_domain::id::OrgId;
use gatehouse_domain::time::UnixMillis;

use super::export::{Parts, entry_parts};
use super::lock_head;
use super::notary::{Notary, NotaryError};
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

/// Why a checkpoint was not signed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// There is no such organization; the database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log is not what it was. Somebody changed the database, or put an older copy back.
    #[error(
        "{what}; nothing is signed any more. Export the log, compare it with a copy, and, if the database was replaced on \
         purpose, remove `{kept}` and restart"
    )]
    Altered {
        /// What was found.
        what: Altered,
        /// Where this node keeps the newest checkpoint it knows.
        kept: String,
    },
    /// It was signed, but this node cannot keep it.
    #[error(transparent)]
    Keep(#[from] NotaryError),
}

/// How a log contradicts the newest checkpoint that is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Altered {
    /// It is another organization's.
    #[error("the audit log is of another organization than the newest checkpoint this node knows")]
    Foreign,
    /// It is shorter.
    #[error(
        "the audit log ends with entry {ends}, but there is a checkpoint of entry {covered}: its end was cut off"
    )]
    CutOff {
        /// The last entry there is.
        ends: u64,
        /// The entry that a checkpoint covers.
        covered: u64,
    },
    /// An entry is not the one that was signed.
    #[error(
        "entry {0} of the audit log is not the one that was signed: what is up to it was altered and its hashes made anew"
    )]
    Rewritten(u64),
    /// An entry after it is not there, or its hash is not its own.
    #[error("entry {0} of the audit log is missing or was altered")]
    Broken(u64),
    /// The newest checkpoint in the database is not one of ours.
    #[error("the checkpoint of entry {0} in the database is not signed with the key of this deployment")]
    Forged(u64),
}

impl Store {
    /// Signs a checkpoint if one is due. Cheap when none is; to be called now and then by every node. `None` when none was
    /// due.
    ///
    /// # Errors
    /// There is no such organization; the log is not what it was; the database.
    pub async fn checkpoint_if_due(
        &self,
        org: OrgId,
        rule: CheckpointRule,
        notary: &Notary,
        now: UnixMillis,
    ) -> Result<Option<Signed>, CheckpointError> {
        let head = self.audit_head(org).await?;
        let last = self.newest_checkpoint(org).await?;
        let known = notary.known().await.as_ref().map_or(0, |known| known.checkpoint.seq);
        let (covered, at) =
            last.as_ref().map_or((0, UnixMillis(i64::MIN)), |last| (last.checkpoint.seq, last.checkpoint.at));
        let new = head.seq.saturating_sub(covered);
        // A log that is too short must not pass for one in which nothing is new.
        let too_short = head.seq < covered.max(known);
        if too_short || (new > 0 && (new >= rule.entries || now >= at.plus_millis(rule.millis))) {
            return self.checkpoint(org, notary, now).await.map(Some);
        }
        if let Some(last) = last.filter(|last| last.checkpoint.seq > known) {
            self.follow(org, notary, &last).await?;
        }
        Ok(None)
    }

    /// Signs a checkpoint of the chain as it is now, after reading that it continues the newest checkpoint this node knows.
    /// When the newest one in the database covers it already, that one is given.
    ///
    /// # Errors
    /// There is no such organization; the log is not what it was; the database.
    pub async fn checkpoint(
        &self,
        org: OrgId,
        notary: &Notary,
        now: UnixMillis,
    ) -> Result<Signed, CheckpointError> {
        let mut known = notary.known().await;
        let altered = |what| CheckpointError::Altered { what, kept: notary.path().display().to_string() };
        loop {
            let start = self.start(org, notary, known.as_ref()).await?.map_err(altered)?;
            // Only what has been read is signed; what is appended meanwhile comes next time.
            let end = self.audit_head(org).await?;
            self.walk(org, start, end).await?.map_err(altered)?;
            if let Some(signed) = self.sign_at(org, end, notary, now).await?.map_err(altered)? {
                notary.keep(&mut known, &signed).await?;
                return Ok(signed);
            }
        }
    }

    /// The checkpoint that closes an export: a fresh one, or, of a log that is not what it was, the newest that is known.
    /// The export of such a log must not be refused: it is what shows where it was altered.
    ///
    /// # Errors
    /// There is no such organization; nothing is known of an altered log; the database.
    pub async fn closing_checkpoint(
        &self,
        org: OrgId,
        notary: &Notary,
        now: UnixMillis,
    ) -> Result<Signed, CheckpointError> {
        let error = match self.checkpoint(org, notary, now).await {
            Err(error @ (CheckpointError::Altered { .. } | CheckpointError::Keep(_))) => error,
            done => return done,
        };
        tracing::error!(%error, "the audit log is exported without a fresh checkpoint");
        let known = notary.known().await.clone().filter(|known| known.checkpoint.org == org);
        match known {
            Some(known) => Ok(known),
            None => self.newest_checkpoint(org).await?.ok_or(error),
        }
    }

    /// Keeps a checkpoint that another node signed, after reading that the log leads to it, so that little is to be read
    /// when it is this node's turn.
    async fn follow(&self, org: OrgId, notary: &Notary, last: &Signed) -> Result<(), CheckpointError> {
        let mut known = notary.known().await;
        let altered = |what| CheckpointError::Altered { what, kept: notary.path().display().to_string() };
        if !notary.signed(last) {
            return Err(altered(Altered::Forged(last.checkpoint.seq)));
        }
        let start = self.start(org, notary, known.as_ref()).await?.map_err(altered)?;
        // It may have moved on since the caller looked.
        if start.seq <= last.checkpoint.seq {
            self.walk(org, start, head_of(last)).await?.map_err(altered)?;
            notary.keep(&mut known, last).await?;
        }
        Ok(())
    }

    /// From where the log is to be read: the newest checkpoint this node knows. A node that knows none begins with the
    /// newest in the database if it is signed with our key, else with the first entry.
    async fn start(
        &self,
        org: OrgId,
        notary: &Notary,
        known: Option<&Signed>,
    ) -> Result<Result<Head, Altered>, StoreError> {
        if let Some(known) = known {
            let own = known.checkpoint.org == org;
            return Ok(if own { Ok(head_of(known)) } else { Err(Altered::Foreign) });
        }
        let newest = self.newest_checkpoint(org).await?.filter(|newest| notary.signed(newest));
        Ok(Ok(newest.as_ref().map_or_else(|| Head::empty(org), head_of)))
    }

    /// Reads the log from one place to another and sees that it leads there: each entry links to the one before.
    async fn walk(&self, org: OrgId, start: Head, end: Head) -> Result<Result<(), Altered>, StoreError> {
        if end.seq < start.seq {
            return Ok(Err(Altered::CutOff { ends: end.seq, covered: start.seq }));
        }
        let last = stored::signed("seq", end.seq)?;
        let (mut reached, mut next) = (start, start.seq.max(1));
        while next <= end.seq {
            let rows = self.raw_entries(org, stored::signed("seq", next)?, last).await?;
            if rows.is_empty() {
                return Ok(Err(Altered::Broken(next)));
            }
            for row in &rows {
                let found = entry_parts(row).filter(|_| u64::try_from(row.seq) == Ok(next));
                let Some(Parts { entry, prev, hash, .. }) = found else {
                    return Ok(Err(Altered::Broken(next)));
                };
                // The first one read is the one the checkpoint covers.
                let is_covered = next == start.seq;
                if is_covered && hash != start.hash {
                    return Ok(Err(Altered::Rewritten(next)));
                }
                if Hash::link(&prev, entry) != hash || !(is_covered || prev == reached.hash) {
                    return Ok(Err(Altered::Broken(next)));
                }
                reached = Head { seq: next, hash };
                next += 1;
            }
        }
        Ok(if reached.hash == end.hash { Ok(()) } else { Err(Altered::Rewritten(end.seq)) })
    }

    /// Signs a place of the log that has been read; `None` when another node has signed a later one meanwhile.
    async fn sign_at(
        &self,
        org: OrgId,
        place: Head,
        notary: &Notary,
        now: UnixMillis,
    ) -> Result<Result<Option<Signed>, Altered>, StoreError> {
        let mut tx = self.begin().await?;
        // The lock makes nodes take turns, so that each counts from the last one's checkpoint.
        let head = lock_head(&mut tx, org).await?;
        let newest: Option<Row> =
            within!(tx, |db| sqlx::query_as(NEWEST).bind(org.to_string()).fetch_optional(db).await)?;
        let newest = newest.map(|row| signed_of(org, row)).transpose()?;
        let covered = newest.as_ref().map_or(0, |newest| newest.checkpoint.seq);
        if let Some(newest) = newest {
            if !notary.signed(&newest) {
                return Ok(Err(Altered::Forged(covered)));
            }
            if covered > head.seq {
                return Ok(Err(Altered::CutOff { ends: head.seq, covered }));
            }
            if covered == place.seq {
                let same = newest.checkpoint.hash == place.hash;
                return Ok(if same { Ok(Some(newest)) } else { Err(Altered::Rewritten(covered)) });
            }
            if covered > place.seq {
                return Ok(Ok(None));
            }
        }
        let signed = sign(org, place, place.seq - covered, notary, now);
        insert(&mut tx, &signed).await?;
        tx.commit().await?;
        Ok(Ok(Some(signed)))
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

fn head_of(point: &Signed) -> Head {
    Head { seq: point.checkpoint.seq, hash: point.checkpoint.hash }
}

fn sign(org: OrgId, head: Head, count: u64, notary: &Notary, at: UnixMillis) -> Signed {
    let signer = notary.signer(at);
    let checkpoint = Checkpoint {
        at,
        count,
        hash: head.hash,
        key: signer.public(),
        node: notary.node.to_string(),
        org,
        seq: head.seq,
    };
    let signature = checkpoint.sign(&signer);
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

//! Up to where a journal is in the database, and whose journal it is.
//!
//! A node's identifier alone does not say whose: a data directory can be copied, and a machine can be cloned. Each run of
//! a journal therefore leaves a number in the journal's files, and takes over the place that an earlier run of the same
//! files has in the database. What a copy took over is then not there any more for the run it was copied from, which
//! begins a place of its own. The database may also be put back to an older state under a running node. Both are noticed
//! because a place is only moved on from where this run left it.

use gatehouse_domain::id::NodeId;

use crate::dialect::{change, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::journal::Position;
use crate::stored;

/// The place of this run's journal, as this process left it in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    node: NodeId,
    run: u64,
    held: Position,
}

type Row = (i64, i64, i64, i64);

impl Place {
    /// Takes over the place that the newest of these runs has in the database, for the last of them, or begins one.
    /// Of no tenant: a journal holds entries of all.
    ///
    /// `earlier` is the newest entry that runs before the last one left: one of them that is further on in the database is
    /// another copy's, under way on its own, whose entries from there on are not ours.
    ///
    /// # Errors
    /// The database.
    pub async fn claim(store: &Store, node: NodeId, runs: &[u64], earlier: u64) -> Result<Self, StoreError> {
        let own = runs.last().copied().unwrap_or_default();
        let mut tx = store.begin().await?;
        let rows: Vec<Row> = within!(tx, |db| {
            sqlx::query_as("SELECT run, segment, \"offset\", seq FROM journal_positions WHERE node_id = $1")
                .bind(node.to_string())
                .fetch_all(db)
                .await
        })?;
        let is_ours = |row: &&Row| row.0 == own.cast_signed() || row.3.cast_unsigned() <= earlier;
        let of_run = |run: &u64| rows.iter().find(|row| row.0 == run.cast_signed()).filter(is_ours);
        let mut held = Position::default();
        match runs.iter().rev().find_map(of_run) {
            Some(row) if rename(&mut tx, node, row, own).await? => held = position_of(row)?,
            Some(_) | None => begin(&mut tx, node, own).await?,
        }
        tx.commit().await?;
        Ok(Self { node, run: own, held })
    }

    /// Up to where the journal is in the database; `None` when nothing of it is known there.
    pub fn held(&self) -> Option<Position> {
        Some(self.held).filter(|held| held.seq > 0)
    }

    /// Moves it on as part of a transaction; false when the database holds another one than this process left there.
    pub(super) async fn advance(&self, tx: &mut Tx, to: Position) -> Result<bool, StoreError> {
        let (segment, offset) =
            (stored::signed("segment", to.segment)?, stored::signed("offset", to.offset)?);
        let (seq, held) = (stored::signed("seq", to.seq)?, stored::signed("seq", self.held.seq)?);
        let moved = change!(tx, |db| {
            sqlx::query(
                "UPDATE journal_positions SET segment = $3, \"offset\" = $4, seq = $5 \
                 WHERE node_id = $1 AND run = $2 AND seq = $6",
            )
            .bind(self.node.to_string())
            .bind(self.run.cast_signed())
            .bind(segment)
            .bind(offset)
            .bind(seq)
            .bind(held)
            .execute(db)
            .await
        })?;
        Ok(moved > 0)
    }

    /// Notes that the transaction is done.
    pub(super) const fn advanced(&mut self, to: Position) {
        self.held = to;
    }
}

/// Gives a run's place, as it was read, to another run; false when somebody else was faster, or has moved it on.
async fn rename(tx: &mut Tx, node: NodeId, from: &Row, to: u64) -> Result<bool, StoreError> {
    if from.0 == to.cast_signed() {
        return Ok(true);
    }
    let renamed = change!(tx, |db| {
        sqlx::query("UPDATE journal_positions SET run = $3 WHERE node_id = $1 AND run = $2 AND seq = $4")
            .bind(node.to_string())
            .bind(from.0)
            .bind(to.cast_signed())
            .bind(from.3)
            .execute(db)
            .await
    })?;
    Ok(renamed > 0)
}

async fn begin(tx: &mut Tx, node: NodeId, run: u64) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO journal_positions (node_id, run, segment, \"offset\", seq) VALUES ($1, $2, 0, 0, 0)",
        )
        .bind(node.to_string())
        .bind(run.cast_signed())
        .execute(db)
        .await
    })?;
    Ok(())
}

fn position_of(row: &Row) -> Result<Position, StoreError> {
    Ok(Position {
        segment: stored::unsigned("journal position", row.1)?,
        offset: stored::unsigned("journal position", row.2)?,
        seq: stored::unsigned("journal position", row.3)?,
    })
}

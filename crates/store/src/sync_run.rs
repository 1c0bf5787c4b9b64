//! Runs of the synchronization of directories.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{NodeId, OrgId, SyncRunId};
use gatehouse_domain::source::Source;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;

const NOUN: &str = "sync run";

/// Runs that are kept of each source.
pub const KEPT: u32 = 500;

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncOutcome {
    /// The accounts are as the directory says.
    Done,
    /// It would have disabled too many, and changed nothing.
    Stopped,
    /// The directory could not be read, or the changes not be made.
    Failed,
}

impl SyncOutcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Done, Self::Stopped, Self::Failed];

    /// The name used in the database, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRun {
    /// Its identifier.
    pub id: SyncRunId,
    /// What was read.
    pub source: Source,
    /// Who did it.
    pub node: NodeId,
    /// When it began.
    pub started_at: UnixMillis,
    /// When it ended.
    pub ended_at: UnixMillis,
    /// What it came to.
    pub outcome: SyncOutcome,
    /// Why it did not succeed.
    pub reason: Option<String>,
    /// People in the directory.
    pub people: u64,
    /// Accounts made.
    pub added: u64,
    /// Accounts changed.
    pub updated: u64,
    /// Accounts disabled.
    pub disabled: u64,
    /// People left out, since another user has their address or they have none.
    pub skipped: u64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    source: String,
    node: String,
    started_at: i64,
    ended_at: i64,
    outcome: String,
    reason: Option<String>,
    people: i64,
    added: i64,
    updated: i64,
    disabled: i64,
    skipped: i64,
}

impl Store {
    /// Notes a run that has ended, with an audit entry if there is one, and forgets those beyond the newest [`KEPT`].
    ///
    /// # Errors
    /// The database.
    pub async fn record_sync_run(
        &self,
        org: OrgId,
        run: &SyncRun,
        act: Option<&Draft>,
    ) -> Result<(), StoreError> {
        let count = stored::signed;
        let (people, added) = (count("people", run.people)?, count("added", run.added)?);
        let (updated, disabled) = (count("updated", run.updated)?, count("disabled", run.disabled)?);
        let skipped = count("skipped", run.skipped)?;
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO sync_runs (org_id, id, source, node, started_at, ended_at, outcome, reason, people, added, \
                 updated, disabled, skipped) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            )
            .bind(org.to_string())
            .bind(run.id.to_string())
            .bind(run.source.to_string())
            .bind(run.node.to_string())
            .bind(run.started_at.0)
            .bind(run.ended_at.0)
            .bind(run.outcome.as_str())
            .bind(run.reason.as_ref().map(|reason| reason.replace('\0', "\u{fffd}")))
            .bind(people)
            .bind(added)
            .bind(updated)
            .bind(disabled)
            .bind(skipped)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, run.id))?;
        change!(tx, |db| {
            sqlx::query(
                "DELETE FROM sync_runs WHERE org_id = $1 AND source = $2 AND id < COALESCE((\
                 SELECT id FROM sync_runs WHERE org_id = $1 AND source = $2 ORDER BY id DESC LIMIT 1 OFFSET $3), '')",
            )
            .bind(org.to_string())
            .bind(run.source.to_string())
            .bind(i64::from(KEPT - 1))
            .execute(db)
            .await
        })?;
        match act {
            Some(act) => tx.record(org, act).await,
            None => tx.commit().await,
        }
    }

    /// Lists runs of a source, newest first.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn sync_runs(
        &self,
        org: OrgId,
        source: &Source,
        page: &Page,
    ) -> Result<Listed<SyncRun>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(
            "SELECT id, source, node, started_at, ended_at, outcome, reason, people, added, updated, disabled, skipped \
             FROM sync_runs WHERE org_id = $1",
            org,
        );
        filter.arg("AND source = $?", Arg::Text(source.to_string()));
        filter.text("AND id < $?", page.cursor(|text| text.parse::<SyncRunId>().ok())?);
        filter.arg("ORDER BY id DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.id.clone());
        let items = listed.items.into_iter().map(run_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }
}

fn run_of(row: Row) -> Result<SyncRun, StoreError> {
    let outcome = SyncOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == row.outcome);
    Ok(SyncRun {
        outcome: outcome.ok_or_else(|| StoreError::corrupt(NOUN, &row.id, "its outcome is unknown"))?,
        id: stored::parsed(NOUN, &row.id)?,
        source: stored::parsed(NOUN, &row.source)?,
        node: stored::parsed(NOUN, &row.node)?,
        started_at: UnixMillis(row.started_at),
        ended_at: UnixMillis(row.ended_at),
        reason: row.reason,
        people: stored::unsigned(NOUN, row.people)?,
        added: stored::unsigned(NOUN, row.added)?,
        updated: stored::unsigned(NOUN, row.updated)?,
        disabled: stored::unsigned(NOUN, row.disabled)?,
        skipped: stored::unsigned(NOUN, row.skipped)?,
    })
}

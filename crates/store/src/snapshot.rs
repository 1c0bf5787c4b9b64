//! The figures of each day, as they are kept when it is over.
//!
//! A day is written a few scopes at a time, each time under the lease, and counts as kept when its row in `metric_days` is
//! there: who reads sees a day whole or not at all.

use std::collections::BTreeSet;

use gatehouse_domain::id::OrgId;
use gatehouse_domain::metrics::snapshot::{Measured, ScopeKind, Snapshot};
use gatehouse_domain::metrics::{Counts, Quantiles};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::usage::Tokens;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::rollout::{Lease, holds};
use crate::stored;

const NOUN: &str = "metric snapshot";
/// How many counts a snapshot has, and how many columns about times behind them.
const COUNTS: usize = 24;
const TIMES: usize = 8;
/// Most snapshots that are deleted in one transaction.
const FORGOTTEN: i64 = 500;
/// Most snapshots that are read at once: those of more than ten years of a scope.
const MOST: i64 = 4_000;

/// The numbers of a snapshot, in the order in which they are written and read below.
macro_rules! numbers {
    () => {
        "total_users, active_users, total_requests, failed_requests, refused_requests, retried_requests, \
         abandoned_requests, total_time_ms, cost_nanos, score_sum, answers, active_days, active_7d, active_30d, \
         input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens, output_tokens, edits_accepted, \
         edits_rejected, told_users, told_days, sessions, timed, p50_ms, p95_ms, p99_ms, first_timed, first_p50_ms, \
         first_p95_ms, first_p99_ms"
    };
}

const PUT: &str = concat!(
    "INSERT INTO metric_snapshots (org_id, kind, scope_id, day, name, taken_at, ",
    numbers!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, \
     $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38)"
);
const GET: &str = concat!(
    "SELECT s.kind, s.scope_id, s.name, s.day, s.taken_at, d.from_rollups, ",
    numbers!(),
    " FROM metric_snapshots s JOIN metric_days d ON d.org_id = s.org_id AND d.day = s.day AND d.taken_at = s.taken_at \
     WHERE s.org_id = $1"
);

/// A day, with what concerns all its snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotDay {
    /// The beginning of the day.
    pub day: UnixMillis,
    /// When its snapshots were taken.
    pub taken_at: UnixMillis,
    /// Whether the sums stood in for the exchanges.
    pub from_rollups: bool,
    /// Of how many scopes.
    pub scopes: u64,
}

impl Store {
    /// Which days are kept, from a time on.
    ///
    /// # Errors
    /// The database.
    pub async fn snapshot_days(
        &self,
        org: OrgId,
        since: UnixMillis,
    ) -> Result<BTreeSet<UnixMillis>, StoreError> {
        let days: Vec<(i64,)> = read!(self, |db| {
            sqlx::query_as("SELECT day FROM metric_days WHERE org_id = $1 AND day >= $2")
                .bind(org.to_string())
                .bind(since.0)
                .fetch_all(db)
                .await
        })?;
        Ok(days.into_iter().map(|(day,)| UnixMillis(day)).collect())
    }

    /// Writes snapshots of a day that is not kept yet, in one transaction; what of them an earlier run left is written anew.
    /// Says no, and writes nothing, when the lease is not held any more or the day is kept by now.
    ///
    /// # Errors
    /// A number that is too large; the database.
    pub async fn put_snapshots(
        &self,
        org: OrgId,
        lease: Lease<'_>,
        now: UnixMillis,
        day: UnixMillis,
        snapshots: &[Snapshot],
    ) -> Result<bool, StoreError> {
        let rows = snapshots.iter().map(numbers).collect::<Result<Vec<_>, _>>()?;
        let mut tx = self.begin().await?;
        // The lease's row stays locked: nobody else writes meanwhile.
        if !holds(&mut tx, org, lease, now).await? || is_kept(&mut tx, org, day).await? {
            return Ok(false);
        }
        for (snapshot, row) in snapshots.iter().zip(&rows) {
            let scope = &snapshot.scope;
            change!(tx, |db| {
                sqlx::query(
                    "DELETE FROM metric_snapshots WHERE org_id = $1 AND kind = $2 AND scope_id = $3 AND day = $4",
                )
                .bind(org.to_string())
                .bind(scope.kind.as_str())
                .bind(scope.id.as_str())
                .bind(day.0)
                .execute(db)
                .await
            })?;
            change!(tx, |db| {
                let query = sqlx::query(PUT)
                    .bind(org.to_string())
                    .bind(scope.kind.as_str())
                    .bind(scope.id.as_str())
                    .bind(day.0)
                    .bind(scope.name.as_str())
                    .bind(snapshot.taken_at.0);
                row.iter().fold(query, |query, number| query.bind(*number)).execute(db).await
            })?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Says that a day is kept. Says no, and changes nothing, when the lease is not held any more or the day is kept by now.
    ///
    /// # Errors
    /// The database.
    pub async fn keep_snapshot_day(
        &self,
        org: OrgId,
        lease: Lease<'_>,
        now: UnixMillis,
        day: &SnapshotDay,
    ) -> Result<bool, StoreError> {
        let scopes = stored::signed("scopes", day.scopes)?;
        let mut tx = self.begin().await?;
        if !holds(&mut tx, org, lease, now).await? {
            return Ok(false);
        }
        let kept = change!(tx, |db| {
            sqlx::query(
                "INSERT INTO metric_days (org_id, day, taken_at, from_rollups, scopes) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (org_id, day) DO NOTHING",
            )
            .bind(org.to_string())
            .bind(day.day.0)
            .bind(day.taken_at.0)
            .bind(i64::from(day.from_rollups))
            .bind(scopes)
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(kept > 0)
    }

    /// The snapshots of a scope on kept days from one day up to another, in their order; those of ten years at most.
    ///
    /// # Errors
    /// A snapshot that cannot be read; the database.
    pub async fn snapshots(
        &self,
        org: OrgId,
        kind: ScopeKind,
        id: &str,
        since: UnixMillis,
        until: UnixMillis,
    ) -> Result<Vec<Snapshot>, StoreError> {
        let mut filter = Filter::new(GET, org);
        filter.text("AND s.kind = $?", Some(kind.as_str()));
        filter.text("AND s.scope_id = $?", Some(id));
        filter.int("AND s.day >= $?", Some(since.0));
        filter.int("AND s.day < $?", Some(until.0));
        filter.arg("ORDER BY s.day LIMIT $?", Arg::Int(MOST));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Columns>(sql), args).fetch_all(db).await)?;
        rows.iter().map(snapshot_of).collect()
    }

    /// The identifier of the scope that was last called so, of those that are no more as well.
    ///
    /// # Errors
    /// The database.
    pub async fn measured_scope(
        &self,
        org: OrgId,
        kind: ScopeKind,
        name: &str,
    ) -> Result<Option<String>, StoreError> {
        let found: Option<(String,)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT scope_id FROM metric_snapshots WHERE org_id = $1 AND kind = $2 AND name = $3 \
                 ORDER BY day DESC, scope_id DESC LIMIT 1",
            )
            .bind(org.to_string())
            .bind(kind.as_str())
            .bind(name)
            .fetch_optional(db)
            .await
        })?;
        Ok(found.map(|(id,)| id))
    }

    /// How many snapshots are of days before this.
    ///
    /// # Errors
    /// The database.
    pub async fn old_snapshots(&self, org: OrgId, before: UnixMillis) -> Result<u64, StoreError> {
        let (count,): (i64,) = read!(self, |db| {
            sqlx::query_as("SELECT COUNT(*) FROM metric_snapshots WHERE org_id = $1 AND day < $2")
                .bind(org.to_string())
                .bind(before.0)
                .fetch_one(db)
                .await
        })?;
        stored::unsigned(NOUN, count)
    }

    /// Deletes snapshots of days before this, 500 at most in one short transaction. Gives how many went.
    ///
    /// # Errors
    /// The database.
    pub async fn forget_snapshots(&self, org: OrgId, before: UnixMillis) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let gone = change!(tx, |db| {
            sqlx::query(
                "DELETE FROM metric_snapshots WHERE org_id = $1 AND (kind, scope_id, day) IN \
                 (SELECT kind, scope_id, day FROM metric_snapshots WHERE org_id = $1 AND day < $2 ORDER BY day LIMIT $3)",
            )
            .bind(org.to_string())
            .bind(before.0)
            .bind(FORGOTTEN)
            .execute(db)
            .await
        })?;
        // A day is a row a day; it goes when nothing of it is left.
        change!(tx, |db| {
            sqlx::query(
                "DELETE FROM metric_days WHERE org_id = $1 AND day < $2 AND NOT EXISTS (SELECT 1 FROM metric_snapshots s \
                 WHERE s.org_id = metric_days.org_id AND s.day = metric_days.day)",
            )
            .bind(org.to_string())
            .bind(before.0)
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(gone)
    }
}

async fn is_kept(tx: &mut Tx, org: OrgId, day: UnixMillis) -> Result<bool, StoreError> {
    let found: Option<(i64,)> = within!(tx, |db| {
        sqlx::query_as("SELECT day FROM metric_days WHERE org_id = $1 AND day = $2")
            .bind(org.to_string())
            .bind(day.0)
            .fetch_optional(db)
            .await
    })?;
    Ok(found.is_some())
}

/// What is counted of a snapshot, in the order of the columns.
fn numbers(snapshot: &Snapshot) -> Result<[i64; COUNTS + TIMES], StoreError> {
    let n = |number: u64| stored::signed(NOUN, number);
    let (c, t) = (&snapshot.counts, &snapshot.counts.tokens);
    let (all, first) = (snapshot.durations, snapshot.first_bytes);
    let [_, active_7d, active_30d] = c.active_in;
    Ok([
        n(c.total_users)?,
        n(c.active_users)?,
        n(c.total_requests)?,
        n(c.failed_requests)?,
        n(c.refused_requests)?,
        n(c.retried_requests)?,
        n(c.abandoned_requests)?,
        n(c.total_time_ms)?,
        c.total_cost.0,
        n(c.score_sum)?,
        n(c.answers)?,
        n(c.active_days)?,
        n(active_7d)?,
        n(active_30d)?,
        n(t.input)?,
        n(t.cache_write_5m)?,
        n(t.cache_write_1h)?,
        n(t.cache_read)?,
        n(t.output)?,
        n(c.edits_accepted)?,
        n(c.edits_rejected)?,
        n(c.told_users)?,
        n(c.told_days)?,
        n(c.sessions)?,
        n(all.n)?,
        i64::from(all.p50),
        i64::from(all.p95),
        i64::from(all.p99),
        n(first.n)?,
        i64::from(first.p50),
        i64::from(first.p95),
        i64::from(first.p99),
    ])
}

/// A row, whichever engine it came from.
struct Columns {
    texts: [String; 3],
    day: i64,
    taken_at: i64,
    from_rollups: i64,
    counts: [i64; COUNTS],
    times: [i64; TIMES],
}

impl<'r, R> sqlx::FromRow<'r, R> for Columns
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let (mut counts, mut times) = ([0; COUNTS], [0; TIMES]);
        for (at, number) in counts.iter_mut().chain(&mut times).enumerate() {
            *number = row.try_get(at + 6)?;
        }
        Ok(Self {
            texts: [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?],
            day: row.try_get(3)?,
            taken_at: row.try_get(4)?,
            from_rollups: row.try_get(5)?,
            counts,
            times,
        })
    }
}

fn snapshot_of(row: &Columns) -> Result<Snapshot, StoreError> {
    let [kind, id, name] = &row.texts;
    let [timed, p50, p95, p99, first_timed, first_p50, first_p95, first_p99] = row.times;
    let quantiles = |n: i64, ms: [i64; 3]| {
        let [p50, p95, p99] =
            ms.map(|ms| u32::try_from(ms).map_err(|_| StoreError::corrupt(NOUN, name, "a time is too long")));
        Ok::<_, StoreError>(Quantiles { p50: p50?, p95: p95?, p99: p99?, n: stored::unsigned(NOUN, n)? })
    };
    Ok(Snapshot {
        scope: Measured { kind: stored::parsed(NOUN, kind)?, id: id.clone(), name: name.clone() },
        day: UnixMillis(row.day),
        taken_at: UnixMillis(row.taken_at),
        from_rollups: row.from_rollups == 1,
        counts: counts_of(&row.counts)?,
        durations: quantiles(timed, [p50, p95, p99])?,
        first_bytes: quantiles(first_timed, [first_p50, first_p95, first_p99])?,
    })
}

fn counts_of(counts: &[i64; COUNTS]) -> Result<Counts, StoreError> {
    let mut rest = counts.iter();
    let mut cell = || rest.next().copied().unwrap_or(0);
    let n = |number: i64| stored::unsigned(NOUN, number);
    let mut counts = Counts {
        total_users: n(cell())?,
        active_users: n(cell())?,
        total_requests: n(cell())?,
        failed_requests: n(cell())?,
        refused_requests: n(cell())?,
        retried_requests: n(cell())?,
        abandoned_requests: n(cell())?,
        total_time_ms: n(cell())?,
        total_cost: Nanos(cell()),
        score_sum: n(cell())?,
        answers: n(cell())?,
        active_days: n(cell())?,
        ..Counts::default()
    };
    counts.active_in = [counts.active_users, n(cell())?, n(cell())?];
    counts.tokens = Tokens {
        input: n(cell())?,
        cache_write_5m: n(cell())?,
        cache_write_1h: n(cell())?,
        cache_read: n(cell())?,
        output: n(cell())?,
    };
    (counts.edits_accepted, counts.edits_rejected) = (n(cell())?, n(cell())?);
    (counts.told_users, counts.told_days, counts.sessions) = (n(cell())?, n(cell())?, n(cell())?);
    Ok(counts)
}

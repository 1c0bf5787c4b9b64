//! Counting what clients say, each request once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use gatehouse_domain::id::{OrgId, TeamId, UserId};
use gatehouse_domain::telemetry::{Amount, Event, MEASURES, Measure, Report, Running, Sums, step};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{ManyRows, change, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::ledger::plain;

/// Running sums of one person that are known at once. Points of further ones are not counted.
pub const MAX_STREAMS: i64 = 5_000;

/// Events per statement.
const CHUNK: usize = 32;
const INSERT: &str =
    "INSERT INTO client_events (org_id, id, user_id, team_id, name, model, session, attributes) VALUES";
const COLUMNS: usize = 8;

static CHUNK_SQL: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::new(INSERT, CHUNK, COLUMNS, ""));
static ONE_SQL: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::new(INSERT, 1, COLUMNS, ""));

static HOURLY: LazyLock<String> = LazyLock::new(|| add_sql("client_rollups", "hour"));
static DAILY: LazyLock<String> = LazyLock::new(|| add_sql("client_daily_rollups", "day"));

fn add_sql(table: &str, time: &str) -> String {
    let columns = Measure::ALL.map(Measure::as_str);
    let values: Vec<String> = (1..=5 + MEASURES).map(|n| format!("${n}")).collect();
    // A sum stops at the end of its range: one absurd claim must not keep all later ones out.
    let adds = columns.map(|c| {
        format!(
            "{c} = CASE WHEN {table}.{c} > {max} - excluded.{c} THEN {max} ELSE {table}.{c} + excluded.{c} END",
            max = i64::MAX
        )
    });
    format!(
        "INSERT INTO {table} (org_id, {time}, user_id, team_id, model, {}) VALUES ({}) \
         ON CONFLICT (org_id, {time}, user_id, team_id, model) DO UPDATE SET {}",
        columns.join(", "),
        values.join(", "),
        adds.join(", ")
    )
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It was counted, but for so many of its points: they are of more running sums than are kept of one person.
    Counted(u64),
    /// It had been counted before.
    Again,
}

/// What claims are summed by. Ordered, so that two nodes lock rows in the same order.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Group {
    /// The start of the hour or day.
    at: i64,
    user: UserId,
    team: Option<TeamId>,
    model: String,
}

impl Store {
    /// Counts reports, all in one transaction. One that was counted before, by any node, is not counted again.
    ///
    /// # Errors
    /// The database; nothing of them is counted then.
    pub async fn keep_reports(&self, org: OrgId, reports: &[Report]) -> Result<Vec<Kept>, StoreError> {
        let mut tx = self.begin().await?;
        let mut groups: BTreeMap<Group, Sums> = BTreeMap::new();
        let mut kept = vec![Kept::Again; reports.len()];
        let mut events = Vec::new();
        // In the order of their digests, so that two nodes wait for each other in one direction only.
        let mut order: Vec<usize> = (0..reports.len()).collect();
        order.sort_by_key(|at| (reports[*at].user, reports[*at].digest));
        for at in order {
            let report = &reports[at];
            if !is_new(&mut tx, org, report).await? {
                continue;
            }
            kept[at] = Kept::Counted(add_points(&mut tx, org, report, &mut groups).await?);
            for event in &report.events {
                let sums = groups.entry(group(report, event.at, &event.model)).or_default();
                event.adds.iter().for_each(|(measure, amount)| sums.add(*measure, *amount));
                events.push((report, event));
            }
        }
        add(&mut tx, org, HOURLY.as_str(), &groups).await?;
        add(&mut tx, org, DAILY.as_str(), &days(&groups)).await?;
        insert(&mut tx, org, &events).await?;
        tx.commit().await?;
        Ok(kept)
    }
}

fn group(report: &Report, at: UnixMillis, model: &str) -> Group {
    Group { at: at.hour().0, user: report.user, team: report.team, model: plain(model) }
}

async fn is_new(tx: &mut Tx, org: OrgId, report: &Report) -> Result<bool, StoreError> {
    let new = change!(tx, |db| {
        sqlx::query(
            "INSERT INTO client_batches (org_id, digest, came_at) VALUES ($1, $2, $3) \
             ON CONFLICT (org_id, digest) DO NOTHING",
        )
        .bind(org.to_string())
        .bind(report.digest.to_vec())
        .bind(report.came.0)
        .execute(db)
        .await
    })?;
    Ok(new > 0)
}

/// Adds a report's points; gives how many could not be counted.
async fn add_points(
    tx: &mut Tx,
    org: OrgId,
    report: &Report,
    groups: &mut BTreeMap<Group, Sums>,
) -> Result<u64, StoreError> {
    let mut room = None;
    let mut left_out = 0;
    for point in &report.points {
        let more = match &point.amount {
            Amount::More(more) => *more,
            Amount::Since(running) => match follow(tx, org, report, running, &mut room).await? {
                Followed::More(more) => more,
                Followed::Old => continue,
                Followed::NoRoom => {
                    left_out += 1;
                    continue;
                }
            },
        };
        groups.entry(group(report, point.at, &point.model)).or_default().add(point.measure, more);
    }
    Ok(left_out)
}

/// What a running sum brings.
enum Followed {
    More(i64),
    Old,
    NoRoom,
}

async fn follow(
    tx: &mut Tx,
    org: OrgId,
    report: &Report,
    running: &Running,
    room: &mut Option<i64>,
) -> Result<Followed, StoreError> {
    let known: Option<(i64, i64)> = within!(tx, |db| {
        sqlx::query_as(
            "SELECT nanos, total FROM client_streams WHERE org_id = $1 AND user_id = $2 AND stream = $3",
        )
        .bind(org.to_string())
        .bind(report.user.to_string())
        .bind(running.stream.to_vec())
        .fetch_optional(db)
        .await
    })?;
    let Some(more) = step(known, running) else { return Ok(Followed::Old) };
    if known.is_none() {
        let left = match room {
            Some(left) => *left,
            None => MAX_STREAMS - streams(tx, org, report.user).await?,
        };
        if left <= 0 {
            return Ok(Followed::NoRoom);
        }
        *room = Some(left - 1);
    }
    let sql = "INSERT INTO client_streams (org_id, user_id, stream, nanos, total, heard_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, user_id, stream) DO UPDATE SET \
         nanos = excluded.nanos, total = excluded.total, heard_at = excluded.heard_at \
         WHERE client_streams.nanos < excluded.nanos";
    let changed = change!(tx, |db| {
        sqlx::query(sql)
            .bind(org.to_string())
            .bind(report.user.to_string())
            .bind(running.stream.to_vec())
            .bind(running.nanos)
            .bind(running.total)
            .bind(report.came.0)
            .execute(db)
            .await
    })?;
    // Another node was faster with the same point.
    Ok(if changed == 0 { Followed::Old } else { Followed::More(more) })
}

async fn streams(tx: &mut Tx, org: OrgId, user: UserId) -> Result<i64, StoreError> {
    let (count,): (i64,) = within!(tx, |db| {
        sqlx::query_as("SELECT COUNT(*) FROM client_streams WHERE org_id = $1 AND user_id = $2")
            .bind(org.to_string())
            .bind(user.to_string())
            .fetch_one(db)
            .await
    })?;
    Ok(count)
}

fn days(groups: &BTreeMap<Group, Sums>) -> BTreeMap<Group, Sums> {
    let mut days: BTreeMap<Group, Sums> = BTreeMap::new();
    for (group, sums) in groups {
        let day = Group { at: UnixMillis(group.at).day().0, ..group.clone() };
        let sum = days.entry(day).or_default();
        for (sum, more) in sum.0.iter_mut().zip(sums.0) {
            *sum = sum.saturating_add(more);
        }
    }
    days
}

async fn add(
    tx: &mut Tx,
    org: OrgId,
    sql: &'static str,
    groups: &BTreeMap<Group, Sums>,
) -> Result<(), StoreError> {
    for (group, sums) in groups {
        change!(tx, |db| {
            let mut query = sqlx::query(sql)
                .bind(org.to_string())
                .bind(group.at)
                .bind(group.user.to_string())
                .bind(group.team.map(|id| id.to_string()).unwrap_or_default())
                .bind(group.model.clone());
            for sum in sums.0 {
                query = query.bind(sum);
            }
            query.execute(db).await
        })?;
    }
    Ok(())
}

async fn insert(tx: &mut Tx, org: OrgId, events: &[(&Report, &Event)]) -> Result<(), StoreError> {
    let mut rest = events;
    while !rest.is_empty() {
        let (sql, size) = if rest.len() >= CHUNK { (&CHUNK_SQL, CHUNK) } else { (&ONE_SQL, 1) };
        let (chunk, later) = rest.split_at(size);
        rest = later;
        let sql = sql.text(&tx.open);
        change!(tx, |db| {
            let mut query = sqlx::query(sql);
            for (report, event) in chunk {
                query = query
                    .bind(org.to_string())
                    .bind(event.id.to_string())
                    .bind(report.user.to_string())
                    .bind(report.team.map(|id| id.to_string()))
                    .bind(event.name.as_str())
                    .bind(plain(&event.model))
                    .bind(plain(&event.session))
                    .bind(plain(&event.attributes));
            }
            query.execute(db).await
        })?;
    }
    Ok(())
}

//! Hourly and daily sums.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use gatehouse_domain::exchange::{Ended, Exchange, Principal};
use gatehouse_domain::id::{KeyId, OrgId, ProjectId, TeamId, UserId};
use gatehouse_domain::time::UnixMillis;

use super::bring::plain;
use crate::dialect::change;
use crate::engine::Tx;
use crate::error::StoreError;

/// What exchanges are summed by. Ordered, so that two nodes lock rows in the same order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group<'a> {
    /// The start of the hour or day.
    at: i64,
    user: Option<UserId>,
    team: Option<TeamId>,
    project: Option<ProjectId>,
    key: Option<KeyId>,
    provider: &'a str,
    model: &'a str,
    kind: &'static str,
}

/// Sums of a group; every field saturates.
#[derive(Default)]
struct Sums([i64; SUMS]);

const SUMS: usize = 14;

/// Which way the exchanges came. There is one so far.
const MODE: &str = "gateway";

/// The columns of [`Sums`], in its order.
const COLUMNS: [&str; SUMS] = [
    "requests",
    "errors",
    "refusals",
    "estimated",
    "input_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_read_tokens",
    "output_tokens",
    "web_searches",
    "cost_nanos",
    "duration_ms",
    "first_byte_ms",
    "first_bytes",
];

static HOURLY: LazyLock<String> = LazyLock::new(|| sql("rollups", "hour"));
static DAILY: LazyLock<String> = LazyLock::new(|| sql("daily_rollups", "day"));

fn sql(table: &str, time: &str) -> String {
    let columns = COLUMNS.join(", ");
    let values: Vec<String> = (1..=10 + SUMS).map(|n| format!("${n}")).collect();
    // A sum stops at the end of its range: one absurd exchange must not keep all later ones out of the database.
    let adds = COLUMNS.map(|c| {
        format!(
            "{c} = CASE WHEN {table}.{c} > {max} - excluded.{c} THEN {max} ELSE {table}.{c} + excluded.{c} END",
            max = i64::MAX
        )
    });
    format!(
        "INSERT INTO {table} (org_id, {time}, user_id, team_id, project_id, key_id, provider, model, kind, mode, {columns}) \
         VALUES ({}) \
         ON CONFLICT (org_id, {time}, user_id, team_id, project_id, key_id, provider, model, kind, mode) DO UPDATE SET {}",
        values.join(", "),
        adds.join(", ")
    )
}

/// Adds exchanges to their hours' and days' sums.
pub(super) async fn add(
    tx: &mut Tx,
    org: OrgId,
    exchanges: impl Iterator<Item = &Exchange>,
) -> Result<(), StoreError> {
    let mut groups: BTreeMap<Group<'_>, Sums> = BTreeMap::new();
    for exchange in exchanges {
        groups.entry(group_of(exchange)).or_default().add(exchange);
    }
    let mut days: BTreeMap<Group<'_>, Sums> = BTreeMap::new();
    for (group, sums) in &groups {
        let day = Group { at: UnixMillis(group.at).day().0, ..*group };
        days.entry(day).or_default().plus(sums.0);
    }
    write(tx, org, HOURLY.as_str(), &groups).await?;
    write(tx, org, DAILY.as_str(), &days).await
}

async fn write(
    tx: &mut Tx,
    org: OrgId,
    sql: &'static str,
    groups: &BTreeMap<Group<'_>, Sums>,
) -> Result<(), StoreError> {
    for (group, sums) in groups {
        change!(tx, |db| {
            let mut query = sqlx::query(sql)
                .bind(org.to_string())
                .bind(group.at)
                .bind(text(group.user))
                .bind(text(group.team))
                .bind(text(group.project))
                .bind(text(group.key))
                .bind(plain(group.provider))
                .bind(plain(group.model))
                .bind(group.kind)
                .bind(MODE);
            for sum in sums.0 {
                query = query.bind(sum);
            }
            query.execute(db).await
        })?;
    }
    Ok(())
}

fn group_of(e: &Exchange) -> Group<'_> {
    let whose = e.principal.as_ref();
    Group {
        at: e.started_at.hour().0,
        user: whose.map(|p| p.user),
        team: whose.and_then(|p| p.team),
        project: whose.and_then(|p| p.project),
        key: whose.and_then(Principal::key),
        provider: e.provider.as_deref().unwrap_or_default(),
        model: e.model.as_deref().unwrap_or_default(),
        kind: e.kind.as_str(),
    }
}

fn text(id: Option<impl ToString>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

impl Sums {
    fn add(&mut self, e: &Exchange) {
        let used = e.usage.total();
        let refused = e.ended == Ended::Refused;
        let failed = !refused && e.ended != Ended::Completed;
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let more: [i64; SUMS] = [
            1,
            i64::from(failed),
            i64::from(refused),
            i64::from(e.estimated),
            count(used.input),
            count(used.cache_write_5m),
            count(used.cache_write_1h),
            count(used.cache_read),
            count(used.output),
            count(e.usage.server_tools.web_search),
            e.cost.nanos.0.max(0),
            i64::from(e.duration_ms),
            e.first_byte_ms.map_or(0, i64::from),
            i64::from(e.first_byte_ms.is_some()),
        ];
        self.plus(more);
    }

    fn plus(&mut self, more: [i64; SUMS]) {
        for (sum, more) in self.0.iter_mut().zip(more) {
            *sum = sum.saturating_add(more);
        }
    }
}

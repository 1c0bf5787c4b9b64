//! Hourly sums.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use gatehouse_domain::exchange::{Ended, Exchange};
use gatehouse_domain::id::OrgId;

use crate::dialect::change;
use crate::engine::Tx;
use crate::error::StoreError;

/// What exchanges are summed by. Ordered, so that two nodes lock rows in the same order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    hour: i64,
    user: String,
    team: String,
    project: String,
    key: String,
    provider: String,
    model: String,
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

static SQL: LazyLock<String> = LazyLock::new(|| {
    let columns = COLUMNS.join(", ");
    let values: Vec<String> = (1..=10 + SUMS).map(|n| format!("${n}")).collect();
    // A sum stops at the end of its range: one absurd exchange must not keep all later ones out of the database.
    let adds = COLUMNS.map(|c| {
        format!(
            "{c} = CASE WHEN rollups.{c} > {max} - excluded.{c} THEN {max} ELSE rollups.{c} + excluded.{c} END",
            max = i64::MAX
        )
    });
    format!(
        "INSERT INTO rollups (org_id, hour, user_id, team_id, project_id, key_id, provider, model, kind, mode, {columns}) \
         VALUES ({}) \
         ON CONFLICT (org_id, hour, user_id, team_id, project_id, key_id, provider, model, kind, mode) DO UPDATE SET {}",
        values.join(", "),
        adds.join(", ")
    )
});

/// Adds exchanges to their hours' sums.
pub(super) async fn add(tx: &mut Tx, org: OrgId, exchanges: &[&Exchange]) -> Result<(), StoreError> {
    let mut groups: BTreeMap<Group, Sums> = BTreeMap::new();
    for exchange in exchanges {
        groups.entry(group_of(exchange)).or_default().add(exchange);
    }
    for (group, sums) in &groups {
        change!(tx, |db| {
            let mut query = sqlx::query(SQL.as_str())
                .bind(org.to_string())
                .bind(group.hour)
                .bind(&group.user)
                .bind(&group.team)
                .bind(&group.project)
                .bind(&group.key)
                .bind(&group.provider)
                .bind(&group.model)
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

fn group_of(e: &Exchange) -> Group {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().replace('\0', "");
    let whose = e.principal.as_ref();
    Group {
        hour: e.started_at.hour().0,
        user: whose.map(|p| p.user.to_string()).unwrap_or_default(),
        team: whose.and_then(|p| p.team).map(|id| id.to_string()).unwrap_or_default(),
        project: whose.and_then(|p| p.project).map(|id| id.to_string()).unwrap_or_default(),
        key: whose.map(|p| p.key.to_string()).unwrap_or_default(),
        provider: text(&e.provider),
        model: text(&e.model),
        kind: e.kind.as_str(),
    }
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
        for (sum, more) in self.0.iter_mut().zip(more) {
            *sum = sum.saturating_add(more);
        }
    }
}

//! What was spent of a budget, by the rollups.

use gatehouse_domain::budget::{Budget, Holder};
use gatehouse_domain::id::{NodeId, OrgId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::pool::Base;
use crate::span::{self, LEDGER, Part};
use crate::stored;
use crate::sum::{halves, whole};

/// A sum, and up to where it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// The sum.
    pub nanos: Nanos,
    /// All of the node's exchanges up to this entry of its journal are in it, and none after.
    pub through: u64,
}

/// One statement, so that sums and place are of one moment: they are written in one transaction. The place comes out also
/// where there is nothing to sum.
const SELECT: &str = concat!(
    "SELECT s.model, s.cost_nanos_high, s.cost_nanos, p.seq \
     FROM (SELECT MAX(seq) AS seq FROM journal_positions WHERE node_id = $2 AND run = $3) p \
     LEFT JOIN (SELECT r.model, ",
    halves!("cost_nanos"),
    " FROM "
);

/// The same with the place of every node's journal, in one statement for the same reason.
const SELECT_ALL: &str = concat!(
    "SELECT CAST(NULL AS TEXT) AS model, CAST(NULL AS BIGINT) AS cost_nanos_high, CAST(NULL AS BIGINT) AS cost_nanos, \
     node_id, run, seq FROM journal_positions \
     UNION ALL SELECT s.model, s.cost_nanos_high, s.cost_nanos, CAST(NULL AS TEXT), CAST(NULL AS BIGINT), \
     CAST(NULL AS BIGINT) FROM (SELECT r.model, ",
    halves!("cost_nanos"),
    " FROM "
);

pub(super) const COLUMNS: &str = "user_id, team_id, project_id, key_id, provider, model, cost_nanos";

#[derive(sqlx::FromRow)]
struct AllRow {
    model: Option<String>,
    cost_nanos_high: Option<i64>,
    cost_nanos: Option<i64>,
    node_id: Option<String>,
    run: Option<i64>,
    seq: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    model: Option<String>,
    cost_nanos_high: Option<i64>,
    cost_nanos: Option<i64>,
    seq: Option<i64>,
}

impl Store {
    /// What was spent of a budget in its period of this time, on all nodes, and up to which entry of this node's journal
    /// (of the run with this number) that is.
    ///
    /// Rollups are by the hour and by the day, and periods begin and end with an hour, so that the sum is exact.
    ///
    /// # Errors
    /// The database.
    pub async fn spent_of(
        &self,
        org: OrgId,
        budget: &Budget,
        at: UnixMillis,
        node: NodeId,
        run: u64,
    ) -> Result<Spent, StoreError> {
        let parts = parts_of(budget, at);
        let mut filter = Filter::made(statement(SELECT, &parts, 4), org);
        filter.arg("", Arg::Text(node.to_string()));
        filter.arg("", Arg::Int(run.cast_signed()));
        span::bounds(&mut filter, &parts);
        of(&mut filter, budget);
        filter.sql("GROUP BY r.model) s ON 1 = 1");
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let seq = rows.first().and_then(|row| row.seq).unwrap_or(0);
        let counted = rows.iter().filter(|row| row.model.as_deref().is_some_and(|m| budget.models.allows(m)));
        let sum = counted
            .map(|row| whole(row.cost_nanos_high.unwrap_or(0), row.cost_nanos.unwrap_or(0)))
            .fold(0_i64, i64::saturating_add);
        Ok(Spent { nanos: Nanos(sum), through: stored::unsigned("journal position", seq)? })
    }

    /// What was spent of a budget in its period of this time, on all nodes, and up to which entry of each node's journal
    /// that is.
    ///
    /// # Errors
    /// The database.
    pub async fn spent_by_all(
        &self,
        org: OrgId,
        budget: &Budget,
        at: UnixMillis,
    ) -> Result<Base, StoreError> {
        let parts = parts_of(budget, at);
        let mut filter = Filter::made(statement(SELECT_ALL, &parts, 2), org);
        span::bounds(&mut filter, &parts);
        of(&mut filter, budget);
        filter.sql("GROUP BY r.model) s");
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, AllRow>(sql), args).fetch_all(db).await)?;
        let mut base = Base { spent: 0, ends: Vec::new() };
        for row in rows {
            if let (Some(node), Some(run), Some(seq)) = (&row.node_id, row.run, row.seq) {
                let run = run.cast_unsigned();
                base.ends.push((format!("{node}:{run}"), stored::unsigned("journal position", seq)?));
            } else if row.model.as_deref().is_some_and(|model| budget.models.allows(model)) {
                let high = row.cost_nanos_high.unwrap_or(0);
                base.spent += i128::from(whole(high, row.cost_nanos.unwrap_or(0)));
            }
        }
        Ok(base)
    }
}

pub(super) fn parts_of(budget: &Budget, at: UnixMillis) -> Vec<Part> {
    let (start, end) = budget.bounds(at);
    span::parts(start.0, end.map_or(i64::MAX, |end| end.0))
}

fn statement(select: &str, parts: &[Part], first: usize) -> String {
    format!("{select}{} WHERE r.org_id = $1", span::rows(&LEDGER, COLUMNS, parts, first))
}

/// Only what a budget counts.
fn of(filter: &mut Filter, budget: &Budget) {
    match budget.holder {
        Holder::Organization => {}
        Holder::Team(id) => filter.text("AND r.team_id = $?", Some(id)),
        Holder::Project(id) => filter.text("AND r.project_id = $?", Some(id)),
        Holder::User(id) => filter.text("AND r.user_id = $?", Some(id)),
        Holder::Key(id) => filter.text("AND r.key_id = $?", Some(id)),
    }
    filter.text("AND r.provider = $?", budget.provider.as_ref());
}

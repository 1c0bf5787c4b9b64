//! What was spent of a budget, by the hourly rollups.

use gatehouse_domain::budget::{Budget, Holder};
use gatehouse_domain::id::{NodeId, OrgId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;

use super::usage::{halves, whole};
use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::stored;

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
    " FROM rollups r WHERE r.org_id = $1 AND r.hour >= $4 AND r.hour < $5"
);

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
    /// Rollups are by the hour, and periods begin and end with an hour, so that the sum is exact.
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
        let mut filter = Filter::new(SELECT, org);
        let end = budget.period.end(at).map_or(i64::MAX, |end| end.0);
        for arg in [
            Arg::Text(node.to_string()),
            Arg::Int(run.cast_signed()),
            Arg::Int(budget.period.start(at).0),
            Arg::Int(end),
        ] {
            filter.arg("", arg);
        }
        match budget.holder {
            Holder::Organization => {}
            Holder::Team(id) => filter.text("AND r.team_id = $?", Some(id)),
            Holder::Project(id) => filter.text("AND r.project_id = $?", Some(id)),
            Holder::User(id) => filter.text("AND r.user_id = $?", Some(id)),
            Holder::Key(id) => filter.text("AND r.key_id = $?", Some(id)),
        }
        filter.text("AND r.provider = $?", budget.provider.as_ref());
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
}

//! What was spent of many budgets at once: those that differ only in who holds them and in the models that they count are summed
//! by one statement. A thousand of them take as long as a few.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use gatehouse_domain::budget::{Budget, Holder};
use gatehouse_domain::id::{NodeId, OrgId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;

use super::spent::{COLUMNS, Spent, parts_of};
use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::span::{self, LEDGER};
use crate::stored;
use crate::sum::{halves, whole};

/// Fewer than so many are summed one by one, by the index that their holder has.
const MANY: usize = 8;

/// Budgets whose sums one statement reads.
#[derive(Debug, Clone)]
pub struct Alike(Vec<Arc<Budget>>);

impl Alike {
    /// Groups budgets by what they have in common at a time.
    pub fn group(budgets: Vec<Arc<Budget>>, at: UnixMillis) -> Vec<Self> {
        let mut groups: BTreeMap<_, Vec<Arc<Budget>>> = BTreeMap::new();
        for budget in budgets {
            let (start, end) = budget.bounds(at);
            let common = (start, end, budget.holder.kind(), budget.provider.clone());
            groups.entry(common).or_default().push(budget);
        }
        let each = |group: Vec<Arc<Budget>>| -> Vec<Self> {
            if group.len() < MANY {
                group.into_iter().map(|budget| Self(vec![budget])).collect()
            } else {
                vec![Self(group)]
            }
        };
        groups.into_values().flat_map(each).collect()
    }

    /// The budgets.
    pub fn budgets(&self) -> &[Arc<Budget>] {
        &self.0
    }
}

/// As for one budget: sums and place are of one moment.
const SELECT: [&str; 2] = [
    "SELECT s.holder, s.model, s.cost_nanos_high, s.cost_nanos, p.seq \
     FROM (SELECT MAX(seq) AS seq FROM journal_positions WHERE node_id = $2 AND run = $3) p LEFT JOIN (SELECT ",
    concat!(" AS holder, r.model, ", halves!("cost_nanos"), " FROM "),
];

#[derive(sqlx::FromRow)]
struct Row {
    holder: Option<String>,
    model: Option<String>,
    cost_nanos_high: Option<i64>,
    cost_nanos: Option<i64>,
    seq: Option<i64>,
}

const fn column(holder: Holder) -> &'static str {
    match holder {
        Holder::Organization => "r.org_id",
        Holder::Team(_) => "r.team_id",
        Holder::Project(_) => "r.project_id",
        Holder::User(_) => "r.user_id",
        Holder::Key(_) => "r.key_id",
    }
}

impl Store {
    /// What was spent of each of these budgets, in their order; see [`Store::spent_of`].
    ///
    /// # Errors
    /// The database.
    pub async fn spent_of_alike(
        &self,
        org: OrgId,
        alike: &Alike,
        at: UnixMillis,
        node: NodeId,
        run: u64,
    ) -> Result<Vec<Spent>, StoreError> {
        let first = match &*alike.0 {
            [] => return Ok(Vec::new()),
            [one] => return Ok(vec![self.spent_of(org, one, at, node, run).await?]),
            [first, ..] => first,
        };
        let (parts, column) = (parts_of(first, at), column(first.holder));
        let [select, from] = SELECT;
        let rows = span::rows(&LEDGER, COLUMNS, &parts, 4);
        let mut filter = Filter::made(format!("{select}{column}{from}{rows} WHERE r.org_id = $1"), org);
        filter.arg("", Arg::Text(node.to_string()));
        filter.arg("", Arg::Int(run.cast_signed()));
        span::bounds(&mut filter, &parts);
        filter.text("AND r.provider = $?", first.provider.as_ref());
        filter.made_sql(&format!("GROUP BY {column}, r.model) s ON 1 = 1"));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| {
            bound!(sqlx::query_as::<_, Row>(sql).persistent(false), args).fetch_all(db).await
        })?;
        let through =
            stored::unsigned("journal position", rows.first().and_then(|row| row.seq).unwrap_or(0))?;
        let mut sums: HashMap<String, Vec<(String, i64)>> = HashMap::new();
        for row in rows {
            if let (Some(holder), Some(model)) = (row.holder, row.model) {
                let cost = whole(row.cost_nanos_high.unwrap_or(0), row.cost_nanos.unwrap_or(0));
                sums.entry(holder).or_default().push((model, cost));
            }
        }
        let spent = |budget: &Arc<Budget>| {
            let holder = match budget.holder {
                Holder::Organization => org.to_string(),
                Holder::Team(_) | Holder::Project(_) | Holder::User(_) | Holder::Key(_) => budget.holder.id(),
            };
            let of_models = sums.get(&holder).into_iter().flatten();
            let counted = of_models.filter(|(model, _)| budget.models.allows(model));
            let nanos = Nanos(counted.fold(0, |sum: i64, (_, cost)| sum.saturating_add(*cost)));
            Spent { nanos, through }
        };
        Ok(alike.0.iter().map(spent).collect())
    }
}

//! What the provider says of people's use: its client analytics, by the day.

mod keep;
mod stand_in;

pub use keep::{Import, MAX_TOLD, Taken};
pub use stand_in::{StandIn, Word};

use std::sync::LazyLock;

use gatehouse_domain::analytics::TOLD;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::role::Scope;
use gatehouse_domain::telemetry::Sums;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::ledger::MAX_SUMS;
use crate::telemetry::ClientUsageRow;

/// What sums are asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnalyticsBy {
    /// Users; and apart from each other those who are none of ours, who have no identifier.
    User,
    /// Models; none for what belongs to none.
    Model,
    /// Terminals.
    Terminal,
    /// UTC days.
    Day,
    /// One sum of everything.
    Total,
}

/// The sums of what is told, each as the sums of its upper and its lower half: neither can come to the end of its range.
static SUMS: LazyLock<String> = LazyLock::new(|| {
    let halves = TOLD.map(|measure| {
        let c = measure.as_str();
        format!("CAST(SUM(r.{c} / 4294967296) AS BIGINT), CAST(SUM(r.{c} % 4294967296) AS BIGINT)")
    });
    halves.join(", ")
});

const BY_COST: &str = "ORDER BY SUM(CAST(r.cost_nanos AS DOUBLE PRECISION)) DESC";

impl AnalyticsBy {
    /// Identifier, name, and what they are grouped and ordered by.
    const fn parts(self) -> [&'static str; 4] {
        match self {
            Self::User => [
                "r.user_id",
                "COALESCE(MAX(u.email), MAX(r.actor))",
                "GROUP BY r.user_id, CASE WHEN r.user_id = '' THEN r.actor_kind || ':' || r.actor ELSE '' END",
                ", r.user_id, MAX(r.actor)",
            ],
            Self::Model => ["r.model", "MAX(r.model)", "GROUP BY r.model", ", r.model"],
            Self::Terminal => ["r.terminal", "MAX(r.terminal)", "GROUP BY r.terminal", ", r.terminal"],
            Self::Day => ["CAST(r.day AS TEXT)", "CAST(NULL AS TEXT)", "GROUP BY r.day", ""],
            Self::Total => ["'total'", "CAST(NULL AS TEXT)", "HAVING COUNT(*) > 0", ""],
        }
    }
}

impl Store {
    /// Sums what the provider says within a scope from the UTC day of `since` up to `until`, the largest cost first (days in their
    /// order). A team's are those of its members now. A sum stops at the end of the range of 64 bits.
    ///
    /// # Errors
    /// There are more than [`MAX_SUMS`] of them; the database.
    pub async fn analytics(
        &self,
        org: OrgId,
        scope: Scope,
        by: AnalyticsBy,
        since: Option<UnixMillis>,
        until: Option<UnixMillis>,
    ) -> Result<Vec<ClientUsageRow>, StoreError> {
        let [id, name, group, order] = by.parts();
        let select = format!(
            "SELECT {id}, {name}, {} FROM client_analytics r \
             LEFT JOIN users u ON u.org_id = r.org_id AND u.id = r.user_id WHERE r.org_id = $1",
            *SUMS
        );
        let mut filter = Filter::made(select, org);
        filter.int("AND r.day >= $?", since.map(|at| at.day().0));
        filter.int("AND r.day < $?", until.map(|at| at.0));
        match scope {
            Scope::Organization => {}
            Scope::Team(team) => filter.text(
                "AND r.user_id IN (SELECT m.user_id FROM memberships m WHERE m.org_id = $1 AND m.team_id = $?)",
                Some(team),
            ),
            Scope::User(user) => filter.text("AND r.user_id = $?", Some(user)),
        }
        filter.made_sql(group);
        match by {
            AnalyticsBy::Day => filter.sql("ORDER BY r.day"),
            AnalyticsBy::Total => {}
            AnalyticsBy::User | AnalyticsBy::Model | AnalyticsBy::Terminal => {
                filter.made_sql(&format!("{BY_COST}{order}"));
            }
        }
        filter.arg("LIMIT $?", Arg::Int(i64::from(MAX_SUMS) + 1));
        let (sql, args) = filter.into_parts();
        let rows: Result<Vec<ClientUsageRow>, sqlx::Error> = read!(self, |db| {
            let found = bound!(sqlx::query(sql).persistent(false), args).fetch_all(db).await;
            found.and_then(|rows| rows.iter().map(row_of).collect())
        });
        let rows = rows?;
        if rows.len() > MAX_SUMS as usize {
            let why = format!("leaves more than {MAX_SUMS} sums; ask for a shorter span");
            return Err(StoreError::Invalid { field: "since", why });
        }
        Ok(rows)
    }
}

fn row_of<R>(row: &R) -> Result<ClientUsageRow, sqlx::Error>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    for<'r> String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    Ok(ClientUsageRow { id: row.try_get(0)?, name: row.try_get(1)?, sums: told(row, 2)? })
}

/// What is told, as [`SUMS`] in a row from this column on.
fn told<R>(row: &R, first: usize) -> Result<Sums, sqlx::Error>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    for<'r> i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    let mut sums = Sums::default();
    for (at, measure) in TOLD.into_iter().enumerate() {
        let (high, low): (i64, i64) = (row.try_get(first + 2 * at)?, row.try_get(first + 1 + 2 * at)?);
        sums.0[measure as usize] = high.saturating_mul(1 << 32).saturating_add(low);
    }
    Ok(sums)
}

//! Whose word stands in for recorded exchanges, of each person and UTC day.

use std::sync::LazyLock;

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::telemetry::Sums;
use gatehouse_domain::time::UnixMillis;

use super::{SUMS, told};
use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;

/// Whose word, and of which days of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// Telemetry, of days without a recorded exchange.
    Telemetry,
    /// Analytics, of days without a recorded exchange and without telemetry.
    Analytics,
    /// Analytics, of days without telemetry: of what no exchange tells.
    AnalyticsBesideExchanges,
}

/// What is told of a person, of those days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    /// Whom.
    pub user: UserId,
    /// Days on which they used it.
    pub days: u64,
    /// What they used on all of them.
    pub sums: Sums,
}

/// A recorded exchange that was not refused.
const NO_EXCHANGE: &str = "AND NOT EXISTS (SELECT 1 FROM daily_rollups x WHERE x.org_id = r.org_id \
     AND x.user_id = r.user_id AND x.day = r.day AND x.day >= $2 AND x.day < $3 AND x.requests > x.refusals)";
const NO_TELEMETRY: &str = "AND NOT EXISTS (SELECT 1 FROM client_daily_rollups t WHERE t.org_id = r.org_id \
     AND t.day = r.day AND t.day >= $2 AND t.day < $3 AND t.user_id = r.user_id)";
/// What shows that somebody used a client, and did not only have it open.
const USED: &str = "r.sessions > 0 OR r.output_tokens > 0 OR r.cost_nanos > 0";
const USED_BY_TELEMETRY: &str = "r.prompts > 0 OR r.requests > r.errors OR r.request_cost_nanos > 0";

/// The statements of a word: what is told of each person, and the last day on which each used it.
struct Statements {
    told: String,
    last: String,
}

static TELEMETRY: LazyLock<Statements> = LazyLock::new(|| {
    statements("client_daily_rollups", &format!("{USED} OR {USED_BY_TELEMETRY}"), &[NO_EXCHANGE])
});
static ANALYTICS: LazyLock<Statements> =
    LazyLock::new(|| statements("client_analytics", USED, &[NO_TELEMETRY, NO_EXCHANGE]));
static BESIDE: LazyLock<Statements> = LazyLock::new(|| statements("client_analytics", USED, &[NO_TELEMETRY]));

impl Word {
    fn statements(self) -> &'static Statements {
        match self {
            Self::Telemetry => &TELEMETRY,
            Self::Analytics => &ANALYTICS,
            Self::AnalyticsBesideExchanges => &BESIDE,
        }
    }
}

fn statements(table: &str, used: &str, without: &[&str]) -> Statements {
    // What events say of cost is the larger one where a client sends but events.
    let sums = if table == "client_analytics" {
        SUMS.clone()
    } else {
        let cost =
            "CASE WHEN r.cost_nanos < r.request_cost_nanos THEN r.request_cost_nanos ELSE r.cost_nanos END";
        SUMS.replace("r.cost_nanos", &format!("({cost})"))
    };
    let rows = format!(
        "FROM {table} r WHERE r.org_id = $1 AND r.day >= $2 AND r.day < $3 AND r.user_id <> '' {}",
        without.join(" ")
    );
    Statements {
        told: format!(
            "SELECT r.user_id, COUNT(DISTINCT CASE WHEN {used} THEN r.day END), {sums} {rows} GROUP BY r.user_id"
        ),
        last: format!("SELECT r.user_id, MAX(r.day) {rows} AND ({used}) GROUP BY r.user_id"),
    }
}

impl Store {
    /// What somebody else than the ledger tells of people, from the UTC day of `since` up to `until`; a row a person.
    ///
    /// # Errors
    /// The database.
    pub async fn stand_ins(
        &self,
        org: OrgId,
        word: Word,
        since: UnixMillis,
        until: UnixMillis,
    ) -> Result<Vec<StandIn>, StoreError> {
        let sql = word.statements().told.as_str();
        let rows: Result<Vec<(String, i64, Sums)>, sqlx::Error> = read!(self, |db| {
            let found =
                sqlx::query(sql).bind(org.to_string()).bind(since.day().0).bind(until.0).fetch_all(db).await;
            found.and_then(|rows| rows.iter().map(row_of).collect())
        });
        let of = |(user, days, sums): (String, i64, Sums)| {
            let user = user.parse().map_err(|error| StoreError::corrupt("user", &user, error))?;
            Ok(StandIn { user, days: days.max(0).unsigned_abs(), sums })
        };
        rows?.into_iter().map(of).collect()
    }

    /// The last UTC day, from that of `since` up to `until`, on which each person used a client as somebody else than the ledger
    /// tells.
    ///
    /// # Errors
    /// The database.
    pub async fn stand_in_last(
        &self,
        org: OrgId,
        word: Word,
        since: UnixMillis,
        until: UnixMillis,
    ) -> Result<Vec<(UserId, UnixMillis)>, StoreError> {
        let sql = word.statements().last.as_str();
        let rows: Vec<(String, i64)> = read!(self, |db| {
            sqlx::query_as(sql).bind(org.to_string()).bind(since.day().0).bind(until.0).fetch_all(db).await
        })?;
        let of = |(user, day): (String, i64)| {
            let user = user.parse().map_err(|error| StoreError::corrupt("user", &user, error))?;
            Ok((user, UnixMillis(day)))
        };
        rows.into_iter().map(of).collect()
    }
}

fn row_of<R>(row: &R) -> Result<(String, i64, Sums), sqlx::Error>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    for<'r> String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    Ok((row.try_get(0)?, row.try_get(1)?, told(row, 2)?))
}

//! Whose word stands in for recorded exchanges, of each person and UTC day.

use std::sync::LazyLock;

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::telemetry::{Measure, Sums};
use gatehouse_domain::time::UnixMillis;

use super::{TOLD, told};
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
    /// The last day on which they did.
    pub last: Option<UnixMillis>,
    /// What they used on all of them.
    pub sums: Sums,
}

/// A recorded exchange that was not refused.
const NO_EXCHANGE: &str = "AND NOT EXISTS (SELECT 1 FROM daily_rollups x WHERE x.org_id = $1 \
     AND x.user_id = d.user_id AND x.day = d.day AND x.day >= $2 AND x.day < $3 AND x.requests > x.refusals)";
const NO_TELEMETRY: &str = "AND NOT EXISTS (SELECT 1 FROM client_daily_rollups t WHERE t.org_id = $1 \
     AND t.day = d.day AND t.day >= $2 AND t.day < $3 AND t.user_id = d.user_id)";
/// What shows that somebody used a client, and did not only have it open.
const USED: &str = "r.sessions > 0 OR r.output_tokens > 0 OR r.cost_nanos > 0";
const USED_BY_TELEMETRY: &str = "r.prompts > 0 OR r.requests > r.errors OR r.request_cost_nanos > 0";
/// What events say of cost is the larger one where a client sends but events.
const COST_BY_TELEMETRY: &str =
    "CASE WHEN r.cost_nanos < r.request_cost_nanos THEN r.request_cost_nanos ELSE r.cost_nanos END";

static TELEMETRY: LazyLock<String> = LazyLock::new(|| {
    let used = format!("{USED} OR {USED_BY_TELEMETRY}");
    sql("client_daily_rollups", &used, COST_BY_TELEMETRY, &[NO_EXCHANGE])
});
static ANALYTICS: LazyLock<String> =
    LazyLock::new(|| sql("client_analytics", USED, "r.cost_nanos", &[NO_TELEMETRY, NO_EXCHANGE]));
static BESIDE: LazyLock<String> =
    LazyLock::new(|| sql("client_analytics", USED, "r.cost_nanos", &[NO_TELEMETRY]));

/// Whether a day counts is asked of a person's days, of which there are few, and not of all their rows.
fn sql(table: &str, used: &str, cost: &str, without: &[&str]) -> String {
    let sums = TOLD.map(|measure| {
        let told = if measure == Measure::Cost { cost.to_owned() } else { format!("r.{}", measure.as_str()) };
        let told = format!("CASE WHEN r.day >= $4 THEN {told} ELSE 0 END");
        format!("CAST(SUM(({told}) / 4294967296) AS BIGINT), CAST(SUM(({told}) % 4294967296) AS BIGINT)")
    });
    format!(
        "WITH days AS MATERIALIZED (SELECT DISTINCT user_id, day FROM {table} \
         WHERE org_id = $1 AND day >= $2 AND day < $3 AND user_id <> ''), \
         alone AS MATERIALIZED (SELECT d.user_id, d.day FROM days d WHERE 1 = 1 {}) \
         SELECT r.user_id, COUNT(DISTINCT CASE WHEN r.day >= $4 AND ({used}) THEN r.day END), \
         MAX(CASE WHEN {used} THEN r.day END), {} \
         FROM {table} r JOIN alone a ON a.user_id = r.user_id AND a.day = r.day \
         WHERE r.org_id = $1 AND r.day >= $2 AND r.day < $3 GROUP BY r.user_id",
        without.join(" "),
        sums.join(", ")
    )
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
        self.stand_ins_from(org, word, since, since, until).await
    }

    /// The same, with the last day on which they used it looked for from the UTC day of `first` on, which may be an earlier one.
    ///
    /// # Errors
    /// The database.
    pub async fn stand_ins_from(
        &self,
        org: OrgId,
        word: Word,
        first: UnixMillis,
        since: UnixMillis,
        until: UnixMillis,
    ) -> Result<Vec<StandIn>, StoreError> {
        let sql = match word {
            Word::Telemetry => TELEMETRY.as_str(),
            Word::Analytics => ANALYTICS.as_str(),
            Word::AnalyticsBesideExchanges => BESIDE.as_str(),
        };
        let rows: Result<Vec<Row>, sqlx::Error> = read!(self, |db| {
            let query = sqlx::query(sql).bind(org.to_string()).bind(first.min(since).day().0);
            // Planned anew each time: how much of the table a span is, only its bounds tell.
            let query = query.bind(until.0).bind(since.day().0).persistent(false);
            query.fetch_all(db).await.and_then(|rows| rows.iter().map(row_of).collect())
        });
        let of = |(user, days, last, sums): Row| {
            let user = user.parse().map_err(|error| StoreError::corrupt("user", &user, error))?;
            Ok(StandIn { user, days: days.max(0).unsigned_abs(), last: last.map(UnixMillis), sums })
        };
        rows?.into_iter().map(of).collect()
    }
}

type Row = (String, i64, Option<i64>, Sums);

fn row_of<R>(row: &R) -> Result<Row, sqlx::Error>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    for<'r> String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> Option<i64>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, told(row, 3)?))
}

//! Sums of usage, from the hourly rollups.

use gatehouse_domain::id::OrgId;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Filter, bound};
use crate::stored;

/// What sums are asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// Users.
    User,
    /// Teams that were charged.
    Team,
    /// Models asked for.
    Model,
    /// Keys.
    Key,
    /// Projects that were charged.
    Project,
    /// Providers.
    Provider,
    /// UTC days.
    Day,
    /// UTC hours.
    Hour,
    /// One sum of everything.
    Total,
}

/// A sum of usage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageRow {
    /// Identifier of what the sum is of; the start of the span in UTC milliseconds for days and hours; empty for what
    /// belongs to none.
    pub id: String,
    /// Its name: e-mail address, team, project, model, provider, the public part of a key.
    pub name: Option<String>,
    /// Exchanges.
    pub requests: u64,
    /// Of these, how many failed (not counting refusals of ours).
    pub errors: u64,
    /// Of these, how many we refused.
    pub refusals: u64,
    /// Of these, how many have estimated usage.
    pub estimated: u64,
    /// Input tokens outside the cache.
    pub input_tokens: u64,
    /// Tokens written to the cache for five minutes.
    pub cache_write_5m_tokens: u64,
    /// Tokens written to the cache for an hour.
    pub cache_write_1h_tokens: u64,
    /// Tokens read from the cache.
    pub cache_read_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Web searches.
    pub web_searches: u64,
    /// What it cost.
    pub cost: Nanos,
    /// Milliseconds from the first to the last byte, summed.
    pub duration_ms: u64,
    /// Milliseconds to the first byte, summed over `first_bytes` exchanges.
    pub first_byte_ms: u64,
    /// Exchanges that had a first byte.
    pub first_bytes: u64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: Option<String>,
    requests: i64,
    errors: i64,
    refusals: i64,
    estimated: i64,
    input_tokens: i64,
    cache_write_5m_tokens: i64,
    cache_write_1h_tokens: i64,
    cache_read_tokens: i64,
    output_tokens: i64,
    web_searches: i64,
    cost_nanos: i64,
    duration_ms: i64,
    first_byte_ms: i64,
    first_bytes: i64,
}

/// A statement that sums by a column of the rollups and looks up the name. PostgreSQL sums into NUMERIC, so each sum is
/// made a BIGINT again; one that does not fit is an error on both engines, not a wrap.
macro_rules! sums {
    ($id:literal, $name:literal, $join:literal) => {
        concat!(
            "SELECT ", $id, " AS id, ", $name, " AS name, \
             CAST(SUM(requests) AS BIGINT) AS requests, CAST(SUM(errors) AS BIGINT) AS errors, \
             CAST(SUM(refusals) AS BIGINT) AS refusals, CAST(SUM(r.estimated) AS BIGINT) AS estimated, \
             CAST(SUM(input_tokens) AS BIGINT) AS input_tokens, \
             CAST(SUM(cache_write_5m_tokens) AS BIGINT) AS cache_write_5m_tokens, \
             CAST(SUM(cache_write_1h_tokens) AS BIGINT) AS cache_write_1h_tokens, \
             CAST(SUM(cache_read_tokens) AS BIGINT) AS cache_read_tokens, \
             CAST(SUM(output_tokens) AS BIGINT) AS output_tokens, CAST(SUM(web_searches) AS BIGINT) AS web_searches, \
             CAST(SUM(cost_nanos) AS BIGINT) AS cost_nanos, CAST(SUM(duration_ms) AS BIGINT) AS duration_ms, \
             CAST(SUM(first_byte_ms) AS BIGINT) AS first_byte_ms, CAST(SUM(first_bytes) AS BIGINT) AS first_bytes \
             FROM rollups r ", $join, " WHERE r.org_id = $1"
        )
    };
}

impl By {
    fn select(self) -> &'static str {
        match self {
            Self::User => sums!(
                "r.user_id",
                "MAX(u.email)",
                "LEFT JOIN users u ON u.org_id = r.org_id AND u.id = r.user_id"
            ),
            Self::Team => sums!(
                "r.team_id",
                "MAX(t.name)",
                "LEFT JOIN teams t ON t.org_id = r.org_id AND t.id = r.team_id"
            ),
            Self::Project => sums!(
                "r.project_id",
                "MAX(p.name)",
                "LEFT JOIN projects p ON p.org_id = r.org_id AND p.id = r.project_id"
            ),
            Self::Key => sums!(
                "r.key_id",
                "MAX(k.public_id)",
                "LEFT JOIN keys k ON k.org_id = r.org_id AND k.id = r.key_id"
            ),
            Self::Model => sums!("r.model", "MAX(r.model)", ""),
            Self::Provider => sums!("r.provider", "MAX(r.provider)", ""),
            Self::Day => sums!("CAST(r.hour - r.hour % 86400000 AS TEXT)", "CAST(NULL AS TEXT)", ""),
            Self::Hour => sums!("CAST(r.hour AS TEXT)", "CAST(NULL AS TEXT)", ""),
            Self::Total => sums!("'total'", "CAST(NULL AS TEXT)", ""),
        }
    }

    fn group(self) -> &'static str {
        match self {
            Self::User => "GROUP BY r.user_id ORDER BY SUM(cost_nanos) DESC, r.user_id",
            Self::Team => "GROUP BY r.team_id ORDER BY SUM(cost_nanos) DESC, r.team_id",
            Self::Project => "GROUP BY r.project_id ORDER BY SUM(cost_nanos) DESC, r.project_id",
            Self::Key => "GROUP BY r.key_id ORDER BY SUM(cost_nanos) DESC, r.key_id",
            Self::Model => "GROUP BY r.model ORDER BY SUM(cost_nanos) DESC, r.model",
            Self::Provider => "GROUP BY r.provider ORDER BY SUM(cost_nanos) DESC, r.provider",
            Self::Day => "GROUP BY r.hour - r.hour % 86400000 ORDER BY r.hour - r.hour % 86400000",
            Self::Hour => "GROUP BY r.hour ORDER BY r.hour",
            Self::Total => "HAVING COUNT(*) > 0",
        }
    }
}

impl Store {
    /// Sums usage from the hour of `since` up to the hour of `until`, the largest cost first (days and hours in their
    /// order).
    ///
    /// # Errors
    /// A sum that is beyond the range of 64 bits; the database.
    pub async fn usage(
        &self,
        org: OrgId,
        by: By,
        since: Option<UnixMillis>,
        until: Option<UnixMillis>,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let mut filter = Filter::new(by.select(), org);
        filter.int("AND r.hour >= $?", since.map(|at| at.hour().0));
        filter.int("AND r.hour < $?", until.map(|at| at.0));
        filter.sql(by.group());
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        rows.into_iter().map(usage_of).collect()
    }
}

fn usage_of(row: Row) -> Result<UsageRow, StoreError> {
    let count = |n: i64| stored::unsigned("usage", n);
    Ok(UsageRow {
        requests: count(row.requests)?,
        errors: count(row.errors)?,
        refusals: count(row.refusals)?,
        estimated: count(row.estimated)?,
        input_tokens: count(row.input_tokens)?,
        cache_write_5m_tokens: count(row.cache_write_5m_tokens)?,
        cache_write_1h_tokens: count(row.cache_write_1h_tokens)?,
        cache_read_tokens: count(row.cache_read_tokens)?,
        output_tokens: count(row.output_tokens)?,
        web_searches: count(row.web_searches)?,
        cost: Nanos(row.cost_nanos),
        duration_ms: count(row.duration_ms)?,
        first_byte_ms: count(row.first_byte_ms)?,
        first_bytes: count(row.first_bytes)?,
        id: row.id,
        name: row.name,
    })
}

//! Sums of usage, from the daily rollups for whole days and from the hourly ones for what is left.

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::UnixMillis;

use super::people::of_people;
use crate::dialect::{Engine, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::span::{self, LEDGER};
use crate::stored;
use crate::sum::{self, halves, whole};

/// Most sums of one answer, so that none takes the memory of everything else. Sums are not given in part: what is left
/// out would be missing without a trace.
pub const MAX_SUMS: u32 = 50_000;

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
    input_tokens_high: i64,
    input_tokens: i64,
    cache_write_5m_tokens_high: i64,
    cache_write_5m_tokens: i64,
    cache_write_1h_tokens_high: i64,
    cache_write_1h_tokens: i64,
    cache_read_tokens_high: i64,
    cache_read_tokens: i64,
    output_tokens_high: i64,
    output_tokens: i64,
    web_searches_high: i64,
    web_searches: i64,
    cost_nanos_high: i64,
    cost_nanos: i64,
    duration_ms: i64,
    first_byte_ms: i64,
    first_bytes: i64,
}

/// What a statement that sums by a column of the rollups selects beside the amounts, and what it joins to look up the name.
/// PostgreSQL sums into NUMERIC, so each sum is made a BIGINT again. What counts exchanges or milliseconds cannot come near
/// the end of its range.
struct Select {
    /// The column that is grouped by.
    id: &'static str,
    /// Its name.
    name: &'static str,
    /// Where that is found.
    join: &'static str,
}

const fn select(id: &'static str, name: &'static str, join: &'static str) -> Select {
    Select { id, name, join }
}

impl Select {
    fn text(&self, engine: &Engine) -> String {
        let (id, name, amounts) = (self.id, self.name, sum::amounts(engine));
        format!(
            "SELECT {id} AS id, {name} AS name, CAST(SUM(requests) AS BIGINT) AS requests, \
             CAST(SUM(errors) AS BIGINT) AS errors, CAST(SUM(refusals) AS BIGINT) AS refusals, \
             CAST(SUM(r.estimated) AS BIGINT) AS estimated, {amounts}, \
             CAST(SUM(duration_ms) AS BIGINT) AS duration_ms, CAST(SUM(first_byte_ms) AS BIGINT) AS first_byte_ms, \
             CAST(SUM(first_bytes) AS BIGINT) AS first_bytes"
        )
    }
}

/// Groups by a column, the largest cost first. A floating sum has no end that it could go beyond, and serves only to sort.
macro_rules! by_cost {
    ($id:literal) => {
        concat!("GROUP BY ", $id, " ORDER BY SUM(CAST(cost_nanos AS DOUBLE PRECISION)) DESC, ", $id)
    };
}

const COLUMNS: &str = "user_id, team_id, project_id, key_id, provider, model, requests, errors, refusals, estimated, \
    input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens, output_tokens, web_searches, cost_nanos, \
    duration_ms, first_byte_ms, first_bytes";

impl By {
    const fn select(self) -> Select {
        match self {
            Self::User => select(
                "r.user_id",
                "MAX(u.email)",
                "LEFT JOIN users u ON u.org_id = r.org_id AND u.id = r.user_id",
            ),
            Self::Team => select(
                "r.team_id",
                "MAX(t.name)",
                "LEFT JOIN teams t ON t.org_id = r.org_id AND t.id = r.team_id",
            ),
            Self::Project => select(
                "r.project_id",
                "MAX(p.name)",
                "LEFT JOIN projects p ON p.org_id = r.org_id AND p.id = r.project_id",
            ),
            Self::Key => select(
                "r.key_id",
                "MAX(k.public_id)",
                "LEFT JOIN keys k ON k.org_id = r.org_id AND k.id = r.key_id",
            ),
            Self::Model => select("r.model", "MAX(r.model)", ""),
            Self::Provider => select("r.provider", "MAX(r.provider)", ""),
            Self::Day => select("CAST(r.hour - r.hour % 86400000 AS TEXT)", "CAST(NULL AS TEXT)", ""),
            Self::Hour => select("CAST(r.hour AS TEXT)", "CAST(NULL AS TEXT)", ""),
            Self::Total => select("'total'", "CAST(NULL AS TEXT)", ""),
        }
    }

    fn group(self) -> &'static str {
        match self {
            Self::User => by_cost!("r.user_id"),
            Self::Team => by_cost!("r.team_id"),
            Self::Project => by_cost!("r.project_id"),
            Self::Key => by_cost!("r.key_id"),
            Self::Model => by_cost!("r.model"),
            Self::Provider => by_cost!("r.provider"),
            Self::Day => "GROUP BY r.hour - r.hour % 86400000 ORDER BY r.hour - r.hour % 86400000",
            Self::Hour => "GROUP BY r.hour ORDER BY r.hour",
            Self::Total => "HAVING COUNT(*) > 0",
        }
    }
}

impl Store {
    /// Sums usage within a scope from the hour of `since` up to the hour of `until`, the largest cost first (days and hours in their
    /// order). A sum stops at the end of the range of 64 bits.
    ///
    /// # Errors
    /// There are more than [`MAX_SUMS`] of them; the database.
    pub async fn usage(
        &self,
        org: OrgId,
        scope: Scope,
        by: By,
        since: Option<UnixMillis>,
        until: Option<UnixMillis>,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let mut filter = self.usage_filter(org, by, &by.select(), since, until);
        match scope {
            Scope::Organization => {}
            Scope::Team(team) => filter.text("AND r.team_id = $?", Some(team)),
            Scope::User(user) => filter.text("AND r.user_id = $?", Some(user)),
        }
        self.usage_rows(filter, by).await
    }

    /// The sums of each of these people, or of everybody, without names and whatever team was charged.
    ///
    /// # Errors
    /// There are more than [`MAX_SUMS`] of them; the database.
    pub async fn usage_of(
        &self,
        org: OrgId,
        people: Option<&[UserId]>,
        since: UnixMillis,
        until: UnixMillis,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let nameless = select("r.user_id", "CAST(NULL AS TEXT)", "");
        let mut filter = self.usage_filter(org, By::User, &nameless, Some(since), Some(until));
        if let Some(people) = people {
            of_people(&mut filter, people);
        }
        self.usage_rows(filter, By::User).await
    }

    fn usage_filter(
        &self,
        org: OrgId,
        by: By,
        select: &Select,
        since: Option<UnixMillis>,
        until: Option<UnixMillis>,
    ) -> Filter {
        let (since, until) = (since.map_or(i64::MIN, |at| at.hour().0), until.map_or(i64::MAX, |at| at.0));
        let parts = if by == By::Hour { span::hours(since, until) } else { span::parts(since, until) };
        let text = select.text(self.engine());
        span::over(&LEDGER, [&text, COLUMNS, select.join], org, &parts)
    }

    async fn usage_rows(&self, mut filter: Filter, by: By) -> Result<Vec<UsageRow>, StoreError> {
        filter.sql(by.group());
        filter.arg("LIMIT $?", Arg::Int(i64::from(MAX_SUMS) + 1));
        let (sql, args) = filter.into_parts();
        // Planned anew each time: how much of the table a span is, only its bounds tell.
        let rows = read!(self, |db| {
            bound!(sqlx::query_as::<_, Row>(sql).persistent(false), args).fetch_all(db).await
        })?;
        if rows.len() > MAX_SUMS as usize {
            let why = format!("leaves more than {MAX_SUMS} sums; ask for a shorter span");
            return Err(StoreError::Invalid { field: "since", why });
        }
        rows.into_iter().map(usage_of).collect()
    }
}

impl Store {
    /// What a person's exchanges have cost since the hour of a time.
    ///
    /// # Errors
    /// The database.
    pub async fn spent(&self, org: OrgId, user: UserId, since: UnixMillis) -> Result<Nanos, StoreError> {
        const SELECT: &str = concat!("SELECT ", halves!("cost_nanos"));
        let parts = span::parts(since.hour().0, i64::MAX);
        let mut filter = span::over(&LEDGER, [SELECT, "user_id, cost_nanos", ""], org, &parts);
        filter.text("AND r.user_id = $?", Some(user));
        let (sql, args) = filter.into_parts();
        let (high, low): (Option<i64>, Option<i64>) =
            read!(self, |db| bound!(sqlx::query_as(sql), args).fetch_one(db).await)?;
        Ok(Nanos(whole(high.unwrap_or(0), low.unwrap_or(0))))
    }
}

fn usage_of(row: Row) -> Result<UsageRow, StoreError> {
    let count = |n: i64| stored::unsigned("usage", n);
    let sum = |high: i64, low: i64| count(whole(high, low));
    Ok(UsageRow {
        requests: count(row.requests)?,
        errors: count(row.errors)?,
        refusals: count(row.refusals)?,
        estimated: count(row.estimated)?,
        input_tokens: sum(row.input_tokens_high, row.input_tokens)?,
        cache_write_5m_tokens: sum(row.cache_write_5m_tokens_high, row.cache_write_5m_tokens)?,
        cache_write_1h_tokens: sum(row.cache_write_1h_tokens_high, row.cache_write_1h_tokens)?,
        cache_read_tokens: sum(row.cache_read_tokens_high, row.cache_read_tokens)?,
        output_tokens: sum(row.output_tokens_high, row.output_tokens)?,
        web_searches: sum(row.web_searches_high, row.web_searches)?,
        cost: Nanos(whole(row.cost_nanos_high, row.cost_nanos)),
        duration_ms: count(row.duration_ms)?,
        first_byte_ms: count(row.first_byte_ms)?,
        first_bytes: count(row.first_bytes)?,
        id: row.id,
        name: row.name,
    })
}

//! Sums by several sides at once, from the daily rollups for whole days and from the hourly ones for what is left.

use gatehouse_domain::id::OrgId;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::statement::{Figures, Whose};
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::usage::Tokens;

use crate::dialect::{Engine, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::span::{self, LEDGER};
use crate::stored;
use crate::sum::{self, whole};

/// Most rows of one answer. Sums are not given in part: what is left out would be missing without a trace.
pub const MAX_ROWS: u32 = 250_000;

/// What time is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Nothing: one sum for the whole span.
    Whole,
    /// UTC hours.
    Hour,
    /// UTC days.
    Day,
}

/// What sums are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The team that was charged at the time of the request.
    Team,
    /// The project that was charged.
    Project,
    /// The person.
    User,
    /// The key.
    Key,
    /// The provider.
    Provider,
    /// The model asked for.
    Model,
}

impl Side {
    /// All of them, in the order in which rows are sorted.
    pub const ALL: [Self; 6] =
        [Self::Team, Self::Project, Self::User, Self::Key, Self::Provider, Self::Model];

    const fn column(self) -> &'static str {
        match self {
            Self::Team => "team_id",
            Self::Project => "project_id",
            Self::User => "user_id",
            Self::Key => "key_id",
            Self::Provider => "provider",
            Self::Model => "model",
        }
    }

    const fn condition(self) -> [&'static str; 2] {
        match self {
            Self::Team => ["AND (r.team_id = $?", "OR r.team_id = $?"],
            Self::Project => ["AND (r.project_id = $?", "OR r.project_id = $?"],
            Self::User => ["AND (r.user_id = $?", "OR r.user_id = $?"],
            Self::Key => ["AND (r.key_id = $?", "OR r.key_id = $?"],
            Self::Provider => ["AND (r.provider = $?", "OR r.provider = $?"],
            Self::Model => ["AND (r.model = $?", "OR r.model = $?"],
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What time is cut into.
    pub bucket: Bucket,
    /// What sums are told apart by; none of these is one sum.
    pub by: Vec<Side>,
    /// From this hour on.
    pub since: UnixMillis,
    /// Up to this hour.
    pub until: UnixMillis,
    /// Only what has one of these values there. An empty list is no condition.
    pub only: Vec<(Side, Vec<String>)>,
    /// What was stated of this month already is taken off, and only what came later is left: the start of the month.
    pub beyond: Option<UnixMillis>,
}

impl Ask {
    /// All that was used in a span, by these sides.
    pub const fn span(since: UnixMillis, until: UnixMillis, by: Vec<Side>) -> Self {
        Self { bucket: Bucket::Whole, by, since, until, only: Vec::new(), beyond: None }
    }
}

/// A sum. Of `whose` only what was asked for is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// The start of its hour or day; 1970 for [`Bucket::Whole`].
    pub at: UnixMillis,
    /// Whose it is.
    pub whose: Whose,
    /// How much.
    pub figures: Figures,
}

#[derive(sqlx::FromRow)]
struct Row {
    bucket: i64,
    team_id: String,
    project_id: String,
    user_id: String,
    key_id: String,
    provider: String,
    model: String,
    team_name: Option<String>,
    project_name: Option<String>,
    user_name: Option<String>,
    key_name: Option<String>,
    requests: i64,
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
}

const COLUMNS: &str = "team_id, project_id, user_id, key_id, provider, model";
const COUNTS: [&str; 8] = [
    "requests",
    "input_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_read_tokens",
    "output_tokens",
    "web_searches",
    "cost_nanos",
];

/// Names are looked up after summing, so that only sums are joined.
const NAMES: &str = ") g \
    LEFT JOIN teams t ON t.org_id = $1 AND t.id = g.team_id \
    LEFT JOIN projects p ON p.org_id = $1 AND p.id = g.project_id \
    LEFT JOIN users u ON u.org_id = $1 AND u.id = g.user_id \
    LEFT JOIN keys k ON k.org_id = $1 AND k.id = g.key_id \
    ORDER BY g.bucket, g.team_id, g.project_id, g.user_id, g.key_id, g.provider, g.model";

fn select(engine: &Engine, ask: &Ask) -> (String, Vec<&'static str>) {
    let mut groups = Vec::new();
    let bucket = match ask.bucket {
        Bucket::Whole => "CAST(0 AS BIGINT)",
        Bucket::Hour => "r.hour",
        Bucket::Day => "r.hour - r.hour % 86400000",
    };
    if ask.bucket != Bucket::Whole {
        groups.push(bucket);
    }
    let mut sql = format!(
        "SELECT g.*, t.name AS team_name, p.name AS project_name, u.email AS user_name, k.public_id AS key_name \
         FROM (SELECT {bucket} AS bucket"
    );
    for side in Side::ALL {
        let column = side.column();
        if ask.by.contains(&side) {
            sql.push_str(", r.");
            sql.push_str(column);
            groups.push(column);
        } else {
            sql.push_str(", CAST('' AS TEXT) AS ");
            sql.push_str(column);
        }
    }
    let sums = sum::amounts(engine);
    (format!("{sql}, CAST(SUM(requests) AS BIGINT) AS requests, {sums} FROM "), groups)
}

fn statement(engine: &Engine, org: OrgId, ask: &Ask) -> Filter {
    let (mut sql, groups) = select(engine, ask);
    let (since, until) = (ask.since.hour().0, ask.until.0);
    let hourly = ask.bucket == Bucket::Hour;
    let parts = if hourly { span::hours(since, until) } else { span::parts(since, until) };
    let columns = format!("{COLUMNS}, {}", COUNTS.join(", "));
    let rows = span::rows(&LEDGER, &columns, &parts, 2);
    if ask.beyond.is_some() {
        let minus = COUNTS.map(|c| format!("-{c}")).join(", ");
        let month = 2 + 2 * parts.len();
        sql = format!(
            "{sql}(SELECT org_id, hour, {columns} FROM {rows} \
             UNION ALL SELECT org_id, usage_at, {COLUMNS}, {minus} FROM statement_lines \
             WHERE org_id = $1 AND usage_at = ${month} AND kind <> 'overhead') r WHERE r.org_id = $1"
        );
    } else {
        sql = format!("{sql}{rows} WHERE r.org_id = $1");
    }
    let mut filter = Filter::made(sql, org);
    span::bounds(&mut filter, &parts);
    filter.int("", ask.beyond.map(|month| month.0));
    for (side, values) in &ask.only {
        let [first, later] = side.condition();
        for (n, value) in values.iter().enumerate() {
            filter.arg(if n == 0 { first } else { later }, Arg::Text(value.clone()));
        }
        if !values.is_empty() {
            filter.sql(")");
        }
    }
    if groups.is_empty() {
        filter.sql("HAVING COUNT(*) > 0");
    } else {
        filter.made_sql(&format!("GROUP BY {}", groups.join(", ")));
        if ask.beyond.is_some() {
            filter.sql("HAVING SUM(requests) > 0");
        }
    }
    filter.sql(NAMES);
    filter.arg("LIMIT $?", Arg::Int(i64::from(MAX_ROWS) + 1));
    filter
}

impl Store {
    /// Sums usage by several sides at once, sorted by time and then by what they are told apart by. A sum stops at the end
    /// of the range of 64 bits.
    ///
    /// # Errors
    /// There are more than [`MAX_ROWS`] of them; the database.
    pub async fn report_sums(&self, org: OrgId, ask: &Ask) -> Result<Vec<Sums>, StoreError> {
        let (sql, args) = statement(self.engine(), org, ask).into_parts();
        // Planned anew each time: how much of the table a span is, only its bounds tell.
        let rows = read!(self, |db| {
            bound!(sqlx::query_as::<_, Row>(sql).persistent(false), args).fetch_all(db).await
        })?;
        if rows.len() > MAX_ROWS as usize {
            let why = format!("leaves more than {MAX_ROWS} sums; ask for a shorter span");
            return Err(StoreError::Invalid { field: "since", why });
        }
        rows.into_iter().map(sums_of).collect()
    }
}

fn sums_of(row: Row) -> Result<Sums, StoreError> {
    let sum = |high: i64, low: i64| stored::unsigned("usage", whole(high, low));
    let tokens = Tokens {
        input: sum(row.input_tokens_high, row.input_tokens)?,
        cache_write_5m: sum(row.cache_write_5m_tokens_high, row.cache_write_5m_tokens)?,
        cache_write_1h: sum(row.cache_write_1h_tokens_high, row.cache_write_1h_tokens)?,
        cache_read: sum(row.cache_read_tokens_high, row.cache_read_tokens)?,
        output: sum(row.output_tokens_high, row.output_tokens)?,
    };
    let figures = Figures {
        requests: stored::unsigned("usage", row.requests)?,
        tokens,
        web_searches: sum(row.web_searches_high, row.web_searches)?,
        cost: Nanos(whole(row.cost_nanos_high, row.cost_nanos)),
    };
    let whose = Whose {
        team_id: row.team_id,
        team: row.team_name.unwrap_or_default(),
        project_id: row.project_id,
        project: row.project_name.unwrap_or_default(),
        user_id: row.user_id,
        user: row.user_name.unwrap_or_default(),
        key_id: row.key_id,
        key: row.key_name.unwrap_or_default(),
        provider: row.provider,
        model: row.model,
    };
    Ok(Sums { at: UnixMillis(row.bucket), whose, figures })
}

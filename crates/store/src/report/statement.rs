//! Locked statements of months.

use std::sync::LazyLock;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::Month;
use gatehouse_domain::report::statement::{Figures, Kind, Line, Whose};
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::usage::Tokens;

use super::sums::MAX_ROWS;
use crate::dialect::{ManyRows, change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::stored;

const NOUN: &str = "statement";
const SELECT: &str =
    "SELECT month_at, closed_at, closed_by, digest, lines, total_nanos FROM statements WHERE org_id = $1";
const COLUMNS: usize = 24;
const CHUNK: usize = 32;
const INSERT: &str = "INSERT INTO statement_lines (org_id, month_at, n, kind, rule, usage_at, team_id, team_name, \
     project_id, project_name, user_id, user_name, key_id, key_name, provider, model, requests, input_tokens, \
     cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens, output_tokens, web_searches, cost_nanos) VALUES";
static CHUNK_SQL: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::new(INSERT, CHUNK, COLUMNS, ""));
static ONE_SQL: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::new(INSERT, 1, COLUMNS, ""));

/// The head of a locked statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The month.
    pub month: Month,
    /// When it was closed.
    pub closed_at: UnixMillis,
    /// Who closed it: the name of the actor.
    pub closed_by: String,
    /// The digest of its lines.
    pub digest: String,
    /// How many lines it has.
    pub lines: u64,
    /// Their sum.
    pub total: Nanos,
}

type Head = (i64, i64, String, String, i64, i64);

#[derive(sqlx::FromRow)]
struct Row {
    kind: String,
    rule: String,
    usage_at: i64,
    team_id: String,
    team_name: String,
    project_id: String,
    project_name: String,
    user_id: String,
    user_name: String,
    key_id: String,
    key_name: String,
    provider: String,
    model: String,
    requests: i64,
    input_tokens: i64,
    cache_write_5m_tokens: i64,
    cache_write_1h_tokens: i64,
    cache_read_tokens: i64,
    output_tokens: i64,
    web_searches: i64,
    cost_nanos: i64,
}

impl Store {
    /// Locks a month: writes its statement and its lines, once and for all.
    ///
    /// # Errors
    /// The month is closed already; a later one is; the one before is not, although an earlier one is; the database.
    pub async fn close_month(
        &self,
        org: OrgId,
        statement: &Statement,
        lines: &[Line],
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let month = statement.month;
        let (newest,): (Option<i64>,) = within!(tx, |db| {
            sqlx::query_as("SELECT MAX(month_at) FROM statements WHERE org_id = $1")
                .bind(org.to_string())
                .fetch_one(db)
                .await
        })?;
        if let Some(newest) = newest.map(|at| Month::of(UnixMillis(at))) {
            if newest >= month {
                return Err(StoreError::refused("month", month, "is closed already, or a later one is"));
            }
            if newest.next() != month {
                return Err(StoreError::refused("month", month, "cannot be closed before the one before it"));
            }
        }
        let count = stored::signed("lines", statement.lines)?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO statements (org_id, month_at, closed_at, closed_by, digest, lines, total_nanos) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(org.to_string())
            .bind(month.start().0)
            .bind(statement.closed_at.0)
            .bind(&statement.closed_by)
            .bind(&statement.digest)
            .bind(count)
            .bind(statement.total.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, month))?;
        let mut n = 0;
        for chunk in lines.chunks(CHUNK) {
            if chunk.len() == CHUNK {
                insert(&mut tx, &CHUNK_SQL, org, month, n, chunk).await?;
            } else {
                for (more, line) in (n..).zip(chunk) {
                    insert(&mut tx, &ONE_SQL, org, month, more, std::slice::from_ref(line)).await?;
                }
            }
            n += CHUNK;
        }
        tx.record(org, act).await
    }

    /// The statements there are, the newest first.
    ///
    /// # Errors
    /// The database.
    pub async fn statements(&self, org: OrgId) -> Result<Vec<Statement>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY month_at DESC LIMIT 1200"));
        let rows: Vec<Head> =
            read!(self, |db| sqlx::query_as(sql).bind(org.to_string()).fetch_all(db).await)?;
        rows.into_iter().map(statement_of).collect()
    }

    /// The statement of a month, if that is closed.
    ///
    /// # Errors
    /// The database.
    pub async fn statement(&self, org: OrgId, month: Month) -> Result<Option<Statement>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{SELECT} AND month_at = $2"));
        let row: Option<Head> = read!(self, |db| {
            sqlx::query_as(sql).bind(org.to_string()).bind(month.start().0).fetch_optional(db).await
        })?;
        row.map(statement_of).transpose()
    }

    /// The lines of a statement, in their order.
    ///
    /// # Errors
    /// A line that cannot be read; the database.
    pub async fn statement_lines(&self, org: OrgId, month: Month) -> Result<Vec<Line>, StoreError> {
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT kind, rule, usage_at, team_id, team_name, project_id, project_name, user_id, user_name, key_id, \
                 key_name, provider, model, requests, input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, \
                 cache_read_tokens, output_tokens, web_searches, cost_nanos \
                 FROM statement_lines WHERE org_id = $1 AND month_at = $2 ORDER BY n LIMIT $3",
            )
            .bind(org.to_string())
            .bind(month.start().0)
            // Every month before may have added as many adjustments; no statement is written that could not be read.
            .bind(i64::from(MAX_ROWS) * 4)
            .fetch_all(db)
            .await
        })?;
        rows.into_iter().map(line_of).collect()
    }
}

async fn insert(
    tx: &mut Tx,
    sql: &'static LazyLock<ManyRows>,
    org: OrgId,
    month: Month,
    first: usize,
    lines: &[Line],
) -> Result<(), StoreError> {
    let text = sql.text(&tx.open);
    let mut rows = Vec::with_capacity(lines.len());
    for (n, line) in (first..).zip(lines) {
        let used = line.month.parse::<Month>().map_err(|e| StoreError::corrupt(NOUN, month, e))?;
        let (figures, tokens) = (&line.figures, &line.figures.tokens);
        let counts = [
            figures.requests,
            tokens.input,
            tokens.cache_write_5m,
            tokens.cache_write_1h,
            tokens.cache_read,
            tokens.output,
            figures.web_searches,
        ];
        let counts = counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        rows.push((i64::try_from(n).unwrap_or(i64::MAX), used, counts, line));
    }
    change!(tx, |db| {
        let mut query = sqlx::query(text);
        for (n, used, counts, line) in &rows {
            query = query
                .bind(org.to_string())
                .bind(month.start().0)
                .bind(n)
                .bind(line.kind.as_str())
                .bind(&line.rule)
                .bind(used.start().0);
            for text in texts(&line.whose) {
                query = query.bind(text);
            }
            for count in counts {
                query = query.bind(count);
            }
            query = query.bind(line.figures.cost.0);
        }
        query.execute(db).await
    })?;
    Ok(())
}

fn texts(whose: &Whose) -> [&str; 10] {
    [
        &whose.team_id,
        &whose.team,
        &whose.project_id,
        &whose.project,
        &whose.user_id,
        &whose.user,
        &whose.key_id,
        &whose.key,
        &whose.provider,
        &whose.model,
    ]
}

fn statement_of((month, closed, by, digest, lines, total): Head) -> Result<Statement, StoreError> {
    Ok(Statement {
        month: Month::of(UnixMillis(month)),
        closed_at: UnixMillis(closed),
        closed_by: by,
        digest,
        lines: stored::unsigned(NOUN, lines)?,
        total: Nanos(total),
    })
}

fn line_of(row: Row) -> Result<Line, StoreError> {
    let count = |n: i64| stored::unsigned(NOUN, n);
    let kind = Kind::named(&row.kind).ok_or_else(|| StoreError::corrupt(NOUN, &row.kind, "it is no kind"))?;
    let tokens = Tokens {
        input: count(row.input_tokens)?,
        cache_write_5m: count(row.cache_write_5m_tokens)?,
        cache_write_1h: count(row.cache_write_1h_tokens)?,
        cache_read: count(row.cache_read_tokens)?,
        output: count(row.output_tokens)?,
    };
    Ok(Line {
        kind,
        rule: row.rule,
        month: Month::of(UnixMillis(row.usage_at)).to_string(),
        whose: Whose {
            team_id: row.team_id,
            team: row.team_name,
            project_id: row.project_id,
            project: row.project_name,
            user_id: row.user_id,
            user: row.user_name,
            key_id: row.key_id,
            key: row.key_name,
            provider: row.provider,
            model: row.model,
        },
        figures: Figures {
            requests: count(row.requests)?,
            tokens,
            web_searches: count(row.web_searches)?,
            cost: Nanos(row.cost_nanos),
        },
    })
}

//! What differs between SQLite and PostgreSQL, and how one text runs on both.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::PgPool;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};

/// The pools of one database.
pub(crate) enum Engine {
    /// SQLite: one connection writes, a few read beside it.
    Sqlite {
        /// The one connection that writes.
        write: SqlitePool,
        /// Connections that cannot write.
        read: SqlitePool,
    },
    /// PostgreSQL.
    Postgres(PgPool),
}

/// An open transaction.
pub(crate) enum Open {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

/// Runs the same expression on a pool for reading of either engine. `$db` can be used more than once. PostgreSQL may
/// be silent for [`STATEMENT`] at most.
macro_rules! read {
    ($store:expr, |$db:ident| $body:expr) => {
        match $store.engine() {
            $crate::dialect::Engine::Sqlite { read: $db, .. } => $body,
            $crate::dialect::Engine::Postgres($db) => {
                $crate::dialect::in_time($crate::dialect::STATEMENT, async { $body }).await
            }
        }
    };
}

/// Runs the same expression in a transaction of either engine. Used more than once, `$db` is written `&mut *db`.
macro_rules! within {
    ($tx:expr, |$db:ident| $body:expr) => {
        match &mut $tx.open {
            $crate::dialect::Open::Sqlite(tx) => {
                let $db = &mut **tx;
                $body
            }
            $crate::dialect::Open::Postgres(tx) => {
                let $db = &mut **tx;
                $crate::dialect::in_time($crate::dialect::STATEMENT, async { $body }).await
            }
        }
    };
}

/// As [`within`], for a statement that changes rows; gives how many.
macro_rules! change {
    ($tx:expr, |$db:ident| $body:expr) => {
        match &mut $tx.open {
            $crate::dialect::Open::Sqlite(tx) => {
                let $db = &mut **tx;
                $body.map(|done| done.rows_affected())
            }
            $crate::dialect::Open::Postgres(tx) => {
                let $db = &mut **tx;
                let done = $crate::dialect::in_time($crate::dialect::STATEMENT, async { $body }).await;
                done.map(|done| done.rows_affected())
            }
        }
    };
}

pub(crate) use change;
pub(crate) use read;
pub(crate) use within;

/// A statement that inserts many rows, prepared once for each engine.
///
/// SQLite looks a numbered parameter up by going through all of them, so that binding `n` of them takes `n²` steps: with
/// 500 parameters that was a third of the time of appending to the audit log. Its text therefore has plain `?`, and
/// arguments are bound in their order, without using one twice.
pub(crate) struct ManyRows {
    sqlite: String,
    postgres: String,
}

impl ManyRows {
    /// `before`, then `rows` times a list of `columns` parameters, then `after`.
    pub(crate) fn new(before: &str, rows: usize, columns: usize, after: &str) -> Self {
        let text = |parameter: fn(usize) -> String| {
            let row = |row: usize| {
                let list: Vec<String> =
                    (1..=columns).map(|column| parameter(row * columns + column)).collect();
                format!("({})", list.join(", "))
            };
            let rows: Vec<String> = (0..rows).map(row).collect();
            format!("{before} {} {after}", rows.join(", "))
        };
        Self { sqlite: text(|_| "?".to_owned()), postgres: text(|n| format!("${n}")) }
    }

    /// The text for the engine of this transaction.
    pub(crate) fn text(&'static self, open: &Open) -> &'static str {
        match open {
            Open::Sqlite(_) => &self.sqlite,
            Open::Postgres(_) => &self.postgres,
        }
    }
}

/// Kibibytes of page cache of each SQLite connection: idle memory matters more than the last percent of reads.
const CACHE_KIB: i64 = 2048;
/// The write-ahead log is cut back to this size after a checkpoint.
const WAL_BYTES: i64 = 16 * 1024 * 1024;
/// How long to wait for a connection, or for another process that has the database open (such as a backup).
pub(crate) const WAIT: Duration = Duration::from_secs(5);

/// How long a statement on PostgreSQL may take for us: longer than it may take there, so that only a connection that has
/// gone silent is given up by it.
pub(crate) const STATEMENT: Duration = Duration::from_secs(70);

/// Gives up a call of the database after this time. What it had begun is undone.
///
/// # Errors
/// The call's own; that the database was silent for so long.
pub(crate) fn in_time<T, E: From<sqlx::Error>>(
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    // On the heap, so that what waits for it stays small: calls within calls would add up.
    let call = tokio::time::timeout(limit, Box::pin(call));
    async {
        let silent = |_| Err(E::from(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())));
        call.await.unwrap_or_else(silent)
    }
}

/// Opens a SQLite file, making it if it is not there.
///
/// Write-ahead log with `synchronous = FULL`: a committed transaction survives a power cut.
pub(crate) async fn open_sqlite(file: &Path) -> Result<Engine, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(WAIT)
        .foreign_keys(true)
        .pragma("cache_size", format!("-{CACHE_KIB}"))
        .pragma("journal_size_limit", WAL_BYTES.to_string())
        .statement_cache_capacity(128)
        .disable_statement_logging();
    let reading =
        options.clone().create_if_missing(false).pragma("query_only", "1").statement_cache_capacity(32);
    let pool =
        || SqlitePoolOptions::new().acquire_timeout(WAIT).max_lifetime(None).test_before_acquire(false);
    let writer = pool()
        .max_connections(1)
        .idle_timeout(None)
        // On a full disk SQLite ends the transaction by itself. The driver's ROLLBACK fails then, and it believes ever
        // after that a transaction is open: such a connection is replaced.
        .before_acquire(|db, _| Box::pin(async move { Ok(!db.is_in_transaction()) }));
    let began = tokio::time::Instant::now();
    let write = loop {
        match writer.clone().connect_with(options.clone()).await {
            // SQLite does not wait by itself while another process turns the write-ahead log on, or recovers it.
            Err(error) if is_busy(&error) && began.elapsed() < WAIT => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            opened => break opened?,
        }
    };
    let read = pool().max_connections(3).idle_timeout(Duration::from_secs(30)).connect_lazy_with(reading);
    Ok(Engine::Sqlite { write, read })
}

fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xFF, 5 | 6))
}

impl Engine {
    /// Begins a transaction that may write. On SQLite it takes the write lock at once: a transaction that begins by
    /// reading could otherwise find later that it may not write any more.
    pub(crate) async fn begin(&self) -> Result<Open, sqlx::Error> {
        match self {
            Self::Sqlite { write, .. } => write.begin_with("BEGIN IMMEDIATE").await.map(Open::Sqlite),
            Self::Postgres(pool) => in_time(STATEMENT, pool.begin()).await.map(Open::Postgres),
        }
    }

    /// The engine's name.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Closes all connections, after the transactions under way.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Open {
    /// Begins what only one node may do at a time, for as long as the transaction lasts. SQLite has one writer anyway.
    pub(crate) async fn lock_migrations(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => Ok(()),
            // The number is arbitrary ("gatehous" in ASCII); PostgreSQL keeps advisory locks apart by database. The
            // other node may be at it for long, so the limits on waiting are lifted for this transaction.
            Self::Postgres(tx) => sqlx::raw_sql(
                "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
                 SELECT pg_advisory_xact_lock(7449362206512903539)",
            )
            .execute(&mut **tx)
            .await
            .map(|_| ()),
        }
    }

    /// Whether a table of this name exists.
    pub(crate) async fn has_table(&mut self, name: &str) -> Result<bool, sqlx::Error> {
        let found: Option<(i64,)> = match self {
            Self::Sqlite(tx) => {
                sqlx::query_as(
                    "SELECT CAST(1 AS INTEGER) FROM sqlite_schema WHERE type = 'table' AND name = $1",
                )
                .bind(name)
                .fetch_optional(&mut **tx)
                .await?
            }
            Self::Postgres(tx) => {
                sqlx::query_as("SELECT CAST(1 AS BIGINT) WHERE to_regclass($1) IS NOT NULL")
                    .bind(name)
                    .fetch_optional(&mut **tx)
                    .await?
            }
        };
        Ok(found.is_some())
    }

    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => in_time(STATEMENT, tx.commit()).await,
        }
    }

    pub(crate) async fn rollback(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await,
            Self::Postgres(tx) => in_time(STATEMENT, tx.rollback()).await,
        }
    }
}

/// Whether an engine's error code says that the database is away, full, or in the middle of something, so that the same
/// statement may succeed later.
///
/// PostgreSQL: classes 08 (connection), 53 (resources), 57 (operator intervention), 55P03 (lock not available), 40001
/// and 40P01 (serialization, deadlock), 25006 (read-only: a standby) of
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>. SQLite: the low byte of its result codes, 5 busy, 6
/// locked, 7 no memory, 8 read-only, 10 I/O, 13 full, 14 cannot open of <https://www.sqlite.org/rescode.html>.
pub(crate) fn is_away_code(code: &str) -> bool {
    if code.len() == 5 {
        return matches!(&code[..2], "08" | "53" | "57")
            || matches!(code, "55P03" | "40001" | "40P01" | "25006");
    }
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xFF, 5 | 6 | 7 | 8 | 10 | 13 | 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second statement finds the disk full, and SQLite undoes the transaction by itself.
    #[tokio::test]
    async fn a_full_disk_does_not_take_the_only_writer_away() {
        let folder = tempfile::tempdir().unwrap();
        let engine = open_sqlite(&folder.path().join("gatehouse.db")).await.unwrap();
        let Engine::Sqlite { write, .. } = &engine else { panic!("it is SQLite") };
        sqlx::raw_sql("CREATE TABLE t (x BLOB); PRAGMA max_page_count = 20").execute(write).await.unwrap();
        let Open::Sqlite(mut tx) = engine.begin().await.unwrap() else { panic!("it is SQLite") };
        sqlx::raw_sql("INSERT INTO t VALUES (1)").execute(&mut *tx).await.unwrap();
        let full = sqlx::raw_sql("INSERT INTO t VALUES (zeroblob(1000000))").execute(&mut *tx).await;
        assert!(full.unwrap_err().to_string().contains("full"));
        drop(tx);
        let Open::Sqlite(mut tx) = engine.begin().await.unwrap() else { panic!("it is SQLite") };
        sqlx::raw_sql("INSERT INTO t VALUES (2)").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let rows: (i64,) = sqlx::query_as("SELECT SUM(x) FROM t").fetch_one(write).await.unwrap();
        assert_eq!(rows, (2,));
    }
}

//! Filling an empty database from a backup.

use std::io::Read;
use std::sync::Arc;

use sqlx::QueryBuilder;

use super::archive::{Archive, Piece};
use super::catalog::{self, Table, quoted};
use super::cell::Cell;
use super::dump::sum_of;
use super::sum::Sum;
use super::{BackupError, Contents};
use crate::dialect::Open;
use crate::engine::{OpenError, Store, StoreConfig, connect};
use crate::error::StoreError;
use crate::migration::{self, ALL, Migration};

/// Most rows of a statement.
const ROWS: usize = 500;
/// Most values of a statement: SQLite takes 32,766 and PostgreSQL 65,535.
const VALUES: usize = 30_000;
/// Most bytes that wait for a statement.
const BYTES: usize = 8 << 20;

impl Store {
    /// Fills an empty database from a backup, which may come from the other engine or from an older program, and brings
    /// its schema up to date. All rows are written in one transaction, and compared with the backup before it is
    /// committed: it is all there or nothing.
    ///
    /// # Errors
    /// The database is not empty or cannot be used; the backup is damaged or of a newer program.
    pub async fn restore<R: Read + Send>(
        config: &StoreConfig,
        archive: &mut Archive<R>,
    ) -> Result<(Self, Contents), BackupError> {
        let then = schema_of(archive.head().migration)?;
        let store = Self { engine: Arc::new(connect(config).await?) };
        if !store.is_empty().await? {
            return Err(BackupError::NotEmpty);
        }
        migration::run(&store, then).await.map_err(OpenError::from)?;
        let mut tx = store.begin().await?;
        if let Open::Postgres(tx) = &mut tx.open {
            let patient =
                "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
            sqlx::raw_sql(patient).execute(&mut **tx).await?;
        }
        fill(&mut tx.open, archive).await?;
        tx.commit().await?;
        migration::run(&store, ALL).await.map_err(OpenError::from)?;
        Ok((store, archive.contents()))
    }

    /// Whether nothing was ever kept in this database.
    async fn is_empty(&self) -> Result<bool, BackupError> {
        let mut tx = self.begin().await?;
        if !tx.open.has_table("orgs").await? {
            return Ok(true);
        }
        let sql = "SELECT id FROM orgs LIMIT 1";
        let found: Option<(String,)> = match &mut tx.open {
            Open::Sqlite(tx) => sqlx::query_as(sql).fetch_optional(&mut **tx).await?,
            Open::Postgres(tx) => sqlx::query_as(sql).fetch_optional(&mut **tx).await?,
        };
        Ok(found.is_none())
    }
}

/// The migrations up to this one.
fn schema_of(newest: i64) -> Result<&'static [Migration], BackupError> {
    let known = || BackupError::Newer { found: newest, known: i64::try_from(ALL.len()).unwrap_or(i64::MAX) };
    usize::try_from(newest)
        .ok()
        .filter(|count| *count > 0)
        .and_then(|count| ALL.get(..count))
        .ok_or_else(known)
}

async fn fill<R: Read>(open: &mut Open, archive: &mut Archive<R>) -> Result<(), BackupError> {
    let tables = catalog::tables(open).await?;
    let references = catalog::suspend_references(open).await?;
    let mut sums: Vec<(&Table, Sum)> = Vec::new();
    let mut current: Option<&Table> = None;
    let mut batch = Batch::default();
    // Read in this task: whoever restores has nothing else to do meanwhile.
    while let Some(piece) = archive.next_piece()? {
        match piece {
            Piece::Table(given) => {
                let table = tables
                    .iter()
                    .find(|table| table.name == given.name)
                    .ok_or_else(|| unfit(&given, "there is none"))?;
                if *table != given {
                    return Err(unfit(&given, "it has other columns"));
                }
                let empty = sqlx::AssertSqlSafe(format!("DELETE FROM {}", quoted(&table.name)));
                match open {
                    Open::Sqlite(tx) => sqlx::query(empty).execute(&mut **tx).await.map(drop)?,
                    Open::Postgres(tx) => sqlx::query(empty).execute(&mut **tx).await.map(drop)?,
                }
                current = Some(table);
            }
            Piece::Row(row) => {
                if let Some(table) = current {
                    batch.take(row);
                    if batch.is_full(table) {
                        batch.write(open, table).await?;
                    }
                }
            }
            Piece::End(sum) => {
                if let Some(table) = current.take() {
                    batch.write(open, table).await?;
                    sums.push((table, sum));
                }
            }
        }
    }
    if let Some(missing) = tables.iter().find(|table| !sums.iter().any(|(found, _)| found.name == table.name))
    {
        return Err(unfit(missing, "it is not in the backup"));
    }
    for (table, sum) in sums {
        if sum_of(open, table).await? != sum {
            return Err(BackupError::Unlike(table.name.clone()));
        }
    }
    catalog::restore_references(open, references).await
}

fn unfit(table: &Table, why: &str) -> BackupError {
    BackupError::Unfit { table: table.name.clone(), why: why.to_owned() }
}

/// Rows that wait to be written.
#[derive(Default)]
struct Batch {
    rows: Vec<Vec<Cell>>,
    bytes: usize,
}

impl Batch {
    fn take(&mut self, row: Vec<Cell>) {
        let size = |cell: &Cell| match cell {
            Cell::Text(Some(text)) => text.len(),
            Cell::Bytes(Some(bytes)) => bytes.len(),
            Cell::Text(None) | Cell::Bytes(None) | Cell::Integer(_) | Cell::Real(_) => 8,
        };
        self.bytes += row.iter().map(size).sum::<usize>();
        self.rows.push(row);
    }

    fn is_full(&self, table: &Table) -> bool {
        let rows = (VALUES / table.columns.len().max(1)).clamp(1, ROWS);
        self.rows.len() >= rows || self.bytes >= BYTES
    }

    /// Writes them, and is empty again.
    async fn write(&mut self, open: &mut Open, table: &Table) -> Result<(), BackupError> {
        self.bytes = 0;
        if self.rows.is_empty() {
            return Ok(());
        }
        let insert = format!("INSERT INTO {} ({}) ", quoted(&table.name), table.list());
        macro_rules! insert {
            ($tx:expr, $engine:ty) => {{
                let mut query = QueryBuilder::<$engine>::new(insert);
                query.push_values(self.rows.drain(..), |mut values, row| {
                    for cell in row {
                        match cell {
                            Cell::Text(text) => values.push_bind(text),
                            Cell::Integer(number) => values.push_bind(number),
                            Cell::Real(number) => values.push_bind(number),
                            Cell::Bytes(bytes) => values.push_bind(bytes),
                        };
                    }
                });
                query.build().persistent(false).execute(&mut **$tx).await.map(drop)
            }};
        }
        match open {
            Open::Sqlite(tx) => insert!(tx, sqlx::Sqlite),
            Open::Postgres(tx) => insert!(tx, sqlx::Postgres),
        }
        .map_err(|error| BackupError::Store(StoreError::from(error)))
    }
}

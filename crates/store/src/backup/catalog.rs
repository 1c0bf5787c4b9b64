//! What tables a database has, asked of the database itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::BackupError;
use super::cell::Kind;
use crate::dialect::Open;

/// Tables that mean nothing elsewhere.
const LEFT_OUT: [&str; 3] = ["migrations", "leases", "nodes"];

/// A table. Columns are in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    #[serde(rename = "table")]
    pub(super) name: String,
    pub(super) columns: Vec<(String, Kind)>,
}

/// A foreign key of PostgreSQL, which has to be away while tables are filled in any order.
pub(super) struct Reference {
    table: String,
    name: String,
    definition: String,
}

const SQLITE: &str = "SELECT t.name, c.name, c.type FROM sqlite_schema t, pragma_table_info(t.name) c \
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
/// Tables and partitioned tables, without the partitions themselves.
const POSTGRES: &str = "SELECT t.relname::text, c.attname::text, format_type(c.atttypid, NULL) \
    FROM pg_class t JOIN pg_attribute c ON c.attrelid = t.oid \
    WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind IN ('r', 'p') AND NOT t.relispartition \
    AND c.attnum > 0 AND NOT c.attisdropped";
const REFERENCES: &str = "SELECT k.conrelid::regclass::text, k.conname::text, pg_get_constraintdef(k.oid) \
    FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid \
    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.connamespace = current_schema()::regnamespace";

impl Table {
    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.columns.iter().map(|(_, kind)| *kind).collect()
    }

    /// The columns' names, quoted, with commas.
    pub(super) fn list(&self) -> String {
        self.columns.iter().map(|(name, _)| quoted(name)).collect::<Vec<_>>().join(", ")
    }

    /// A statement that reads all rows.
    pub(super) fn select(&self) -> sqlx::AssertSqlSafe<String> {
        sqlx::AssertSqlSafe(format!("SELECT {} FROM {}", self.list(), quoted(&self.name)))
    }
}

/// A name as SQL wants it. Names come from the database's own catalog, or were found to be in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The tables that belong into a backup.
pub(super) async fn tables(open: &mut Open) -> Result<Vec<Table>, BackupError> {
    let found: Vec<(String, String, String)> = match open {
        Open::Sqlite(tx) => sqlx::query_as(SQLITE).fetch_all(&mut **tx).await?,
        Open::Postgres(tx) => sqlx::query_as(POSTGRES).fetch_all(&mut **tx).await?,
    };
    let mut tables: BTreeMap<String, BTreeMap<String, Kind>> = BTreeMap::new();
    for (table, column, kind) in found {
        if LEFT_OUT.contains(&table.as_str()) {
            continue;
        }
        let Some(kind) = Kind::of(&kind) else {
            return Err(BackupError::Unsupported { table, column, kind });
        };
        tables.entry(table).or_default().insert(column, kind);
    }
    Ok(tables
        .into_iter()
        .map(|(name, columns)| Table { name, columns: columns.into_iter().collect() })
        .collect())
}

/// Takes foreign keys out of the way until [`restore_references`], within the same transaction.
pub(super) async fn suspend_references(open: &mut Open) -> Result<Vec<Reference>, BackupError> {
    match open {
        Open::Sqlite(tx) => {
            sqlx::raw_sql("PRAGMA defer_foreign_keys = ON").execute(&mut **tx).await?;
            Ok(Vec::new())
        }
        Open::Postgres(tx) => {
            let found: Vec<(String, String, String)> =
                sqlx::query_as(REFERENCES).fetch_all(&mut **tx).await?;
            for (table, name, _) in &found {
                let sql = format!("ALTER TABLE {table} DROP CONSTRAINT {}", quoted(name));
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut **tx).await?;
            }
            Ok(found
                .into_iter()
                .map(|(table, name, definition)| Reference { table, name, definition })
                .collect())
        }
    }
}

/// Puts foreign keys back, which checks all rows. SQLite checks when the transaction is committed.
pub(super) async fn restore_references(open: &mut Open, all: Vec<Reference>) -> Result<(), BackupError> {
    let Open::Postgres(tx) = open else { return Ok(()) };
    for Reference { table, name, definition } in all {
        let sql = format!("ALTER TABLE {table} ADD CONSTRAINT {} {definition}", quoted(&name));
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut **tx).await?;
    }
    Ok(())
}

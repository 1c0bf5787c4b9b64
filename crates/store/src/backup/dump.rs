//! Writing a backup of a database in use.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::TryStreamExt as _;
use gatehouse_domain::audit::Hash;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::catalog::{self, Table};
use super::cell;
use super::sum::Sum;
use super::{BackupError, Contents, Head};
use crate::dialect::{Engine, Open};
use crate::engine::Store;
use crate::migration;

/// Compressed bytes that are gathered before they are written.
const PIECE: usize = 64 * 1024;

impl Store {
    /// Writes a backup: the state of one moment, while everything goes on. Memory stays the same however large the
    /// database is. `head` says what cannot be known here; its engine and its migration are filled in. Of no tenant: a
    /// backup is of all.
    ///
    /// On SQLite the write-ahead log grows for as long as this takes.
    ///
    /// # Errors
    /// The output cannot be written; a column has a type that is not backed up; the database.
    pub async fn back_up<W: AsyncWrite + Unpin + Send>(
        &self,
        mut head: Head,
        out: &mut W,
    ) -> Result<Contents, BackupError> {
        let mut open = self.moment().await?;
        self.engine_name().clone_into(&mut head.engine);
        head.migration = migration::newest(&mut open).await?;
        let mut writer = Writer::new(out);
        writer.json(&head).await?;
        let mut contents = Contents::default();
        for table in catalog::tables(&mut open).await? {
            writer.json(&table).await?;
            let sum = rows(&mut open, &table, &mut writer).await?;
            writer.json(&json!({"rows": sum.rows, "sum": sum.text()})).await?;
            contents.tables += 1;
            contents.rows += sum.rows;
        }
        open.rollback().await?;
        contents.sha256 = writer.finish(&contents).await?;
        Ok(contents)
    }

    /// A transaction that sees the database as it is now, whatever others write.
    async fn moment(&self) -> Result<Open, BackupError> {
        Ok(match self.engine() {
            Engine::Sqlite { read, .. } => Open::Sqlite(read.begin().await?),
            Engine::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                // A backup takes as long as it takes, and waits for whoever reads it.
                let how = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
                    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
                sqlx::raw_sql(how).execute(&mut *tx).await?;
                Open::Postgres(tx)
            }
        })
    }
}

/// Does something with the line of every row, as the rows arrive.
macro_rules! each_line {
    ($open:expr, $table:expr, $kinds:expr, |$line:ident| $body:expr) => {
        match $open {
            Open::Sqlite(tx) => each_line!(@of tx, $table, $kinds, $line, $body),
            Open::Postgres(tx) => each_line!(@of tx, $table, $kinds, $line, $body),
        }
    };
    (@of $tx:ident, $table:expr, $kinds:expr, $line:ident, $body:expr) => {{
        let mut all = sqlx::query($table.select()).fetch(&mut **$tx);
        while let Some(row) = all.try_next().await? {
            let $line = cell::line(&row, &$kinds)?;
            $body;
        }
    }};
}

/// Sends every row's line on, and gives their sum.
async fn rows<W: AsyncWrite + Unpin + Send>(
    open: &mut Open,
    table: &Table,
    writer: &mut Writer<'_, W>,
) -> Result<Sum, BackupError> {
    let (kinds, mut sum) = (table.kinds(), Sum::default());
    each_line!(open, table, kinds, |line| {
        sum.add(line.as_bytes());
        writer.line(line.as_bytes()).await?;
    });
    Ok(sum)
}

/// The sum of a table as it is now.
pub(super) async fn sum_of(open: &mut Open, table: &Table) -> Result<Sum, BackupError> {
    let (kinds, mut sum) = (table.kinds(), Sum::default());
    each_line!(open, table, kinds, |line| sum.add(line.as_bytes()));
    Ok(sum)
}

/// Compresses, hashes and sends lines on.
struct Writer<'a, W> {
    packed: GzEncoder<Vec<u8>>,
    hash: Sha256,
    out: &'a mut W,
}

impl<'a, W: AsyncWrite + Unpin + Send> Writer<'a, W> {
    fn new(out: &'a mut W) -> Self {
        Self { packed: GzEncoder::new(Vec::new(), Compression::fast()), hash: Sha256::new(), out }
    }

    async fn json(&mut self, value: &impl Serialize) -> Result<(), BackupError> {
        let text = serde_json::to_vec(value).map_err(|error| BackupError::Write(error.into()))?;
        self.line(&text).await
    }

    async fn line(&mut self, text: &[u8]) -> Result<(), BackupError> {
        self.hash.update(text);
        self.hash.update(b"\n");
        self.write(text).await
    }

    async fn write(&mut self, text: &[u8]) -> Result<(), BackupError> {
        self.packed.write_all(text).map_err(BackupError::Write)?;
        self.packed.write_all(b"\n").map_err(BackupError::Write)?;
        if self.packed.get_ref().len() >= PIECE {
            self.out.write_all(self.packed.get_ref()).await.map_err(BackupError::Write)?;
            self.packed.get_mut().clear();
        }
        Ok(())
    }

    /// Writes the line that closes the file, and gives the hash in it.
    async fn finish(mut self, contents: &Contents) -> Result<String, BackupError> {
        let sha256 = Hash::from_bytes(self.hash.clone().finalize().into()).to_string();
        let closing = json!({"tables": contents.tables, "rows": contents.rows, "sha256": sha256});
        self.write(closing.to_string().as_bytes()).await?;
        let rest = self.packed.finish().map_err(BackupError::Write)?;
        self.out.write_all(&rest).await.map_err(BackupError::Write)?;
        self.out.flush().await.map_err(BackupError::Write)?;
        Ok(sha256)
    }
}

//! Reading a backup, and finding out whether it is whole.

use std::io::{self, BufRead as _, BufReader, Read};

use flate2::read::GzDecoder;
use gatehouse_domain::audit::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::catalog::Table;
use super::cell::Cell;
use super::sum::Sum;
use super::{Contents, FORMAT, Head};

/// Longest line, in bytes. Far more than anything we write into a row.
const MAX_LINE: u64 = 64 << 20;

/// Why a file is no backup that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read.
    #[error("cannot read the backup: {0}")]
    Read(#[source] io::Error),
    /// It is something else.
    #[error("the file is no backup of gatehouse")]
    NotABackup,
    /// A newer program made it.
    #[error(
        "the backup has the format {0}, and this program knows the format {FORMAT}: use the newer gatehouse"
    )]
    Format(u64),
    /// It is not what was written.
    #[error("the backup is damaged at line {line}: {why}")]
    Damaged {
        /// The line, from 1.
        line: u64,
        /// What is wrong there.
        why: String,
    },
}

/// A backup that was read to its end and is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What it is of.
    pub head: Head,
    /// What it holds.
    pub contents: Contents,
    /// Its tables and how many rows they have.
    pub tables: Vec<(String, u64)>,
}

/// A backup that is being read.
pub struct Archive<R: Read> {
    lines: BufReader<GzDecoder<R>>,
    head: Head,
    hash: Sha256,
    line: u64,
    /// The table whose rows come next, and their sum so far.
    table: Option<(Table, Sum)>,
    seen: Vec<(String, u64)>,
    contents: Option<Contents>,
}

/// What comes next in a backup.
pub(super) enum Piece {
    /// A table begins.
    Table(Table),
    /// A row of it.
    Row(Vec<Cell>),
    /// The table is over, and its rows gave this sum, as they should.
    End(Sum),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableEnd {
    rows: u64,
    sum: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Closing {
    tables: u64,
    rows: u64,
    sha256: String,
}

impl<R: Read> Archive<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// The file cannot be read or is no backup of a known format.
    pub fn open(input: R) -> Result<Self, ArchiveError> {
        let mut archive = Self {
            lines: BufReader::with_capacity(1 << 16, GzDecoder::new(input)),
            head: Head {
                gatehouse_backup: FORMAT,
                version: String::new(),
                made_at: String::new(),
                engine: String::new(),
                migration: 0,
                master_keys: Vec::new(),
                escrow: None,
            },
            hash: Sha256::new(),
            line: 0,
            table: None,
            seen: Vec::new(),
            contents: None,
        };
        // Whatever is wrong with the first line: it is something else.
        let first = archive.read_line().map_err(|_| ArchiveError::NotABackup)?;
        archive.hash_line(&first);
        let value: Value = serde_json::from_slice(&first).map_err(|_| ArchiveError::NotABackup)?;
        match value["gatehouse_backup"].as_u64() {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => return Err(ArchiveError::Format(format)),
            None => return Err(ArchiveError::NotABackup),
        }
        archive.head = serde_json::from_value(value).map_err(|error| archive.damaged(error))?;
        Ok(archive)
    }

    /// What it is of.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Reads it to its end without doing anything with it.
    ///
    /// # Errors
    /// It cannot be read or is damaged.
    pub fn check(mut self) -> Result<Checked, ArchiveError> {
        while self.next_piece()?.is_some() {}
        let contents = self.contents.unwrap_or_default();
        Ok(Checked { head: self.head, contents, tables: self.seen })
    }

    /// What it holds, once it was read to its end.
    pub(super) fn contents(&self) -> Contents {
        self.contents.clone().unwrap_or_default()
    }

    /// The next piece; `None` at the end of a file that is whole.
    pub(super) fn next_piece(&mut self) -> Result<Option<Piece>, ArchiveError> {
        if self.contents.is_some() {
            return Ok(None);
        }
        let line = self.read_line()?;
        let Some((table, mut sum)) = self.table.take() else { return self.between(&line) };
        self.hash_line(&line);
        if line.first() == Some(&b'[') {
            sum.add(&line);
            let row = self.row(&line, &table)?;
            self.table = Some((table, sum));
            return Ok(Some(Piece::Row(row)));
        }
        let end: TableEnd = serde_json::from_slice(&line).map_err(|error| self.damaged(error))?;
        if (end.rows, &end.sum) != (sum.rows, &sum.text()) {
            return Err(self
                .damaged(format!("the rows of the table `{}` are not those that were written", table.name)));
        }
        self.seen.push((table.name, sum.rows));
        Ok(Some(Piece::End(sum)))
    }

    /// A line that is outside of any table: another table, or the end.
    fn between(&mut self, line: &[u8]) -> Result<Option<Piece>, ArchiveError> {
        if let Ok(closing) = serde_json::from_slice::<Closing>(line) {
            let found = Hash::from_bytes(self.hash.clone().finalize().into()).to_string();
            let rows = self.seen.iter().map(|(_, rows)| rows).sum();
            if (closing.tables, closing.rows) != (self.seen.len() as u64, rows) || closing.sha256 != found {
                return Err(self.damaged("what was read is not what the end of the file promises"));
            }
            let Closing { tables, rows, sha256 } = closing;
            self.contents = Some(Contents { tables, rows, sha256 });
            // The end of the compressed data has a checksum of its own, and nothing may follow.
            return match self.lines.fill_buf() {
                Ok([]) => Ok(None),
                Ok(_) => Err(self.damaged("something follows after its end")),
                Err(error) => Err(self.damaged(error)),
            };
        }
        self.hash_line(line);
        let table: Table = serde_json::from_slice(line).map_err(|error| self.damaged(error))?;
        if self.seen.iter().any(|(name, _)| *name == table.name) {
            return Err(self.damaged(format!("the table `{}` comes twice", table.name)));
        }
        self.table = Some((table.clone(), Sum::default()));
        Ok(Some(Piece::Table(table)))
    }

    fn row(&self, line: &[u8], table: &Table) -> Result<Vec<Cell>, ArchiveError> {
        let values: Vec<Value> = serde_json::from_slice(line).map_err(|error| self.damaged(error))?;
        if values.len() != table.columns.len() {
            return Err(self.damaged(format!("{} values for {} columns", values.len(), table.columns.len())));
        }
        let cells = values.iter().zip(&table.columns).map(|(value, (column, kind))| {
            kind.read(value).ok_or_else(|| self.damaged(format!("`{column}` has a value of another kind")))
        });
        cells.collect()
    }

    /// The next line, without its end.
    fn read_line(&mut self) -> Result<Vec<u8>, ArchiveError> {
        self.line += 1;
        let mut line = Vec::new();
        match self.lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(_) => {}
            // What a decompressor says of broken data.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) =>
            {
                return Err(self.damaged(error));
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.damaged("the file ends here and should not"));
            }
            Err(error) => return Err(ArchiveError::Read(error)),
        }
        if line.pop() != Some(b'\n') {
            return Err(self.damaged("the file ends here and should not"));
        }
        Ok(line)
    }

    fn hash_line(&mut self, line: &[u8]) {
        self.hash.update(line);
        self.hash.update(b"\n");
    }

    #[expect(clippy::needless_pass_by_value, reason = "calls read better without `&`")]
    fn damaged(&self, why: impl ToString) -> ArchiveError {
        ArchiveError::Damaged { line: self.line, why: why.to_string() }
    }
}

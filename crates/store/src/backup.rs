//! Backups: the whole database as one file that either engine can be filled from.
//!
//! The file is gzip (RFC 1952) of UTF-8 lines. The first tells what it is (`Head`); then, for each table, a line with its
//! name and columns, a line for each row (a JSON array in the order of the columns), and a line with the number of rows and
//! their sum; at last a line that closes the file. Everything before that is covered by its SHA-256, so that a file that was
//! cut, or altered by accident, is noticed before anything is done with it. Tables and columns are in the order of their
//! names, bytes are base64, and nothing in it belongs to an engine.
//!
//! The sum of a table does not depend on the order of rows, which engines do not agree on: a restored table is the table
//! that was backed up exactly when the two sums are equal.
//!
//! Left out is what means nothing elsewhere: which migrations an engine has had (the file's head says up to where), leases,
//! and the nodes that are running.

mod catalog;
mod cell;
mod dump;
mod load;
mod archive;
mod sum;

use std::io;

use serde::{Deserialize, Serialize};

pub use archive::{Archive, ArchiveError, Checked};

use crate::engine::OpenError;
use crate::error::StoreError;

/// The version of the format.
pub const FORMAT: u32 = 1;

/// What a backup is of. Its first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The version of the format, [`FORMAT`].
    pub gatehouse_backup: u32,
    /// The program that made it.
    pub version: String,
    /// When, as RFC 3339 in UTC.
    pub made_at: String,
    /// The engine it was made from.
    pub engine: String,
    /// The newest migration of that database.
    pub migration: i64,
    /// The public names of the master keys that its sealed secrets may need.
    pub master_keys: Vec<String>,
    /// Those master keys, sealed under a passphrase, when the operator wanted them in it.
    pub escrow: Option<String>,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Contents {
    /// How many tables.
    pub tables: u64,
    /// How many rows in all of them.
    pub rows: u64,
    /// SHA-256 of everything in it, in hexadecimal digits: the name of this very backup.
    pub sha256: String,
}

/// Why a backup could not be made, or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It cannot be written.
    #[error("cannot write the backup")]
    Write(#[source] io::Error),
    /// It cannot be read, or is not what it says.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The database to be filled has something in it.
    #[error(
        "the database is not empty: a backup is restored into an empty one only (another data directory, or a new \
         PostgreSQL database)"
    )]
    NotEmpty,
    /// The backup was made by a newer program.
    #[error(
        "the backup has migration {found}, and this program knows migrations up to {known}: use the newer gatehouse"
    )]
    Newer {
        /// The backup's.
        found: i64,
        /// The newest one known.
        known: i64,
    },
    /// A table is not what the backup has under that name.
    #[error("the backup's table `{table}` does not fit the database: {why}")]
    Unfit {
        /// The table.
        table: String,
        /// What is wrong.
        why: String,
    },
    /// What was written is not what was read.
    #[error("the table `{0}` is not in the database as it is in the backup; nothing was kept")]
    Unlike(String),
    /// A column has a type that this program does not back up.
    #[error("the column `{column}` of the table `{table}` has the type `{kind}`, which cannot be backed up")]
    Unsupported {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        kind: String,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

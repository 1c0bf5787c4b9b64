//! The file that tunnels are written to before the database has them.
//!
//! One line a record, JSON, handed to the operating system before [`Spool::write`] returns: killing the process loses none. They
//! reach the disk when they are brought into the database, twice a second at the latest. Two files take turns: while one is
//! brought in, the other takes what comes.
//!
//! # Bounds
//! Records not in the database may take [`Spool::MOST`] bytes on the disk, and about as much memory. Beyond it no tunnel may
//! begin; the ends of those that are open always find room.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatehouse_domain::id::OrgId;
use gatehouse_domain::proxy::Tunnel;

use crate::engine::Store;
use crate::error::StoreError;

/// Records of one transaction.
const BATCH: usize = 500;

/// There is no room for new tunnels, or the disk does not take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the records of the proxy cannot be written down (disk full, or the database too far behind)")]
pub struct SpoolFull;

/// The file. One process owns it; the lock on the data directory sees to that.
pub struct Spool {
    folder: PathBuf,
    inner: Mutex<Inner>,
    /// Held while records are brought in.
    bringing: tokio::sync::Mutex<()>,
}

struct Inner {
    file: File,
    bytes: u64,
    waiting: VecDeque<Tunnel>,
}

impl Spool {
    /// Most bytes that wait for the database.
    pub const MOST: u64 = 64 << 20;

    /// Opens the spool of a folder, made if it is not there, with what earlier runs left in it.
    ///
    /// # Errors
    /// The folder or its files cannot be read or written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (first, second) = (folder.join(OLDER), folder.join(NEWER));
        let mut waiting = VecDeque::new();
        for path in [&first, &second] {
            read_lines(path, &mut waiting)?;
        }
        let file = File::options().create(true).append(true).open(&second)?;
        let bytes = file.metadata()?.len();
        let inner = Mutex::new(Inner { file, bytes, waiting });
        Ok(Self { folder: folder.to_owned(), inner, bringing: tokio::sync::Mutex::default() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a tunnel down. When this returns, it survives the death of this process.
    ///
    /// # Errors
    /// There is no room, and it is a beginning. An end is kept in memory even if the disk does not take it.
    pub fn write(&self, tunnel: &Tunnel) -> Result<(), SpoolFull> {
        let mut line = serde_json::to_vec(tunnel).map_err(|_| SpoolFull)?;
        line.push(b'\n');
        let mut inner = self.inner();
        // A refusal begins and ends at once, and has no end that must be kept.
        let is_needed = tunnel.end.is_some_and(|end| end.why != gatehouse_domain::proxy::Close::Refused);
        if !is_needed && inner.bytes >= Self::MOST {
            return Err(SpoolFull);
        }
        let written = inner.file.write_all(&line);
        if written.is_err() && !is_needed {
            return Err(SpoolFull);
        }
        inner.bytes += line.len() as u64;
        inner.waiting.push_back(tunnel.clone());
        Ok(())
    }

    /// How many records wait.
    pub fn waiting(&self) -> usize {
        self.inner().waiting.len()
    }

    /// Brings what waits into the database, and says how many records that were.
    ///
    /// # Errors
    /// The database, or the disk, which says nothing of the records: they wait on.
    pub async fn bring(&self, store: &Store, org: OrgId) -> Result<usize, StoreError> {
        let _one_at_a_time = self.bringing.lock().await;
        let count = self.turn();
        let mut brought = 0;
        while brought < count {
            let batch: Vec<Tunnel> = {
                let inner = self.inner();
                inner.waiting.iter().take(BATCH.min(count - brought)).cloned().collect()
            };
            store.write_tunnels(org, &batch).await?;
            self.inner().waiting.drain(..batch.len());
            brought += batch.len();
        }
        self.forget();
        Ok(brought)
    }

    /// Lets the files take turns, if the older one is gone, and says how many records are to be brought in.
    fn turn(&self) -> usize {
        let mut inner = self.inner();
        let (older, newer) = (self.folder.join(OLDER), self.folder.join(NEWER));
        if inner.bytes > 0 && !older.exists() && fs::rename(&newer, &older).is_ok() {
            match File::options().create(true).append(true).open(&newer) {
                Ok(file) => inner.file = file,
                // The open file goes on under its new name, and is forgotten only when all in it is brought in.
                Err(error) => tracing::warn!(%error, "the proxy's records go on in the same file"),
            }
        }
        inner.waiting.len()
    }

    /// Removes the older file. Everything in it is in the database now.
    fn forget(&self) {
        let mut inner = self.inner();
        // Without its successor the file is still written to.
        if self.folder.join(NEWER).exists() && fs::remove_file(self.folder.join(OLDER)).is_ok() {
            inner.bytes = inner.file.metadata().map_or(0, |file| file.len());
        }
    }
}

const OLDER: &str = "older.jsonl";
const NEWER: &str = "newer.jsonl";

/// Reads the records of a file. A line that was cut off is none: its tunnel did not begin.
fn read_lines(path: &Path, into: &mut VecDeque<Tunnel>) -> io::Result<()> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(tunnel) => into.push_back(tunnel),
            Err(error) => tracing::warn!(%error, "a record of the proxy was cut off and is left out"),
        }
    }
    Ok(())
}

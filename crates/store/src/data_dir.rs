//! The data directory: one process at a time, and nobody else's eyes.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use gatehouse_domain::id::NodeId;

/// The file whose lock says that a process uses the directory.
const LOCK: &str = "gatehouse.lock";
/// The file that holds this node's identifier.
const NODE: &str = "node.id";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made or read.
    #[error("cannot use the data directory `{path}`")]
    Io {
        /// The directory or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something else of that name.
    #[error("the data directory `{0}` is not a directory")]
    NotADirectory(PathBuf),
    /// Other users of the machine could read keys and records.
    #[error("the data directory `{path}` is open to other users (mode {mode:03o}); run: chmod 700 '{path}'")]
    OpenToOthers {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process is using it.
    #[error(
        "the data directory `{path}` is in use by another gatehouse{holder}; stop it, or give this one another directory"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// ` (process 123)` when the other process has said who it is.
        holder: String,
    },
    /// The node's identifier cannot be read.
    #[error("`{path}` holds `{found}`, which is no node id; remove the file to get a new one")]
    BadNode {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
}

/// A data directory that this process alone may use, until this value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // Never read: it holds the lock.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be (readable for its owner only) and takes it.
    ///
    /// # Errors
    /// It cannot be made, is open to other users (an empty one is closed instead), or another process uses it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        make(&path)?;
        guard(&path)?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The node's identifier: read from `node.id`, or `fresh`, which is then written there.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds something else.
    pub fn node_id(&self, fresh: NodeId) -> Result<NodeId, DataDirError> {
        let path = self.path.join(NODE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let found = text.trim().chars().take(64).flat_map(char::escape_debug).collect();
                text.trim().parse().map_err(|_| DataDirError::BadNode { path, found })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                write_new(&path, format!("{fresh}\n").as_bytes())
                    .map_err(|source| DataDirError::Io { path, source })?;
                Ok(fresh)
            }
            Err(source) => Err(DataDirError::Io { path, source }),
        }
    }
}

fn make(path: &Path) -> Result<(), DataDirError> {
    let fail = |source| DataDirError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(DataDirError::NotADirectory(path.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(path).map_err(fail)
        }
        Err(e) => Err(fail(e)),
    }
}

#[cfg(unix)]
fn guard(path: &Path) -> Result<(), DataDirError> {
    use std::os::unix::fs::PermissionsExt as _;

    let fail = |source| DataDirError::Io { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(fail)?.permissions().mode() & 0o777;
    // Nothing set for group and others.
    if mode.trailing_zeros() >= 6 {
        return Ok(());
    }
    // An empty directory was made for us, by somebody who did not think of permissions.
    let empty = fs::read_dir(path).map_err(fail)?.next().is_none();
    if empty && fs::set_permissions(path, fs::Permissions::from_mode(0o700)).is_ok() {
        return Ok(());
    }
    Err(DataDirError::OpenToOthers { path: path.to_owned(), mode })
}

/// Elsewhere permissions are inherited from the folder above, and this is the operator's business.
#[cfg(not(unix))]
fn guard(_: &Path) -> Result<(), DataDirError> {
    Ok(())
}

fn lock(dir: &Path) -> Result<File, DataDirError> {
    let path = dir.join(LOCK);
    let fail = |source| DataDirError::Io { path: path.clone(), source };
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(DataDirError::InUse { path: dir.to_owned(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(fail(source)),
    }
    file.set_len(0).map_err(fail)?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(fail)?;
    Ok(file)
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // Where locks are mandatory, the file cannot be read either; then the sentence does without.
    let _ = file.take(20).read_to_string(&mut text);
    text.trim().parse::<u32>().map(|process| format!(" (process {process})")).unwrap_or_default()
}

/// Writes a file beside its place and moves it there, so that it is there whole or not at all.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

//! What signs the audit log for this node, and what this node remembers of it outside the database.
//!
//! A signature of whatever the database holds would prove nothing: who can write there could change entries, make the
//! hashes anew, remove the checkpoints, and have the result signed. Therefore the newest checkpoint that this node knows
//! is kept in a file beside the database, and only what continues it is signed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use gatehouse_domain::audit::{Checkpoint, PublicKey, Signer};
use gatehouse_domain::id::NodeId;
use gatehouse_domain::time::UnixMillis;
use tokio::sync::{Mutex, MutexGuard};

use super::Signed;

/// Longest file that is read: a checkpoint has about 500 bytes.
const MAX_FILE: u64 = 16 * 1024;

/// Why the newest known checkpoint cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum NotaryError {
    /// The file cannot be read or written.
    #[error("cannot keep the newest audit checkpoint in `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error(
        "`{path}` does not hold an audit checkpoint: {why}; restore it from a copy, or remove it to trust the database as it is"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Signs checkpoints for a node, and keeps the newest one it knows in a file.
pub struct Notary {
    pub(super) node: NodeId,
    keys: RwLock<SigningKeys>,
    path: PathBuf,
    /// Held while the log is read and signed, so that one task of this node does it at a time.
    known: Mutex<Option<Signed>>,
}

/// What the audit log is signed with, and was.
#[derive(Clone)]
pub struct SigningKeys {
    /// Each with the time from which on it signs, the oldest first. Never empty.
    pub signers: Vec<(UnixMillis, Signer)>,
    /// The public halves of all that ever signed.
    pub publics: Vec<PublicKey>,
}

impl From<Signer> for SigningKeys {
    fn from(only: Signer) -> Self {
        Self { publics: vec![only.public()], signers: vec![(UnixMillis(0), only)] }
    }
}

impl SigningKeys {
    /// The newest whose time has come.
    fn at(&self, now: UnixMillis) -> &Signer {
        let due = self.signers.iter().rfind(|(from, _)| *from <= now);
        due.or_else(|| self.signers.first()).map(|(_, signer)| signer).expect("there is one")
    }
}

impl Notary {
    /// Reads the newest known checkpoint from the file; there is none yet when there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn open(
        node: NodeId,
        keys: impl Into<SigningKeys>,
        path: impl Into<PathBuf>,
    ) -> Result<Self, NotaryError> {
        let path = path.into();
        let known = read(&path)?;
        Ok(Self { node, keys: RwLock::new(keys.into()), path, known: Mutex::new(known) })
    }

    /// Takes other keys. Those that signed before must be among the public ones.
    pub fn replace_keys(&self, keys: SigningKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// The public half of the key that it signs with at a time.
    pub fn public(&self, now: UnixMillis) -> PublicKey {
        self.signer(now).public()
    }

    /// The key that it signs with at a time.
    pub(super) fn signer(&self, now: UnixMillis) -> Signer {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).at(now).clone()
    }

    /// Where the newest known checkpoint is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn known(&self) -> MutexGuard<'_, Option<Signed>> {
        self.known.lock().await
    }

    /// Whether a checkpoint was signed with one of the keys of this deployment.
    pub(super) fn signed(&self, point: &Signed) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.publics.contains(&point.checkpoint.key) && point.checkpoint.check(&point.signature).is_ok()
    }

    /// Keeps a checkpoint that the log was found to continue up to, on disk and in the log.
    pub(super) async fn keep(&self, known: &mut Option<Signed>, point: &Signed) -> Result<(), NotaryError> {
        if known.as_ref() == Some(point) {
            return Ok(());
        }
        let line = point.checkpoint.line(&point.signature);
        // Where the log of the process is collected, this line is one more witness that a change of the database leaves.
        tracing::info!(audit.seq = point.checkpoint.seq, checkpoint = line, "the audit log is signed");
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || write(&path, &line)).await;
        let written = written.unwrap_or_else(|_| Err(io::Error::other("the writing task was lost")));
        written.map_err(|source| NotaryError::Io { path: self.path.clone(), source })?;
        *known = Some(point.clone());
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Signed>, NotaryError> {
    let fail = |source| NotaryError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail(e)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(fail)?;
    let text = String::from_utf8_lossy(&bytes);
    match Checkpoint::read_line(text.trim_end()) {
        Ok((checkpoint, signature)) => Ok(Some(Signed { checkpoint, signature })),
        Err(why) => Err(NotaryError::Unreadable { path: path.to_owned(), why: why.to_string() }),
    }
}

/// Writes the file beside its place and moves it there, so that it is there whole or not at all, also after a power cut.
fn write(path: &Path, line: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

//! Backups: made while the server runs, when somebody asks for one and on time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use gatehouse_domain::audit::Object;
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::escrow::{self, EscrowError};
use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::secret::Secret;
use gatehouse_store::StoreError;
use gatehouse_store::backup::{BackupError, Contents, FORMAT, Head};
use tokio::io::AsyncWrite;

use crate::act::{ActError, Caller};
use crate::app::{App, NotFlushed};

/// The lease's name.
const LEASE: &str = "backup";
/// How long one backup may take until another node may believe that it was given up.
const LEASE_MS: i64 = 6 * 60 * 60 * 1000;
/// How the names of our files end; files of other names are never touched.
const ENDING: &str = ".backup";
const BEGINNING: &str = "gatehouse-";
/// `2026-11-28T06:15:00Z` without what file systems do not like.
const STAMP_LEN: usize = "20261128T061500Z".len();

/// When and where backups are made by themselves, and what is in them.
pub struct Rule {
    /// Where to; none when none are made by themselves.
    pub directory: Option<PathBuf>,
    /// How long after the newest one the next is made, in milliseconds.
    pub every_ms: i64,
    /// How many are kept; at least 1.
    pub keep: usize,
    /// What the master keys are sealed under when they shall be in it.
    pub passphrase: Option<Secret>,
}

/// A backup that lies in the configured directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its file's name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Why a backup was not made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// What the configuration says cannot be done.
    #[error("{0}")]
    Rule(String),
    /// The passphrase is not good enough.
    #[error("`backup.passphrase`: {0}")]
    Escrow(#[from] EscrowError),
    /// The file cannot be written.
    #[error("cannot write backups into `{directory}`: {cause}")]
    Write {
        /// Where to.
        directory: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// What has ended lately is not in the database yet.
    #[error(transparent)]
    Ledger(#[from] NotFlushed),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The backup broke off.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Records that a backup is about to be made, waits until all that has ended is in the database, and says what the
/// backup is of: what can be refused is refused here, before anything is sent.
///
/// # Errors
/// The passphrase cannot be had or is too short; the ledger is behind; the database.
pub async fn begin(app: &App, caller: &Caller) -> Result<Head, ActError> {
    let rule = (app.house.backups)().map_err(|why| ActError::field("backup.passphrase", why))?;
    let head = head(app, rule.passphrase).await;
    let head = head.map_err(|why| ActError::field("backup.passphrase", why))?;
    (app.house.flush_ledger)().await?;
    let act = caller
        .draft(app.now(), "backup.create", Object::new("backup", "", ""))
        .with("master_keys", if head.escrow.is_some() { "sealed in it" } else { "not in it" });
    app.store.record(app.org, &act).await?;
    Ok(head)
}

/// Writes it.
///
/// # Errors
/// The output cannot be written; the database.
pub async fn write<W: AsyncWrite + Unpin + Send>(
    app: &App,
    head: Head,
    out: &mut W,
) -> Result<(), BackupError> {
    app.store.back_up(head, out).await.map(drop)
}

/// The backups in the configured directory, newest first; none when there is no such directory.
///
/// # Errors
/// The directory cannot be read.
pub async fn list(app: &App) -> Result<Vec<Kept>, ActError> {
    let rule = (app.house.backups)().map_err(|why| ActError::field("backup.passphrase", why))?;
    let Some(directory) = rule.directory else { return Ok(Vec::new()) };
    let listed = tokio::task::spawn_blocking(move || kept(&directory)).await;
    let listed = listed.unwrap_or_else(|gone| Err(io::Error::other(gone)));
    listed.map_err(|cause| ActError::field("backup.directory", cause))
}

/// Makes a backup if one is due and no other node is at it; `Some` when it made one. For a job that calls it every
/// minute. Older files than are to be kept are removed, but only once the new one is there.
///
/// # Errors
/// It was due and could not be made; it is tried again at the next call.
pub async fn run_due(app: &App) -> Result<Option<Contents>, MakeError> {
    let rule = (app.house.backups)().map_err(MakeError::Rule)?;
    let Some(directory) = rule.directory.clone() else { return Ok(None) };
    let (at, failed) = (directory.clone(), |cause| MakeError::Write { directory: directory.clone(), cause });
    if !is_due(&at, rule.every_ms, app.now()).map_err(failed)? {
        return Ok(None);
    }
    let (now, holder) = (app.now(), format!("{} {:032x}", app.node, app.random_bits()));
    if !app.store.take_lease(app.org, LEASE, &holder, now, now.plus_millis(LEASE_MS)).await? {
        return Ok(None);
    }
    // Another node that shares the directory may have been at it until now.
    let done = match is_due(&at, rule.every_ms, app.now()) {
        Ok(true) => make(app, rule, &directory).await.map(Some),
        Ok(false) => Ok(None),
        Err(cause) => Err(failed(cause)),
    };
    app.store.give_lease_back(app.org, LEASE, &holder).await?;
    done
}

async fn make(app: &App, rule: Rule, directory: &Path) -> Result<Contents, MakeError> {
    let failed = |cause| MakeError::Write { directory: directory.to_owned(), cause };
    let head = head(app, rule.passphrase).await?;
    (app.house.flush_ledger)().await?;
    let name = name_of(app.now());
    let act = Caller::system("backup")
        .draft(app.now(), "backup.create", Object::new("backup", &name, &name))
        .with("master_keys", if head.escrow.is_some() { "sealed in it" } else { "not in it" });
    app.store.record(app.org, &act).await?;
    // Beside its place until it is whole; removed if it does not get there.
    let part = tempfile::Builder::new()
        .prefix(".gatehouse-")
        .suffix(".part")
        .tempfile_in(directory)
        .map_err(failed)?;
    let (file, path) = part.into_parts();
    let mut out = tokio::fs::File::from_std(file);
    let contents = app.store.back_up(head, &mut out).await?;
    out.sync_all().await.map_err(failed)?;
    let place = directory.join(&name);
    path.persist(&place).map_err(|error| failed(error.error))?;
    // The name is durable with the directory only.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    for old in kept(directory).map_err(failed)?.into_iter().skip(rule.keep.max(1)) {
        std::fs::remove_file(directory.join(&old.name)).map_err(failed)?;
        tracing::info!(backup = old.name, "an old backup was removed");
    }
    tracing::info!(backup = %place.display(), rows = contents.rows, "a backup was made");
    Ok(contents)
}

async fn head(app: &App, passphrase: Option<Secret>) -> Result<Head, EscrowError> {
    let escrow = match passphrase {
        None => None,
        Some(passphrase) => Some(sealed(app, passphrase).await?),
    };
    Ok(Head {
        gatehouse_backup: FORMAT,
        version: app.version.to_owned(),
        made_at: app.now().to_string(),
        engine: String::new(),
        migration: 0,
        master_keys: app.keyring.ids().iter().map(ToString::to_string).collect(),
        escrow,
    })
}

/// Takes its time and a core, and so goes on a thread of its own.
async fn sealed(app: &App, passphrase: Secret) -> Result<String, EscrowError> {
    let (ring, salt, nonce): (Keyring, _, _) = (app.keyring.clone(), app.random(), app.random());
    let sealing = tokio::task::spawn_blocking(move || escrow::seal(&ring, &passphrase, salt, nonce));
    sealing.await.unwrap_or(Err(EscrowError::Malformed))
}

/// The name of a backup made then. Names are in the order of their times.
fn name_of(at: UnixMillis) -> String {
    let stamp: String = at.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let stamp = stamp.split('.').next().unwrap_or_default();
    format!("{BEGINNING}{stamp}Z{ENDING}")
}

fn is_ours(name: &str) -> bool {
    let stamp = name.strip_prefix(BEGINNING).and_then(|rest| rest.strip_suffix(ENDING));
    stamp.is_some_and(|stamp| {
        stamp.len() == STAMP_LEN && stamp.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'T' | b'Z'))
    })
}

/// Whether a backup is so old that two more should have been made since.
pub(crate) fn is_late(kept: &Kept, every_ms: i64, now: UnixMillis) -> bool {
    kept.name < name_of(now.plus_millis(every_ms.saturating_mul(-2)))
}

fn is_due(directory: &Path, every_ms: i64, now: UnixMillis) -> io::Result<bool> {
    let limit = name_of(now.plus_millis(-every_ms));
    Ok(kept(directory)?.first().is_none_or(|newest| newest.name <= limit))
}

/// Newest first.
fn kept(directory: &Path) -> io::Result<Vec<Kept>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str().filter(|name| is_ours(name)) {
            all.push(Kept { name: name.to_owned(), bytes: entry.metadata()?.len() });
        }
    }
    all.sort_by(|a, b| b.name.cmp(&a.name));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_time_and_strangers_are_left_alone() {
        let at = UnixMillis(1_795_846_500_123);
        assert_eq!(name_of(at), "gatehouse-20261128T061500Z.backup");
        assert!(is_ours(&name_of(at)) && name_of(at) < name_of(at.plus_millis(1_000)));
        for other in
            ["gatehouse-.backup", "gatehouse-20261128T061500Z.backup.gz", "my-20261128T061500Z.backup"]
        {
            assert!(!is_ours(other), "{other}");
        }
    }

    #[test]
    fn the_next_one_is_due_when_the_newest_is_old_enough() {
        let folder = tempfile::tempdir().unwrap();
        let (made, hour) = (UnixMillis(1_795_846_500_000), 3_600_000);
        let due = |now| is_due(folder.path(), hour, now).unwrap();
        assert!(due(made));
        for at in [made, made.plus_millis(-hour)] {
            std::fs::write(folder.path().join(name_of(at)), "x").unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
        assert!(!due(made.plus_millis(hour - 1000)) && due(made.plus_millis(hour)));
        let names: Vec<String> = kept(folder.path()).unwrap().into_iter().map(|kept| kept.name).collect();
        assert_eq!(names, [name_of(made), name_of(made.plus_millis(-hour))]);
        assert!(is_due(&folder.path().join("nowhere"), hour, made).is_err());
    }
}

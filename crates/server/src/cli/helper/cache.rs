//! What is kept on a developer's machine: a session and the last policy of each gateway, sealed.
//!
//! The key lies beside them, since there is no better place that every machine has. So a file that gets away alone (in a
//! backup, a search index, a bug report) tells nothing, and one that was altered is noticed; whoever can read the whole
//! directory, or runs as the same user, can do what the user can.
//!
//! Files are replaced whole and read without a lock. Only who holds a gateway's lock changes its files, so that of many
//! processes one refreshes and the others find what it got.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gatehouse_control::portal::PublicUrl;
use gatehouse_domain::settings::Machine;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::super::Failure;
use super::{machine, sealed};
use crate::clock;

/// The file with the key, 32 random bytes.
const KEY: &str = "key";
/// The file with what this machine's number is made of, 32 random bytes.
const SEED: &str = "machine";
/// Longest file that is read, in bytes. A policy has a megabyte at most.
const MAX_FILE: u64 = 4 << 20;
/// Most gateways that are looked for.
const MAX_GATEWAYS: usize = 100;
/// How long another process may be busy with a gateway's files. It asks the gateway at most twice meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a lock is tried.
const AGAIN: Duration = Duration::from_millis(10);

/// The cache.
pub(super) struct Cache {
    dir: PathBuf,
    key: Zeroizing<[u8; 32]>,
    seed: [u8; 32],
}

/// What is kept of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The session.
    Session,
    /// The last policy.
    Policy,
}

/// What was found.
pub(super) enum Found {
    /// No file.
    Nothing,
    /// A file that was altered, or was sealed elsewhere.
    Altered,
    /// A content.
    Content(Zeroizing<Vec<u8>>),
}

/// The right to change what is kept of a gateway.
pub(super) struct Locked<'a> {
    cache: &'a Cache,
    gateway: &'a PublicUrl,
    // Never read: it holds the lock.
    _lock: File,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Policy => "policy",
        }
    }
}

impl Cache {
    /// The cache in this directory, if there is one.
    pub(super) fn find(dir: &Path) -> Result<Option<Self>, Failure> {
        match fs::metadata(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(dir, &error)),
            Ok(found) => guard(dir, &found)?,
        }
        let (key, seed) = (read_bytes(&dir.join(KEY))?, read_bytes(&dir.join(SEED))?);
        let (Some(key), Some(seed)) = (key, seed) else { return Ok(None) };
        Ok(Some(Self { dir: dir.to_owned(), key, seed: *seed }))
    }

    /// The cache in this directory, which is made if need be.
    pub(super) fn make(dir: &Path) -> Result<Self, Failure> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| unusable(dir, &error))?;
        guard(dir, &fs::metadata(dir).map_err(|error| unusable(dir, &error))?)?;
        let (key, seed) = (make_bytes(dir, KEY)?, make_bytes(dir, SEED)?);
        Ok(Self { dir: dir.to_owned(), key, seed: *seed })
    }

    /// This machine, as gateways know it.
    pub(super) fn machine(&self) -> Machine {
        machine::this(&self.seed)
    }

    /// The gateways that there is a session for, by address.
    pub(super) fn gateways(&self) -> Result<Vec<PublicUrl>, Failure> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(|error| unusable(&self.dir, &error))? {
            let path = entry.map_err(|error| unusable(&self.dir, &error))?.path();
            if path.extension().is_none_or(|end| end != Kind::Session.name()) || found.len() == MAX_GATEWAYS {
                continue;
            }
            let Some(file) = read_file(&path)? else { continue };
            let gateway = sealed::gateway_of(Kind::Session.name(), &file);
            found.extend(gateway.and_then(|text| PublicUrl::parse(text).ok()));
        }
        found.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        Ok(found)
    }

    /// Reads what is kept of a gateway.
    pub(super) fn read(&self, gateway: &PublicUrl, kind: Kind) -> Result<Found, Failure> {
        let Some(file) = read_file(&self.path(gateway, kind.name()))? else { return Ok(Found::Nothing) };
        let opened = sealed::open(&self.key, kind.name(), gateway.as_str(), &file);
        Ok(opened.map_or(Found::Altered, Found::Content))
    }

    /// Takes the lock of a gateway. Nothing when another process has it for so long.
    #[expect(clippy::disallowed_methods, reason = "the system's locks have no wait with an end")]
    pub(super) fn try_lock<'a>(
        &'a self,
        gateway: &'a PublicUrl,
        patience: Duration,
    ) -> Result<Option<Locked<'a>>, Failure> {
        let path = self.path(gateway, "lock");
        let opened =
            File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(|error| unusable(&path, &error))?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Locked { cache: self, gateway, _lock: file })),
                Err(TryLockError::Error(error)) => return Err(unusable(&path, &error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => return Ok(None),
                Err(TryLockError::WouldBlock) => std::thread::sleep(AGAIN),
            }
        }
    }

    /// As [`Self::try_lock`], for who can do nothing without it.
    pub(super) fn lock<'a>(&'a self, gateway: &'a PublicUrl) -> Result<Locked<'a>, Failure> {
        self.try_lock(gateway, PATIENCE)?.ok_or_else(|| {
            Failure::Unreachable(format!(
                "another process is busy with the session at {}; try again",
                gateway.as_str()
            ))
        })
    }

    /// The name of a gateway's file; an address may be longer than a name can be.
    fn path(&self, gateway: &PublicUrl, end: &str) -> PathBuf {
        let digest = Sha256::digest(gateway.as_str());
        let number = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        self.dir.join(format!("{number:016x}.{end}"))
    }
}

impl Locked<'_> {
    /// Replaces what is kept. It is on the disk when this returns: a refresh token is good once.
    pub(super) fn write(&self, kind: Kind, content: &[u8]) -> Result<(), Failure> {
        let mut nonce = [0; 24];
        clock::random(&mut nonce);
        let gateway = self.gateway.as_str();
        let file = sealed::seal(&self.cache.key, kind.name(), gateway, nonce, content);
        let path = self.cache.path(self.gateway, kind.name());
        let next = path.with_extension("next");
        replace(&path, &next, &file).map_err(|error| unusable(&path, &error))
    }

    /// Removes what is kept.
    pub(super) fn remove(&self, kind: Kind) -> Result<(), Failure> {
        let path = self.cache.path(self.gateway, kind.name());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&path, &error)),
            _ => Ok(()),
        }
    }
}

fn replace(path: &Path, next: &Path, content: &[u8]) -> io::Result<()> {
    // What a killed process has left.
    if let Err(error) = fs::remove_file(next)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(next)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(next, path)
}

/// Reads a file of ours; nothing if there is none.
fn read_file(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, &error)),
    };
    guard(path, &file.metadata().map_err(|error| unusable(path, &error))?)?;
    let mut content = Zeroizing::new(Vec::new());
    file.take(MAX_FILE).read_to_end(&mut content).map_err(|error| unusable(path, &error))?;
    Ok(Some(content))
}

fn read_bytes(path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, Failure> {
    let Some(found) = read_file(path)? else { return Ok(None) };
    let bytes: Result<[u8; 32], _> = found.as_slice().try_into();
    bytes.map(|bytes| Some(Zeroizing::new(bytes))).map_err(|_| {
        Failure::Usage(format!(
            "`{}` is damaged; remove the directory it is in, and sign in again",
            path.display()
        ))
    })
}

/// Reads 32 bytes, which are drawn if there are none. Of processes that draw at once, all get those of one.
fn make_bytes(dir: &Path, name: &str) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let path = dir.join(name);
    if let Some(found) = read_bytes(&path)? {
        return Ok(found);
    }
    let mut drawn = Zeroizing::new([0; 32]);
    clock::random(&mut *drawn);
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&*drawn)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(&path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
            _ => Ok(()),
        }
    };
    write().map_err(|error| unusable(&path, &error))?;
    read_bytes(&path)?.ok_or_else(|| unusable(&path, &io::ErrorKind::NotFound.into()))
}

/// Nothing is read that belongs to another user, or that others can read or write.
fn guard(path: &Path, found: &fs::Metadata) -> Result<(), Failure> {
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us {
        return Err(Failure::Usage(format!(
            "`{}` belongs to another user (uid {}, and this is {us}); sessions are not shared: sign in as yourself, \
             or name another directory with --client-dir",
            path.display(),
            found.uid()
        )));
    }
    let mode = found.mode() & 0o777;
    let others = mode & 0o077;
    if others == 0 {
        return Ok(());
    }
    let (what, right) = if found.is_dir() { ("directory", "700") } else { ("file", "600") };
    Err(Failure::Usage(format!(
        "the {what} `{path}` is open to other users (mode {mode:03o}); run `chmod {right} '{path}'`, then \
         `gatehouse client login`, since they may have read what is in it",
        path = path.display()
    )))
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("cannot use `{}`: {error}", path.display()))
}

//! Resolving where secrets are: variables, files, commands, the store; and the master key.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::master::{BadMasterKey, MASTER_KEY_LEN, MasterKey};
use gatehouse_identity::secret::Secret;
use zeroize::Zeroizing;

use crate::config::{MasterKeySource, SecretSource, Secrets};
use crate::environment::Environment;

/// A command that names a secret must end within this time.
const COMMAND_PATIENCE: Duration = Duration::from_secs(10);
/// Longest secret, in bytes.
const MAX_SECRET: u64 = 16 * 1024;

/// Why a secret cannot be had. Never says anything of the secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The variable is not set, or empty.
    #[error("the variable `{0}` is not set")]
    Variable(String),
    /// The file cannot be read.
    #[error("cannot read the file `{0}`: {1}")]
    File(PathBuf, io::Error),
    /// The file is open to other accounts.
    #[error("the file `{0}` can be read by other accounts; run `chmod 600 {0}`")]
    Open(PathBuf),
    /// The file or output has nothing in it.
    #[error("{0} is empty")]
    Empty(String),
    /// The secret is not text.
    #[error("{0} is not text")]
    NotText(String),
    /// The command failed.
    #[error("the command `{0}` {1}")]
    Command(String, String),
    /// The master key's form is wrong.
    #[error("{0}: {1}")]
    MasterKey(String, BadMasterKey),
    /// The master key is gone although there is data made with it.
    #[error(
        "the master key `{0}` is missing although the data directory is in use: restore it from a backup; without it no key and no sealed secret works (to give them all up, remove the data directory)"
    )]
    Lost(PathBuf),
    /// There is no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Reads a secret. `None` for one that the store keeps sealed.
pub(crate) fn resolve(
    source: &SecretSource,
    environment: &Environment,
) -> Result<Option<Secret>, SecretError> {
    let (name, bytes) = match source {
        SecretSource::Env(name) => (format!("the variable `{name}`"), variable(name, environment)?),
        SecretSource::File(path) => (format!("the file `{}`", path.display()), file(path)?),
        SecretSource::Exec(command) => (format!("the output of `{command}`"), output_of(command)?),
        SecretSource::Sealed(_) => return Ok(None),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::NotText(name.clone()))?.trim();
    if text.is_empty() {
        return Err(SecretError::Empty(name));
    }
    Ok(Some(Secret::new(text.as_bytes().to_vec())))
}

/// Reads the master key and those used before. A file with the master key that is not there is made, with 32 random
/// bytes, unless the data directory is `in_use` and no earlier key is named.
pub(crate) fn keyring(
    secrets: &Secrets,
    data_dir: &Path,
    in_use: bool,
    environment: &Environment,
) -> Result<Keyring, SecretError> {
    let newest = match &secrets.master_key {
        MasterKeySource::File(path) if !data_dir.join(path).exists() => {
            let path = data_dir.join(path);
            if in_use && secrets.previous.is_empty() {
                Err(SecretError::Lost(path))
            } else {
                make_master_key(&path)
            }
        }
        MasterKeySource::File(_) | MasterKeySource::Env(_) | MasterKeySource::Exec(_) => {
            master_key(&secrets.master_key, data_dir, environment)
        }
    };
    let previous = secrets.previous.iter().map(|source| master_key(source, data_dir, environment));
    Ok(Keyring::new(newest?, previous.collect::<Result<_, _>>()?))
}

fn master_key(
    source: &MasterKeySource,
    data_dir: &Path,
    environment: &Environment,
) -> Result<MasterKey, SecretError> {
    let (name, bytes) = match source {
        MasterKeySource::Env(name) => (format!("the variable `{name}`"), variable(name, environment)?),
        MasterKeySource::Exec(command) => (format!("the output of `{command}`"), output_of(command)?),
        MasterKeySource::File(path) => {
            let path = data_dir.join(path);
            if is_open_to_others(&path) {
                return Err(SecretError::Open(path));
            }
            (format!("the file `{}`", path.display()), file(&path)?)
        }
    };
    MasterKey::parse(&bytes).map_err(|error| SecretError::MasterKey(name, error))
}

fn make_master_key(path: &Path) -> Result<MasterKey, SecretError> {
    let mut bytes = Zeroizing::new([0; MASTER_KEY_LEN]);
    getrandom::fill(&mut *bytes).map_err(SecretError::Random)?;
    let key = MasterKey::from_bytes(*bytes);
    let text = Zeroizing::new(format!("{}\n", *key.reveal()));
    write_private(path, text.as_bytes()).map_err(|error| SecretError::File(path.to_owned(), error))?;
    Ok(key)
}

/// Writes a file that only its owner can read: whole or not at all, and on the disk when this returns.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The temporary file is made readable by its owner only.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o077 != 0)
}

#[cfg(not(unix))]
const fn is_open_to_others(_: &Path) -> bool {
    false
}

fn variable(name: &str, environment: &Environment) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let value = environment.get(name).ok_or_else(|| SecretError::Variable(name.to_owned()))?;
    Ok(Zeroizing::new(value.as_bytes().to_vec()))
}

fn file(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET).read_to_end(&mut bytes))
        .map_err(|error| SecretError::File(path.to_owned(), error))?;
    Ok(bytes)
}

/// What a command prints. It runs under `/bin/sh -c`, without input, and is killed when it takes too long.
fn output_of(command: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let failed = |why: String| SecretError::Command(command.to_owned(), why);
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let stdout = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        let read = stdout.map_or(Ok(0), |out| out.take(MAX_SECRET).read_to_end(&mut bytes));
        // Nobody listens any more when the time was over.
        drop(sender.send(read.map(|_| bytes)));
    });
    let output = receiver.recv_timeout(COMMAND_PATIENCE);
    if output.is_err() {
        // It may have ended by itself meanwhile.
        drop(child.kill());
    }
    let status = child.wait().map_err(|error| failed(format!("was lost: {error}")))?;
    let bytes = output
        .map_err(|_| failed(format!("took longer than {} seconds", COMMAND_PATIENCE.as_secs())))?
        .map_err(|error| failed(format!("printed what cannot be read: {error}")))?;
    if !status.success() {
        return Err(failed(format!("failed with {status}")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            variables: [("KEY".to_owned(), " sk-canary\n".to_owned()), ("NONE".to_owned(), String::new())]
                .into(),
        }
    }

    fn text(source: &SecretSource) -> Result<String, String> {
        match resolve(source, &environment()) {
            Ok(secret) => Ok(secret.unwrap().expose_text().unwrap().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn secrets_come_from_variables_files_and_commands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sk-file\n").unwrap();
        assert_eq!(text(&SecretSource::Env("KEY".into())).unwrap(), "sk-canary");
        assert_eq!(text(&SecretSource::File(path)).unwrap(), "sk-file");
        assert_eq!(text(&SecretSource::Exec("echo sk-$((40 + 2))".into())).unwrap(), "sk-42");
        assert!(resolve(&SecretSource::Sealed("x".into()), &environment()).unwrap().is_none());
    }

    #[test]
    fn what_is_missing_is_named_and_what_was_read_is_not() {
        for (source, expected) in [
            (SecretSource::Env("OTHER".into()), "the variable `OTHER` is not set"),
            (SecretSource::Env("NONE".into()), "the variable `NONE` is not set"),
            (SecretSource::File("/nowhere/key".into()), "cannot read the file `/nowhere/key`"),
            (SecretSource::Exec("echo canary; exit 3".into()), "failed with exit status: 3"),
            (SecretSource::Exec("true".into()), "is empty"),
            (SecretSource::Exec("printf '\\377'".into()), "is not text"),
        ] {
            let error = text(&source).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_master_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let mut secrets =
            Secrets { master_key: MasterKeySource::File("master.key".into()), previous: Vec::new() };
        let get = |secrets: &Secrets, in_use| keyring(secrets, folder.path(), in_use, &environment());
        let made = get(&secrets, false).unwrap_or_else(|e| panic!("{e}"));
        let read = get(&secrets, true).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(made.newest().id(), read.newest().id());

        std::fs::rename(&path, folder.path().join("old.key")).unwrap();
        assert!(matches!(get(&secrets, true), Err(SecretError::Lost(_))));
        secrets.previous.push(MasterKeySource::File("old.key".into()));
        let ring = get(&secrets, true).unwrap_or_else(|e| panic!("{e}"));
        assert!(ring.knows(made.newest().id()) && ring.newest().id() != made.newest().id());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(matches!(get(&secrets, true), Err(SecretError::Open(_))));
        }
    }
}

//! `[backup]`: backups that are made by themselves.

use std::path::PathBuf;

use super::provider::{SecretSource, source};
use super::read::Section;

/// Backups that are made by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backup {
    /// Where to, if any are.
    pub(crate) directory: Option<PathBuf>,
    /// How long after the newest one the next is made, in hours.
    pub(crate) every_hours: u64,
    /// How many are kept.
    pub(crate) keep: usize,
    /// What the master keys are sealed under to be in every backup, if they shall be.
    pub(crate) passphrase: Option<SecretSource>,
}

/// Reads `[backup]`.
pub(crate) fn backup(s: &Section<'_, '_>) -> Backup {
    let directory = s.text("directory").and_then(|_| {
        s.parsed("directory", |text| {
            let path = PathBuf::from(text);
            if path.is_absolute() { Ok(path) } else { Err("expected an absolute path") }
        })
    });
    let passphrase = s.text("passphrase").and_then(|_| {
        s.parsed("passphrase", |text| match source(text, "") {
            Ok(SecretSource::Sealed(_)) | Err(_) => {
                Err("expected \"env:VARIABLE\", \"file:PATH\" or \"exec:COMMAND\"")
            }
            Ok(source @ (SecretSource::Env(_) | SecretSource::File(_) | SecretSource::Exec(_))) => Ok(source),
        })
    });
    Backup {
        directory,
        every_hours: s.whole("every_hours", 1..=24 * 366),
        keep: usize::try_from(s.whole("keep", 1..=10_000)).unwrap_or(1),
        passphrase,
    }
}

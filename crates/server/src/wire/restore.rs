//! Filling an empty deployment from a backup, and proving that it works.

use std::fs::File;
use std::io::{self, BufReader, Seek as _};
use std::path::{Path, PathBuf};

use gatehouse_control::act::Caller;
use gatehouse_domain::audit::{Object, Report, verify};
use gatehouse_identity::escrow;
use gatehouse_identity::master::MasterKey;
use gatehouse_identity::secret::Secret;
use gatehouse_store::backup::{Archive, Contents, Head};
use gatehouse_store::data_dir::DataDir;
use gatehouse_store::{Store, StoreConfig};

use super::failed;
use super::foundation::{Foundation, lay};
use crate::cli::Failure;
use crate::config::{Config, MasterKeySource};
use crate::environment::Environment;
use crate::{clock, secret};

/// SQLite's files.
const DATABASE_FILES: [&str; 3] = ["gatehouse.db", "gatehouse.db-wal", "gatehouse.db-shm"];
/// Connections to PostgreSQL.
const CONNECTIONS: u32 = 4;

/// What a restored deployment came to.
pub(crate) struct Restored {
    /// What the backup was of.
    pub(crate) head: Head,
    /// What was written.
    pub(crate) contents: Contents,
    /// What is to be said of its audit log, which was exported and verified.
    pub(crate) audit: Report,
    /// Master keys that were put into files, beside the configured one.
    pub(crate) older_keys: Vec<PathBuf>,
}

/// Restores a backup into the configured database, which must be empty, under the configured master key; if that is not
/// there, the one in the backup is put there with the passphrase. Opens everything that hangs on the master key, and
/// verifies the audit log.
pub(crate) fn restore(
    file: &Path,
    mut config: Config,
    data_dir: &Path,
    passphrase: Option<Secret>,
    environment: &Environment,
) -> Result<Restored, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let data = DataDir::open(data_dir).map_err(failed)?;
    let mut archive = open(file)?;
    let is_sqlite = config.store.url == "sqlite";
    if is_sqlite && let Some(found) = DATABASE_FILES.iter().find(|name| data_dir.join(name).exists()) {
        return Err(Failure::Failed(format!(
            "there is a database already (`{}`): restore into an empty directory",
            data_dir.join(found).display()
        )));
    }
    let mut written = Written::default();
    let older_keys = keys(archive.head(), &mut config, data_dir, (passphrase, &mut written), environment)?;
    if is_sqlite {
        // All of it is ours: there was none before.
        written.0.extend(DATABASE_FILES.map(|name| data_dir.join(name)));
    }
    let restored = runtime.block_on(async {
        let at = StoreConfig {
            url: config.store.url.clone(),
            data_dir: data_dir.to_owned(),
            max_connections: CONNECTIONS,
        };
        let (store, contents) = Store::restore(&at, &mut archive).await.map_err(failed)?;
        store.close().await;
        let ground = lay(&config, &data, environment).await?;
        let audit = prove(&ground, archive.head(), &contents).await?;
        ground.store.close().await;
        Ok(Restored { head: archive.head().clone(), contents, audit, older_keys })
    });
    if restored.is_ok() {
        written.0.clear();
    }
    restored
}

/// Files that a restore writes where there were none. Those that are not let go before are removed with this, so that a
/// restore that failed can be tried again.
#[derive(Default)]
struct Written(Vec<PathBuf>);

impl Drop for Written {
    fn drop(&mut self) {
        for path in &self.0 {
            drop(std::fs::remove_file(path));
        }
    }
}

/// Restores a backup into a directory that is gone afterwards, with the master keys of the deployment at `data_dir` or
/// those in the backup.
pub(crate) fn drill(
    file: &Path,
    mut config: Config,
    data_dir: &Path,
    passphrase: Option<Secret>,
    environment: &Environment,
) -> Result<Restored, Failure> {
    let folder = tempfile::Builder::new().prefix("gatehouse-drill-").tempdir().map_err(failed)?;
    "sqlite".clone_into(&mut config.store.url);
    if passphrase.is_some() {
        config.secrets.master_key = MasterKeySource::File("master.key".into());
        config.secrets.previous.clear();
    } else {
        let here = std::path::absolute(data_dir).map_err(failed)?;
        for source in std::iter::once(&mut config.secrets.master_key).chain(&mut config.secrets.previous) {
            if let MasterKeySource::File(path) = source {
                *path = here.join(&path);
            }
        }
    }
    restore(file, config, &folder.path().join("data"), passphrase, environment)
}

/// Opens a backup.
pub(crate) fn open(file: &Path) -> Result<Archive<BufReader<File>>, Failure> {
    let input = File::open(file)
        .map_err(|error| Failure::Usage(format!("cannot read the backup `{}`: {error}", file.display())))?;
    Archive::open(BufReader::with_capacity(1 << 18, input)).map_err(failed)
}

/// Sees to it that the master keys of a backup are at hand, and gives the files of older ones that were put there.
fn keys(
    head: &Head,
    config: &mut Config,
    data_dir: &Path,
    (passphrase, written): (Option<Secret>, &mut Written),
    environment: &Environment,
) -> Result<Vec<PathBuf>, Failure> {
    let mut older = Vec::new();
    if let Some(passphrase) = passphrase {
        let MasterKeySource::File(path) = config.secrets.master_key.clone() else {
            return Err(Failure::Usage(
                "`secrets.master_key` is no file that the backup's master key could be put into: leave --passphrase-file \
                 out, or let it be a file"
                    .to_owned(),
            ));
        };
        let text = head.escrow.as_deref().ok_or_else(|| {
            Failure::Usage(
                "there are no master keys in this backup, so that a passphrase opens nothing".to_owned(),
            )
        })?;
        let opened = escrow::open(text, &passphrase).map_err(|error| Failure::Failed(error.to_string()))?;
        let mut opened = opened.into_iter();
        if let Some(newest) = opened.next() {
            put(data_dir.join(path), &newest, written)?;
        }
        for key in opened {
            let path = PathBuf::from(format!("master.key.{}", key.id()));
            put(data_dir.join(&path), &key, written)?;
            config.secrets.previous.push(MasterKeySource::File(path.clone()));
            older.push(path);
        }
    }
    let ring = secret::keyring(&config.secrets, data_dir, true, environment).map_err(|error| {
        let hint = if head.escrow.is_some() { "; it is in the backup: give --passphrase-file" } else { "" };
        Failure::Usage(format!("secrets: {error}{hint}"))
    })?;
    let known: Vec<String> = ring.ids().iter().map(ToString::to_string).collect();
    match head.master_keys.iter().find(|needed| known.contains(needed)) {
        Some(_) => Ok(older),
        None => Err(Failure::Usage(format!(
            "the backup was made under the master key {}, and here is {}: put that key where `secrets.master_key` says",
            head.master_keys.join(" or "),
            known.join(" and ")
        ))),
    }
}

/// Writes a master key that is not there yet.
fn put(path: PathBuf, key: &MasterKey, written: &mut Written) -> Result<(), Failure> {
    if path.exists() {
        return Err(Failure::Failed(format!(
            "there is a master key already (`{}`): leave --passphrase-file out to restore under it, or put it away",
            path.display()
        )));
    }
    let done = secret::write_private(&path, key.reveal().as_bytes());
    done.map_err(|error| Failure::Failed(format!("cannot write `{}`: {error}", path.display())))?;
    written.0.push(path);
    Ok(())
}

/// Writes down that it was restored, and checks the audit log as somebody outside would.
async fn prove(ground: &Foundation, head: &Head, contents: &Contents) -> Result<Report, Failure> {
    let rows = i64::try_from(contents.rows).unwrap_or(i64::MAX);
    let act = Caller::system("restore")
        .draft(
            clock::now(),
            "backup.restore",
            Object::new("backup", contents.sha256.as_str(), head.made_at.as_str()),
        )
        .with("rows", rows);
    ground.store.record(ground.org, &act).await.map_err(failed)?;
    let file = tempfile::tempfile().map_err(failed)?;
    let mut out = tokio::fs::File::from_std(file.try_clone().map_err(failed)?);
    let done = ground.store.export_audit(ground.org, 1, &ground.notary, clock::now(), &mut out).await;
    done.map_err(failed)?;
    let checked = || -> io::Result<Report> {
        let mut file = file;
        file.rewind()?;
        verify(BufReader::with_capacity(1 << 18, file), &[])
    };
    checked().map_err(failed)
}

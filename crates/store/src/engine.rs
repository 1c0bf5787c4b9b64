//! Opening a database, and transactions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::OrgId;

use crate::dialect::{self, Engine, Open};
use crate::error::StoreError;
use crate::migration::{self, MigrationError};
use crate::postgres;

/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(5);

/// Gives up a call of the store after this time. What it had begun in the database is undone.
///
/// # Errors
/// The call's own; [`StoreError::Unavailable`] when the database was silent for so long.
pub fn in_time<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> impl Future<Output = Result<T, StoreError>> {
    dialect::in_time(limit, call)
}

/// Which database.
#[derive(Clone)]
pub struct StoreConfig {
    /// `sqlite` (a file in the data directory) or `postgres://user:password@host/database`. May hold a password,
    /// therefore this type has no `Debug`.
    pub url: String,
    /// The data directory; SQLite's file is `gatehouse.db` in it.
    pub data_dir: PathBuf,
    /// Most connections to PostgreSQL, at least 1. Who needs one while all are in use waits up to 5 s.
    pub max_connections: u32,
}

impl StoreConfig {
    /// SQLite in this directory.
    pub fn sqlite(data_dir: impl Into<PathBuf>) -> Self {
        Self { url: "sqlite".to_owned(), data_dir: data_dir.into(), max_connections: 8 }
    }
}

/// Why a database cannot be used. The texts never hold the address, since it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither of the two engines.
    #[error("the store's url begins with `{0}`, expected `sqlite` or `postgres://…`")]
    UnknownEngine(String),
    /// Not a PostgreSQL address.
    #[error(
        "the store's url is not a PostgreSQL address (expected `postgres://user:password@host:5432/database`)"
    )]
    BadUrl,
    /// The SQLite file cannot be opened.
    #[error("cannot open the database file `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// PostgreSQL cannot be reached or does not let us in.
    #[error("cannot connect to PostgreSQL at `{host}`, database `{database}`")]
    Connect {
        /// Host and port.
        host: String,
        /// The database.
        database: String,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The database does not store UTF-8.
    #[error(
        "the database's encoding is `{0}`, expected UTF8 (create it with `ENCODING 'UTF8' TEMPLATE template0`)"
    )]
    Encoding(String),
    /// The schema cannot be brought to this program's version.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// The database went away in between.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The database. Cloning is cheap and shares the connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) engine: Arc<Engine>,
}

impl Store {
    /// Opens the database and brings its schema up to date.
    ///
    /// On SQLite the caller must hold the data directory ([`crate::data_dir::DataDir`]) for as long as the store is
    /// used: one process writes.
    ///
    /// # Errors
    /// The database cannot be reached or opened, or its schema cannot be brought up to date.
    pub async fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        let engine = connect(config).await?;
        let store = Self { engine: Arc::new(engine) };
        migration::run(&store, migration::ALL).await?;
        Ok(store)
    }

    /// Opens the database without touching its schema; for tests of migrations.
    #[doc(hidden)]
    pub async fn open_bare(config: &StoreConfig) -> Result<Self, OpenError> {
        connect(config).await.map(|engine| Self { engine: Arc::new(engine) })
    }

    /// The engine: `sqlite` or `postgres`.
    pub fn engine_name(&self) -> &'static str {
        self.engine.name()
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// It gives none within 5 s.
    pub async fn ping(&self) -> Result<(), StoreError> {
        dialect::read!(self, |db| sqlx::query("SELECT 1").execute(db).await.map(|_| ()))?;
        Ok(())
    }

    /// Begins a transaction that may write. Dropping it undoes it. On SQLite there is one at a time; the others wait up to
    /// 5 s.
    ///
    /// # Errors
    /// The database is not available.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(Tx { open: self.engine.begin().await? })
    }

    /// Closes all connections, after the transactions under way; those that take longer than 5 s end with the process.
    pub async fn close(&self) {
        if tokio::time::timeout(CLOSE, self.engine.close()).await.is_err() {
            tracing::warn!("the database did not answer at the end; its connections are left to it");
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

pub(crate) async fn connect(config: &StoreConfig) -> Result<Engine, OpenError> {
    if config.url == "sqlite" {
        let path = config.data_dir.join("gatehouse.db");
        return dialect::open_sqlite(&path).await.map_err(|source| OpenError::File { path, source });
    }
    if !config.url.starts_with("postgres://") && !config.url.starts_with("postgresql://") {
        // Only what stands before the colon: the rest may be a password.
        let scheme = config.url.split(':').next().unwrap_or_default();
        return Err(OpenError::UnknownEngine(scheme.chars().take(20).flat_map(char::escape_debug).collect()));
    }
    let options = postgres::options(&config.url).map_err(|_| OpenError::BadUrl)?;
    let host = format!("{}:{}", options.get_host(), options.get_port());
    let database = options.get_database().unwrap_or_default().to_owned();
    let pool = postgres::open(options, config.max_connections)
        .await
        .map_err(|source| OpenError::Connect { host, database, source })?;
    let (encoding,): (String,) =
        sqlx::query_as("SHOW server_encoding").fetch_one(&pool).await.map_err(StoreError::from)?;
    if encoding != "UTF8" {
        return Err(OpenError::Encoding(encoding));
    }
    Ok(Engine::Postgres(pool))
}

/// A transaction. What was done in it counts once [`Tx::commit`] has returned; dropping it undoes everything.
pub struct Tx {
    pub(crate) open: Open,
}

impl Tx {
    /// Makes everything done in the transaction durable.
    ///
    /// # Errors
    /// The database is not available. It may then have been done or not; who must know looks.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.open.commit().await?)
    }

    /// Undoes everything done in the transaction, and waits until it is undone.
    ///
    /// # Errors
    /// The database is not available; then it is undone all the same.
    pub async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.open.rollback().await?)
    }

    /// Writes the act down and commits: the last step of every change.
    pub(crate) async fn record(mut self, org: OrgId, act: &Draft) -> Result<(), StoreError> {
        crate::audit::append(&mut self, org, std::slice::from_ref(act)).await?;
        self.commit().await
    }

    /// As [`Tx::record`], for a change that the data path must learn of.
    pub(crate) async fn publish(mut self, org: OrgId, act: &Draft) -> Result<(), StoreError> {
        crate::policy::bump(&mut self, org).await?;
        self.record(org, act).await
    }
}

//! Bringing the schema up to date. The rules for writing migrations are in `migrations/README.md`.

use sha2::{Digest as _, Sha256};

use crate::dialect::{Engine, Open, change, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Counts up from 1 without gaps.
    pub number: i64,
    /// What it brings, as in its file name.
    pub name: &'static str,
    /// Programs that know the migrations up to this number can run on a database that has this one as well: its own
    /// number when it takes something away, else that of the newest migration of the release before.
    pub needs: i64,
    /// The statements for SQLite.
    pub sqlite: &'static str,
    /// The statements for PostgreSQL.
    pub postgres: &'static str,
}

macro_rules! migration {
    ($number:literal, $file:literal, $name:literal, needs $needs:literal) => {
        Migration {
            number: $number,
            name: $name,
            needs: $needs,
            sqlite: include_str!(concat!("../migrations/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $file, ".sql")),
        }
    };
}

/// All migrations, in order.
pub const ALL: &[Migration] = &[
    migration!(1, "0001_directory", "directory", needs 1),
    migration!(2, "0002_ledger", "ledger", needs 2),
    migration!(3, "0003_access", "access", needs 3),
    migration!(4, "0004_provisioning", "provisioning", needs 4),
    migration!(5, "0005_settings", "settings", needs 5),
    migration!(6, "0006_sessions", "sessions", needs 6),
    migration!(7, "0007_ownership", "ownership", needs 7),
    migration!(8, "0008_identities", "identities", needs 8),
    // A program that knows of no second factors would let people in without.
    migration!(9, "0009_factors", "factors", needs 9),
    migration!(10, "0010_rotation", "rotation", needs 10),
    migration!(11, "0011_rollout", "rollout", needs 11),
    migration!(12, "0012_machines", "machines", needs 12),
    migration!(13, "0013_budgets", "budgets", needs 13),
    migration!(14, "0014_readiness", "readiness", needs 14),
    // A program that knows of no data classes would let through what policies forbid for them.
    migration!(15, "0015_data_class", "data_class", needs 15),
    // A program that knows of no purposes would take a key for the proxy at the gateway.
    migration!(16, "0016_proxy", "proxy", needs 16),
    // What is new is read by nothing of the program before.
    migration!(17, "0017_telemetry", "telemetry", needs 17),
    migration!(18, "0018_phases", "phases", needs 18),
    migration!(19, "0019_reports", "reports", needs 19),
    // A program that knows of no limits on rates would let everything through.
    migration!(20, "0020_nodes", "nodes", needs 20),
    migration!(21, "0021_raises", "raises", needs 21),
    migration!(22, "0022_inspection", "inspection", needs 22),
    migration!(23, "0023_alerts", "alerts", needs 23),
    migration!(24, "0024_outlet", "outlet", needs 24),
    // A program that knows of no daily sums of what clients say would leave them behind the hourly ones.
    migration!(25, "0025_days", "days", needs 25),
    // What is new is read by nothing of the program before.
    migration!(26, "0026_analytics", "analytics", needs 25),
    migration!(27, "0027_snapshots", "snapshots", needs 25),
];

/// Why the schema cannot be brought up to date. Nothing was changed by the migration named.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database was made by a newer program, and this one cannot run on it.
    #[error(
        "the database has migration {found} (`{name}`), and this program knows migrations up to {known}: \
         use the newer gatehouse that made it"
    )]
    Newer {
        /// The newest one in the database.
        found: i64,
        /// Its name.
        name: String,
        /// The newest one known.
        known: i64,
    },
    /// A migration in the database is not the one of this program.
    #[error(
        "migration {number} of the database is `{name}`, and not what this program has under that number: \
         the database belongs to another build; use that one, or restore a backup"
    )]
    Altered {
        /// Its number.
        number: i64,
        /// Its name in the database.
        name: String,
    },
    /// A migration was begun and not finished, or one before others is missing.
    #[error(
        "migration {number} of the database is half made (it was applied by hand or the database is a partial copy): \
         restore a backup"
    )]
    HalfMade {
        /// Its number.
        number: i64,
    },
    /// A migration cannot be applied. It was undone.
    #[error("migration {number} (`{name}`) cannot be applied to the database, which stays as it was")]
    Failed {
        /// Its number.
        number: i64,
        /// Its name.
        name: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The database went away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migrations (
    number BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    done BIGINT NOT NULL,
    needs BIGINT NOT NULL
)";

type Row = (i64, String, String, i64, i64);

/// Applies what is missing, each migration in a transaction of its own. Nodes that start together take turns.
pub(crate) async fn run(store: &Store, all: &'static [Migration]) -> Result<(), MigrationError> {
    // Most starts find nothing to do; they do not wait for each other.
    if is_current(store, all).await? {
        return Ok(());
    }
    while apply_next(store, all).await? {}
    Ok(())
}

/// As `Store::open` does, with other migrations; for tests.
#[doc(hidden)]
pub async fn run_these(store: &Store, all: &'static [Migration]) -> Result<(), MigrationError> {
    run(store, all).await
}

/// The number of the newest migration of a database, 0 when it has none.
pub(crate) async fn newest(open: &mut Open) -> Result<i64, StoreError> {
    let sql = "SELECT number FROM migrations ORDER BY number DESC LIMIT 1";
    let found: Option<(i64,)> = match open {
        Open::Sqlite(tx) => sqlx::query_as(sql).fetch_optional(&mut **tx).await?,
        Open::Postgres(tx) => sqlx::query_as(sql).fetch_optional(&mut **tx).await?,
    };
    Ok(found.map_or(0, |(number,)| number))
}

async fn is_current(store: &Store, all: &[Migration]) -> Result<bool, MigrationError> {
    let mut tx = store.begin().await?;
    if !tx.open.has_table("migrations").await.map_err(StoreError::from)? {
        return Ok(false);
    }
    let applied = read(&mut tx).await?;
    check(&applied, all, store.engine())?;
    tx.rollback().await?;
    Ok(applied.len() >= all.len())
}

/// Applies the first migration that is missing; false when there was none.
async fn apply_next(store: &Store, all: &'static [Migration]) -> Result<bool, MigrationError> {
    let mut tx = store.begin().await?;
    tx.open.lock_migrations().await.map_err(StoreError::from)?;
    change!(tx, |db| sqlx::raw_sql(TABLE).execute(db).await).map_err(StoreError::from)?;
    let applied = read(&mut tx).await?;
    check(&applied, all, store.engine())?;
    let Some(next) = all.get(applied.len()) else { return Ok(false) };
    let failed = |source| MigrationError::Failed { number: next.number, name: next.name, source };
    let sql = sql_of(next, store.engine());
    match &mut tx.open {
        Open::Sqlite(db) => sqlx::raw_sql(sql).execute(&mut **db).await.map(|_| ()),
        Open::Postgres(db) => sqlx::raw_sql(sql).execute(&mut **db).await.map(|_| ()),
    }
    .map_err(failed)?;
    change!(tx, |db| {
        sqlx::query("INSERT INTO migrations (number, name, checksum, done, needs) VALUES ($1, $2, $3, 1, $4)")
            .bind(next.number)
            .bind(next.name)
            .bind(checksum(sql))
            .bind(next.needs)
            .execute(db)
            .await
    })
    .map_err(StoreError::from)?;
    tx.commit().await?;
    tracing::info!(migration.number = next.number, "database migration `{}` applied", next.name);
    Ok(true)
}

async fn read(tx: &mut Tx) -> Result<Vec<Row>, StoreError> {
    let sql = "SELECT number, name, checksum, done, needs FROM migrations ORDER BY number";
    Ok(within!(tx, |db| sqlx::query_as::<_, Row>(sql).fetch_all(db).await)?)
}

fn check(applied: &[Row], all: &[Migration], engine: &Engine) -> Result<(), MigrationError> {
    for ((found, name, sum, done, needs), number) in applied.iter().zip(1_i64..) {
        let known = usize::try_from(number - 1).ok().and_then(|n| all.get(n));
        if *found != number || *done != 1 {
            return Err(MigrationError::HalfMade { number });
        }
        let Some(known) = known else {
            let known = i64::try_from(all.len()).unwrap_or(i64::MAX);
            if *needs <= known {
                continue;
            }
            return Err(MigrationError::Newer { found: *found, name: name.clone(), known });
        };
        if known.name != name || checksum(sql_of(known, engine)) != *sum {
            return Err(MigrationError::Altered { number, name: name.clone() });
        }
    }
    Ok(())
}

const fn sql_of(migration: &Migration, engine: &Engine) -> &'static str {
    match engine {
        Engine::Sqlite { .. } => migration.sqlite,
        Engine::Postgres(_) => migration.postgres,
    }
}

/// SHA-256 of the statements, line ends taken as LF so that a checkout's settings do not matter.
fn checksum(sql: &str) -> String {
    gatehouse_domain::audit::Hash::from_bytes(Sha256::digest(sql.replace("\r\n", "\n")).into()).to_string()
}

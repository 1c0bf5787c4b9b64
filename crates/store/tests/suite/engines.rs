//! Runs a test on each engine: SQLite in a temporary directory always, PostgreSQL in a database of its own when
//! `GATEHOUSE_TEST_POSTGRES` holds the address of a server on which databases may be made.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use gatehouse_domain::audit::{Actor, Draft, Object, Signer};
use gatehouse_domain::directory::{KeyInfo, Team, User};
use gatehouse_domain::id::{KeyId, NodeId, OrgId, TeamId, UserId};
use gatehouse_domain::key::{KeyKind, Pepper, RANDOM_LEN, VirtualKey};
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::name::{Email, Name};
use gatehouse_domain::policy::Proofs;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::audit::Notary;
use gatehouse_store::key::NewKey;
use gatehouse_store::user::NewUser;
use gatehouse_store::{Store, StoreConfig};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

/// When tests play.
pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// Whether it was told that PostgreSQL is left out.
static TOLD: Once = Once::new();
static COUNTER: AtomicU64 = AtomicU64::new(1);

/// Makes two tests, one for each engine, of each `async fn(World)`.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                crate::engines::on_sqlite(super::$name);
            }

            #[test]
            fn postgres() {
                crate::engines::on_postgres(super::$name);
            }
        }
    )+};
}

/// As [`on_both`], of each `async fn(StoreConfig)` that opens the store itself.
macro_rules! from_nothing {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                crate::engines::with_sqlite(super::$name);
            }

            #[test]
            fn postgres() {
                crate::engines::with_postgres(super::$name);
            }
        }
    )+};
}

pub(crate) use from_nothing;
pub(crate) use on_both;

/// An open store with one organization.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) config: StoreConfig,
    pub(crate) store: Store,
    pub(crate) org: OrgId,
}

/// A number that nobody else in this process gets.
pub(crate) fn unique() -> u64 {
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

/// An act by a test.
pub(crate) fn act(action: &'static str) -> Draft {
    Draft::new(NOW, Actor::system("test"), action, Object::new("thing", unique(), "a thing"))
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

pub(crate) fn pepper() -> Pepper {
    Pepper::new([7; 32])
}

/// What the data path checks keys with.
pub(crate) fn proofs() -> Arc<Proofs> {
    Arc::new(Proofs { peppers: pepper().into(), ..Proofs::default() })
}

pub(crate) fn signer() -> Signer {
    Signer::new(&[3; 32])
}

impl World {
    /// What signs this world's log: remembers, from call to call, what the log was.
    pub(crate) fn notary(&self) -> Notary {
        Notary::open(node(), signer(), self.kept_checkpoint()).unwrap()
    }

    /// What who puts an older database back does: says that the log may be shorter than the newest checkpoint.
    pub(crate) fn forget_checkpoint(&self) {
        std::fs::remove_file(self.kept_checkpoint()).unwrap();
    }

    fn kept_checkpoint(&self) -> PathBuf {
        self.config.data_dir.join(format!("{}.audit.checkpoint", self.org))
    }
}

pub(crate) fn node() -> NodeId {
    NodeId::from_bits(1)
}

/// A fresh secret.
pub(crate) fn secret(kind: KeyKind) -> VirtualKey {
    let mut random = [0; RANDOM_LEN];
    let unique = unique().to_be_bytes();
    random[..6].copy_from_slice(&unique[2..]);
    random[30..].copy_from_slice(&unique);
    VirtualKey::generate(kind, &random)
}

/// A user to be made.
pub(crate) fn new_user(address: &str, teams: &[TeamId]) -> NewUser {
    let id = UserId::new(NOW, u128::from(unique()));
    NewUser { id, email: email(address), name: None, teams: teams.to_vec() }
}

/// A key to be made, of this holder and with this secret.
pub(crate) fn new_key(user: UserId, key: &VirtualKey) -> NewKey {
    NewKey {
        id: KeyId::new(NOW, u128::from(unique())),
        public: key.public(),
        hash: key.hash(&pepper()),
        name: None,
        user,
        team: None,
        project: None,
        models: ModelScope::all(),
        purpose: gatehouse_domain::directory::Purpose::Gateway,
        expires_at: None,
    }
}

impl World {
    pub(crate) async fn build(config: StoreConfig) -> Self {
        let store = Store::open(&config).await.unwrap();
        let org = OrgId::new(NOW, u128::from(unique()));
        store.create_org(org, &name("Acme"), &act("org.create")).await.unwrap();
        Self { config, store, org }
    }

    /// The same database, opened once more: another node.
    pub(crate) async fn another_node(&self) -> Store {
        Store::open(&self.config).await.unwrap()
    }

    pub(crate) async fn team(&self, text: &str) -> Team {
        let id = TeamId::new(NOW, u128::from(unique()));
        self.store.create_team(self.org, id, &name(text), &act("team.create")).await.unwrap()
    }

    pub(crate) async fn user(&self, address: &str, teams: &[TeamId]) -> User {
        self.store.create_user(self.org, &new_user(address, teams), &act("user.create")).await.unwrap()
    }

    pub(crate) async fn key(&self, user: UserId) -> (KeyInfo, VirtualKey) {
        let key = secret(KeyKind::Virtual);
        let info = self.store.create_key(self.org, &new_key(user, &key), &act("key.create")).await.unwrap();
        (info, key)
    }

    /// Runs statements past the store, as somebody with access to the database could.
    pub(crate) async fn behind_its_back(&self, sql: &str) {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        if self.config.url == "sqlite" {
            let file = self.config.data_dir.join("gatehouse.db");
            let mut db = SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
            sqlx::raw_sql("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = 0")
                .execute(&mut db)
                .await
                .unwrap();
            sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
            db.close().await.unwrap();
        } else {
            let mut db = PgConnection::connect(&self.config.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
            db.close().await.unwrap();
        }
    }
}

/// Runs a test with an open store on SQLite.
pub(crate) fn on_sqlite(test: impl AsyncFnOnce(World)) {
    with_sqlite(async |config| test(World::build(config).await).await);
}

/// Runs a test with an open store on PostgreSQL.
pub(crate) fn on_postgres(test: impl AsyncFnOnce(World)) {
    with_postgres(async |config| test(World::build(config).await).await);
}

/// Runs a test on an empty SQLite directory.
pub(crate) fn with_sqlite(test: impl AsyncFnOnce(StoreConfig)) {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(test(StoreConfig::sqlite(dir.path())));
}

/// Runs a test on an empty PostgreSQL database, which is removed afterwards unless the test fails.
pub(crate) fn with_postgres(test: impl AsyncFnOnce(StoreConfig)) {
    with_postgres_on(&runtime(), test);
}

/// As [`with_postgres`], on a runtime of the test's own.
pub(crate) fn with_postgres_on(runtime: &tokio::runtime::Runtime, test: impl AsyncFnOnce(StoreConfig)) {
    #[expect(
        clippy::disallowed_methods,
        reason = "where the test server is, is known to whoever runs the tests"
    )]
    let Ok(server) = std::env::var("GATEHOUSE_TEST_POSTGRES") else {
        // Past the test runner's capture, so that it is seen although the test passes.
        let told = b"NOT RUN ON POSTGRESQL: GATEHOUSE_TEST_POSTGRES is not set (scripts/test sets it)\n";
        TOLD.call_once(|| std::io::Write::write_all(&mut std::io::stderr(), told).unwrap());
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let database = format!("gatehouse_test_{}_{}", std::process::id(), unique());
        let create = format!("CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0");
        on_server(&server, create).await;
        let (base, _) = server.rsplit_once('/').expect("the address ends with a database");
        let url = format!("{base}/{database}");
        test(StoreConfig { url, data_dir: dir.path().to_owned(), max_connections: 4 }).await;
        on_server(&server, format!("DROP DATABASE {database} WITH (FORCE)")).await;
    });
}

async fn on_server(server: &str, sql: String) {
    let mut db = PgConnection::connect(server).await.expect("GATEHOUSE_TEST_POSTGRES should be reachable");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

//! Migrations that fail, are missing, altered or too new, on both engines.

use std::collections::BTreeSet;
use std::path::Path;

use crate::engines::{World, act, from_nothing, name, on_both};
use gatehouse_store::migration::{self, Migration, MigrationError, run_these};
use gatehouse_store::{OpenError, Store, StoreConfig};
use sqlx::Connection as _;

on_both!(
    reopening_changes_nothing,
    a_newer_database_is_refused,
    a_newer_database_that_this_program_can_run_on_is_opened,
    an_altered_migration_is_refused,
    a_half_made_migration_is_refused,
    a_gap_is_refused,
);

from_nothing!(
    a_failing_migration_leaves_the_database_as_it_was,
    tables_that_are_there_already_are_an_error,
    nodes_that_start_together_take_turns,
);

async fn error(config: &StoreConfig) -> MigrationError {
    match Store::open(config).await {
        Err(OpenError::Migration(e)) => e,
        Err(e) => panic!("expected a migration error, got {e:?}"),
        Ok(_) => panic!("expected a migration error, and the database opened"),
    }
}

mod every_text_sorts_by_bytes {
    #[test]
    fn postgres() {
        crate::engines::on_postgres(super::every_text_sorts_by_bytes);
    }
}

/// Rule 6 of `migrations/README.md`.
async fn every_text_sorts_by_bytes(w: World) {
    let mut db = sqlx::PgConnection::connect(&w.config.url).await.unwrap();
    let columns: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT table_name || '.' || column_name, collation_name::text FROM information_schema.columns \
         WHERE table_schema = 'public' AND data_type = 'text' AND table_name <> 'migrations'",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    assert!(columns.len() > 60, "{}", columns.len());
    let other: Vec<_> = columns.iter().filter(|column| column.1.as_deref() != Some("C")).collect();
    assert!(other.is_empty(), "{other:?}");
}

async fn reopening_changes_nothing(w: World) {
    let again = Store::open(&w.config).await.unwrap();
    assert_eq!(again.orgs().await.unwrap(), w.store.orgs().await.unwrap());
    again.ping().await.unwrap();
    again.close().await;
}

/// Puts a migration of a newer program there, on which programs can run that know those up to `needs`.
async fn a_migration_of_the_future(w: &World, needs: i64) {
    let number = newest() + 1;
    w.behind_its_back(&format!(
        "INSERT INTO migrations (number, name, checksum, done, needs) VALUES ({number}, 'future', 'x', 1, {needs})"
    ))
    .await;
}

fn newest() -> i64 {
    migration::ALL.last().unwrap().number
}

/// Nodes are replaced one by one, and one of the release before may have to start again meanwhile.
async fn a_newer_database_that_this_program_can_run_on_is_opened(w: World) {
    a_migration_of_the_future(&w, newest()).await;
    let again = Store::open(&w.config).await.unwrap();
    assert_eq!(again.orgs().await.unwrap(), w.store.orgs().await.unwrap());
    again.close().await;
}

async fn a_newer_database_is_refused(w: World) {
    a_migration_of_the_future(&w, newest() + 1).await;
    let told = error(&w.config).await;
    assert!(matches!(&told, MigrationError::Newer { name, .. } if name == "future"), "{told:?}");
    assert!(told.to_string().contains("newer gatehouse"), "{told}");
}

async fn an_altered_migration_is_refused(w: World) {
    w.behind_its_back("UPDATE migrations SET checksum = 'x' WHERE number = 1").await;
    let told = error(&w.config).await;
    assert!(matches!(told, MigrationError::Altered { number: 1, .. }), "{told:?}");
}

async fn a_half_made_migration_is_refused(w: World) {
    w.behind_its_back("UPDATE migrations SET done = 0 WHERE number = 1").await;
    let told = error(&w.config).await;
    assert!(matches!(told, MigrationError::HalfMade { number: 1 }), "{told:?}");
}

async fn a_gap_is_refused(w: World) {
    w.behind_its_back("UPDATE migrations SET number = 99 WHERE number = 1").await;
    let told = error(&w.config).await;
    assert!(matches!(told, MigrationError::HalfMade { number: 1 }), "{told:?}");
}

const BROKEN: &[Migration] = &[
    Migration {
        number: 1,
        name: "good",
        needs: 1,
        sqlite: "CREATE TABLE a (x INTEGER)",
        postgres: "CREATE TABLE a (x BIGINT)",
    },
    Migration {
        number: 2,
        name: "bad",
        needs: 2,
        sqlite: "CREATE TABLE b (x INTEGER); INSERT INTO nowhere VALUES (1)",
        postgres: "CREATE TABLE b (x BIGINT); INSERT INTO nowhere VALUES (1)",
    },
];

const MENDED: &[Migration] = &[
    BROKEN[0],
    Migration {
        number: 2,
        name: "bad",
        needs: 2,
        sqlite: "CREATE TABLE b (x INTEGER)",
        postgres: "CREATE TABLE b (x BIGINT)",
    },
];

async fn a_failing_migration_leaves_the_database_as_it_was(config: StoreConfig) {
    let store = Store::open_bare(&config).await.unwrap();
    let told = run_these(&store, BROKEN).await.unwrap_err();
    assert!(matches!(told, MigrationError::Failed { number: 2, name: "bad", .. }), "{told:?}");
    // Nothing of the second is left, or making its table again would fail.
    run_these(&store, MENDED).await.unwrap();
    run_these(&store, MENDED).await.unwrap();
}

async fn tables_that_are_there_already_are_an_error(config: StoreConfig) {
    let store = Store::open_bare(&config).await.unwrap();
    run_these(&store, &BROKEN[..1]).await.unwrap();
    let orgs = &[Migration {
        number: 1,
        name: "orgs by hand",
        needs: 1,
        sqlite: "CREATE TABLE orgs (x INTEGER); DROP TABLE migrations",
        postgres: "CREATE TABLE orgs (x BIGINT); DROP TABLE migrations",
    }];
    let told = run_these(&store, orgs).await.unwrap_err();
    assert!(matches!(told, MigrationError::Altered { number: 1, .. }), "{told:?}");
    let told = error(&config).await;
    assert!(matches!(told, MigrationError::Altered { number: 1, .. }), "{told:?}");
}

async fn nodes_that_start_together_take_turns(config: StoreConfig) {
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let config = config.clone();
        nodes.spawn(async move { Store::open(&config).await.map(|_| ()) });
    }
    for opened in nodes.join_all().await {
        opened.unwrap();
    }
    let store = Store::open(&config).await.unwrap();
    let org = gatehouse_domain::id::OrgId::from_bits(1);
    store.create_org(org, &name("Acme"), &act("org.create")).await.unwrap();
}

#[test]
fn both_folders_hold_the_listed_migrations_and_nothing_else() {
    let listed: BTreeSet<String> =
        migration::ALL.iter().map(|step| format!("{:04}_{}.sql", step.number, step.name)).collect();
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    for engine in ["sqlite", "postgres"] {
        let found: BTreeSet<String> = std::fs::read_dir(folders.join(engine))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, listed, "{engine}");
    }
    assert!(migration::ALL.is_sorted_by(|one, next| one.number < next.number));
}

//! Data directories, addresses, and a database that goes away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::engines::{World, act, name, node, on_both};
use gatehouse_domain::id::{NodeId, TeamId};
use gatehouse_store::data_dir::{DataDir, DataDirError};
use gatehouse_store::{OpenError, Store, StoreConfig, StoreError};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_data_directory_is_made_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er");
    let held = DataDir::open(&path).unwrap();
    assert_eq!((held.path(), mode(&path)), (path.as_path(), 0o700));
}

#[test]
fn one_that_is_open_to_others_is_refused_unless_empty() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    DataDir::open(dir.path()).unwrap();
    assert_eq!(mode(dir.path()), 0o700);
    for open in [0o755, 0o710, 0o704] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(open)).unwrap();
        let told = DataDir::open(dir.path()).unwrap_err();
        assert!(matches!(told, DataDirError::OpenToOthers { mode, .. } if mode == open), "{told:?}");
        assert!(told.to_string().contains("chmod 700"), "{told}");
    }
}

#[test]
fn a_second_user_of_a_data_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let held = DataDir::open(dir.path()).unwrap();
    let told = DataDir::open(dir.path()).unwrap_err().to_string();
    assert!(
        told.contains("in use by another gatehouse") && told.contains(&std::process::id().to_string()),
        "{told}"
    );
    drop(held);
    DataDir::open(dir.path()).unwrap();
}

/// Not a test of its own: the other process of the test below, which holds the directory until it is killed.
#[test]
fn the_holder() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how one test process tells another where the directory is"
    )]
    let Ok(path) = std::env::var("GATEHOUSE_TEST_HOLD") else { return };
    let _held = DataDir::open(&path).unwrap();
    fs::write(format!("{path}/held"), "").unwrap();
    // Ends when the parent closes the pipe, or kills us first.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn the_lock_of_a_killed_process_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "opening::the_holder"])
        .env("GATEHOUSE_TEST_HOLD", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !dir.path().join("held").exists() {
        assert!(holder.try_wait().unwrap().is_none(), "the holder should be waiting");
        std::thread::yield_now();
    }
    assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::InUse { .. })));
    holder.kill().unwrap();
    holder.wait().unwrap();
    DataDir::open(dir.path()).unwrap();
}

#[test]
fn a_file_is_no_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(DataDir::open(&file), Err(DataDirError::NotADirectory(_))));
    assert!(matches!(DataDir::open(file.join("below")), Err(DataDirError::Io { .. })));
}

#[test]
fn a_node_keeps_its_identifier() {
    let dir = tempfile::tempdir().unwrap();
    let held = DataDir::open(dir.path()).unwrap();
    assert_eq!(held.node_id(node()).unwrap(), node());
    assert_eq!(held.node_id(NodeId::from_bits(2)).unwrap(), node());
    fs::write(dir.path().join("node.id"), "garbage\n").unwrap();
    let told = held.node_id(node()).unwrap_err();
    assert!(matches!(&told, DataDirError::BadNode { found, .. } if found == "garbage"), "{told:?}");
}

#[tokio::test]
async fn bad_addresses_are_refused_and_never_echoed() {
    let dir = tempfile::tempdir().unwrap();
    for url in [
        "mysql://root:hunter2@h/d",
        "",
        "postgres://u:hunter2@:bad:port/x",
        "postgres://u:hunter2@127.0.0.1:1/d",
    ] {
        let config = StoreConfig { url: url.to_owned(), data_dir: dir.path().to_owned(), max_connections: 1 };
        let Err(told) = Store::open(&config).await else { panic!("`{url}` opened") };
        let chain = format!("{told} {told:?}");
        assert!(!chain.contains("hunter2"), "{chain}");
        if url.starts_with("postgres") {
            assert!(matches!(told, OpenError::BadUrl | OpenError::Connect { .. }), "{url}: {told:?}");
        } else {
            assert!(matches!(told, OpenError::UnknownEngine(_)), "{url}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("gatehouse.db"),
        "this is not a database, it is a text of some length".repeat(100),
    )
    .unwrap();
    let Err(told) = Store::open(&StoreConfig::sqlite(dir.path())).await else { panic!("it opened") };
    assert!(matches!(told, OpenError::File { .. }), "{told:?}");
}

on_both!(a_closed_database_is_unavailable);

async fn a_closed_database_is_unavailable(w: World) {
    w.store.close().await;
    for told in [
        w.store.ping().await.unwrap_err(),
        w.store.policy_version(w.org).await.unwrap_err(),
        w.store.create_team(w.org, TeamId::from_bits(1), &name("Core"), &act("x")).await.unwrap_err(),
    ] {
        assert!(matches!(told, StoreError::Unavailable(_)), "{told:?}");
        assert_eq!(told.to_string(), "the database is not available");
    }
}

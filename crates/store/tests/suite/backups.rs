//! Backups: what is restored is what was there, on either engine, and nothing else is.

use gatehouse_domain::exchange::Exchange;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::audit::append;
use gatehouse_store::backup::{Archive, ArchiveError, BackupError, Contents, Head};
use gatehouse_store::{Store, StoreConfig};

use crate::engines::{World, act, from_nothing, node, on_both, with_postgres, with_sqlite};
use crate::ledger::exchange;

on_both!(it_comes_back_on_either_engine, what_happens_meanwhile_is_not_in_it, whatever_is_altered_is_noticed,);
from_nothing!(only_an_empty_database_is_filled, what_does_not_fit_is_refused_and_leaves_nothing);

fn head() -> Head {
    Head {
        gatehouse_backup: 1,
        version: "1.2.3".to_owned(),
        made_at: UnixMillis(0).to_string(),
        engine: String::new(),
        migration: 0,
        master_keys: vec!["0011aabb".to_owned()],
        escrow: None,
    }
}

async fn back_up(store: &Store) -> (Vec<u8>, Contents) {
    let mut file = Vec::new();
    let contents = store.back_up(head(), &mut file).await.unwrap();
    (file, contents)
}

async fn restore(config: &StoreConfig, file: &[u8]) -> Result<(Store, Contents), BackupError> {
    Store::restore(config, &mut Archive::open(file)?).await
}

/// People, keys of which one replaces another, and exchanges in the audit log.
async fn live_a_while(w: &World) {
    let ada = w.somebody("ada@example.com").await;
    w.somebody("bob@example.com").await;
    let exchanges: Vec<Exchange> =
        (0..700).map(|at| Exchange { principal: Some(ada), ..exchange(at) }).collect();
    w.bring(node(), &exchanges, 700).await;
    w.behind_its_back("UPDATE keys SET replaced_by = (SELECT MAX(id) FROM keys)").await;
    w.behind_its_back("UPDATE users SET name = 'a \"name\"; 一 \\ it''s'").await;
}

/// In the order of the tables, without what differs between files of the same database.
fn lines_of(file: &[u8]) -> Vec<String> {
    let text = std::io::read_to_string(flate2::read::GzDecoder::new(file)).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The tables' names, sizes and sums.
fn sums(file: &[u8]) -> Vec<String> {
    lines_of(file).into_iter().filter(|line| line.contains("\"sum\"") || line.contains("\"table\"")).collect()
}

async fn it_comes_back_on_either_engine(w: World) {
    live_a_while(&w).await;
    let (file, contents) = back_up(&w.store).await;
    let checked = Archive::open(file.as_slice()).unwrap().check().unwrap();
    assert_eq!((&checked.contents, checked.head.engine.as_str()), (&contents, w.store.engine_name()));
    let rows = |name: &str| checked.tables.iter().find(|(table, _)| table == name).map(|(_, rows)| *rows);
    assert_eq!((rows("exchanges"), rows("keys"), rows("nodes")), (Some(700), Some(2), None));

    let sound = async |config: StoreConfig| {
        let (store, restored) = restore(&config, &file).await.unwrap();
        assert_eq!(restored, contents);
        assert_eq!(sums(&back_up(&store).await.0), sums(&file));
        let there = World { config, store, org: w.org };
        there.counts(700).await;
        // What it was is what it goes on from.
        let policy = there.store.load_snapshot(w.org).await.unwrap();
        assert_eq!(policy.version(), w.store.policy_version(w.org).await.unwrap());
        there.somebody("eve@example.com").await;
        there.bring(node(), &[exchange(900)], 701).await;
        there.counts(701).await;
    };
    // Each test has a thread and a runtime of its own.
    std::thread::scope(|scope| {
        scope.spawn(|| with_sqlite(sound));
        scope.spawn(|| with_postgres(sound));
    });
}

async fn what_happens_meanwhile_is_not_in_it(w: World) {
    live_a_while(&w).await;
    let before = back_up(&w.store).await.0;
    // Read slowly, while others write.
    let (mut read, mut write) = tokio::io::duplex(512);
    let (store, org) = (w.store.clone(), w.org);
    let making = tokio::spawn(async move { store.back_up(head(), &mut write).await });
    let mut file = vec![0; 256];
    tokio::io::AsyncReadExt::read_exact(&mut read, &mut file).await.unwrap();
    for n in 0..20 {
        let mut tx = w.store.begin().await.unwrap();
        append(&mut tx, org, &[act("meanwhile")]).await.unwrap();
        tx.commit().await.unwrap();
        w.user(&format!("late{n}@example.com"), &[]).await;
    }
    tokio::io::AsyncReadExt::read_to_end(&mut read, &mut file).await.unwrap();
    making.await.unwrap().unwrap();
    assert_eq!(sums(&file), sums(&before));
    assert_ne!(sums(&back_up(&w.store).await.0), sums(&before));
}

fn pack(lines: &[String]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for line in lines {
        std::io::Write::write_all(&mut packed, format!("{line}\n").as_bytes()).unwrap();
    }
    packed.finish().unwrap()
}

fn refused(file: &[u8]) -> ArchiveError {
    match Archive::open(file).and_then(Archive::check) {
        Err(error) => error,
        Ok(_) => panic!("it should have been noticed"),
    }
}

async fn whatever_is_altered_is_noticed(w: World) {
    live_a_while(&w).await;
    let (file, _) = back_up(&w.store).await;
    let lines = lines_of(&file);
    // Cut anywhere, and with a bit flipped anywhere.
    for at in (0..file.len()).step_by(file.len() / 97 + 1) {
        refused(&file[..at]);
        let mut flipped = file.clone();
        flipped[at] ^= 0x10;
        // Some bits of compressed data mean nothing: its time, and those that fill a block's last byte.
        if Archive::open(flipped.as_slice()).and_then(Archive::check).is_ok() {
            assert_eq!(lines_of(&flipped), lines, "{at}");
        }
    }
    // Altered by somebody who packs it anew.
    for at in (0..lines.len()).step_by(lines.len() / 61 + 1) {
        let mut less = lines.clone();
        less.remove(at);
        refused(&pack(&less));
        let mut twice = lines.clone();
        twice.insert(at, lines[at].clone());
        refused(&pack(&twice));
    }
    let mut changed = lines.clone();
    let row = changed.iter_mut().find(|line| line.contains("ada@example.com")).unwrap();
    *row = row.replace("ada@example.com", "eda@example.com");
    let told = refused(&pack(&changed)).to_string();
    assert!(told.starts_with("the backup is damaged at line"), "{told}");
    assert!(matches!(refused(b"not a backup"), ArchiveError::NotABackup));
    assert!(matches!(refused(&pack(&["{}".to_owned()])), ArchiveError::NotABackup));
    let newer = pack(&[lines[0].replace("\"gatehouse_backup\":1", "\"gatehouse_backup\":2")]);
    assert!(matches!(refused(&newer), ArchiveError::Format(2)));
}

async fn only_an_empty_database_is_filled(config: StoreConfig) {
    let w = World::build(config).await;
    live_a_while(&w).await;
    let before = back_up(&w.store).await.0;
    let refused = restore(&w.config, &before).await.err();
    assert!(matches!(refused, Some(BackupError::NotEmpty)));
    assert_eq!(sums(&back_up(&w.store).await.0), sums(&before));
}

async fn what_does_not_fit_is_refused_and_leaves_nothing(config: StoreConfig) {
    let source = tempfile::tempdir().unwrap();
    let w = World::build(StoreConfig::sqlite(source.path())).await;
    live_a_while(&w).await;
    let whole = lines_of(&back_up(&w.store).await.0);
    // A file whose sums are right, and which is wrong otherwise: each is made of a sound one behind its back.
    w.behind_its_back("CREATE TABLE strangers (id TEXT NOT NULL)").await;
    let stranger = back_up(&w.store).await.0;
    let told = restore(&config, &stranger).await.err().unwrap().to_string();
    assert_eq!(told, "the backup's table `strangers` does not fit the database: there is none");
    w.behind_its_back("DROP TABLE strangers; ALTER TABLE teams ADD COLUMN odd TEXT").await;
    let column = back_up(&w.store).await.0;
    let told = restore(&config, &column).await.err().unwrap().to_string();
    assert_eq!(told, "the backup's table `teams` does not fit the database: it has other columns");
    w.behind_its_back("ALTER TABLE teams DROP COLUMN odd; UPDATE keys SET user_id = 'nobody'").await;
    let dangling = back_up(&w.store).await.0;
    assert!(matches!(restore(&config, &dangling).await, Err(BackupError::Store(_))));
    let newer = whole[0].replace("\"migration\":", "\"migration\":9");
    let refused = restore(&config, &pack(&[newer])).await.err();
    assert!(matches!(refused, Some(BackupError::Newer { .. })));
    // Cut in the middle of a table.
    let cut = pack(&whole[..whole.len() / 2]);
    assert!(matches!(restore(&config, &cut).await, Err(BackupError::Archive(_))));
    // After all that it is still empty, and can be filled.
    let (store, _) = restore(&config, &pack(&whole)).await.unwrap();
    assert_eq!(lines_of(&back_up(&store).await.0).len(), whole.len());
}

//! What was backed up under load comes back on either engine, with its keys and its audit log; what cannot be restored is
//! refused and leaves nothing.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::{postgres, wait};
use serde_json::Value;

use crate::world::{World, ask, configured, echo, stores};

const BINARY: &str = env!("CARGO_BIN_EXE_gatehouse");
const PHRASE: &str = "a passphrase of the drill";

/// Backups with the master key in them.
fn with_passphrase() -> String {
    format!("[backup]\npassphrase = \"exec:echo {PHRASE}\"\n")
}

/// Runs the program apart from any server.
fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(BINARY).args(args).env_clear().env("HOME", dir).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Backs up, and gives the file's place.
fn back_up(w: &World, name: &str) -> String {
    let file = w.gatehouse.dir().join(name).to_str().unwrap().to_owned();
    let output = w.gatehouse.cli(&["backup", &file]);
    assert!(output.status.success(), "{}", said(&output));
    file
}

/// Writes the passphrase where only we can read it.
fn phrase_file(dir: &Path, text: &str) -> String {
    let path = dir.join("phrase");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn restore(dir: &Path, file: &str, more: &[&str]) -> Output {
    let (config, data) = (dir.join("gatehouse.toml"), dir.join("data"));
    let args = ["restore", file, "--config", config.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    Command::new(BINARY)
        .args([&args[..], more].concat())
        .env_clear()
        .env("HOME", dir)
        .env("UPSTREAM_KEY", "not used")
        .output()
        .unwrap()
}

fn ids(gatehouse: &Gatehouse) -> Vec<String> {
    gatehouse.exchanges().iter().map(|exchange| exchange["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_was_backed_up_under_load_comes_back_on_either_engine() {
    for source in stores() {
        let w = configured(&with_passphrase(), &source, echo(1, 1));
        let stop = AtomicBool::new(false);
        let file = std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(w.gatehouse.post(&w.key, &ask(true)).status, 200);
                    }
                });
            }
            wait::until("some load", || (ids(&w.gatehouse).len() > 20).then_some(()));
            let before = ids(&w.gatehouse);
            let file = back_up(&w, "under-load.backup");
            stop.store(true, Ordering::Relaxed);
            (file, before)
        });
        let (file, before) = file;
        let after = ids(&w.gatehouse);

        for target in stores() {
            let phrase = phrase_file(w.gatehouse.dir(), PHRASE);
            let copy = Builder::new(BINARY, &w.provider.url).store(&target).start_after(|dir| {
                let done = restore(dir, &file, &["--passphrase-file", &phrase, "--json"]);
                assert!(done.status.success(), "{}", said(&done));
                let told: Value = serde_json::from_slice(&done.stdout).unwrap();
                assert_eq!((&told["drill"], &told["audit"]["fault"]), (&Value::Bool(false), &Value::Null));
            });
            // All that had ended when it began, and nothing that was not there.
            let there = ids(&copy);
            assert!(
                before.iter().all(|id| there.contains(id)),
                "{source} to {target}: an exchange is missing"
            );
            assert!(there.iter().all(|id| after.contains(id)));
            // The keys of people work, and so does the log.
            assert_eq!(copy.post(&w.key, &ask(false)).status, 200);
            assert_eq!(ids(&copy).len(), there.len() + 1);
            let export = copy.dir().join("audit.jsonl");
            let export = export.to_str().unwrap();
            assert!(copy.cli(&["audit", "export", export]).status.success());
            let verified = copy.cli(&["audit", "verify", export]);
            assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
            let acts = copy.json(&["audit", "list", "--action", "backup.restore"]);
            assert_eq!(acts.as_array().map(Vec::len), Some(1));
            // A backup of the copy has what the copy has.
            let again = copy.dir().join("again.backup");
            assert!(copy.cli(&["backup", again.to_str().unwrap()]).status.success());
        }
    }
}

#[test]
fn the_master_key_may_be_kept_apart() {
    let w = configured("", "sqlite", echo(1, 1));
    let file = w.gatehouse.dir().join("apart.backup");
    let made = w.gatehouse.cli(&["backup", file.to_str().unwrap()]);
    assert!(said(&made).contains("is not in it: keep that key elsewhere"), "{}", said(&made));
    let key = std::fs::read(w.gatehouse.dir().join("data/master.key")).unwrap();
    let copy = Builder::new(BINARY, &w.provider.url).start_after(|dir| {
        let data = dir.join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let refused = restore(dir, file.to_str().unwrap(), &[]);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains("the master key"), "{}", said(&refused));
        let place = data.join("master.key");
        std::fs::write(&place, &key).unwrap();
        std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let done = restore(dir, file.to_str().unwrap(), &[]);
        assert!(done.status.success(), "{}", said(&done));
    });
    assert_eq!(copy.post(&w.key, &ask(false)).status, 200);
}

#[test]
fn what_cannot_be_restored_is_refused_and_leaves_nothing() {
    let w = configured(&with_passphrase(), "sqlite", echo(1, 1));
    let other = configured("", "sqlite", echo(1, 1));
    let file = back_up(&w, "sound.backup");
    let bytes = std::fs::read(&file).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = std::fs::read(w.gatehouse.dir().join("gatehouse.toml")).unwrap();
    std::fs::write(dir.path().join("gatehouse.toml"), config).unwrap();
    let phrase = phrase_file(dir.path(), PHRASE);
    let damaged = dir.path().join("damaged.backup");
    let damaged = damaged.to_str().unwrap();
    let left = || {
        let files = std::fs::read_dir(dir.path().join("data"));
        let names = files.map(|all| all.map(|file| file.unwrap().file_name().into_string().unwrap()));
        names.map_or_else(|_| Vec::new(), |all| all.filter(|name| name.starts_with("gatehouse.db")).collect())
    };

    std::fs::write(damaged, &bytes[..bytes.len() / 2]).unwrap();
    let refused = restore(dir.path(), damaged, &["--passphrase-file", &phrase]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("the backup is damaged at line"), "{}", said(&refused));
    assert_eq!(left(), Vec::<String>::new());
    assert!(!dir.path().join("data/master.key").exists(), "it can be tried again");

    std::fs::write(damaged, "something else").unwrap();
    let refused = restore(dir.path(), damaged, &[]);
    assert!(said(&refused).contains("the file is no backup of gatehouse"), "{}", said(&refused));

    let wrong = phrase_file(dir.path(), "another passphrase");
    let refused = restore(dir.path(), &file, &["--passphrase-file", &wrong]);
    assert!(said(&refused).contains("the passphrase does not open"), "{}", said(&refused));
    assert!(!dir.path().join("data/master.key").exists());

    // Another deployment's master key.
    let place = dir.path().join("data/master.key");
    std::fs::copy(other.gatehouse.dir().join("data/master.key"), &place).unwrap();
    let refused = restore(dir.path(), &file, &[]);
    assert!(said(&refused).contains("the backup was made under the master key"), "{}", said(&refused));
    assert_eq!(left(), Vec::<String>::new());

    let under_it = restore(dir.path(), &file, &["--passphrase-file", &phrase_file(dir.path(), PHRASE)]);
    assert!(said(&under_it).contains("there is a master key already"), "{}", said(&under_it));
    assert!(place.exists(), "what was there before stays");
    let text = std::fs::read_to_string(dir.path().join("gatehouse.toml")).unwrap();
    let elsewhere = format!("{text}\n[secrets]\nmaster_key = \"env:MASTER_KEY\"\n");
    std::fs::write(dir.path().join("gatehouse.toml"), elsewhere).unwrap();
    let ignored = restore(dir.path(), &file, &["--passphrase-file", &phrase_file(dir.path(), PHRASE)]);
    assert!(said(&ignored).contains("is no file that the backup's master key"), "{}", said(&ignored));
    std::fs::write(dir.path().join("gatehouse.toml"), text).unwrap();

    // Over somebody else's data, running or not.
    let refused = restore(other.gatehouse.dir(), &file, &[]);
    assert!(said(&refused).contains("is in use by another gatehouse"), "{}", said(&refused));
    let mut other = other;
    other.gatehouse.signal("-TERM");
    other.gatehouse.wait();
    let refused = restore(other.gatehouse.dir(), &file, &[]);
    assert!(said(&refused).contains("there is a database already"), "{}", said(&refused));
    other.gatehouse.restart();
    assert_eq!(other.gatehouse.post(&other.key, &ask(false)).status, 200);
    if let Some(url) = postgres::fresh() {
        let taken = configured("", &url, echo(1, 1));
        let text = std::fs::read_to_string(taken.gatehouse.dir().join("gatehouse.toml")).unwrap();
        std::fs::write(dir.path().join("gatehouse.toml"), text).unwrap();
        std::fs::remove_file(&place).unwrap();
        let phrase = phrase_file(dir.path(), PHRASE);
        let refused = restore(dir.path(), &file, &["--passphrase-file", &phrase]);
        assert!(said(&refused).contains("the database is not empty"), "{}", said(&refused));
        assert_eq!(taken.gatehouse.post(&taken.key, &ask(false)).status, 200);
    }
}

#[test]
fn a_drill_and_a_check_touch_nothing() {
    let w = configured("", "sqlite", echo(1, 1));
    let file = back_up(&w, "drill.backup");
    let drill = w.gatehouse.cli(&["restore", "--drill", &file]);
    assert!(drill.status.success(), "{}", said(&drill));
    assert!(said(&drill).contains("The audit log is sound"), "{}", said(&drill));
    assert!(said(&drill).contains("This was a drill"), "{}", said(&drill));
    let check = run(w.gatehouse.dir(), &["restore", "--check", &file]);
    assert!(check.status.success() && said(&check).contains("whole:"), "{}", said(&check));
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    assert_eq!(
        w.gatehouse.json(&["audit", "list", "--action", "backup.restore"]).as_array().map(Vec::len),
        Some(0)
    );
}

#[test]
fn backups_are_made_on_time_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    for hour in 0..3 {
        std::fs::write(folder.path().join(format!("gatehouse-20200101T0{hour}0000Z.backup")), "old").unwrap();
    }
    std::fs::write(folder.path().join("mine.backup"), "a stranger's").unwrap();
    let config = format!("[backup]\ndirectory = \"{}\"\nkeep = 2\n", folder.path().display());
    let w = configured(&config, "sqlite", echo(1, 1));
    let listed = wait::until("a backup", || {
        let listed = w.gatehouse.json(&["backup", "--list"]);
        let newest = listed[0]["name"].as_str().unwrap().to_owned();
        (!newest.contains("20200101")).then_some(listed)
    });
    wait::until("old ones to go", || {
        (w.gatehouse.json(&["backup", "--list"]).as_array().map(Vec::len) == Some(2)).then_some(())
    });
    let newest = folder.path().join(listed[0]["name"].as_str().unwrap());
    let drill = w.gatehouse.cli(&["restore", "--drill", newest.to_str().unwrap()]);
    assert!(drill.status.success(), "{}", said(&drill));
    assert!(folder.path().join("mine.backup").exists());
    let names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".part"))
        .collect();
    assert_eq!(names, Vec::<String>::new());
}

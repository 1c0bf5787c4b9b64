//! The checklist turns red when the real thing is broken, and green when it is mended.

mod probes;

use gatehouse_testkit::gatehouse::Gatehouse;
use gatehouse_testkit::{http, wait};
use serde_json::Value;

use crate::world::{ask, configured, echo, stores};

fn item(gatehouse: &Gatehouse, name: &str) -> (String, String) {
    let output = gatehouse.cli(&["--json", "doctor"]);
    let checklist: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&output.stderr)));
    let items = checklist["items"].as_array().unwrap();
    assert_eq!(items.len(), 22);
    let item = items.iter().find(|item| item["item"] == name).unwrap_or_else(|| panic!("no {name}"));
    let text = |key: &str| item[key].as_str().unwrap().to_owned();
    (text("state"), text("evidence"))
}

fn state(gatehouse: &Gatehouse, name: &str) -> String {
    item(gatehouse, name).0
}

#[test]
fn backups_turn_red_and_green() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[backup]\ndirectory = \"{}\"\n", folder.path().display());
    let w = configured(&config, "sqlite", echo(1, 1));
    let newest = wait::until("a backup", || {
        let listed = w.gatehouse.json(&["backup", "--list"]);
        listed[0]["name"].as_str().map(|name| folder.path().join(name))
    });
    // There is one, and nobody has ever tried to restore one.
    let (found, why) = item(&w.gatehouse, "backup");
    assert_eq!((found.as_str(), why.contains("restore --drill")), ("warn", true), "{why}");
    let drill = w.gatehouse.cli(&["restore", "--drill", newest.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&drill.stdout).contains("noted in the readiness checklist"));
    assert_eq!(state(&w.gatehouse, "backup"), "pass");
    // The newest is older than it should be; then the place is gone.
    std::fs::rename(&newest, folder.path().join("gatehouse-20200101T000000Z.backup")).unwrap();
    let (found, why) = item(&w.gatehouse, "backup");
    assert_eq!((found.as_str(), why.contains("should have been made anew")), ("fail", true), "{why}");
    // A place that cannot be written to, as a backup by hand finds as well; then it is mended.
    let place = folder.path().to_owned();
    folder.close().unwrap();
    std::fs::write(&place, "no folder").unwrap();
    assert_eq!(state(&w.gatehouse, "backup"), "fail");
    let refused = w.gatehouse.cli(&["backup", newest.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains(place.to_str().unwrap()), "{told}");
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    w.gatehouse.json(&["backup", newest.to_str().unwrap()]);
    assert_eq!(state(&w.gatehouse, "backup"), "pass", "the drill of before counts");
    std::fs::remove_dir_all(&place).unwrap();
}

#[test]
fn what_is_found_and_what_is_stated() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
        w.gatehouse.exchanges();
        assert_eq!(state(&w.gatehouse, "server-resources"), "pass");
        assert_eq!(state(&w.gatehouse, "audit-log"), "pass");
        assert_eq!(state(&w.gatehouse, "backup"), "fail");
        assert!(item(&w.gatehouse, "bandwidth").1.contains("measured: "));
        assert_eq!(state(&w.gatehouse, "client-certificates"), "not_needed");
        // Nobody has read the metrics until somebody does.
        assert_eq!(state(&w.gatehouse, "monitoring"), "fail");
        assert_eq!(http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").status, 200);
        assert_eq!(state(&w.gatehouse, "monitoring"), "pass");

        let set = |more: &[&str]| w.gatehouse.json(&[&["readiness", "set"], more].concat());
        assert_eq!(state(&w.gatehouse, "firewall"), "open");
        set(&["firewall", "--owner", "net-team", "--due", "14d", "--done", "change 4711"]);
        let (found, why) = item(&w.gatehouse, "firewall");
        assert_eq!((found.as_str(), why.starts_with("change 4711 (")), ("pass", true), "{why}");
        // What is broken stays so, whatever is stated; a waiver says why it may wait.
        assert_eq!(set(&["backup", "--done", "it is fine"])["state"], "fail");
        assert_eq!(set(&["backup", "--waive", "after the pilot", "--until", "7d"])["state"], "waived");
        assert_eq!(set(&["backup", "--waive", "", "--until", "7d"])["state"], "fail");
        let acts = w.gatehouse.json(&["audit", "list", "--action", "readiness.set"]);
        assert_eq!(acts.as_array().map(Vec::len), Some(4));
    }
}

#[test]
fn a_damaged_audit_log_is_red() {
    let w = configured("", "sqlite", echo(1, 1));
    assert_eq!(state(&w.gatehouse, "audit-log"), "pass");
    let file = w.gatehouse.dir().join("data/gatehouse.db");
    let sql = "PRAGMA busy_timeout = 5000; DELETE FROM audit_entries WHERE seq = (SELECT MAX(seq) FROM audit_entries); \
               UPDATE audit_heads SET seq = seq - 1, hash = (SELECT hash FROM audit_entries ORDER BY seq DESC LIMIT 1)";
    let done = std::process::Command::new("python3")
        .args(["-c", "import sqlite3,sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])"])
        .args([file.to_str().unwrap(), sql])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(state(&w.gatehouse, "audit-log"), "fail");
}

#[test]
fn the_command_says_what_is_missing_and_refuses_nonsense() {
    let w = configured("", "sqlite", echo(1, 1));
    let section = w.gatehouse.cli(&["doctor", "compliance", "--lang", "zh-CN"]);
    let text = String::from_utf8_lossy(&section.stdout).into_owned();
    assert_eq!(section.status.code(), Some(1), "{text}");
    assert!(text.contains("数据分类策略") && !text.contains("server-resources"), "{text}");
    assert!(text.contains("Not ready"), "{text}");
    for (args, told) in [
        (&["readiness", "set", "nothing", "--owner", "x"][..], "there is no readiness item `nothing`"),
        (&["readiness", "set", "backup"], "say what is to be noted"),
        (&["readiness", "set", "backup", "--due", "yesterday"], "`yesterday` is neither a span"),
        (&["readiness", "set", "backup", "--waive", "x"], "--until"),
    ] {
        let refused = w.gatehouse.cli(args);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && text.contains(told), "{args:?}: {text}");
    }
}

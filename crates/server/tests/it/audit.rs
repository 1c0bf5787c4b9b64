//! The audit log can be checked offline, and says what was changed (P5).

use std::path::PathBuf;

use gatehouse_testkit::{http, wait};

use crate::world::{World, ask, configured, echo, stores};

/// Exports the log of a small history and returns its lines.
fn exported(w: &World) -> (PathBuf, Vec<String>) {
    for _ in 0..5 {
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    }
    w.gatehouse.exchanges();
    let file = w.gatehouse.dir().join("audit.jsonl");
    let output = w.gatehouse.cli(&["audit", "export", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = std::fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    (file, lines)
}

fn verify(w: &World, lines: &[String]) -> (Option<i32>, String) {
    let file = w.gatehouse.dir().join("tampered.jsonl");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let output = w.gatehouse.cli(&["audit", "verify", file.to_str().unwrap()]);
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

/// Where the entry with this sequence number stands.
fn line_of(lines: &[String], seq: u64) -> usize {
    let wanted = |line: &String| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        value["seq"] == seq || value["entry"]["seq"] == seq
    };
    lines.iter().position(wanted).unwrap_or_else(|| panic!("no entry {seq}: {lines:#?}"))
}

#[test]
fn tampering_with_an_export_is_named() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        let (_, lines) = exported(&w);
        let (code, said) = verify(&w, &lines);
        assert_eq!(code, Some(0), "an untouched export does not verify: {said}");

        let at = line_of(&lines, 4);
        let mut flipped = lines.clone();
        flipped[at] = flipped[at].replacen('e', "f", 1);
        let mut deleted = lines.clone();
        deleted.remove(at);
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        for (name, changed) in [("flipped", flipped), ("deleted", deleted), ("swapped", swapped)] {
            let (code, said) = verify(&w, &changed);
            assert_eq!(code, Some(1), "{name}: {said}");
            assert!(said.contains('4'), "{name}: the entry is not named: {said}");
        }
        let cut: Vec<String> = lines[..lines.len() - 3].to_vec();
        assert_eq!(verify(&w, &cut).0, Some(1), "a cut tail goes unnoticed");
    }
}

/// A checkpoint that was kept elsewhere shows that a log was replaced by another one with the same key.
#[test]
fn an_export_is_compared_with_a_checkpoint_kept_elsewhere() {
    let mut w = configured("", "sqlite", echo(1, 1));
    let (file, _) = exported(&w);
    let kept = w.gatehouse.dir().join("kept.checkpoint");
    std::fs::copy(w.gatehouse.dir().join("data/audit.checkpoint"), &kept).unwrap();
    let compare = |w: &World, file: &PathBuf, kept: &PathBuf| {
        let (file, kept) = (file.to_str().unwrap(), kept.to_str().unwrap());
        let output = w.gatehouse.cli(&["audit", "verify", file, "--checkpoint", kept]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, said) = compare(&w, &file, &kept);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("contains 1 of 1 checkpoints"), "{said}");

    // Another database under the same master key: shorter, sound in itself, and not the one from before.
    w.gatehouse.signal("-TERM");
    w.gatehouse.wait();
    for name in ["gatehouse.db", "gatehouse.db-wal", "gatehouse.db-shm", "admin.token"] {
        let _ = std::fs::remove_file(w.gatehouse.dir().join("data").join(name));
    }
    w.gatehouse.restart();
    let other = w.gatehouse.dir().join("other.jsonl");
    let output = w.gatehouse.cli(&["audit", "export", other.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(compare(&w, &other, &kept).0, Some(1));
    wait::until("the alarm", || {
        let metrics = http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
        metrics.lines().any(|line| line == "gatehouse_audit_altered 1").then_some(())
    });
    assert!(w.gatehouse.log().contains("its end was cut off"), "{}", w.gatehouse.log());
    for garbage in ["", "{}", "null\n"] {
        std::fs::write(&kept, garbage).unwrap();
        let (code, said) = compare(&w, &file, &kept);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("cannot use the checkpoints"), "{said}");
    }
}

#[test]
fn every_act_and_every_exchange_is_in_the_log_and_no_secret() {
    let w = configured("", "sqlite", echo(1, 1));
    w.gatehouse.json(&["key", "revoke", &w.key_id]);
    let (file, _) = {
        let (_, key) = w.gatehouse.key("second@example.com", &[]);
        assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 200);
        w.gatehouse.exchanges();
        let file = w.gatehouse.dir().join("audit.jsonl");
        assert!(w.gatehouse.cli(&["audit", "export", file.to_str().unwrap()]).status.success());
        (file, key)
    };
    let text = std::fs::read_to_string(file).unwrap();
    for act in ["user.add", "key.create", "key.revoke", "exchange"] {
        assert!(text.contains(act), "{act} is not in the log: {text}");
    }
    assert!(!text.contains(&w.key) && !text.contains(&w.key[11..54]), "a key's secret is in the log");
    assert!(!text.contains("forty-two"), "content is in the log");
}

//! Data protection: what is planted in a request is seen, recorded and, by rule, refused; and is never kept.

use std::path::Path;

use gatehouse_domain::key::{KeyKind, VirtualKey};
use gatehouse_testkit::http;
use serde_json::{Value, json};

use crate::world::{MODEL, World, configured, echo};

pub const OBSERVE: &str = "[data_protection]\nmode = \"observe\"\n";
pub const BLOCK: &str = "[data_protection]\nmode = \"block\"\n";

/// A token that proves itself by a checksum, made here.
pub fn planted(seed: u8) -> String {
    VirtualKey::generate(KeyKind::Admin, &[seed; 38]).reveal().to_string()
}

/// A conversation in which a tool has read this.
pub fn conversation(read: &str, stream: bool) -> Vec<u8> {
    let code = "fn main() { println!(\"hello\"); }\n".repeat(40);
    json!({
        "model": MODEL, "max_tokens": 100, "stream": stream,
        "system": [{"type": "text", "text": code}],
        "messages": [
            {"role": "user", "content": "read the file"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a.rs"}}
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": format!("{code}{read}")}]}
            ]}
        ]
    })
    .to_string()
    .into_bytes()
}

fn metric(w: &World, line: &str) -> Option<u64> {
    let text = http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
    let found = text.lines().find_map(|have| have.strip_prefix(line))?;
    found.trim().parse().ok()
}

fn only(detector: &str, count: u32) -> Value {
    json!([{"detector": detector, "count": count}])
}

#[test]
fn what_is_observed_goes_on_byte_for_byte_and_is_on_record() {
    let w = configured(OBSERVE, "sqlite", echo(1, 1));
    let body = conversation(&planted(1), false);
    for _ in 0..2 {
        let reply = w.gatehouse.post(&w.key, &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(w.provider.seen().body == body, "changed on its way");
    }
    let exchanges = w.gatehouse.exchanges();
    for exchange in &exchanges {
        assert_eq!(exchange["data_findings"], only("gatehouse-key", 1), "{exchange}");
        assert_eq!(exchange["data_verdict"], "observed");
    }
    // It is in both requests, and in no text that was not seen before.
    let found = metric(&w, "gatehouse_data_findings_total{detector=\"gatehouse-key\",action=\"observed\"}");
    assert_eq!(found, Some(1));
    let (scanned, known) =
        (metric(&w, "gatehouse_data_scanned_bytes_total"), metric(&w, "gatehouse_data_known_bytes_total"));
    assert!(known.unwrap() > 2000 && scanned.unwrap() < 2 * known.unwrap(), "{scanned:?} {known:?}");
    let told = w.gatehouse.cli(&["trace", exchanges[0]["id"].as_str().unwrap()]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("data observed: 1 gatehouse-key"), "{told}");
}

#[test]
fn what_is_blocked_reaches_nobody_and_the_answer_says_what_and_where() {
    let w = configured(BLOCK, "sqlite", echo(1, 1));
    let secret = planted(2);
    for (path, stream) in
        [("/v1/messages", false), ("/v1/messages", true), ("/v1/messages/count_tokens", false)]
    {
        let reply = w.gatehouse.post_to(path, &w.key, &conversation(&secret, stream));
        assert_eq!((reply.status, reply.header("x-should-retry")), (451, Some("false")), "{}", reply.text());
        let told: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            (told["type"].as_str(), told["error"]["type"].as_str()),
            (Some("error"), Some("permission_error"))
        );
        let sentence = told["error"]["message"].as_str().unwrap();
        assert!(
            sentence.contains("a Gatehouse key or token (gatehouse-key) in message 3, tool result."),
            "{sentence}"
        );
    }
    // In the form of a cloud it is the same.
    let body = conversation(&secret, false);
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    let members = body.as_object_mut().unwrap();
    members.remove("model");
    members.remove("stream");
    members.insert("anthropic_version".to_owned(), "bedrock-2023-05-31".into());
    let invoke = "/model/us.anthropic.claude-sonnet-5-5/invoke";
    let reply = w.gatehouse.post_to(invoke, &w.key, body.to_string().as_bytes());
    assert!(reply.status >= 400 && !reply.text().contains(&secret), "{}", reply.text());
    assert_eq!(w.provider.unseen(), 0, "the provider saw one of them");
    for exchange in w.gatehouse.exchanges() {
        assert_eq!(
            (&exchange["ended"], &exchange["reason"], &exchange["data_verdict"]),
            (&"refused".into(), &"data_found".into(), &"blocked".into()),
            "{exchange}"
        );
        assert_eq!(exchange["data_findings"], only("gatehouse-key", 1));
    }
    // Without it the conversation goes on.
    assert_eq!(w.gatehouse.post(&w.key, &conversation("", true)).status, 200);
}

#[test]
fn thinking_signatures_images_and_identifiers_are_not_looked_at() {
    let w = configured(BLOCK, "sqlite", echo(1, 1));
    let secret = planted(3);
    let body = json!({
        "model": MODEL, "max_tokens": 9, "metadata": {"user_id": secret},
        "tools": [{"name": "x", "description": secret, "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": secret}}
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": secret, "signature": secret},
                {"type": "redacted_thinking", "data": secret},
                {"type": "tool_use", "id": secret, "name": "x", "input": {}}
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": secret, "content": "done"}]}
        ]
    });
    let reply = w.gatehouse.post(&w.key, body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(w.only_exchange()["data_verdict"].is_null());
}

#[test]
fn it_is_found_however_it_is_spelled_and_however_large_the_body_is() {
    let w = configured(BLOCK, "sqlite", echo(1, 1));
    let secret = planted(4);
    let spelled: String =
        secret.chars().fold(String::new(), |text, c| text + &format!("\\u{:04x}", u32::from(c)));
    let body = |text: &str| {
        format!(
            r#"{{"model":"{MODEL}","max_tokens":9,"messages":[{{"role":"user","c\u006fntent":"{text}"}}]}}"#
        )
        .into_bytes()
    };
    let reply = w.gatehouse.post(&w.key, &body(&spelled));
    assert_eq!(reply.status, 451, "{}", reply.text());
    let long: String = (0..60_000).fold(String::new(), |text, n| text + &format!("line {n} of a log\\n"));
    let clean = body(&long);
    assert!(clean.len() > 1_000_000);
    assert_eq!(w.gatehouse.post(&w.key, &clean).status, 200);
    assert!(w.provider.seen().body == clean, "changed on its way");
    let reply = w.gatehouse.post(&w.key, &body(&format!("{long}{secret}")));
    assert_eq!(reply.status, 451, "{}", reply.text());
    assert_eq!(w.provider.unseen(), 0);
}

#[test]
fn the_rules_say_what_is_looked_for_and_change_while_it_runs() {
    let w = configured("[data_protection]\nmode = \"off\"\n", "sqlite", echo(1, 1));
    let file = w.gatehouse.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // A card for tests of a payment service.
    let card = ["4000 0566", "5566 5556"].join(" ");
    let both = format!("{} and {card}", planted(5));
    for (rules, status, findings) in [
        ("mode = \"off\"", 200, json!([])),
        ("mode = \"block\"", 451, only("gatehouse-key", 1)),
        ("mode = \"block\"\nexcept = [\"gatehouse-key\"]", 200, json!([])),
        ("mode = \"block\"\nobserve = [\"gatehouse-key\"]", 200, only("gatehouse-key", 1)),
        ("mode = \"block\"\ndetectors = [\"iban\", \"payment-card\"]", 451, only("payment-card", 1)),
        (
            "mode = \"observe\"\ndetectors = [\"all\"]",
            200,
            json!([{"detector": "gatehouse-key", "count": 1}, {"detector": "payment-card", "count": 1}]),
        ),
    ] {
        std::fs::write(&file, text.replace("mode = \"off\"", rules)).unwrap();
        w.gatehouse.json(&["config", "reload"]);
        let reply = w.gatehouse.post(&w.key, &conversation(&both, false));
        assert_eq!(reply.status, status, "{rules}: {}", reply.text());
        let newest = w.gatehouse.exchanges().pop().unwrap();
        assert_eq!(newest["data_findings"], findings, "{rules}");
    }
    for (rules, told) in [
        ("mode = \"on\"", "data_protection.mode: expected \"off\" or \"observe\" or \"block\""),
        (
            "mode = \"block\"\ndetectors = [\"github-tokn\"]",
            "data_protection.detectors: there is no detector `github-tokn` (did you mean `github-token`?)",
        ),
        ("mode = \"block\"\nexcept = [\"everything\"]", "there is no detector `everything`"),
        (
            "mode = \"block\"\nexcept = [\"secrets\"]",
            "data_protection.detectors: nothing is left to look for",
        ),
        ("mode = \"block\"\nredact = true", "data_protection.redact: unknown setting"),
    ] {
        let other = w.gatehouse.dir().join("other.toml");
        std::fs::write(&other, text.replace("mode = \"off\"", rules)).unwrap();
        let checked = w.gatehouse.cli(&["config", "check", "--config", other.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
        assert!(!checked.status.success() && said.contains(told), "{rules}: {said}");
    }
}

#[test]
fn what_is_found_is_never_kept_and_the_audit_log_tells_of_it() {
    let w = configured(OBSERVE, "sqlite", echo(1, 1));
    let (observed, blocked) = (planted(6), planted(7));
    assert_eq!(w.gatehouse.post(&w.key, &conversation(&observed, true)).status, 200);
    let file = w.gatehouse.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"observe\"", "\"block\"")).unwrap();
    w.gatehouse.json(&["config", "reload"]);
    let reply = w.gatehouse.post(&w.key, &conversation(&blocked, false));
    assert_eq!(reply.status, 451);
    assert!(!reply.text().contains(&blocked));
    assert_eq!(w.gatehouse.exchanges().len(), 2);
    let export = w.gatehouse.dir().join("audit.jsonl");
    assert!(w.gatehouse.cli(&["audit", "export", export.to_str().unwrap()]).status.success());
    let exported = std::fs::read_to_string(&export).unwrap();
    assert!(
        exported.contains("gatehouse-key") && exported.contains("blocked"),
        "the audit log does not tell"
    );
    assert!(w.gatehouse.cli(&["audit", "verify", export.to_str().unwrap()]).status.success());
    let log = w.gatehouse.log();
    assert_eq!(log.matches("data protection found something in a request").count(), 2, "{log}");
    // The least of it that could be of use.
    let parts = [&observed[4..30], &blocked[4..30]];
    let mut looked_at = 0;
    search(w.gatehouse.dir(), &mut |path, bytes| {
        looked_at += 1;
        for part in parts {
            let is_there = bytes.windows(part.len()).any(|window| window == part.as_bytes());
            assert!(!is_there, "it is in {}", path.display());
        }
    });
    assert!(looked_at > 5, "{looked_at} files are not all of them");
}

fn search(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, look);
        } else {
            look(&path, &std::fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_file_is_looked_at_without_a_server_and_what_is_found_is_not_printed() {
    let w = configured("", "sqlite", echo(1, 1));
    let secret = planted(8);
    let text = format!("first\nsecond: \u{e9} {secret}\n");
    let scanned = w.gatehouse.cli_reading(&["--json", "data", "scan", "-"], &text);
    let told: Value = serde_json::from_slice(&scanned.stdout).unwrap();
    let expected = json!({"items": [
        {"line": 2, "column": 11, "detector": "gatehouse-key", "kind": "secret", "what": "a Gatehouse key or token"}
    ]});
    assert_eq!((scanned.status.code(), told), (Some(1), expected));
    let file = w.gatehouse.dir().join("text");
    std::fs::write(&file, &text).unwrap();
    let scanned = w.gatehouse.cli(&["data", "scan", file.to_str().unwrap()]);
    let said = String::from_utf8([scanned.stdout, scanned.stderr].concat()).unwrap();
    assert!(said.contains("gatehouse-key") && !said.contains(&secret[4..]), "{said}");
    let scanned = w.gatehouse.cli_reading(&["data", "scan", "-", "--except", "gatehouse-key"], &text);
    assert_eq!((scanned.status.code(), scanned.stdout), (Some(0), b"Nothing was found.\n".to_vec()));
    let scanned = w.gatehouse.cli(&["data", "scan", "-", "--detectors", "nothing"]);
    assert_eq!(scanned.status.code(), Some(2));
    let listed = w.gatehouse.json(&["data", "detectors"]);
    assert!(listed["items"].as_array().unwrap().iter().any(|one| one["id"] == "github-token"));
}

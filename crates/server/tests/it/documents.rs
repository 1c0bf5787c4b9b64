//! PDF documents from the command line and the API, read back by programs of others.

use crate::world::{World, configured, echo};
use gatehouse_testkit::{http, pdf};

/// January, closed: overhead on three teams, one of which has a name that no font has.
fn closed() -> World {
    let w = configured("", "sqlite", echo(1, 1));
    for (team, amount) in
        [("Core (1) \\ Łódź", "12.345678901"), ("平台團隊", "0.000000001"), ("🎉", "9223372")]
    {
        w.gatehouse.json(&["team", "add", team]);
        let share = format!("{team}=1");
        let rule = format!("rule-{}", team.len());
        let set = ["report", "allocation", "set", rule.as_str(), "--method", "fixed"];
        w.gatehouse.json(&[&set[..], &["--amount", amount, "--share", share.as_str()]].concat());
    }
    w.gatehouse.json(&["report", "rate", "set", "EUR", "0.92", "--from", "2025-12-15"]);
    w.gatehouse.json(&["report", "close", "2026-01"]);
    w
}

/// Writes a document by the command line, checks it, and gives its bytes.
fn written(w: &World, args: &[&str]) -> Vec<u8> {
    let file = w.gatehouse.dir().join("document.pdf");
    let output = w.gatehouse.cli(&[args, &["--pdf", file.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Wrote "));
    let bytes = std::fs::read(file).unwrap();
    pdf::check(&bytes);
    bytes
}

#[test]
fn a_locked_statement_is_a_document_of_the_same_figures_in_three_languages() {
    let w = closed();
    let whole = w.gatehouse.json(&["report", "statement", "2026-01"]);
    let total = whole["statement"]["total_usd"].as_str().unwrap().to_owned();
    for language in ["en", "zh-CN", "zh-TW"] {
        let args = ["report", "statement", "2026-01", "--lines", "--currency", "EUR", "--lang", language];
        let bytes = written(&w, &args);
        assert_eq!(bytes, written(&w, &args), "the same statement is the same file");
        let Some(text) = pdf::text(&bytes) else { continue };
        let text = text.replace(',', "");
        for line in whole["lines"].as_array().unwrap() {
            let nanos = line["figures"]["cost_nanos"].as_i64().unwrap();
            let usd = gatehouse_domain::money::Nanos(nanos).to_string();
            let found = text.lines().filter(|line| line.split_whitespace().any(|word| word == usd)).count();
            assert!(found >= 2, "{usd} among the sums and the lines: {text}");
        }
        let id = whole["lines"].as_array().unwrap().iter().find(|line| line["team"] == "🎉").unwrap();
        for shown in [
            total.as_str(),
            whole["statement"]["digest"].as_str().unwrap(),
            "Core (1) \\ Łódź",
            "平台團隊",
            "0.92 EUR",
        ] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        let id = &id["team_id"].as_str().unwrap()[..12];
        assert!(text.contains(&format!("({id}")), "{id} beside a name that cannot be shown: {text}");
    }
}

#[test]
fn a_document_is_refused_where_there_is_none() {
    let w = closed();
    let get = |path: &str, token: &str| {
        let token = format!("Bearer {token}");
        http::once(&w.gatehouse.admin, "GET", path, &[("authorization", &token)], &[])
    };
    let token = std::fs::read_to_string(w.gatehouse.dir().join("data/admin.token")).unwrap();
    let of = |rest: &str| format!("/api/v1/reports/{rest}");
    let answer = get(&of("statements/2026-01?format=pdf&by=model"), token.trim());
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with(b"%PDF-1.7\n"));
    assert_eq!(answer.header("content-type"), Some("application/pdf"));
    for (path, status) in [
        ("statements/2026-01?format=pdf&language=fr", 400),
        ("statements/2026-01?format=pdf&by=nobody", 400),
        ("statements/2026-01?format=pdf&currency=CHF", 400),
        ("statements/2026-01?format=docx", 400),
        ("statements/2025-12?format=pdf", 404),
    ] {
        let answer = get(&of(path), token.trim());
        assert_eq!(answer.status, status, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(get(&of("statements/2026-01?format=pdf"), "gha_nobody").status, 401);
    let output = w.gatehouse.cli(&["report", "statement", "2026-01", "--lines"]);
    assert_eq!(output.status.code(), Some(2), "--lines goes with --pdf");
    let output = w.gatehouse.cli(&["report", "statement", "2026-01", "--pdf", "/nowhere/at/all.pdf"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write `/nowhere/at/all.pdf`"));
}

#[test]
fn open_months_and_the_checklist_are_documents_too() {
    let w = closed();
    let bytes = written(&w, &["report", "chargeback", "--month", "2026-02", "--by", "user"]);
    if let Some(text) = pdf::text(&bytes) {
        assert!(text.contains("still change") && text.contains("9,223,384.345678902"), "{text}");
    }
    w.gatehouse.json(&[
        "readiness",
        "set",
        "firewall",
        "--owner",
        "Łukasz (ops) 🎉",
        "--done",
        "ticket \\ 4711",
    ]);
    for (language, firewall) in [("en", "Firewall"), ("zh-CN", "防火墙"), ("zh-TW", "防火牆")] {
        let file = w.gatehouse.dir().join("checklist.pdf");
        let output = w.gatehouse.cli(&["doctor", "--pdf", file.to_str().unwrap(), "--lang", language]);
        assert_eq!(output.status.code(), Some(1), "not ready: {}", String::from_utf8_lossy(&output.stderr));
        let bytes = std::fs::read(&file).unwrap();
        pdf::check(&bytes);
        let Some(text) = pdf::text(&bytes) else { continue };
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in [firewall, "Łukasz", "(ops) ?", "4711"] {
            assert!(words.contains(word), "{word}: {text}");
        }
    }
}

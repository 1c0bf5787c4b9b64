//! The admin listener under clients that mean no good, and what it tells of the node.

use std::time::{Duration, Instant};

use gatehouse_testkit::http::{self, Connection};
use gatehouse_testkit::wait;

use crate::world::{echo, world};

/// 512 connections that finish no request once kept everybody out, load balancers' probes included.
#[test]
fn a_flood_of_connections_does_not_silence_the_probes() {
    let w = world(echo(1, 1));
    let began = Instant::now();
    let mut held = Vec::new();
    for _ in 0..600 {
        let mut connection = Connection::open(&w.gatehouse.admin);
        // The ones beyond the bounds are closed at once; then there is nobody to send to.
        if connection.send(b"GET /metrics HTTP/1.1\r\nhost: a\r\n").is_ok() {
            held.push(connection);
        }
    }
    for path in ["/healthz", "/readyz"] {
        let reply = wait::until("a probe to be answered", || ask(&w.gatehouse.admin, path));
        assert_eq!(reply.0, 200, "{path}: {}", reply.1);
    }
    let reply = wait::until("a refusal", || ask(&w.gatehouse.admin, "/api/v1/users"));
    assert_eq!(reply.0, 429, "{}", reply.1);
    assert!(reply.1.contains("too_many_connections"), "{}", reply.1);
    assert!(began.elapsed() < Duration::from_secs(25), "only the time-out of heads made room");
    drop(held);
    wait::until("room for all", || (ask(&w.gatehouse.admin, "/api/v1/users")?.0 == 401).then_some(()));
}

/// Asks once, as a probe does: a connection that is closed at once is no answer.
fn ask(admin: &str, path: &str) -> Option<(u16, String)> {
    let mut connection = Connection::open(admin);
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    connection.send(request.as_bytes()).ok()?;
    let reply = connection.try_reply()?;
    Some((reply.status, reply.text()))
}

#[test]
fn metrics_tell_of_ledger_journal_and_policy() {
    let w = world(echo(1, 1));
    w.gatehouse.post(&w.key, &crate::world::ask(false));
    let metrics = http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
    for name in [
        "gatehouse_ledger_lag_entries",
        "gatehouse_ledger_lag_bytes",
        "gatehouse_ledger_lag_seconds",
        "gatehouse_ledger_failing",
        "gatehouse_journal_refusing",
        "gatehouse_journal_unsaved_bytes",
        "gatehouse_journal_room_bytes",
        "gatehouse_journal_open_exchanges",
        "gatehouse_journal_shed_total",
        "gatehouse_journal_flushes_total",
        "gatehouse_policy_age_seconds",
        "gatehouse_policy_version",
        "gatehouse_policy_keys",
        "gatehouse_audit_altered",
    ] {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
        let value: f64 = line
            .and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no {name}: {metrics}"));
        let bad = ["failing", "refusing", "altered"].iter().any(|end| name.ends_with(end));
        assert!(!bad || value == 0.0, "{name} is {value}");
    }
    let status = w.gatehouse.json(&["status"]);
    assert_eq!(status["ledger"]["failing"], false);
    assert_eq!(status["ledger"]["shed"], 0);
    assert!(status["policy_age_seconds"].as_u64().unwrap() < 10, "{status}");
}

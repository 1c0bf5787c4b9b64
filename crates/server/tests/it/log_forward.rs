//! The log is handed over at least once and in order, whatever dies in between, and never holds content.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::sync::{Arc, Mutex};

use gatehouse_testkit::provider::{Act, FakeProvider};
use gatehouse_testkit::wait;
use serde_json::Value;

use crate::world::{World, ask, configured, echo, stores};

/// What a receiver got, connection by connection.
type Got = Arc<Mutex<Vec<Vec<u8>>>>;

/// A syslog receiver. The first connection it breaks off after a few bytes, and the second it leaves unread.
fn receiver() -> (u16, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = Got::default();
    let kept = Arc::clone(&got);
    std::thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let Ok(mut socket) = socket else { return };
            match number {
                0 => drop(socket.read(&mut [0; 10])),
                1 => {}
                _ => {
                    let mut bytes = Vec::new();
                    if socket.read_to_end(&mut bytes).is_ok() && !bytes.is_empty() {
                        kept.lock().unwrap().push(bytes);
                    }
                    drop(socket.shutdown(Shutdown::Both));
                }
            }
        }
    });
    (port, got)
}

/// The messages of a connection: each with the number of its octets in front.
fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
        let (message, rest) = bytes[space + 1..].split_at(length);
        out.push(String::from_utf8(message.to_vec()).unwrap());
        bytes = rest;
    }
    out
}

fn json_of(message: &str) -> Value {
    serde_json::from_str(&message[message.find('{').unwrap()..]).unwrap_or_else(|e| panic!("{e}: {message}"))
}

/// Everything there is: exchanges by their identifiers, entries by their numbers.
fn all_there_is(w: &World) -> (BTreeSet<String>, u64) {
    let exchanges = w.gatehouse.exchanges();
    let ids = exchanges.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    let newest = w.gatehouse.json(&["audit", "list", "--limit", "1"]);
    (ids, newest[0]["seq"].as_u64().unwrap())
}

/// The destinations, whatever state they are in.
fn listed(w: &World) -> Value {
    serde_json::from_slice(&w.gatehouse.cli(&["--json", "log-forward", "list"]).stdout).unwrap()
}

/// Waits until all of it is in these lines, and checks their order.
fn complete(w: &World, lines: impl Fn() -> Vec<Value>) -> Vec<Value> {
    let (ids, last) = all_there_is(w);
    let found = wait::until("the whole log", || {
        let lines = lines();
        let exchanges: BTreeSet<String> = lines
            .iter()
            .filter(|line| line["type"] == "exchange")
            .map(|line| line["id"].as_str().unwrap().to_owned())
            .collect();
        let entries: BTreeSet<u64> = lines.iter().filter_map(|line| line["entry"]["seq"].as_u64()).collect();
        (exchanges.is_superset(&ids) && (1..=last).all(|seq| entries.contains(&seq))).then_some(lines)
    });
    // In order: a number that comes for the first time is the one after the greatest so far.
    let mut greatest = 0;
    for seq in found.iter().filter_map(|line| line["entry"]["seq"].as_u64()) {
        assert!(seq <= greatest + 1, "{seq} came right after {greatest}");
        greatest = greatest.max(seq);
    }
    found
}

#[test]
fn a_receiver_that_breaks_off_and_a_killed_server_lose_nothing() {
    for store in stores() {
        let (port, got) = receiver();
        let config = format!(
            "[[log_forward]]\nname = \"siem\"\nkind = \"syslog\"\naddress = \"tcp://127.0.0.1:{port}\"\n"
        );
        let mut w = configured(&config, &store, echo(10, 5));
        let secret = "the very words of a person";
        let body = String::from_utf8(ask(false)).unwrap().replacen("\"hi\"", &format!("\"{secret}\""), 1);
        for _ in 0..3 {
            assert_eq!(w.gatehouse.post(&w.key, body.as_bytes()).status, 200);
        }
        w.gatehouse.kill();
        w.gatehouse.restart();
        for _ in 0..3 {
            assert_eq!(w.gatehouse.post(&w.key, body.as_bytes()).status, 200);
        }
        let texts = || got.lock().unwrap().iter().flat_map(|bytes| messages(bytes)).collect::<Vec<_>>();
        complete(&w, || texts().iter().map(|message| json_of(message)).collect());
        for message in texts() {
            assert!(
                message.starts_with('<') && message.contains(">1 20") && message.contains(" gatehouse - "),
                "{message}"
            );
            assert!(!message.contains(secret) && !message.contains(&w.key), "{message}");
        }
        // What has arrived is confirmed a moment later.
        wait::until("all to be confirmed", || {
            let siem = listed(&w)[0].clone();
            assert_eq!(siem["name"], "siem");
            (siem["state"] == "delivering").then_some(())
        });
        let doctor = w.gatehouse.cli(&["doctor", "monitoring"]);
        let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
        let item = told.lines().find(|line| line.contains("log-aggregation")).unwrap();
        assert!(item.contains("pass") && item.contains("`siem` delivering"), "{told}");
    }
}

#[test]
fn a_file_has_whole_lines_and_may_be_renamed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl");
    let config =
        format!("[[log_forward]]\nname = \"file\"\nkind = \"file\"\npath = \"{}\"\n", file.display());
    let w = configured(&config, "sqlite", echo(1, 1));
    w.gatehouse.post(&w.key, &ask(true));
    let read = |name: &std::path::Path| -> Vec<Value> {
        let text = std::fs::read_to_string(name).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    complete(&w, || read(&file));
    let old = folder.path().join("log.1");
    std::fs::rename(&file, &old).unwrap();
    w.gatehouse.post(&w.key, &ask(true));
    let lines = complete(&w, || [read(&old), read(&file)].concat());
    let ids: BTreeSet<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), lines.len(), "nothing failed, so nothing came twice");
}

#[test]
fn a_batch_by_http_is_signed_and_comes_again_until_it_is_taken() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let tries = Arc::new(AtomicUsize::new(0));
    let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
    let (count, kept) = (Arc::clone(&tries), Arc::clone(&bodies));
    let receiver = FakeProvider::start(move |seen| {
        let status = if count.fetch_add(1, Ordering::Relaxed) < 2 {
            "503 Service Unavailable"
        } else {
            "204 No Content"
        };
        let (at, signature) =
            (seen.header("x-gatehouse-timestamp").unwrap(), seen.header("x-gatehouse-signature").unwrap());
        let body = String::from_utf8(seen.body.clone()).unwrap();
        let key = ring::hmac::Key::new(
            ring::hmac::HMAC_SHA256,
            gatehouse_testkit::provider::UPSTREAM_KEY.as_bytes(),
        );
        let tag = ring::hmac::sign(&key, format!("{at}.{body}").as_bytes());
        let hex = tag.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex: String = hex.filter_map(|half| char::from_digit(half.into(), 16)).collect();
        assert_eq!(signature, format!("sha256={hex}"));
        assert!(seen.header("authorization").unwrap().starts_with("Bearer "));
        if status.starts_with("204") {
            kept.lock().unwrap().push(body);
        }
        vec![Act::Send(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into_bytes())]
    });
    let config = format!(
        "[[log_forward]]\nname = \"http\"\nkind = \"http\"\nurl = \"{}/log\"\ntoken = \"env:UPSTREAM_KEY\"\n\
         hmac_key = \"env:UPSTREAM_KEY\"\n",
        receiver.url
    );
    let w = configured(&config, "sqlite", echo(1, 1));
    w.gatehouse.post(&w.key, &ask(false));
    let lines = || -> Vec<Value> {
        let bodies = bodies.lock().unwrap();
        bodies.iter().flat_map(|body| body.lines()).map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    complete(&w, lines);
    assert!(tries.load(Ordering::Relaxed) > 2);
    assert_eq!(receiver.seen().line, "POST /log");
}

#[test]
fn a_destination_that_is_away_is_told_of_and_holds_nothing_up() {
    // A port at which nobody listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "[[log_forward]]\nname = \"away\"\nkind = \"syslog\"\naddress = \"tcp://127.0.0.1:{port}\"\nexchanges = false\n"
    );
    let w = configured(&config, "sqlite", echo(1, 1));
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    let why = wait::until("a failure", || {
        let away = listed(&w)[0].clone();
        (away["state"] == "failing").then(|| away["failure"].as_str().unwrap().to_owned())
    });
    assert!(why.to_lowercase().contains("refused"), "{why}");
    assert_eq!(w.gatehouse.cli(&["log-forward", "list"]).status.code(), Some(1));
    let metrics = gatehouse_testkit::http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
    assert!(metrics.contains("gatehouse_log_forward_failures_total{destination=\"away\"}"), "{metrics}");
    let told = String::from_utf8_lossy(&w.gatehouse.cli(&["doctor", "monitoring"]).stdout).into_owned();
    let item = told.lines().find(|line| line.contains("log-aggregation")).unwrap();
    assert!(item.contains("fail") && item.contains("`away` failing"), "{told}");
    // It comes back, and gets what it missed; only audit entries, as it was configured.
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let got = Got::default();
    let kept = Arc::clone(&got);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            let mut bytes = Vec::new();
            drop(socket.read_to_end(&mut bytes));
            drop(socket.flush());
            kept.lock().unwrap().push(bytes);
        }
    });
    let last = all_there_is(&w).1;
    wait::until("all entries", || {
        let got = got.lock().unwrap();
        let seqs: BTreeSet<u64> = got
            .iter()
            .flat_map(|bytes| messages(bytes))
            .map(|message| json_of(&message))
            .inspect(|line| assert_eq!(line["type"], "audit"))
            .filter_map(|line| line["entry"]["seq"].as_u64())
            .collect();
        (1..=last).all(|seq| seqs.contains(&seq)).then_some(())
    });
}

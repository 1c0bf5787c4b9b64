//! Hostile clients and lying upstreams: a clear error each, one record each, and the process lives on.

use std::time::Duration;

use gatehouse_testkit::http::{self, Connection};
use gatehouse_testkit::provider::Act;
use gatehouse_testkit::sse;
use serde_json::json;

use crate::world::{MODEL, World, ask, configured, echo, world};

fn still_serves(w: &World) {
    w.provider.now(echo(1, 1));
    assert_eq!(
        w.gatehouse.post(&w.key, &ask(true)).status,
        200,
        "the process no longer serves: {}",
        w.gatehouse.log()
    );
    assert!(!w.gatehouse.log().contains("panicked"), "{}", w.gatehouse.log());
}

/// Sends bytes and reads the reply, whatever it is.
fn raw(w: &World, bytes: &[u8]) -> http::Reply {
    let mut connection = Connection::open(&w.gatehouse.gateway);
    connection.send(bytes).unwrap();
    connection.reply()
}

#[test]
fn hostile_heads_are_refused_with_a_record_each() {
    let w = world(echo(1, 1));
    let head = |lines: &str| format!("POST /v1/messages HTTP/1.1\r\n{lines}x-api-key: {}\r\n", w.key);
    let long = "x".repeat(80 * 1024);
    let many = "a: b\r\n".repeat(150);
    let table: Vec<(&str, Vec<u8>, u16)> = vec![
        (
            "length and chunks",
            format!(
                "{}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                head("host: a\r\n")
            )
            .into(),
            400,
        ),
        (
            "two lengths",
            format!("{}content-length: 3\r\ncontent-length: 4\r\n\r\nabc", head("host: a\r\n")).into(),
            400,
        ),
        ("a length that is none", format!("{}content-length: -1\r\n\r\n", head("host: a\r\n")).into(), 400),
        (
            "a coding that is none",
            format!("{}transfer-encoding: xchunked\r\n\r\n", head("host: a\r\n")).into(),
            400,
        ),
        ("no host", format!("{}content-length: 0\r\n\r\n", head("")).into(), 400),
        ("two hosts", format!("{}content-length: 0\r\n\r\n", head("host: a\r\nhost: b\r\n")).into(), 400),
        ("a folded header", b"POST /v1/messages HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n".to_vec(), 400),
        ("a NUL", b"POST /v1/messages HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n".to_vec(), 400),
        ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hello\r\n\r\n".to_vec(), 400),
        ("a huge head", format!("POST /v1/messages HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n").into(), 431),
        (
            "a gigantic head",
            format!("POST /v1/messages HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", long.repeat(5)).into(),
            431,
        ),
        ("many headers", format!("POST /v1/messages HTTP/1.1\r\nhost: a\r\n{many}\r\n").into(), 431),
    ];
    for (n, (name, bytes, status)) in table.iter().enumerate() {
        let mut connection = Connection::open(&w.gatehouse.gateway);
        // The server may have answered and hung up before it has read all of this.
        let _ = connection.send(bytes);
        let reply = connection.reply();
        assert_eq!(reply.status, *status, "{name}: {reply:?}");
        assert_eq!(reply.json()["type"], "error", "{name}");
        let all = w.gatehouse.exchanges();
        assert_eq!(all.len(), n + 1, "{name}: not one record: {all:#?}");
        assert_eq!(all[n]["ended"], "refused", "{name}");
    }
    assert_eq!(w.provider.unseen(), 0);
    still_serves(&w);
}

#[test]
fn hostile_bodies_are_refused_with_a_record_each() {
    let w = configured("[gateway]\nmax_body_mib = 1", "sqlite", echo(1, 1));
    let message = |text: &[u8]| {
        [b"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"", text, b"\"}]}"].concat()
    };
    let table: Vec<(&str, Vec<u8>, u16)> = vec![
        ("empty", Vec::new(), 400),
        ("cut off", br#"{"model":"m","messages":[{"#.to_vec(), 400),
        ("bad UTF-8", message(b"\xff\xfe"), 400),
        ("a raw control character", message(b"\x01"), 400),
        ("half an escape", message(b"\\u12"), 400),
        ("something after the end", br#"{"model":"m"} {"#.to_vec(), 400),
        ("an array", b"[]".to_vec(), 400),
        ("very deep", [b"{\"model\":\"m\",\"x\":".to_vec(), vec![b'['; 100_000]].concat(), 400),
        ("too large", message(&vec![b'a'; 1024 * 1024]), 413),
    ];
    for (name, body, status) in table {
        let before = w.gatehouse.exchanges().len();
        let reply = w.gatehouse.post(&w.key, &body);
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        assert_eq!(reply.header("x-should-retry"), Some("false"), "{name}");
        assert_eq!(w.gatehouse.exchanges().len(), before + 1, "{name}");
    }
    let compressed = [("x-api-key", w.key.as_str()), ("content-encoding", "gzip")];
    assert_eq!(http::once(&w.gatehouse.gateway, "POST", "/v1/messages", &compressed, b"xx").status, 415);
    assert_eq!(w.provider.unseen(), 0);
    still_serves(&w);
}

#[test]
fn a_huge_announced_body_is_refused_before_it_is_sent() {
    let w = world(echo(1, 1));
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\ncontent-length: 100000000000\r\nexpect: 100-continue\r\n\r\n",
        w.key
    );
    assert_eq!(raw(&w, head.as_bytes()).status, 413);
    let wrong = "POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: no\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    let mut connection = Connection::open(&w.gatehouse.gateway);
    connection.send(wrong.as_bytes()).unwrap();
    let seen = connection.read_until("\r\n\r\n");
    assert!(
        seen.starts_with(b"HTTP/1.1 401 "),
        "a wrong key was told to go on: {}",
        String::from_utf8_lossy(&seen)
    );
}

#[test]
fn slow_clients_are_cut() {
    let w = configured(
        "[gateway]\nhead_seconds = 1\nbody_idle_seconds = 1\nidle_seconds = 1\nwrite_stall_seconds = 1",
        "sqlite",
        echo(1, 1),
    );
    let limit = Duration::from_secs(8);
    let mut silent = Connection::open(&w.gatehouse.gateway);
    assert!(silent.closed_within(limit), "a silent connection stays");

    let mut half = Connection::open(&w.gatehouse.gateway);
    half.send(b"POST /v1/messages HTTP/1.1\r\nhost: a\r\n").unwrap();
    assert!(half.closed_within(limit), "half a head stays");

    let reply = raw(
        &w,
        format!(
            "POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\ncontent-length: 50\r\n\r\n{{\"mod",
            w.key
        )
        .as_bytes(),
    );
    assert_eq!(reply.status, 408, "{reply:?}");
    assert_eq!(w.gatehouse.exchanges().pop().unwrap()["reason"], "body_too_slow");

    // A client that does not read: more than the socket buffers hold is under way, and it is cut and recorded.
    w.provider.now(|_| {
        let mut acts = vec![sse::stream_head(), sse::chunk(&sse::start(MODEL, &sse::usage(5, 1)))];
        acts.extend((0..4000).map(|_| sse::chunk(&sse::text(&"x".repeat(8000)))));
        acts
    });
    let mut stalled = Connection::open(&w.gatehouse.gateway);
    stalled.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
    let e = gatehouse_testkit::wait::until("the stalled exchange's record", || {
        w.gatehouse.exchanges().into_iter().find(|e| e["reason"] == "client_stalled")
    });
    assert_eq!((e["ended"].as_str(), e["estimated"].as_bool()), (Some("client_gone"), Some(true)));
    still_serves(&w);
}

#[test]
fn a_client_that_leaves_is_settled_and_the_upstream_is_left() {
    let w = world(|_| {
        vec![
            sse::stream_head(),
            sse::chunk(&(sse::start(MODEL, &sse::usage(500, 1)) + &sse::text(&"word ".repeat(80)))),
            Act::Hang,
        ]
    });
    let mut connection = Connection::open(&w.gatehouse.gateway);
    connection.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
    connection.read_until("word word");
    drop(connection);
    w.provider.wait_gone(1);
    let e = gatehouse_testkit::wait::until("the record", || w.gatehouse.exchanges().pop());
    assert_eq!((e["ended"].as_str(), e["reason"].as_str()), (Some("client_gone"), Some("client_left")));
    assert_eq!((e["estimated"].as_bool(), e["usage"]["input_tokens"].as_u64()), (Some(true), Some(500)));
    assert!(e["usage"]["output_tokens"].as_u64().unwrap() >= 80, "{e:#}");
    assert!(e["cost_nanos"].as_i64().unwrap() > 500 * 2_000);
}

#[test]
fn an_abandoned_plain_reply_is_read_to_its_end_for_its_usage() {
    let w = world(|seen| {
        let mut acts = vec![Act::Hold];
        acts.extend(echo(40, 2)(seen));
        acts
    });
    let mut connection = Connection::open(&w.gatehouse.gateway);
    connection.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(false));
    w.provider.seen();
    drop(connection);
    w.provider.release();
    let e = gatehouse_testkit::wait::until("the record", || w.gatehouse.exchanges().pop());
    assert_eq!(
        (e["ended"].as_str(), e["usage"]["input_tokens"].as_u64()),
        (Some("client_gone"), Some(40)),
        "{e:#}"
    );
    assert_eq!(e["estimated"], false, "its figures are exact: {e:#}");
}

#[test]
fn announcements_and_strangers_take_nothing_from_others() {
    let w = configured("[gateway]\nmax_in_flight = 4\nbody_budget_mib = 40", "sqlite", echo(1, 1));
    let begin = |key: &str| {
        let mut connection = Connection::open(&w.gatehouse.gateway);
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\ncontent-length: 33000000\r\n\r\n{{"
        );
        connection.send(head.as_bytes()).unwrap();
        connection
    };
    let mut strangers: Vec<Connection> = (0..20).map(|_| begin("nobody")).collect();
    let _announcing: Vec<Connection> = (0..3).map(|_| begin(&w.key)).collect();
    // A stranger's answer does not wait for a body that never comes.
    assert!(strangers.iter_mut().all(|stranger| stranger.reply().status == 401));
    assert_eq!(w.gatehouse.post(&w.key, &ask(true)).status, 200);
}

#[test]
fn a_body_that_comes_byte_by_byte_takes_little_memory_and_arrives() {
    let w = world(echo(1, 1));
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "z".repeat(1024 * 1024)}]})
        .to_string();
    let mut sent = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        w.key
    );
    for byte in body.chars() {
        sent.extend(["1\r\n", byte.encode_utf8(&mut [0; 4]), "\r\n"]);
    }
    sent.push_str("0\r\n\r\n");
    let before = resident(&w);
    assert_eq!(raw(&w, sent.as_bytes()).status, 200);
    assert_eq!(w.provider.seen().body, body.as_bytes());
    let grown = resident(&w).saturating_sub(before);
    assert!(grown < 24 * 1024, "a body of 1 MiB took {grown} KiB");
}

/// Most memory that the process has taken so far, in KiB.
fn resident(w: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", w.gatehouse.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_second_request_in_the_same_packet_is_refused_as_any_other() {
    let w = world(echo(1, 1));
    let good = ask(false);
    let mut both = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\ncontent-length: {}\r\n\r\n",
        w.key,
        good.len()
    )
    .into_bytes();
    both.extend(&good);
    both.extend(b"POST /v1/messages HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n");
    let mut connection = Connection::open(&w.gatehouse.gateway);
    connection.send(&both).unwrap();
    assert_eq!(connection.reply().status, 200);
    let refused = connection.reply();
    assert_eq!((refused.status, refused.json()["type"].as_str()), (400, Some("error")), "{refused:?}");
    assert_eq!(w.gatehouse.exchanges().len(), 2);
}

#[test]
fn a_broken_stream_ends_with_an_error_event_and_an_honest_record() {
    let begun = || sse::start(MODEL, &sse::usage(30, 1)) + &sse::text("some text");
    let half_event = "event: content_block_delta\ndata: {\"type\":\"content_bl";
    let cases: Vec<(&str, Vec<Act>)> = vec![
        ("cut in mid-event", vec![sse::stream_head(), sse::chunk(&(begun() + half_event)), Act::Close]),
        ("a clean end, too early", vec![sse::stream_head(), sse::chunk(&begun()), sse::last_chunk()]),
        (
            "a chunk that lies",
            vec![sse::stream_head(), sse::chunk(&begun()), Act::Send(b"zz\r\n".to_vec()), Act::Close],
        ),
    ];
    for (name, acts) in cases {
        let w = world(move |_| acts.clone());
        let reply = w.gatehouse.post(&w.key, &ask(true));
        let text = reply.text();
        assert!(text.contains("some text") && !text.contains("content_bl\n"), "{name}: {text}");
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        assert!(last.starts_with("event: error\ndata: {\"type\":\"error\""), "{name}: {last}");
        assert!(!text.contains("message_stop"), "{name}");
        let e = w.only_exchange();
        assert_eq!(
            (e["ended"].as_str(), e["reason"].as_str()),
            (Some("upstream_failed"), Some("upstream_cut")),
            "{name}"
        );
        assert_eq!(
            (e["estimated"].as_bool(), e["usage"]["input_tokens"].as_u64()),
            (Some(true), Some(30)),
            "{name}"
        );
        still_serves(&w);
    }
}

#[test]
fn an_upstream_that_lies_or_breaks_is_told_as_such() {
    let lie = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"type\":\"message\"}";
    let html = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>";
    let cases: Vec<(&str, Vec<Act>, u16, &str)> = vec![
        ("hangs up without a word", vec![Act::Close], 502, "upstream_broken"),
        ("speaks no HTTP", vec![Act::Send(b"garbage\r\n\r\n".to_vec()), Act::Close], 502, "upstream_broken"),
        ("announces more than it sends", vec![Act::Send(lie.to_vec()), Act::Close], 200, "upstream_cut"),
        ("sends a page", vec![Act::Send(html.to_vec())], 200, "not_a_message"),
    ];
    for (name, acts, status, reason) in cases {
        let w = world(move |_| acts.clone());
        let reply = w.gatehouse.post(&w.key, &ask(false));
        assert_eq!(reply.status, status, "{name}: {reply:?}");
        assert_eq!(reply.complete, reason != "upstream_cut", "{name}: half a reply looks whole");
        let e = w.only_exchange();
        assert_eq!(
            (e["ended"].as_str(), e["reason"].as_str()),
            (Some("upstream_failed"), Some(reason)),
            "{name}: {e:#}"
        );
        still_serves(&w);
    }
}

#[test]
fn a_provider_that_is_not_there_is_said_to_be_away() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gatehouse = gatehouse_testkit::gatehouse::Builder::new(
        env!("CARGO_BIN_EXE_gatehouse"),
        &format!("http://{gone}"),
    )
    .start();
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    let reply = gatehouse.post(&key, &ask(true));
    assert_eq!(reply.status, 502);
    assert!(!reply.text().contains("127.0.0.1"), "the answer tells where the provider is");
    let e = gatehouse.exchanges().pop().unwrap();
    assert_eq!((e["ended"].as_str(), e["cost_nanos"].as_i64()), (Some("upstream_failed"), Some(0)));
}

#[test]
fn an_event_of_ten_megabytes_goes_through() {
    let big = "y".repeat(10 * 1024 * 1024);
    let body = sse::stream(MODEL, &big, &sse::usage(1, 2));
    let sent = body.clone();
    let w = world(move |_| vec![sse::stream_head(), sse::chunk(&sent), sse::last_chunk()]);
    let reply = w.gatehouse.post(&w.key, &ask(true));
    assert!(reply.complete && reply.text() == body, "the event was changed");
    assert_eq!(w.only_exchange()["ended"], "completed");
}

#[test]
fn silence_is_filled_with_pings_between_events() {
    let w = configured("[gateway]\nping_seconds = 1", "sqlite", |_| {
        vec![
            sse::stream_head(),
            sse::chunk(&sse::start(MODEL, &sse::usage(1, 1))),
            Act::Hold,
            sse::chunk(&sse::stop(&sse::usage(1, 1))),
            sse::last_chunk(),
        ]
    });
    let mut connection = Connection::open(&w.gatehouse.gateway);
    connection.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
    connection.read_until("event: ping\n");
    w.provider.release();
    assert!(connection.reply().complete);
    assert_eq!(w.only_exchange()["ended"], "completed");
}

#[test]
fn absurd_figures_are_not_believed() {
    for usage in [
        json!({"input_tokens": -5, "output_tokens": 7}),
        json!({"input_tokens": 1.5, "output_tokens": 7}),
        json!({"input_tokens": 1e300, "output_tokens": 7}),
        json!({"input_tokens": "9", "output_tokens": 7}),
        json!({"input_tokens": u64::MAX, "output_tokens": 7}),
    ] {
        let sent = usage.clone();
        let w = world(move |_| sse::message(MODEL, "x", &sent));
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200, "{usage}");
        let e = w.only_exchange();
        assert_eq!(e["usage"]["output_tokens"], 7, "{usage}: {e:#}");
        let cost = e["cost_nanos"].as_i64().unwrap();
        assert!((70_000..1_000_000).contains(&cost), "{usage}: {cost}");
        assert_eq!(e["estimated"], true, "{usage}: believed");
    }
}

#[test]
fn more_than_may_be_held_is_shed() {
    let w = configured("[gateway]\nmax_body_mib = 1\nbody_budget_mib = 1", "sqlite", |_| vec![Act::Hang]);
    let body = |kib: usize| {
        json!({"model": MODEL, "messages": [{"role": "user", "content": "z".repeat(kib * 1024)}]})
            .to_string()
            .into_bytes()
    };
    let first = [("x-api-key", w.key.as_str())];
    let mut slow = Connection::open(&w.gatehouse.gateway);
    // What has arrived counts, not what was announced.
    let begun = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\ncontent-length: 900000\r\n\r\n{{\"x\":\"{}",
        w.key,
        "y".repeat(700_000)
    );
    slow.send(begun.as_bytes()).unwrap();
    gatehouse_testkit::wait::until("the budget to be taken", || {
        let metrics = http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
        let held =
            metrics.lines().find_map(|line| line.strip_prefix("gatehouse_request_body_bytes_held "))?;
        held.parse::<f64>().is_ok_and(|held| held > 600_000.0).then_some(())
    });
    let shed = http::once(&w.gatehouse.gateway, "POST", "/v1/messages/count_tokens", &first, &body(500));
    assert_eq!(shed.status, 529, "{shed:?}");
    assert!(shed.header("retry-after").is_some());
    assert_eq!(shed.json()["error"]["type"], "overloaded_error");
    drop(slow);
    w.provider.now(echo(1, 1));
    gatehouse_testkit::wait::until("the budget to be given back", || {
        (w.gatehouse.post(&w.key, &body(500)).status == 200).then_some(())
    });
}

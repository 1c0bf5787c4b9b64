//! Providers that end, answer or lie in uncommon ways: what the client gets, what is recorded, and when.

use gatehouse_testkit::http::Connection;
use gatehouse_testkit::provider::Act;
use gatehouse_testkit::sse;
use serde_json::{Value, json};

use crate::world::{MODEL, ask, configured, world};

/// The last two events of a stream, apart: what a client may take as the end, and the end.
fn ending() -> (String, String) {
    let stop = sse::stop(&sse::usage(7, 3));
    let (delta, end) = stop.split_once("event: message_stop").unwrap();
    (delta.to_owned(), format!("event: message_stop{end}"))
}

#[test]
fn a_stream_whose_end_is_not_durable_does_not_look_complete() {
    // The client takes a reply as complete once it knows why the model stopped, `message_stop` or not.
    let mut w = world(|_| {
        let (delta, _) = ending();
        let begun = sse::start(MODEL, &sse::usage(7, 1)) + &sse::text("word") + &delta;
        vec![sse::stream_head(), sse::chunk(&begun), Act::Hang]
    });
    let mut connection = Connection::open(&w.gatehouse.gateway);
    connection.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
    connection.read_until("word");
    w.gatehouse.kill();
    let reply = connection.reply();
    assert!(!reply.complete && reply.text().contains("word"));
    assert!(
        !reply.text().contains("stop_reason\":\"end_turn"),
        "complete before its record: {}",
        reply.text()
    );
    w.gatehouse.restart();
    assert_eq!(w.only_exchange()["ended"], "interrupted");
}

#[test]
fn the_end_of_a_stream_arrives_whole_however_it_is_cut() {
    let (delta, end) = ending();
    let body = sse::start(MODEL, &sse::usage(7, 1))
        + &sse::text("word")
        + &delta
        + "event: ping\ndata: {}\n\n"
        + &end;
    for piece in [1, 7, 64, 100_000] {
        let sent = body.clone();
        let w = world(move |_| {
            let mut acts = vec![sse::stream_head()];
            acts.extend(sent.as_bytes().chunks(piece).map(|p| sse::chunk(std::str::from_utf8(p).unwrap())));
            acts.push(sse::last_chunk());
            acts
        });
        let reply = w.gatehouse.post(&w.key, &ask(true));
        assert_eq!((reply.text(), reply.complete), (body.clone(), true), "in pieces of {piece}");
        let e = w.only_exchange();
        assert_eq!((e["ended"].as_str(), e["usage"]["output_tokens"].as_u64()), (Some("completed"), Some(3)));
    }
}

#[test]
fn a_stream_that_breaks_after_its_last_figures_is_told_and_exact() {
    let w = world(|_| {
        let begun = sse::start(MODEL, &sse::usage(7, 1)) + &ending().0;
        vec![sse::stream_head(), sse::chunk(&begun), Act::Close]
    });
    let text = w.gatehouse.post(&w.key, &ask(true)).text();
    assert!(
        text.contains("end_turn") && text.trim_end().ends_with('}') && text.contains("event: error"),
        "{text}"
    );
    let e = w.only_exchange();
    assert_eq!(
        (e["ended"].as_str(), e["usage"]["output_tokens"].as_u64()),
        (Some("upstream_failed"), Some(3))
    );
}

#[test]
fn a_stream_that_never_ends_after_its_end_is_cut() {
    let w = world(|_| {
        let begun = sse::start(MODEL, &sse::usage(7, 1)) + &ending().0;
        let mut acts = vec![sse::stream_head(), sse::chunk(&begun)];
        acts.extend((0..600).map(|_| sse::chunk(&sse::text(&"x".repeat(1000)))));
        acts.push(Act::Hang);
        acts
    });
    let reply = w.gatehouse.post(&w.key, &ask(true));
    assert!(reply.text().contains("event: error"));
    assert_eq!(w.only_exchange()["reason"], "upstream_endless");
}

#[test]
fn replies_without_a_body_are_recorded_as_what_they_are() {
    for (head, status, ended) in [
        ("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n", 503, "upstream_error"),
        ("HTTP/1.1 204 X\r\n\r\n", 204, "upstream_failed"),
        ("HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n", 200, "upstream_failed"),
    ] {
        let w = world(move |_| vec![Act::Send(head.as_bytes().to_vec())]);
        let mut connection = Connection::open(&w.gatehouse.gateway);
        connection.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(false));
        let seen = connection.read_until("\r\n\r\n");
        assert!(
            seen.starts_with(format!("HTTP/1.1 {status} ").as_bytes()),
            "{}",
            String::from_utf8_lossy(&seen)
        );
        let e = w.only_exchange();
        assert_eq!((e["ended"].as_str(), e["status"].as_u64()), (Some(ended), Some(status)), "{e:#}");
        assert_eq!(e["cost_nanos"] == 0, status == 503, "{e:#}");
    }
}

#[test]
fn what_no_messages_api_answers_does_not_reach_the_client() {
    let heads = [
        "HTTP/1.1 302 X\r\nlocation: http://elsewhere.example/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 307 X\r\nlocation: /v1/messages\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 304 X\r\n\r\n",
        "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x08x",
    ];
    for head in heads {
        let w = world(move |_| vec![Act::Send(head.as_bytes().to_vec())]);
        let reply = w.gatehouse.post(&w.key, &ask(true));
        assert_eq!((reply.status, reply.header("location")), (502, None), "{head}");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains("base_url"));
        let e = w.only_exchange();
        assert_eq!(
            (e["ended"].as_str(), e["reason"].as_str()),
            (Some("upstream_failed"), Some("upstream_odd"))
        );
    }
}

#[test]
fn a_stream_with_an_announced_length_is_not_cut_by_pings() {
    let w = configured("[gateway]\nping_seconds = 1", "sqlite", |_| {
        let body = sse::stream(MODEL, "word", &sse::usage(1, 2));
        let (first, rest) = body.split_at(body.find("event: content_block_start").unwrap());
        let head = format!(
            "HTTP/1.1 200 X\r\ncontent-type: Text/Event-Stream\r\ncontent-length: {}\r\n\r\n{first}",
            body.len()
        );
        vec![Act::Send(head.into_bytes()), Act::Hold, Act::Send(rest.as_bytes().to_vec())]
    });
    let mut connection = Connection::open(&w.gatehouse.gateway);
    connection.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
    connection.read_until("event: ping\n");
    w.provider.release();
    let reply = connection.reply();
    assert!(reply.complete && reply.text().contains("message_stop"), "{}", reply.text());
    assert_eq!(w.only_exchange()["ended"], "completed");
}

#[test]
fn a_stream_cut_within_a_long_event_is_cut_and_counted() {
    let w = world(|_| {
        let long = format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"delta\":\"{}",
            "x".repeat(1_200_000)
        );
        vec![sse::stream_head(), sse::chunk(&(sse::start(MODEL, &sse::usage(7, 1)) + &long)), Act::Close]
    });
    let reply = w.gatehouse.post(&w.key, &ask(true));
    assert!(!reply.complete, "half an event looks like a whole reply");
    let e = w.only_exchange();
    assert_eq!((e["ended"].as_str(), e["estimated"].as_bool()), (Some("upstream_failed"), Some(true)));
    assert!(e["usage"]["output_tokens"].as_u64().unwrap() > 100_000, "{e:#}");
}

#[test]
fn a_stream_that_begins_with_an_error_costs_nothing() {
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let w = world(move |_| vec![sse::stream_head(), sse::chunk(&sse::event(&error)), sse::last_chunk()]);
    let reply = w.gatehouse.post(&w.key, &ask(true));
    assert!(reply.text().contains("overloaded_error"));
    let e = w.only_exchange();
    assert_eq!(
        (e["reason"].as_str(), e["cost_nanos"].as_i64()),
        (Some("overloaded_error"), Some(0)),
        "{e:#}"
    );
}

#[test]
fn a_plain_reply_without_length_that_breaks_off_is_not_handed_on_as_whole() {
    let whole =
        json!({"type": "message", "id": "msg_1", "model": MODEL, "usage": sse::usage(5, 6)}).to_string();
    for (body, complete) in [(whole.clone(), true), (whole[..whole.len() - 1].to_owned(), false)] {
        let w = world(move |_| {
            let head = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
            vec![Act::Send([head, body.as_bytes()].concat()), Act::Close]
        });
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).complete, complete);
        let e: Value = w.only_exchange();
        assert_eq!(
            (e["ended"] == "completed", e["usage"]["input_tokens"].as_u64()),
            (complete, Some(5)),
            "{e:#}"
        );
    }
}

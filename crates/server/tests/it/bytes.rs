//! Byte-exactness (P3): what the client sends arrives upstream as it was sent, and what the upstream sends arrives at
//! the client.

use std::path::PathBuf;

use gatehouse_testkit::http::Connection;
use gatehouse_testkit::provider::Act;
use gatehouse_testkit::sse;
use serde_json::json;

use crate::world::{MODEL, World, echo, world};

fn arrives(w: &World, body: &[u8], name: &str) {
    let reply = w.gatehouse.post(&w.key, body);
    assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    assert!(w.provider.seen().body == body, "{name}: changed on its way");
}

#[test]
fn golden_bodies_arrive_byte_for_byte() {
    let w = world(echo(1, 1));
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/bodies");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "the golden bodies are gone");
    for file in files {
        arrives(&w, &std::fs::read(&file).unwrap(), &file.display().to_string());
    }
    let result = "line of a log with \\\"quotes\\\" and \\u00fc\\n".repeat(25_000);
    let big = format!(
        "{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":[{{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"content\":\"{result}\"}}]}}]}}"
    );
    assert!(big.len() > 1_000_000);
    arrives(&w, big.as_bytes(), "a tool result of a megabyte");
}

/// A small generator of random but valid JSON with odd spellings; the same seed gives the same text.
struct Odd(u64);

impl Odd {
    fn next(&mut self, below: u64) -> u64 {
        // A linear congruential generator (Knuth's MMIX constants) is random enough for variety.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn space(&mut self) -> &'static str {
        ["", " ", "\n", "\t ", "\r\n"][usize::try_from(self.next(5)).unwrap()]
    }

    fn text(&mut self) -> String {
        let parts = [
            "a",
            "\\n",
            "\\u0041",
            "\u{4e2d}",
            "\\\"",
            "\\ud83d\\ude00",
            "{\\\"model\\\":1}",
            "/",
            "\\/",
            " ",
        ];
        (0..self.next(20)).map(|_| parts[usize::try_from(self.next(10)).unwrap()]).collect()
    }

    fn value(&mut self, depth: u64) -> String {
        match self.next(if depth > 4 { 5 } else { 7 }) {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => format!("{}.{}e-{}", self.next(99), self.next(9), self.next(20)),
            3 => format!("-{}", self.next(u64::from(u32::MAX))),
            4 => format!("\"{}\"", self.text()),
            5 => {
                let items: Vec<String> = (0..self.next(5)).map(|_| self.value(depth + 1)).collect();
                format!("[{}{}]", self.space(), items.join(","))
            }
            _ => {
                let members: Vec<String> = (0..self.next(5))
                    .map(|_| format!("\"{}\"{}:{}", self.text(), self.space(), self.value(depth + 1)))
                    .collect();
                format!("{{{}{}}}", members.join(&format!(",{}", self.space())), self.space())
            }
        }
    }
}

#[test]
fn random_odd_bodies_arrive_byte_for_byte() {
    let w = world(echo(1, 1));
    for seed in 0..200 {
        let mut odd = Odd(seed);
        let before = odd.value(0);
        let after = odd.value(0);
        let body = format!(
            "{}{{\"x\":{before},{}\"model\" : \"{MODEL}\",\"x\":{after}}}{}",
            odd.space(),
            odd.space(),
            odd.space()
        );
        arrives(&w, body.as_bytes(), &format!("seed {seed}"));
    }
}

#[test]
fn a_body_in_chunks_arrives_byte_for_byte() {
    let w = world(echo(1, 1));
    let body =
        json!({"model": MODEL, "messages": [{"role": "user", "content": "c".repeat(5000)}]}).to_string();
    let mut connection = Connection::open(&w.gatehouse.gateway);
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        w.key
    );
    connection.send(head.as_bytes()).unwrap();
    for piece in body.as_bytes().chunks(333) {
        connection.send(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
        connection.send(piece).unwrap();
        connection.send(b"\r\n").unwrap();
    }
    connection.send(b"0\r\n\r\n").unwrap();
    assert_eq!(connection.reply().status, 200);
    let seen = w.provider.seen();
    assert!(seen.body == body.as_bytes());
    assert_eq!(seen.header("content-length"), Some(body.len().to_string().as_str()));
}

#[test]
fn a_reply_with_unknown_events_and_comments_is_untouched() {
    let odd = format!(
        ": a comment\n\n{}event: brand_new\ndata: {{\"type\":\"brand_new\",\"n\":1}}\n\nevent: ping\ndata: {{\"type\": \"ping\"}}\n\n{}",
        sse::start(MODEL, &sse::usage(1, 1)),
        sse::stop(&sse::usage(1, 1)),
    );
    let sent = odd.clone();
    let w = world(move |_| vec![sse::stream_head(), sse::chunk(&sent), sse::last_chunk()]);
    let reply = w.gatehouse.post(&w.key, &crate::world::ask(true));
    assert_eq!(reply.text(), odd);
}

#[test]
fn a_plain_reply_without_a_length_is_untouched() {
    let body = json!({"id": "msg_1", "type": "message", "model": MODEL, "content": [], "usage": sse::usage(1, 1), "z": [1.50, 1e3]}).to_string();
    let sent = body.clone();
    let w = world(move |_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec();
        let (a, b) = sent.split_at(40);
        vec![
            Act::Send(head),
            sse::chunk(a),
            Act::Pause(std::time::Duration::from_millis(30)),
            sse::chunk(b),
            sse::last_chunk(),
        ]
    });
    let reply = w.gatehouse.post(&w.key, &crate::world::ask(false));
    assert_eq!((reply.text(), reply.complete), (body, true));
}

//! Signatures of thinking go only where they are valid.

use gatehouse_testkit::provider::{Act, Seen};
use gatehouse_testkit::sse;
use serde_json::{Value, json};

use super::{failing, several};
use crate::world::MODEL;

const PATIENT: &str = "[routing]\nbreaker_failures = 1000\ncooldown_seconds = 0\nretry_burst = 1000\n";

/// A reply that thinks, signed so.
fn signing(signature: &'static str) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    move |seen| {
        let usage = sse::usage(10, 5);
        let asked: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        if asked["stream"] != json!(true) {
            let content = json!([{"type": "thinking", "thinking": "hm", "signature": signature}, {"type": "text", "text": "so"}]);
            let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": content,
                "stop_reason": "end_turn", "usage": usage});
            return sse::plain(200, &message);
        }
        let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": signature}});
        let whole = sse::start(MODEL, &usage) + &sse::event(&delta) + &sse::stop(&usage);
        let (a, b) = whole.split_at(whole.find("signature\":").unwrap() + 4);
        vec![sse::stream_head(), sse::chunk(a), sse::chunk(b), sse::last_chunk()]
    }
}

/// A request whose history has these blocks.
fn ask(stream: bool, blocks: &Value) -> Vec<u8> {
    json!({"model": MODEL, "max_tokens": 10, "stream": stream, "messages": [{"role": "user", "content": "hi"},
        {"role": "assistant", "content": blocks}, {"role": "user", "content": "and"}]})
    .to_string()
    .into_bytes()
}

fn signed(signature: &str) -> Value {
    json!([{"type": "thinking", "thinking": "hm", "signature": signature}])
}

#[test]
fn a_conversation_goes_only_where_its_signatures_were_issued() {
    let w = several(
        3,
        &["signature_family = \"x\"", "signature_family = \"y\"", "signature_family = \"x\""],
        PATIENT,
    );
    w.providers[0].now(signing("from-main"));
    w.providers[1].now(signing("from-b"));
    w.providers[2].now(signing("from-c"));
    assert_eq!(w.post("s", &ask(true, &json!("plain"))).status, 200);
    assert_eq!(w.counts(), [1, 0, 0]);
    // While the first is away: one of its family takes over, and with both away nobody does.
    w.providers[0].now(failing(529, "overloaded_error"));
    assert_eq!(w.post("s", &ask(true, &signed("from-main"))).status, 200);
    assert_eq!(w.counts(), [1, 0, 1]);
    w.providers[2].now(failing(500, "api_error"));
    assert_eq!(w.post("s", &ask(true, &signed("from-main"))).status, 500);
    assert_eq!(w.counts(), [1, 0, 1]);
    // What carries none goes anywhere; and from then on it is the other family's, also when the first is back.
    for stream in [true, false] {
        assert_eq!(w.post("s", &ask(stream, &json!("plain"))).status, 200);
        assert_eq!(w.counts(), [1, 1, 0]);
    }
    w.providers[0].now(signing("from-main"));
    assert_eq!(w.post("another session", &ask(true, &signed("from-b"))).status, 200);
    assert_eq!(w.counts(), [0, 1, 0], "the session does not matter, the signature does");
    w.providers[1].now(failing(529, "overloaded_error"));
    assert_eq!(w.post("s", &ask(true, &signed("from-b"))).status, 529);
    assert_eq!(w.counts(), [0, 1, 0]);
}

#[test]
fn where_it_is_not_known_who_signed_no_other_family_is_asked() {
    let w = several(2, &["signature_family = \"x\"", "signature_family = \"y\""], PATIENT);
    w.providers[0].now(failing(529, "overloaded_error"));
    let redacted = json!([{"type": "redacted_thinking", "data": "abc"}]);
    for blocks in [signed("never seen"), redacted] {
        assert_eq!(w.post("s", &ask(true, &blocks)).status, 529);
        assert_eq!(w.counts(), [1, 0]);
    }
    let escaped =
        String::from_utf8(ask(true, &signed("x"))).unwrap().replace("\"signature\"", "\"\\u0073ignature\"");
    assert_eq!(w.post("s", escaped.as_bytes()).status, 529);
    assert_eq!(w.counts(), [1, 0]);
    assert_eq!(w.post("s", &ask(true, &json!("the \"signature\": of nobody"))).status, 200);
    assert_eq!(w.counts(), [1, 1]);
}

#[test]
fn who_signed_is_known_after_a_restart_and_on_another_node() {
    let mut w = several(2, &["signature_family = \"x\"", "signature_family = \"y\""], PATIENT);
    w.providers[0].now(failing(529, "overloaded_error"));
    w.providers[1].now(signing("from-b"));
    assert_eq!(w.post("s", &ask(true, &json!("plain"))).status, 200);
    // It is in the database once it is listed.
    assert_eq!((w.newest()["provider"].as_str(), w.counts()), (Some("b"), vec![1, 1]));
    w.providers[0].now(signing("from-main"));
    w.gatehouse.kill();
    w.gatehouse.restart();
    assert_eq!(w.post("s", &ask(true, &signed("from-b"))).status, 200);
    assert_eq!(w.counts(), [0, 1], "the session was with it");
    // Of another session, or another person's, nothing is known.
    assert_eq!(w.post("t", &ask(true, &signed("never seen"))).status, 200);
    assert_eq!(w.counts(), [1, 0]);
    let (_, other) = w.gatehouse.key("other@example.com", &[]);
    w.key = other;
    assert_eq!(w.post("s", &ask(true, &signed("never seen either"))).status, 200);
    assert_eq!(w.counts(), [1, 0]);
}

#[test]
fn two_accounts_at_one_address_are_one_family_and_two_addresses_are_two() {
    let w = several(2, &[], PATIENT);
    let told = w.gatehouse.json(&["route", "explain", "--user", "dev@example.com", "--model", MODEL]);
    let families: Vec<&str> =
        (0..2).map(|n| told["candidates"][n]["signature_family"].as_str().unwrap()).collect();
    assert_ne!(families[0], families[1]);
    assert!(w.providers[0].url.ends_with(families[0]), "{families:?}");
}

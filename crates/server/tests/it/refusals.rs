//! Every kind of refusal that a client can bring about: the right status, the headers that keep it from storming, the
//! envelope with a sentence, and one record.

use gatehouse_testkit::http;

use crate::world::{World, ask, echo, world};

struct Case {
    name: &'static str,
    status: u16,
    kind: &'static str,
    reason: &'static str,
    says: &'static str,
    reply: http::Reply,
}

/// Sends the request of a case.
type Send<'a> = Box<dyn Fn() -> http::Reply + 'a>;

fn check(w: &World, case: &Case) {
    let Case { name, reply, .. } = case;
    assert_eq!(reply.status, case.status, "{name}: {reply:?}");
    assert_eq!(reply.header("x-should-retry"), Some("false"), "{name}: the client would try again");
    let body = reply.json();
    assert_eq!(body["type"], "error", "{name}");
    assert_eq!(body["error"]["type"], case.kind, "{name}");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains(case.says), "{name}: {message}");
    assert!(!message.contains("invalid x-api-key"), "{name}: the client would hide our sentence");
    assert_eq!(body["request_id"].as_str(), reply.header("request-id"), "{name}");
    // Within one millisecond records have no order.
    let request_id = reply.header("request-id");
    let e = w.gatehouse.exchanges().into_iter().find(|e| e["request_id"].as_str() == request_id);
    let e = e.unwrap_or_else(|| panic!("{name}: no record"));
    assert_eq!(
        (e["ended"].as_str(), e["reason"].as_str()),
        (Some("refused"), Some(case.reason)),
        "{name}: {e:#}"
    );
    assert_eq!(e["status"].as_u64(), Some(case.status.into()), "{name}");
    assert_eq!(e["cost_nanos"], 0, "{name}");
}

#[test]
fn each_refusal_has_its_row() {
    let w = world(echo(1, 1));
    let at = &w.gatehouse.gateway;
    let (narrow_id, narrow) = w.gatehouse.key("narrow@example.com", &["--models", "claude-haiku-*"]);
    let (revoked_id, revoked) = w.gatehouse.key("gone@example.com", &[]);
    w.gatehouse.json(&["key", "revoke", &revoked_id]);
    let (disabled_id, disabled) = w.gatehouse.key("off@example.com", &[]);
    w.gatehouse.json(&["key", "disable", &disabled_id]);
    let unknown = "gh_00000000000000000000000000000000000000000000000000000000";
    let post = |key: &str, body: &[u8]| http::once(at, "POST", "/v1/messages", &[("x-api-key", key)], body);
    let to = |method: &str, path: &str| http::once(at, method, path, &[("x-api-key", &w.key)], b"{}");
    assert!(narrow_id.starts_with("key_"));
    let table: Vec<(&str, u16, &str, &str, &str, Send<'_>)> = vec![
        (
            "no credential",
            401,
            "authentication_error",
            "no_credential",
            "ANTHROPIC_AUTH_TOKEN",
            Box::new(|| http::once(at, "POST", "/v1/messages", &[], &ask(true))),
        ),
        (
            "a foreign key",
            401,
            "authentication_error",
            "key_foreign",
            "does not accept this key",
            Box::new(|| post("sk-ant-api03-abc", &ask(true))),
        ),
        (
            "a mistyped key",
            401,
            "authentication_error",
            "key_mistyped",
            "does not accept this key",
            Box::new(|| post(unknown, &ask(true))),
        ),
        (
            "a revoked key",
            401,
            "authentication_error",
            "key_revoked",
            "does not accept this key",
            Box::new(|| post(&revoked, &ask(true))),
        ),
        (
            "a disabled key",
            401,
            "authentication_error",
            "key_disabled",
            "does not accept this key",
            Box::new(|| post(&disabled, &ask(true))),
        ),
        (
            "a model out of scope",
            451,
            "permission_error",
            "model_not_allowed",
            "claude-sonnet-5-5",
            Box::new(|| post(&narrow, &ask(true))),
        ),
        (
            "an unknown path",
            404,
            "not_found_error",
            "unknown_path",
            "does not serve",
            Box::new(|| to("POST", "/v1/files")),
        ),
        (
            "batches",
            404,
            "not_found_error",
            "unknown_path",
            "does not serve",
            Box::new(|| to("POST", "/v1/messages/batches")),
        ),
        (
            "a path with dots",
            404,
            "not_found_error",
            "unknown_path",
            "does not serve",
            Box::new(|| to("POST", "/v1/../v1/messages")),
        ),
        (
            "an encoded path",
            404,
            "not_found_error",
            "unknown_path",
            "does not serve",
            Box::new(|| to("POST", "/v1%2fmessages")),
        ),
        (
            "a wrong method",
            405,
            "invalid_request_error",
            "bad_method",
            "POST",
            Box::new(|| to("GET", "/v1/messages")),
        ),
        (
            "no model",
            400,
            "invalid_request_error",
            "model_missing",
            "model",
            Box::new(|| post(&w.key, b"{\"messages\":[]}")),
        ),
        ("no JSON", 400, "invalid_request_error", "bad_body", "body", Box::new(|| post(&w.key, b"hello"))),
        (
            "a model that is no text",
            400,
            "invalid_request_error",
            "bad_body",
            "model",
            Box::new(|| post(&w.key, b"{\"model\":7}")),
        ),
        (
            "two models",
            400,
            "invalid_request_error",
            "bad_body",
            "model",
            Box::new(|| post(&w.key, b"{\"model\":\"a\",\"m\\u006fdel\":\"b\"}")),
        ),
    ];
    for (name, status, kind, reason, says, send) in table {
        let case = Case { name, status, kind, reason, says, reply: send() };
        check(&w, &case);
    }
    assert_eq!(w.provider.unseen(), 0, "a refused request reached the provider");
}

#[test]
fn an_expired_key_is_refused() {
    let w = world(echo(1, 1));
    let (id, key) = w.gatehouse.key("late@example.com", &["--expires", "30d"]);
    assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 200);
    w.gatehouse.json(&["key", "expire", &id]);
    let reply = w.gatehouse.post(&key, &ask(false));
    assert_eq!(reply.status, 401, "{reply:?}");
    assert_eq!(w.gatehouse.exchanges().pop().unwrap()["reason"], "key_expired");
}

#[test]
fn unknown_and_wrong_keys_get_the_same_answer() {
    let w = world(echo(1, 1));
    let (id, revoked) = w.gatehouse.key("gone@example.com", &[]);
    w.gatehouse.json(&["key", "revoke", &id]);
    let (off_id, off) = w.gatehouse.key("off@example.com", &[]);
    w.gatehouse.json(&["user", "disable", "off@example.com"]);
    assert!(off_id.starts_with("key_"));
    let told: Vec<String> = [revoked.as_str(), off.as_str(), "gh_short", "anything"]
        .iter()
        .map(|key| {
            let mut body = w.gatehouse.post(key, &ask(false)).json();
            body["request_id"] = serde_json::Value::Null;
            body.to_string()
        })
        .collect();
    assert!(told.windows(2).all(|two| two[0] == two[1]), "the answers tell keys apart: {told:#?}");
}

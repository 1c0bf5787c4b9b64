//! `/v1/messages`, `/v1/messages/count_tokens`, `/v1/models` and the probes, as a client meets them.

use gatehouse_testkit::http;
use serde_json::json;

use crate::world::{MODEL, ask, configured, echo, stores, world};

#[test]
fn a_stream_is_relayed_metered_and_recorded() {
    for store in stores() {
        let w = configured("", &store, echo(1000, 50));
        let reply = w.gatehouse.post(&w.key, &ask(true));
        assert_eq!((reply.status, reply.complete), (200, true), "{reply:?}");
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        assert!(reply.text().ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));

        let e = w.only_exchange();
        assert_eq!(e["user"], "dev@example.com");
        assert_eq!((e["status"].as_u64(), e["ended"].as_str()), (Some(200), Some("completed")));
        assert_eq!((e["model"].as_str(), e["stream"].as_bool()), (Some(MODEL), Some(true)));
        assert_eq!(e["usage"]["input_tokens"], 1000);
        assert_eq!(e["usage"]["output_tokens"], 50);
        // Sonnet 5.5: $2 and $10 per million.
        assert_eq!(e["cost_nanos"], 1000 * 2_000 + 50 * 10_000);
        assert_eq!(e["estimated"], false);
        assert_eq!(e["request_id"], "req_up_1", "the record has the request id that the client saw");
        assert_eq!(reply.header("request-id"), Some("req_up_1"));
    }
}

#[test]
fn a_plain_reply_is_relayed_metered_and_recorded() {
    for store in stores() {
        let w = configured("", &store, echo(10, 5));
        let reply = w.gatehouse.post(&w.key, &ask(false));
        assert_eq!((reply.status, reply.complete), (200, true));
        assert_eq!(reply.json()["content"][0]["text"], "forty-two");
        let e = w.only_exchange();
        assert_eq!(
            (e["stream"].as_bool(), e["cost_nanos"].as_i64()),
            (Some(false), Some(10 * 2_000 + 5 * 10_000))
        );
    }
}

#[test]
fn the_credential_is_exchanged_and_does_not_go_on() {
    let w = world(echo(1, 1));
    let bearer = format!("Bearer {}", w.key);
    for headers in [
        vec![("authorization", bearer.as_str())],
        vec![("x-api-key", w.key.as_str())],
        vec![("authorization", bearer.as_str()), ("x-api-key", w.key.as_str())],
        vec![("authorization", "Bearer sk-ant-oat-foreign"), ("x-api-key", w.key.as_str())],
    ] {
        let reply = http::once(&w.gatehouse.gateway, "POST", "/v1/messages?beta=true", &headers, &ask(false));
        assert_eq!(reply.status, 200, "{headers:?}");
        let seen = w.provider.seen();
        assert_eq!(seen.line, "POST /v1/messages?beta=true");
        assert_eq!(seen.header("x-api-key"), Some(gatehouse_testkit::provider::UPSTREAM_KEY));
        assert_eq!(seen.header("authorization"), None);
        assert!(!format!("{seen:?}").contains(&w.key), "the client's key reached the provider");
    }
}

#[test]
fn only_the_headers_that_mean_something_upstream_go_on() {
    let w = world(echo(1, 1));
    let sent = [
        ("x-api-key", w.key.as_str()),
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "a-2025-01-01,b-2025-01-01"),
        ("anthropic-beta", "c-2025-01-01"),
        ("user-agent", "claude-cli/2.1.330 (external, cli)"),
        ("x-app", "cli"),
        ("cookie", "session=1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("proxy-authorization", "Basic eA=="),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("accept-encoding", "gzip, br"),
        ("x-claude-code-managed-settings-checksum", "sha256:00"),
    ];
    http::once(&w.gatehouse.gateway, "POST", "/v1/messages", &sent, &ask(true));
    let seen = w.provider.seen();
    let betas: Vec<&str> =
        seen.headers.iter().filter(|(n, _)| n == "anthropic-beta").map(|(_, v)| v.as_str()).collect();
    assert_eq!(betas, ["a-2025-01-01,b-2025-01-01", "c-2025-01-01"]);
    assert_eq!(seen.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    for gone in [
        "cookie",
        "x-forwarded-for",
        "proxy-authorization",
        "x-hop",
        "te",
        "x-claude-code-managed-settings-checksum",
    ] {
        assert_eq!(seen.header(gone), None, "{gone} went on");
    }
}

#[test]
fn an_upstream_error_is_relayed_as_it_is_and_costs_nothing() {
    let error =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "x": [1, 2]});
    let w = world(move |_| gatehouse_testkit::sse::plain(529, &error));
    let reply = w.gatehouse.post(&w.key, &ask(true));
    assert_eq!(reply.status, 529);
    assert_eq!(
        reply.text(),
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"x":[1,2]}"#
    );
    let e = w.only_exchange();
    assert_eq!(
        (e["ended"].as_str(), e["reason"].as_str()),
        (Some("upstream_error"), Some("overloaded_error"))
    );
    assert_eq!((e["status"].as_u64(), e["cost_nanos"].as_i64()), (Some(529), Some(0)));
}

#[test]
fn tokens_are_counted_upstream_and_are_free() {
    let w = world(echo(77, 0));
    let reply = w.gatehouse.post_to("/v1/messages/count_tokens?beta=true", &w.key, &ask(false));
    assert_eq!((reply.status, reply.json()["input_tokens"].as_u64()), (200, Some(77)));
    let e = w.only_exchange();
    assert_eq!((e["kind"].as_str(), e["cost_nanos"].as_i64()), (Some("count_tokens"), Some(0)));
}

#[test]
fn models_are_listed_within_the_keys_scope() {
    let w = world(echo(1, 1));
    let (_, narrow) = w.gatehouse.key("narrow@example.com", &["--models", "claude-haiku-*"]);
    let list = |key: &str, query: &str| {
        let target = format!("/v1/models{query}");
        http::once(
            &w.gatehouse.gateway,
            "GET",
            &target,
            &[("x-api-key", key), ("authorization", &format!("Bearer {key}"))],
            b"",
        )
    };
    let ids = |reply: &http::Reply| -> Vec<String> {
        let json = reply.json();
        json["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids(&list(&w.key, "?limit=1000"));
    assert!(all.iter().any(|id| id == MODEL), "{all:?}");
    let few = ids(&list(&narrow, "?limit=1000"));
    assert!(!few.is_empty() && few.iter().all(|id| id.starts_with("claude-haiku-")), "{few:?}");

    let first = list(&w.key, "?limit=1");
    assert_eq!((ids(&first).len(), first.json()["has_more"].as_bool()), (1, Some(true)));
    let second = list(&w.key, &format!("?limit=1&after_id={}", all[0]));
    assert_eq!(ids(&second), [all[1].clone()]);
    assert_eq!(list(&w.key, "/no-such-model").status, 404);
    assert_eq!(list(&w.key, &format!("/{MODEL}")).json()["id"], MODEL);
}

#[test]
fn probes_need_no_key_and_leave_no_record() {
    let w = world(echo(1, 1));
    for (method, path) in
        [("HEAD", "/api/hello"), ("GET", "/api/hello"), ("GET", "/healthz"), ("GET", "/readyz")]
    {
        let mut connection = http::Connection::open(&w.gatehouse.gateway);
        connection.request(method, path, &[("connection", "close")], b"");
        let head = connection.read_until("\r\n\r\n");
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{method} {path}");
    }
    assert_eq!(w.gatehouse.exchanges(), Vec::<serde_json::Value>::new());
}

#[test]
fn a_connection_serves_request_after_request() {
    let w = world(echo(3, 4));
    let mut connection = http::Connection::open(&w.gatehouse.gateway);
    for n in 0..20 {
        connection.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(n % 2 == 0));
        let reply = connection.reply();
        assert_eq!((reply.status, reply.complete), (200, true), "request {n}");
    }
    let all = w.gatehouse.exchanges();
    assert_eq!(all.len(), 20);
    assert!(all.iter().all(|e| e["ended"] == "completed"), "{all:#?}");
}

#[test]
fn usage_adds_up_by_user_team_model_and_key() {
    for store in stores() {
        let w = configured("", &store, echo(10, 1));
        w.gatehouse.json(&["team", "add", "red"]);
        w.gatehouse.json(&["user", "add", "red@example.com", "--team", "red"]);
        let (red_id, red) = w.gatehouse.key("red@example.com", &["--team", "red"]);
        for key in [&w.key, &red, &red] {
            assert_eq!(w.gatehouse.post(key, &ask(false)).status, 200);
        }
        let one = 10 * 2_000 + 10_000;
        for (by, name, requests) in [
            ("user", "red@example.com", 2),
            ("user", "dev@example.com", 1),
            ("team", "red", 2),
            ("model", MODEL, 3),
        ] {
            let usage = w.gatehouse.json(&["usage", "--by", by]);
            let row = usage["items"].as_array().unwrap().iter().find(|row| row["name"] == name);
            let row = row.unwrap_or_else(|| panic!("no row {name} by {by}: {usage:#}"));
            assert_eq!(
                (row["requests"].as_i64(), row["cost_nanos"].as_i64()),
                (Some(requests), Some(requests * one))
            );
        }
        let by_key = w.gatehouse.json(&["usage", "--by", "key"]).to_string();
        assert!(by_key.contains(&red_id), "{by_key}");
    }
}

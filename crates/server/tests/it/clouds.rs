//! Providers that are clouds: requests in their form, replies in the API's, credentials that run out.

use std::path::Path;

use base64ct::{Base64, Encoding as _};
use gatehouse_providers::eventstream::encode;
use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::http::Connection;
use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
use gatehouse_testkit::{sse, wait};
use serde_json::{Value, json};

use crate::world::{MODEL, World, ask, world};

mod credential;

/// A world whose only provider that serves the model is a cloud with these settings, at the fake's address.
pub fn cloud(settings: &str, script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> World {
    cloud_in(settings, None, script)
}

/// The same, with a file in its directory.
fn cloud_in(
    settings: &str,
    file: Option<&Path>,
    script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
) -> World {
    let provider = FakeProvider::start(script);
    let file = file.map(|path| path.display().to_string()).unwrap_or_default();
    let settings = settings.replace("URL", &provider.url).replace("FILE", &file);
    let lines = format!("serves = [\"direct-*\"]\n[[provider]]\nname = \"cloud\"\n{settings}");
    let gatehouse: Gatehouse =
        Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url).config(&lines).start();
    let (key_id, key) = gatehouse.key("dev@example.com", &[]);
    World { provider, gatehouse, key, key_id }
}

pub const BEDROCK: &str = "kind = \"bedrock\"\nregion = \"us-east-1\"\nbase_url = \"URL\"\ninference_profile = \"us\"\n\
    access_key_id = \"env:UPSTREAM_KEY\"\nsecret_access_key = \"env:OIDC_SECRET\"\n";
pub const MANTLE: &str = "kind = \"bedrock-mantle\"\nregion = \"us-east-1\"\nbase_url = \"URL/anthropic\"\napi_key = \"env:UPSTREAM_KEY\"\n";
pub const PLATFORM: &str = "kind = \"claude-platform-aws\"\nregion = \"us-east-1\"\nbase_url = \"URL\"\nworkspace = \"space-1\"\n\
    access_key_id = \"env:UPSTREAM_KEY\"\nsecret_access_key = \"env:OIDC_SECRET\"\n";
pub const FOUNDRY: &str = "kind = \"foundry\"\nbase_url = \"URL/anthropic\"\napi_key = \"env:UPSTREAM_KEY\"\n\
    models = { \"claude-sonnet-5-5\" = \"sonnet-prod\" }\n";

fn frame(event: &Value) -> Vec<u8> {
    let payload = json!({"bytes": Base64::encode_string(event.to_string().as_bytes()), "p": "abcdefgh"});
    let headers =
        [(":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")];
    encode(&headers, payload.to_string().as_bytes()).unwrap()
}

fn exception(name: &str, message: &str) -> Vec<u8> {
    let payload = json!({"message": message}).to_string();
    encode(&[(":exception-type", name), (":message-type", "exception")], payload.as_bytes()).unwrap()
}

fn stream_head() -> Act {
    Act::Send(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: aws-1\r\n\
          x-amzn-bedrock-content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec(),
    )
}

fn chunk(bytes: &[u8]) -> Act {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    Act::Send(out)
}

/// The events of a reply with thinking, a tool and cached input.
pub fn events() -> Vec<Value> {
    let usage = json!({"input_tokens": 100, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}, "output_tokens": 1});
    vec![
        json!({"type": "message_start", "message": {"id": "msg_bdrk_1", "type": "message", "role": "assistant",
            "model": MODEL, "content": [], "stop_reason": null, "usage": usage}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm – \"x\"\n"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "Eq/+A=="}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "toolu_bdrk_1", "name": "Bash", "input": {}}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"a\":"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 77}}),
        json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 100}}),
    ]
}

pub fn native(events: &[Value]) -> String {
    events.iter().map(sse::event).collect()
}

pub fn framed(events: &[Value], piece: usize) -> Vec<Act> {
    let bytes: Vec<u8> = events.iter().flat_map(frame).collect();
    let mut acts = vec![stream_head()];
    acts.extend(bytes.chunks(piece).map(chunk));
    acts.push(sse::last_chunk());
    acts
}

#[test]
fn a_stream_of_bedrock_is_the_native_one_to_client_and_ledger() {
    let plain = world(|_| vec![sse::stream_head(), sse::chunk(&native(&events())), sse::last_chunk()]);
    let direct = plain.gatehouse.post(&plain.key, &ask(true));
    let expected = plain.only_exchange();
    assert!(expected["cost_nanos"].as_i64().unwrap() > 0);
    for piece in [1, 13, 700, 1_000_000] {
        let w = cloud(BEDROCK, move |_| framed(&events(), piece));
        let reply = w.gatehouse.post(&w.key, &ask(true));
        assert_eq!((reply.status, reply.complete), (200, true));
        assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
        assert_eq!(reply.header("x-amzn-bedrock-content-type"), None);
        assert_eq!(reply.header("request-id"), Some("aws-1"));
        assert_eq!(reply.text(), direct.text(), "in pieces of {piece}");
        let e = w.only_exchange();
        for member in ["usage", "cost_nanos", "model", "ended", "status", "stream", "estimated", "bytes_out"]
        {
            assert_eq!(e[member], expected[member], "{member}: {e:#}");
        }
        assert_eq!((e["provider"].as_str(), e["request_id"].as_str()), (Some("cloud"), Some("aws-1")));
    }
}

#[test]
fn a_request_arrives_in_the_form_of_its_kind() {
    let body = r#"{"model":"claude-sonnet-5-5","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="},"cache_control":{"type":"ephemeral","ttl":"1h"}}]}],"unknown":1e2}"#;
    let rest = &body[r#"{"model":"claude-sonnet-5-5","#.len()..];
    for (settings, line, expected) in [
        (
            BEDROCK,
            "POST /model/us.anthropic.claude-sonnet-5-5/invoke",
            format!(
                r#"{{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["effort-2025-11-24"],{rest}"#
            ),
        ),
        (
            MANTLE,
            "POST /anthropic/v1/messages?beta=true",
            body.replace("claude-sonnet-5-5", "anthropic.claude-sonnet-5-5"),
        ),
        (PLATFORM, "POST /v1/messages?beta=true", body.to_owned()),
        (FOUNDRY, "POST /anthropic/v1/messages?beta=true", body.replace("claude-sonnet-5-5", "sonnet-prod")),
    ] {
        let w = cloud(settings, |_| sse::message(MODEL, "forty-two", &sse::usage(10, 5)));
        let bearer = format!("Bearer {}", w.key);
        let headers =
            [("authorization", bearer.as_str()), ("anthropic-beta", "effort-2025-11-24"), ("x-app", "cli")];
        let mut connection = Connection::open(&w.gatehouse.gateway);
        connection.request("POST", "/v1/messages?beta=true", &headers, body.as_bytes());
        let reply = connection.reply();
        assert_eq!((reply.status, reply.complete), (200, true), "{}", reply.text());
        assert_eq!(reply.json()["content"][0]["text"], "forty-two");
        let seen = w.provider.seen();
        assert_eq!((seen.line.as_str(), String::from_utf8(seen.body.clone()).unwrap()), (line, expected));
        assert!(!format!("{seen:?}").contains(&w.key), "the client's key went on");
        let e = w.only_exchange();
        assert_eq!(
            (e["ended"].as_str(), e["cost_nanos"].as_i64()),
            (Some("completed"), Some(10 * 2_000 + 5 * 10_000))
        );
        if settings == BEDROCK || settings == PLATFORM {
            let service = if settings == BEDROCK { "bedrock" } else { "aws-external-anthropic" };
            let signature = seen.header("authorization").unwrap();
            assert!(
                signature.starts_with("AWS4-HMAC-SHA256 Credential=sk-upstream-0123456789/"),
                "{signature}"
            );
            assert!(signature.contains(&format!("/us-east-1/{service}/aws4_request")), "{signature}");
            assert!(seen.header("x-amz-date").is_some() && seen.header("x-api-key").is_none());
        } else {
            assert_eq!(seen.header("x-api-key"), Some("sk-upstream-0123456789"));
        }
        assert_eq!(seen.header("anthropic-workspace-id"), (settings == PLATFORM).then_some("space-1"));
        assert_eq!(seen.header("anthropic-beta"), (settings != BEDROCK).then_some("effort-2025-11-24"));
        assert_eq!(seen.header("x-app"), (settings != BEDROCK).then_some("cli"));
    }
}

#[test]
fn tokens_are_counted_where_they_can_be() {
    let count = |_: &Seen| sse::plain(200, &json!({"inputTokens": 42}));
    let w = cloud(BEDROCK, count);
    let reply = w.gatehouse.post_to("/v1/messages/count_tokens", &w.key, &ask(false));
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"input_tokens":42}"#));
    let seen = w.provider.seen();
    assert_eq!(seen.line, "POST /model/anthropic.claude-sonnet-5-5/count-tokens");
    assert_eq!(w.only_exchange()["ended"], "completed");

    let no =
        |_: &Seen| error("ValidationException", 400, "The provided model doesn't support counting tokens.");
    for w in [cloud(BEDROCK, no), cloud(&format!("{BEDROCK}count_tokens = false\n"), count)] {
        let reply = w.gatehouse.post_to("/v1/messages/count_tokens", &w.key, &ask(false));
        assert_eq!((reply.status, reply.header("x-should-retry")), (501, Some("false")));
        assert_eq!(reply.json()["error"]["type"], "not_supported");
    }
    let w = cloud(BEDROCK, |_| sse::plain(200, &json!({"what": 1})));
    assert_eq!(w.gatehouse.post_to("/v1/messages/count_tokens", &w.key, &ask(false)).status, 502);
    assert_eq!(w.only_exchange()["ended"], "upstream_failed");
}

pub fn error(name: &str, status: u16, message: &str) -> Vec<Act> {
    let body = json!({"message": message}).to_string();
    vec![Act::Send(
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nx-amzn-requestid: aws-1\r\nx-amzn-errortype: {name}:http://x\r\n\
             retry-after: 7\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )]
}

#[test]
fn failures_are_told_in_the_apis_words_and_cost_nothing() {
    for (name, status, said, expected) in [
        (
            "ThrottlingException",
            429,
            "Too many tokens, please wait before trying again.",
            (429, "rate_limit_error", "Too many tokens, please wait before trying again."),
        ),
        (
            "ValidationException",
            400,
            "Input is too long for requested model.",
            (400, "invalid_request_error", "Input is too long."),
        ),
        (
            "ValidationException",
            400,
            "prompt is too long: 210000 tokens > 200000 maximum",
            (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        ),
        (
            "AccessDeniedException",
            403,
            "User: arn:aws:sts::123456789012:assumed-role/a/b is not authorized",
            (403, "permission_error", "User: arn:*** is not authorized"),
        ),
        (
            "UnrecognizedClientException",
            403,
            "The security token included in the request is invalid.",
            (401, "authentication_error", "The security token included in the request is invalid."),
        ),
        (
            "ResourceNotFoundException",
            404,
            "Model use case details have not been submitted for account 123456789012.",
            (404, "not_found_error", "Model use case details have not been submitted for account ***."),
        ),
        ("ServiceUnavailableException", 503, "busy", (529, "overloaded_error", "busy")),
        ("InternalServerException", 500, "x", (500, "api_error", "x")),
    ] {
        let w = cloud(BEDROCK, move |_| error(name, status, said));
        let reply = w.gatehouse.post(&w.key, &ask(true));
        let body = reply.json();
        let got = (
            reply.status,
            body["error"]["type"].as_str().unwrap(),
            body["error"]["message"].as_str().unwrap(),
        );
        assert_eq!(got, expected, "{name}");
        assert_eq!((body["type"].as_str(), body["request_id"].as_str()), (Some("error"), Some("aws-1")));
        assert_eq!((reply.header("request-id"), reply.header("retry-after")), (Some("aws-1"), Some("7")));
        let is_ours = matches!(expected.1, "authentication_error" | "permission_error");
        assert_eq!(reply.header("x-should-retry"), is_ours.then_some("false"));
        assert_eq!(reply.header("x-amzn-errortype"), None);
        assert!(reply.header("x-gatehouse-exchange").is_some());
        let e = w.only_exchange();
        assert_eq!((e["ended"].as_str(), e["reason"].as_str()), (Some("upstream_error"), Some(expected.1)));
        assert_eq!((e["status"].as_u64(), e["cost_nanos"].as_i64()), (Some(u64::from(expected.0)), Some(0)));
        assert!(!w.gatehouse.log().contains("123456789012"), "{}", w.gatehouse.log());
    }
}

#[test]
fn a_stream_that_breaks_is_told_and_recorded() {
    let whole = events();
    let begun: Vec<u8> = whole[..4].iter().flat_map(frame).collect();
    let next = frame(&whole[4]);
    let mut flipped = next.clone();
    flipped[30] ^= 1;
    let half = next[..next.len() / 2].to_vec();
    let throttled = exception("throttlingException", "account 123456789012 is throttled");
    for (bytes, reason, kind) in [
        (half, "upstream_cut", "api_error"),
        (flipped, "upstream_garbled", "api_error"),
        (throttled, "rate_limit_error", "rate_limit_error"),
        (Vec::new(), "upstream_cut", "api_error"),
    ] {
        let sent = [begun.clone(), bytes].concat();
        let w = cloud(BEDROCK, move |_| vec![stream_head(), chunk(&sent), Act::Close]);
        let reply = w.gatehouse.post(&w.key, &ask(true));
        let text = reply.text();
        let (before, last) =
            text.split_once("event: error\ndata: ").unwrap_or_else(|| panic!("{reason}: {text}"));
        assert_eq!(before, native(&whole[..4]));
        let error: Value = serde_json::from_str(last.trim_end()).unwrap();
        assert_eq!(error["error"]["type"], kind);
        assert!(!text.contains("123456789012"));
        let e = w.only_exchange();
        assert_eq!((e["ended"].as_str(), e["reason"].as_str()), (Some("upstream_failed"), Some(reason)));
        assert_eq!(e["estimated"], true);
    }
}

#[test]
fn a_translated_stream_whose_end_is_not_durable_does_not_look_complete() {
    let mut w = cloud(BEDROCK, |_| {
        let all_but_stop: Vec<u8> = events()[..9].iter().flat_map(frame).collect();
        vec![stream_head(), chunk(&all_but_stop), Act::Hang]
    });
    let mut connection = Connection::open(&w.gatehouse.gateway);
    connection.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
    connection.read_until("partial_json");
    w.gatehouse.kill();
    let text = connection.reply().text();
    assert!(text.contains("partial_json") && !text.contains("\"stop_reason\":\"tool_use\""), "{text}");
    w.gatehouse.restart();
    assert_eq!(w.only_exchange()["ended"], "interrupted");
}

#[test]
fn what_a_provider_does_not_take_is_refused_by_name_and_goes_nowhere() {
    let w = cloud(BEDROCK, |_| sse::message(MODEL, "x", &sse::usage(1, 1)));
    for (member, value) in
        [("safeguards", json!({})), ("tools", json!([{"type": "web_search_20250305", "name": "w"}]))]
    {
        let mut body = json!({"model": MODEL, "max_tokens": 5, "messages": []});
        body[member] = value;
        let reply = w.gatehouse.post(&w.key, body.to_string().as_bytes());
        assert_eq!(
            (reply.status, reply.json()["error"]["type"].as_str().unwrap().to_owned()),
            (400, "invalid_request_error".to_owned())
        );
        let named = if member == "tools" { "web_search_20250305" } else { member };
        assert!(reply.text().contains(named), "{}", reply.text());
    }
    assert_eq!(w.provider.unseen(), 0);
    assert!(w.gatehouse.exchanges().iter().all(|e| e["ended"] == "refused" && e["reason"] == "unsupported"));
}

#[test]
fn the_model_decides_where_a_request_goes() {
    let w = cloud(&format!("{BEDROCK}serves = [\"claude-*\", \"exact\"]\n"), |_| {
        sse::message(MODEL, "x", &sse::usage(1, 1))
    });
    for (model, line) in [
        ("claude-x", "POST /model/us.anthropic.claude-x/invoke"),
        ("exact", "POST /model/us.anthropic.exact/invoke"),
        ("direct-1", "POST /v1/messages"),
    ] {
        let body = json!({"model": model, "max_tokens": 5, "messages": []}).to_string();
        assert_eq!(w.gatehouse.post(&w.key, body.as_bytes()).status, 200);
        assert_eq!(w.provider.seen().line, line);
    }
    let body = json!({"model": "other", "max_tokens": 5, "messages": []}).to_string();
    let reply = w.gatehouse.post(&w.key, body.as_bytes());
    assert_eq!((reply.status, reply.json()["error"]["type"].as_str().unwrap()), (404, "not_found_error"));
    assert_eq!(w.provider.unseen(), 0);
}

#[test]
fn the_table_of_differences_is_replaced_by_a_reload() {
    let folder = tempfile();
    let path = folder.join("clouds.toml");
    let built_in = include_str!("../../../providers/src/cloud/clouds.toml");
    std::fs::write(&path, built_in).unwrap();
    let w = cloud_in(&format!("{BEDROCK}clouds_file = \"FILE\"\n"), Some(&path), |_| {
        sse::message(MODEL, "x", &sse::usage(1, 1))
    });
    let body = json!({"model": MODEL, "max_tokens": 5, "messages": [], "safeguards": {}}).to_string();
    assert_eq!(w.gatehouse.post(&w.key, body.as_bytes()).status, 400);
    std::fs::write(&path, built_in.replace(", \"safeguards\"]", "]")).unwrap();
    w.gatehouse.json(&["config", "reload"]);
    assert_eq!(w.gatehouse.post(&w.key, body.as_bytes()).status, 200);
    std::fs::write(&path, "nonsense").unwrap();
    assert!(!w.gatehouse.cli(&["config", "reload"]).status.success());
    assert_eq!(w.gatehouse.post(&w.key, body.as_bytes()).status, 200, "what was in force stays");
    drop(std::fs::remove_dir_all(folder));
}

/// A folder of this test's own.
fn tempfile() -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("gatehouse-clouds-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn a_silent_stream_of_frames_gets_pings_of_our_own() {
    let provider = FakeProvider::start(|_| {
        let bytes: Vec<u8> = events()[..2].iter().flat_map(frame).collect();
        let rest: Vec<u8> = events()[2..].iter().flat_map(frame).collect();
        let half = frame(&events()[2]).len() / 2;
        // In the middle of a frame: the client has whole events only, so a ping may stand there.
        vec![
            stream_head(),
            chunk(&bytes),
            chunk(&rest[..half]),
            Act::Hold,
            chunk(&rest[half..]),
            sse::last_chunk(),
        ]
    });
    let settings = BEDROCK.replace("URL", &provider.url);
    let lines = format!(
        "serves = [\"none\"]\n[[provider]]\nname = \"cloud\"\n{settings}[gateway]\nping_seconds = 1\n"
    );
    let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url).config(&lines).start();
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    let mut connection = Connection::open(&gatehouse.gateway);
    connection.request("POST", "/v1/messages", &[("x-api-key", &key)], &ask(true));
    connection.read_until("event: ping");
    provider.release();
    let text = connection.reply().text();
    assert_eq!(text.replace("event: ping\ndata: {\"type\": \"ping\"}\n\n", ""), native(&events()));
}

/// Waits until it is not ready any more, or is.
fn wait_ready(w: &World, status: u16) {
    wait::until("readiness to change", || {
        let got = gatehouse_testkit::http::once(&w.gatehouse.gateway, "GET", "/readyz", &[], b"").status;
        (got == status).then_some(())
    });
}

//! Clients that speak as to a cloud: their paths and bodies in, replies in the cloud's form out, to any provider.

use base64ct::{Base64, Encoding as _};
use gatehouse_providers::cloud::Events;
use gatehouse_testkit::gatehouse::Builder;
use gatehouse_testkit::http::{self, Connection, Reply};
use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
use gatehouse_testkit::sse;
use serde_json::{Value, json};

use crate::clouds::{BEDROCK, FOUNDRY, MANTLE, PLATFORM, cloud, error, events, framed, native};
use crate::world::{MODEL, World, configured, echo, world};

pub const VERTEX: &str = "kind = \"vertex\"\nregion = \"us-east5\"\nproject = \"acme-1\"\nbase_url = \"URL\"\napi_key = \"env:UPSTREAM_KEY\"\n";
const INVOKE: &str = "/model/us.anthropic.claude-sonnet-5-5/invoke";
const STREAM: &str = "/model/us.anthropic.claude-sonnet-5-5/invoke-with-response-stream";
const PREDICT: &str = "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-5-5:rawPredict";
const REST: &str = r#""max_tokens":9,"messages":[{"role":"user","content":"h\u00fc"}],"unknown":1e2}"#;

fn bedrock_body() -> String {
    format!(r#"{{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["effort-2025-11-24"],{REST}"#)
}

fn vertex_body(stream: bool) -> String {
    format!(r#"{{"anthropic_version":"vertex-2023-10-16","stream":{stream},{REST}"#)
}

/// A world with one of the six kinds of provider.
fn provided(settings: &str, script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> World {
    if settings.is_empty() { world(script) } else { cloud(settings, script) }
}

/// The same events, in the form in which this kind of provider streams.
fn streamed(settings: &'static str) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    move |_| match settings {
        BEDROCK => framed(&events(), 300),
        _ => vec![sse::stream_head(), sse::chunk(&native(&events())), sse::last_chunk()],
    }
}

/// The events within a reply of frames.
fn unframed(reply: &Reply) -> String {
    assert_eq!(reply.header("content-type"), Some("application/vnd.amazon.eventstream"), "{}", reply.text());
    let mut events = Events::default();
    let text = String::from_utf8(events.feed(&reply.body).to_vec()).unwrap();
    assert!(!events.is_garbled());
    text
}

const ALL: [&str; 6] = ["", BEDROCK, MANTLE, PLATFORM, VERTEX, FOUNDRY];

#[test]
fn what_a_client_of_a_cloud_sends_arrives_in_the_form_of_any_provider() {
    let beta = "effort-2025-11-24";
    for settings in ALL {
        let name = match settings {
            MANTLE => "anthropic.claude-sonnet-5-5",
            FOUNDRY => "sonnet-prod",
            _ => MODEL,
        };
        let line = match settings {
            BEDROCK => "POST /model/us.anthropic.claude-sonnet-5-5/invoke",
            VERTEX => {
                "POST /v1/projects/acme-1/locations/us-east5/publishers/anthropic/models/claude-sonnet-5-5:rawPredict"
            }
            MANTLE | FOUNDRY => "POST /anthropic/v1/messages",
            _ => "POST /v1/messages",
        };
        for (path, sent) in [(INVOKE, bedrock_body()), (PREDICT, vertex_body(false))] {
            let is_invoke = path == INVOKE;
            let expected = match (settings, is_invoke) {
                // Same form in and out: not a byte changes.
                (BEDROCK, true) | (VERTEX, false) => sent.clone(),
                (BEDROCK, false) => format!(
                    r#"{{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["{beta}"],{REST}"#
                ),
                (VERTEX, true) => format!(r#"{{"anthropic_version":"vertex-2023-10-16",{REST}"#),
                (_, true) => format!(r#"{{"model":"{name}",{REST}"#),
                (_, false) => format!(r#"{{"model":"{name}","stream":false,{REST}"#),
            };
            let w = provided(settings, |_| sse::message(MODEL, "forty-two", &sse::usage(10, 5)));
            let bearer = format!("Bearer {}", w.key);
            let headers = [("authorization", bearer.as_str()), ("anthropic-beta", beta)];
            let headers = if is_invoke { &headers[..1] } else { &headers[..] };
            let reply = http::once(&w.gatehouse.gateway, "POST", path, headers, sent.as_bytes());
            assert_eq!((reply.status, reply.complete), (200, true), "{settings}: {}", reply.text());
            assert_eq!(reply.json()["content"][0]["text"], "forty-two");
            assert_eq!(reply.header("x-amzn-requestid").is_some(), is_invoke);
            let seen = w.provider.seen();
            assert_eq!(
                (seen.line.as_str(), String::from_utf8(seen.body.clone()).unwrap()),
                (line, expected),
                "{path} to {settings}"
            );
            assert_eq!(seen.header("anthropic-beta"), (settings != BEDROCK).then_some(beta), "{settings}");
            let is_api = !matches!(settings, BEDROCK | VERTEX);
            assert_eq!(seen.header("anthropic-version"), is_api.then_some("2023-06-01"), "{settings}");
            assert!(!format!("{seen:?}").contains(&w.key), "the client's key went on");
            let e = w.only_exchange();
            assert_eq!((e["ended"].as_str(), e["model"].as_str()), (Some("completed"), Some(MODEL)));
            assert_eq!(e["cost_nanos"], 10 * 2_000 + 5 * 10_000);
        }
    }
}

#[test]
fn a_stream_is_the_same_to_every_client_from_every_provider_and_to_the_ledger() {
    let plain = world(streamed(""));
    plain.gatehouse.post(&plain.key, &crate::world::ask(true));
    let expected = plain.only_exchange();
    for settings in ALL {
        let w = provided(settings, streamed(settings));
        let reply = w.gatehouse.post_to(STREAM, &w.key, bedrock_body().as_bytes());
        assert_eq!((reply.status, reply.complete), (200, true));
        assert_eq!(unframed(&reply), native(&events()), "{settings}");
        assert_eq!(reply.header("x-amzn-bedrock-content-type"), Some("application/json"));
        let path = PREDICT.replace(":rawPredict", ":streamRawPredict");
        let reply = w.gatehouse.post_to(&path, &w.key, vertex_body(true).as_bytes());
        assert_eq!((reply.status, reply.text()), (200, native(&events())), "{settings}");
        let all = w.gatehouse.exchanges();
        assert_eq!(all.len(), 2);
        for e in all {
            for member in ["usage", "cost_nanos", "model", "ended", "status", "stream", "estimated"] {
                assert_eq!(e[member], expected[member], "{member} from {settings}: {e:#}");
            }
        }
        // What Bedrock does not know is not asked for; the others are told to stream.
        let seen: Value = serde_json::from_slice(&w.provider.seen().body).unwrap();
        let asked = (settings != BEDROCK).then_some(true);
        assert_eq!(seen["stream"].as_bool(), asked, "{settings}");
    }
}

#[test]
fn tokens_are_counted_in_every_form() {
    for settings in ALL {
        let w = provided(settings, |seen| {
            let member = if seen.line.ends_with("/count-tokens") { "inputTokens" } else { "input_tokens" };
            sse::plain(200, &json!({member: 42}))
        });
        let inner = bedrock_body();
        let wrapped = json!({"input": {"invokeModel": {"body": Base64::encode_string(inner.as_bytes())}}});
        let path = INVOKE.replace("us.", "").replace("/invoke", "/count-tokens");
        let reply = w.gatehouse.post_to(&path, &w.key, wrapped.to_string().as_bytes());
        assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"inputTokens":42}"#), "{settings}");
        let body = String::from_utf8(w.provider.seen().body).unwrap();
        if settings == BEDROCK {
            assert_eq!(body, wrapped.to_string(), "same form in and out");
        } else {
            assert!(body.ends_with(REST), "{body}");
        }
        let path = PREDICT.replace(MODEL, "count-tokens");
        let body = format!(r#"{{"anthropic_version":"vertex-2023-10-16","model":"{MODEL}",{REST}"#);
        let reply = w.gatehouse.post_to(&path, &w.key, body.as_bytes());
        assert_eq!((reply.status, reply.json()), (200, json!({"input_tokens": 42})), "{settings}");
        let seen = w.provider.seen();
        if settings == VERTEX {
            assert_eq!(seen.body, body.as_bytes(), "same form in and out");
        }
        assert!(w.gatehouse.exchanges().iter().all(|e| e["kind"] == "count_tokens" && e["cost_nanos"] == 0));
    }
    let w = world(echo(1, 1));
    for body in ["{}", r#"{"input":{"converse":{}}}"#, r#"{"input":{"invokeModel":{"body":"***"}}}"#] {
        let reply = w.gatehouse.post_to(&INVOKE.replace("/invoke", "/count-tokens"), &w.key, body.as_bytes());
        assert_eq!((reply.status, reply.header("x-amzn-errortype")), (400, Some("ValidationException")));
    }
    assert_eq!(w.provider.unseen(), 0);
}

#[test]
fn failures_are_told_in_the_words_of_the_clients_cloud() {
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let limited = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}});
    let invalid = json!({"type": "error", "error": {"type": "invalid_request_error",
        "message": "prompt is too long: 210000 tokens > 200000 maximum"}});
    for (status, body, seen_as, name, canonical) in [
        (529, &overloaded, 503, "ServiceUnavailableException", "UNAVAILABLE"),
        (429, &limited, 429, "ThrottlingException", "RESOURCE_EXHAUSTED"),
        (400, &invalid, 400, "ValidationException", "INVALID_ARGUMENT"),
    ] {
        let given = body.clone();
        let w = world(move |_| sse::plain(status, &given));
        let message = &body["error"]["message"];
        let reply = w.gatehouse.post_to(STREAM, &w.key, bedrock_body().as_bytes());
        assert_eq!((reply.status, reply.header("x-amzn-errortype")), (seen_as, Some(name)));
        assert_eq!(reply.json(), json!({"message": message}));
        assert!(reply.header("x-amzn-requestid").is_some());
        let reply = w.gatehouse.post_to(PREDICT, &w.key, vertex_body(true).as_bytes());
        let told = reply.json();
        assert_eq!((reply.status, &told["error"]["message"]), (seen_as, message));
        assert_eq!((&told["error"]["status"], &told["error"]["code"]), (&json!(canonical), &json!(seen_as)));
        assert_eq!(told["error"]["type"], body["error"]["type"], "what clients go by stays");
        let recorded = w.gatehouse.exchanges();
        assert!(recorded.iter().all(|e| e["ended"] == "upstream_error" && e["status"] == status));
    }
    // A cloud's own, through another cloud's form.
    let w = cloud(BEDROCK, |_| error("ThrottlingException", 429, "account 123456789012 is throttled"));
    let reply = w.gatehouse.post_to(PREDICT, &w.key, vertex_body(false).as_bytes());
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")));
    assert_eq!(reply.json()["error"]["message"], "account *** is throttled");
}

#[test]
fn refusals_of_ours_are_in_that_form_too() {
    let w = world(echo(1, 1));
    let (_, narrow) = w.gatehouse.key("narrow@example.com", &["--models", "claude-haiku-*"]);
    let signed = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0";
    let narrow = format!("Bearer {narrow}");
    let good = format!("Bearer {}", w.key);
    for (credential, path, status, name, said) in [
        (signed, INVOKE, 403, "AccessDeniedException", "AWS_BEARER_TOKEN_BEDROCK"),
        ("Bearer gh_no", INVOKE, 401, "UnrecognizedClientException", "does not accept this key"),
        (&narrow, INVOKE, 451, "AccessDeniedException", MODEL),
        (&good, "/model/anthropic.m%2F..%2Fx%20y/invoke", 404, "ResourceNotFoundException", "no model"),
    ] {
        let headers = [("authorization", credential)];
        let reply = http::once(&w.gatehouse.gateway, "POST", path, &headers, bedrock_body().as_bytes());
        assert_eq!(
            (reply.status, reply.header("x-amzn-errortype")),
            (status, Some(name)),
            "{}",
            reply.text()
        );
        assert!(reply.json()["message"].as_str().unwrap().contains(said), "{}", reply.text());
        assert_eq!(reply.header("x-should-retry"), Some("false"));
    }
    // A body that names another model than the path has no say: rules speak of the path's.
    let body = bedrock_body().replace("{\"anth", "{\"model\":\"claude-haiku-5-5\",\"stream\":true,\"anth");
    let headers = [("authorization", narrow.as_str())];
    let reply = http::once(&w.gatehouse.gateway, "POST", INVOKE, &headers, body.as_bytes());
    assert_eq!(reply.status, 451);
    assert_eq!(w.provider.unseen(), 0);
    let reply = w.gatehouse.post_to(INVOKE, &w.key, body.as_bytes());
    assert_eq!(reply.status, 200);
    let seen: Value = serde_json::from_slice(&w.provider.seen().body).unwrap();
    assert_eq!((seen["model"].as_str(), seen.get("stream")), (Some(MODEL), None));
    let reply = http::once(&w.gatehouse.gateway, "GET", INVOKE, &[("authorization", &good)], b"");
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
}

#[test]
fn a_stream_that_breaks_ends_with_an_exception_frame() {
    let whole = events();
    let begun = native(&whole[..4]);
    let w = world(move |_| vec![sse::stream_head(), sse::chunk(&begun), Act::Close]);
    let reply = w.gatehouse.post_to(STREAM, &w.key, bedrock_body().as_bytes());
    let text = unframed(&reply);
    let (before, last) = text.split_once("event: error\n").unwrap();
    assert_eq!(before, native(&whole[..4]));
    assert!(last.contains("broke off"), "{last}");
    assert!(String::from_utf8_lossy(&reply.body).contains("internalServerException"));
    assert_eq!(w.only_exchange()["ended"], "upstream_failed");
}

#[test]
fn a_framed_stream_whose_end_is_not_durable_does_not_look_complete() {
    let mut w = world(|_| vec![sse::stream_head(), sse::chunk(&native(&events()[..9])), Act::Hang]);
    let mut connection = Connection::open(&w.gatehouse.gateway);
    connection.request("POST", STREAM, &[("x-api-key", &w.key)], bedrock_body().as_bytes());
    connection.read_until(&Base64::encode_string(events()[6].to_string().as_bytes()));
    w.gatehouse.kill();
    let text = String::from_utf8_lossy(&connection.reply().body).into_owned();
    assert!(!text.contains(&Base64::encode_string(events()[8].to_string().as_bytes())), "{text}");
    w.gatehouse.restart();
    assert_eq!(w.only_exchange()["ended"], "interrupted");
}

#[test]
fn profiles_are_listed_by_what_the_key_may_use() {
    let w = world(echo(1, 1));
    let (_, narrow) = w.gatehouse.key("narrow@example.com", &["--models", "claude-haiku-4-5*"]);
    let get = |path: &str| {
        let bearer = format!("Bearer {narrow}");
        http::once(&w.gatehouse.gateway, "GET", path, &[("authorization", &bearer)], b"")
    };
    let listed = get("/inference-profiles?type=SYSTEM_DEFINED").json();
    let listed = listed["inferenceProfileSummaries"].as_array().unwrap();
    let wanted = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
    assert!(listed.iter().any(|one| one["inferenceProfileId"] == wanted), "{listed:#?}");
    assert!(listed.iter().all(|one| one["inferenceProfileId"].as_str().unwrap().contains("haiku-4-5")));
    let one = get("/inference-profiles/us.anthropic.claude-haiku-4-5-20251001-v1%3A0").json();
    assert_eq!((&one["inferenceProfileId"], &one["status"]), (&json!(wanted), &json!("ACTIVE")));
    let none = get("/inference-profiles/us.anthropic.claude-opus-5-5");
    assert_eq!((none.status, none.header("x-amzn-errortype")), (404, Some("ResourceNotFoundException")));
    assert!(w.gatehouse.exchanges().iter().all(|e| e["kind"] == "models"));
}

#[test]
fn the_same_clouds_own_names_are_kept_where_nothing_says_otherwise() {
    let settings = BEDROCK.replace("inference_profile = \"us\"\n", "");
    let w = cloud(&settings, |_| sse::message(MODEL, "x", &sse::usage(1, 1)));
    for (asked, sent) in [
        ("eu.anthropic.claude-sonnet-5-5", "eu.anthropic.claude-sonnet-5-5"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1%3A0"),
    ] {
        let reply = w.gatehouse.post_to(&format!("/model/{asked}/invoke"), &w.key, bedrock_body().as_bytes());
        assert_eq!(reply.status, 200);
        assert_eq!(w.provider.seen().line, format!("POST /model/{sent}/invoke"));
    }
    // Where the configuration names a geography, that holds: clients do not choose where data goes.
    let w = cloud(BEDROCK, |_| sse::message(MODEL, "x", &sse::usage(1, 1)));
    w.gatehouse.post_to("/model/eu.anthropic.claude-sonnet-5-5/invoke", &w.key, bedrock_body().as_bytes());
    assert_eq!(w.provider.seen().line, "POST /model/us.anthropic.claude-sonnet-5-5/invoke");
}

#[test]
fn foundrys_paths_are_the_messages_api_byte_for_byte() {
    let w = world(echo(3, 4));
    let body = format!(r#"{{"model":"{MODEL}",{REST}"#);
    let reply = w.gatehouse.post_to("/anthropic/v1/messages?beta=true", &w.key, body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = w.provider.seen();
    assert_eq!((seen.line.as_str(), seen.body), ("POST /v1/messages?beta=true", body.clone().into_bytes()));
    let reply = w.gatehouse.post_to("/anthropic/v1/messages/count_tokens", &w.key, body.as_bytes());
    assert_eq!((reply.status, reply.json()), (200, json!({"input_tokens": 3})));
    assert_eq!(w.provider.seen().line, "POST /v1/messages/count_tokens");
}

#[test]
fn a_silent_stream_is_kept_busy_by_frames_that_mean_nothing() {
    let provider = FakeProvider::start(|_| {
        let (first, rest) = (native(&events()[..2]), native(&events()[2..]));
        vec![sse::stream_head(), sse::chunk(&first), Act::Hold, sse::chunk(&rest), sse::last_chunk()]
    });
    let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url)
        .config("[gateway]\nping_seconds = 1\n")
        .start();
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    let mut connection = Connection::open(&gatehouse.gateway);
    connection.request("POST", STREAM, &[("x-api-key", &key)], bedrock_body().as_bytes());
    connection.read_until(":event-type\u{7}\u{0}\u{4}ping");
    provider.release();
    assert_eq!(unframed(&connection.reply()), native(&events()));
}

#[test]
fn a_budget_holds_whatever_the_form() {
    let w = configured("", "sqlite", echo(1_000_000, 100_000));
    w.gatehouse.json(&["budget", "add", "1", "--user", "dev@example.com", "--period", "day"]);
    let reply = w.gatehouse.post_to(INVOKE, &w.key, bedrock_body().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = w.gatehouse.post_to(INVOKE, &w.key, bedrock_body().as_bytes());
    assert_eq!(
        (reply.status, reply.header("x-amzn-errortype")),
        (429, Some("ServiceQuotaExceededException")),
        "{}",
        reply.text()
    );
}

#[test]
fn the_apis_version_that_the_sdks_put_into_bodies_goes_along() {
    let body = bedrock_body().replace("bedrock-2023-05-31", "2026-10-21");
    for settings in ALL {
        let w = provided(settings, |_| sse::message(MODEL, "x", &sse::usage(1, 1)));
        assert_eq!(w.gatehouse.post_to(INVOKE, &w.key, body.as_bytes()).status, 200);
        let seen = w.provider.seen();
        let sent: Value = serde_json::from_slice(&seen.body).unwrap();
        let is_cloud = matches!(settings, BEDROCK | VERTEX);
        assert_eq!(sent["anthropic_version"].as_str(), is_cloud.then_some("2026-10-21"), "{settings}");
        assert_eq!(seen.header("anthropic-version"), (!is_cloud).then_some("2026-10-21"), "{settings}");
    }
}

//! Requests to the clouds: nothing of a body changes but what must.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeMap;
use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use gatehouse_providers::anthropic::StreamMeter;
use gatehouse_providers::cloud::{Answer, Asked, Dialect, Events, Form, Kind, Sent, Table, Unsendable};
use gatehouse_providers::eventstream::encode;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

fn dialect(kind: Kind) -> Dialect {
    Dialect {
        kind,
        prefix: String::new(),
        place: (kind == Kind::Vertex).then(|| ("proj".to_owned(), "us-east5".to_owned())),
        profile: String::new(),
        models: BTreeMap::new(),
        headers: Vec::new(),
        counts: true,
        table: Arc::new(Table::built_in()),
    }
}

fn betas(lists: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static("claude-cli/2.1.330"));
    headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    for list in lists {
        headers.append("anthropic-beta", HeaderValue::from_str(list).unwrap());
    }
    headers
}

struct Case {
    count: bool,
    stream: bool,
    betas: HeaderMap,
    body: &'static str,
}

fn send(dialect: &Dialect, case: &Case) -> Result<Sent, Unsendable> {
    let model =
        serde_json::from_str::<Value>(case.body).unwrap()["model"].as_str().unwrap_or("none").to_owned();
    dialect.request(Asked {
        form: Form::Messages,
        named: None,
        count: case.count,
        model: &model,
        stream: case.stream,
        headers: &case.betas,
        unwanted: &[],
        query: Some("beta=true"),
        pieces: case.body.as_bytes().chunks(5).map(Bytes::copy_from_slice).collect(),
    })
}

fn body(sent: &Sent) -> String {
    let whole = sent.pieces.concat();
    assert_eq!(whole.len() as u64, sent.bytes);
    String::from_utf8(whole).unwrap()
}

const BODY: &str = r#"{"model":"claude-opus-5-5","max_tokens":5, "messages":[{"role":"user","content":"h\u00fc \ud83d\ude00"}],"x":1.0e2,"stream":true}"#;
const LIST: &str = "claude-code-20250219,interleaved-thinking-2025-05-14, context-1m-2025-08-07";

#[test]
fn each_kind_gets_its_form() {
    let rest = r#""max_tokens":5, "messages":[{"role":"user","content":"h\u00fc \ud83d\ude00"}],"x":1.0e2"#;
    let case = || Case { count: false, stream: true, betas: betas(&[LIST]), body: BODY };

    let sent = send(&dialect(Kind::Bedrock), &case()).unwrap();
    assert_eq!(sent.target, "/model/anthropic.claude-opus-5-5/invoke-with-response-stream");
    assert_eq!(
        body(&sent),
        format!(
            r#"{{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["interleaved-thinking-2025-05-14","context-1m-2025-08-07"],{rest}}}"#
        )
    );
    assert_eq!(sent.answer, Answer::Frames);
    let names: Vec<&str> = sent.headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["content-type", "accept"]);

    let sent = send(&dialect(Kind::Vertex), &case()).unwrap();
    assert_eq!(
        sent.target,
        "/v1/projects/proj/locations/us-east5/publishers/anthropic/models/claude-opus-5-5:streamRawPredict"
    );
    assert_eq!(body(&sent), format!(r#"{{"anthropic_version":"vertex-2023-10-16",{rest},"stream":true}}"#));
    assert_eq!(sent.headers["anthropic-beta"], LIST.replace(' ', ""));
    assert_eq!((sent.answer, sent.headers.get("user-agent")), (Answer::Native, None));

    let sent = send(&dialect(Kind::BedrockMantle), &case()).unwrap();
    assert_eq!(sent.target, "/v1/messages?beta=true");
    assert_eq!(body(&sent), BODY.replace("claude-opus", "anthropic.claude-opus"));
    assert_eq!(sent.headers["anthropic-version"], "2023-06-01");

    for kind in [Kind::Foundry, Kind::ClaudePlatformAws, Kind::Anthropic] {
        let sent = send(&dialect(kind), &case()).unwrap();
        assert_eq!((sent.target.as_str(), body(&sent)), ("/v1/messages?beta=true", BODY.to_owned()));
    }
}

#[test]
fn tokens_are_counted_where_they_can_be() {
    let asked = |body: &'static str| Case { count: true, stream: false, betas: betas(&[]), body };
    let text = r#"{"model":"claude-sonnet-4-5","messages":[]}"#;
    let profile = Dialect { profile: "us".to_owned(), ..dialect(Kind::Bedrock) };
    let sent = send(&profile, &asked(text)).unwrap();
    assert_eq!(sent.target, "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens");
    let wrapped: Value = serde_json::from_str(&body(&sent)).unwrap();
    let inner = Base64::decode_vec(wrapped["input"]["invokeModel"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        String::from_utf8(inner).unwrap(),
        r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"messages":[]}"#
    );
    let sent = send(&dialect(Kind::Vertex), &asked(text)).unwrap();
    assert!(sent.target.ends_with("/models/count-tokens:rawPredict"), "{}", sent.target);
    assert_eq!(
        body(&sent),
        r#"{"anthropic_version":"vertex-2023-10-16","model":"claude-sonnet-4-5@20250929","messages":[]}"#
    );
    let deaf = Dialect { counts: false, ..dialect(Kind::Bedrock) };
    assert_eq!(send(&deaf, &asked(text)).unwrap_err(), Unsendable::Count);
}

#[test]
fn models_are_named_by_profile_and_by_the_operator() {
    let own = [(
        "fast".to_owned(),
        "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/x".to_owned(),
    )];
    let dialect = Dialect { profile: "eu".to_owned(), models: own.into(), ..dialect(Kind::Bedrock) };
    for (asked, path) in [
        ("claude-opus-5-5", "/model/eu.anthropic.claude-opus-5-5/invoke"),
        ("us.anthropic.claude-opus-5-5", "/model/us.anthropic.claude-opus-5-5/invoke"),
        (
            "fast",
            "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aapplication-inference-profile%2Fx/invoke",
        ),
    ] {
        let pieces = vec![Bytes::from(json!({"model": asked}).to_string())];
        let headers = HeaderMap::new();
        let asked = Asked {
            form: Form::Messages,
            named: None,
            count: false,
            model: asked,
            stream: false,
            headers: &headers,
            unwanted: &[],
            query: None,
            pieces,
        };
        assert_eq!(dialect.request(asked).unwrap().target, path);
    }
}

#[test]
fn what_a_kind_does_not_take_is_left_out_or_refused() {
    let asked =
        |lists: &[&str], body: &'static str| Case { count: false, stream: false, betas: betas(lists), body };
    let sent = send(
        &dialect(Kind::Bedrock),
        &asked(
            &["context-management-2025-06-27,effort-2025-11-24", "effort-2025-11-24"],
            r#"{"context_management":{"edits":[]},"model":"m","tags":{},"output_config":{"effort":"high"},"anthropic_beta":["computer-use-2025-01-24"]}"#,
        ),
    );
    assert_eq!(
        body(&sent.unwrap()),
        r#"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["effort-2025-11-24","computer-use-2025-01-24"],"output_config":{"effort":"high"}}"#
    );
    for (text, named) in [
        (r#"{"model":"m","safeguards":{}}"#, "safeguards"),
        (
            r#"{"model":"m","tools":[{"name":"a"},{"type":"web_search_20250305","name":"web_search"}]}"#,
            "web_search_20250305",
        ),
    ] {
        let refused = send(&dialect(Kind::Bedrock), &asked(&[], text)).unwrap_err();
        assert_eq!(refused, Unsendable::Unsupported(named.to_owned()));
        assert!(send(&dialect(Kind::Anthropic), &asked(&[], text)).is_ok());
    }
    let odd = r#"{"model":"m","anthropic_beta":"x"}"#;
    assert_eq!(send(&dialect(Kind::Bedrock), &asked(&[], odd)).unwrap_err(), Unsendable::Betas);
    let nowhere = r#"{"model":".."}"#;
    let bare = Dialect { models: [("..".to_owned(), "..".to_owned())].into(), ..dialect(Kind::Bedrock) };
    assert_eq!(send(&bare, &asked(&[], nowhere)).unwrap_err(), Unsendable::Model);
    let tools = r#"{"model":"m","tools":{"no":"list"}}"#;
    assert!(send(&dialect(Kind::Bedrock), &asked(&[], tools)).is_ok(), "that is the provider's to refuse");
}

proptest! {
    #[test]
    fn a_counted_body_arrives_whole(text in ".{0,200}", size in 1..50_usize) {
        let whole = json!({"model": "m", "max_tokens": 1, "text": text}).to_string();
        let headers = HeaderMap::new();
        let pieces = whole.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
        let asked = Asked { form: Form::Messages, named: None, count: true, model: "m", stream: false, headers: &headers, unwanted: &[], query: None, pieces };
        let sent = dialect(Kind::Bedrock).request(asked).unwrap();
        let wrapped: Value = serde_json::from_str(&body(&sent)).unwrap();
        let inner = Base64::decode_vec(wrapped["input"]["invokeModel"]["body"].as_str().unwrap()).unwrap();
        let inner: Value = serde_json::from_slice(&inner).unwrap();
        prop_assert_eq!(&inner["text"], &json!(text));
    }
}

fn frame(event: &Value) -> Vec<u8> {
    let payload = json!({"bytes": Base64::encode_string(event.to_string().as_bytes()), "p": "abcdef"});
    let headers =
        [(":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")];
    encode(&headers, payload.to_string().as_bytes()).unwrap()
}

fn exception(name: &str, payload: &str) -> Vec<u8> {
    encode(&[(":exception-type", name), (":message-type", "exception")], payload.as_bytes()).unwrap()
}

fn native(events: &[Value]) -> String {
    let event = |e: &Value| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap());
    events.iter().map(event).collect()
}

fn translated(bytes: &[u8], size: usize) -> (String, bool) {
    let mut events = Events::default();
    let out: Vec<u8> = bytes.chunks(size).flat_map(|piece| events.feed(piece)).collect();
    (String::from_utf8(out).unwrap(), events.is_garbled())
}

fn reply() -> Vec<Value> {
    vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "model": "claude-opus-5-5",
            "usage": {"input_tokens": 7, "cache_read_input_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 3}}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "Eq+/=="}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "ünï\n\"x\" 😀"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 7}}),
    ]
}

#[test]
fn frames_become_the_events_they_carry_in_any_pieces() {
    let events = reply();
    let bytes: Vec<u8> = events.iter().flat_map(frame).collect();
    for size in [1, 2, 3, 5, 11, 12, 13, 64, 1000, bytes.len()] {
        assert_eq!(translated(&bytes, size), (native(&events), false), "in pieces of {size}");
    }
    let metered = |text: &str| {
        let mut meter = StreamMeter::default();
        let fed = meter.feed(text.as_bytes());
        assert!(fed.ended);
        meter.outcome()
    };
    assert_eq!(metered(&translated(&bytes, 9).0), metered(&native(&events)));
}

#[test]
fn exceptions_become_error_events() {
    let begun: Vec<u8> = frame(&reply()[0]);
    for (name, payload, kind, message) in [
        ("throttlingException", r#"{"message":"Too many tokens"}"#, "rate_limit_error", "Too many tokens"),
        ("modelStreamErrorException", r#"{"message":"x"}"#, "api_error", "x"),
        ("serviceUnavailableException", r#"{"message":"busy"}"#, "overloaded_error", "busy"),
        (
            "validationException",
            r#"{"message":"Input is too long for requested model."}"#,
            "invalid_request_error",
            "Input is too long.",
        ),
        (
            "internalServerException",
            r#"{"message":"role arn:aws:iam::123456789012:role/x"}"#,
            "api_error",
            "role arn:***",
        ),
        (
            "somethingNewException",
            "\u{0}",
            "api_error",
            "The model provider reported an error without saying which.",
        ),
    ] {
        let (text, garbled) = translated(&[begun.clone(), exception(name, payload)].concat(), 10);
        let data = text.rsplit("event: error\ndata: ").next().unwrap().strip_suffix("\n\n").unwrap();
        let error: Value = serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(error, json!({"type": "error", "error": {"type": kind, "message": message}}));
        assert!(!garbled && !data.contains('\n'));
    }
    let fatal = encode(
        &[(":message-type", "error"), (":error-code", "InternalFailure"), (":error-message", "x")],
        b"",
    );
    assert!(translated(&fatal.unwrap(), 10).0.contains(r#""type":"api_error""#));
}

#[test]
fn line_breaks_within_an_event_do_not_break_it_in_two() {
    let payload = json!({"bytes": Base64::encode_string(b"{\r\n \"type\":\"ping\",\n\n\"x\":\"a\\nb\"}")});
    let bytes =
        encode(&[(":event-type", "chunk"), (":message-type", "event")], payload.to_string().as_bytes());
    let (text, garbled) = translated(&bytes.unwrap(), 7);
    assert_eq!(
        (text.as_str(), garbled),
        ("event: ping\ndata: {   \"type\":\"ping\",  \"x\":\"a\\nb\"}\n\n", false)
    );
}

#[test]
fn what_is_no_event_ends_the_stream() {
    let chunk = |payload: &str| {
        encode(&[(":event-type", "chunk"), (":message-type", "event")], payload.as_bytes()).unwrap()
    };
    let b64 = |text: &str| json!({"bytes": Base64::encode_string(text.as_bytes())}).to_string();
    let mut flipped = frame(&reply()[1]);
    flipped[20] ^= 1;
    for bad in [
        chunk("no json"),
        chunk(r#"{"p":"x"}"#),
        chunk(r#"{"bytes":"***"}"#),
        chunk(&b64("no json")),
        chunk(&b64(r#"{"type":"a\nevent: b"}"#)),
        chunk(&b64(r#"{"type":""}"#)),
        chunk(&b64(r#"{"kind":"x"}"#)),
        encode(&[(":message-type", "else")], b"").unwrap(),
        flipped,
    ] {
        let bytes = [frame(&reply()[0]), bad, frame(&reply()[6])].concat();
        let (text, garbled) = translated(&bytes, 17);
        assert_eq!((text, garbled), (native(&reply()[..1]), true));
    }
    let other = encode(&[(":message-type", "event"), (":event-type", "news")], b"?").unwrap();
    assert_eq!(translated(&other, 9), (String::new(), false), "an event of a kind that is not known yet");
}

proptest! {
    #[test]
    fn no_bytes_make_the_translation_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1..40_usize) {
        let mut events = Events::default();
        for piece in bytes.chunks(size) {
            events.feed(piece);
        }
    }
}

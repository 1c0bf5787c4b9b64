//! The conformance corpus (`conformance/`): every case through the program, to a fake of every kind of provider.

use std::path::Path;

use gatehouse_testkit::http::{self, Reply};
use gatehouse_testkit::provider::{Act, Seen};
use gatehouse_testkit::sse;
use serde_json::{Value, json};

use crate::clouds::{BEDROCK, FOUNDRY, MANTLE, PLATFORM, cloud, framed, native};
use crate::ingress::VERTEX;
use crate::world::{MODEL, World, world};

/// The cases, by name.
fn corpus() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut cases: Vec<(String, Value)> = files
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let case = serde_json::from_slice(&std::fs::read(&path).unwrap());
            (name.clone(), case.unwrap_or_else(|error| panic!("{name}: {error}")))
        })
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

/// What a provider of this kind answers.
fn script(case: &Value, is_bedrock: bool) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    let case = case.clone();
    move |_| {
        if let Some(events) = case["events"].as_array() {
            let mut acts = if is_bedrock {
                framed(events, 200)
            } else {
                vec![sse::stream_head(), sse::chunk(&native(events)), sse::last_chunk()]
            };
            if case["cut"] == true {
                *acts.last_mut().unwrap() = Act::Close;
            }
            return acts;
        }
        let status = case["status"].as_u64().map_or(200, |status| u16::try_from(status).unwrap());
        let reply = match &case["reply"] {
            reply if is_bedrock && status != 200 => json!({"message": reply["error"]["message"]}),
            reply if is_bedrock && case["count"] == true => json!({"inputTokens": reply["input_tokens"]}),
            reply => reply.clone(),
        };
        sse::plain(status, &reply)
    }
}

fn ask(w: &World, case: &Value) -> Reply {
    let mut body = case["request"].clone();
    body["model"] = json!(MODEL);
    let betas =
        case["betas"].as_array().map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    let betas = betas.unwrap_or_default().join(",");
    let mut headers = vec![("x-api-key", w.key.as_str()), ("anthropic-version", "2023-06-01")];
    headers.extend((!betas.is_empty()).then_some(("anthropic-beta", betas.as_str())));
    let path = if case["count"] == true { "/v1/messages/count_tokens" } else { "/v1/messages" };
    http::once(&w.gatehouse.gateway, "POST", path, &headers, body.to_string().as_bytes())
}

/// What the provider saw must be what the client asked, but for what its kind has otherwise.
fn check_sent(case: &Value, seen: &Seen, what: &str) {
    let mut sent: Value = serde_json::from_slice(&seen.body).unwrap();
    if let Some(inner) = sent["input"]["invokeModel"]["body"].as_str() {
        use base64ct::Encoding as _;
        sent = serde_json::from_slice(&base64ct::Base64::decode_vec(inner).unwrap()).unwrap();
    } else {
        let messages = case["request"]["messages"].to_string();
        assert!(String::from_utf8_lossy(&seen.body).contains(&messages), "{what}: the messages changed");
    }
    let mut asked = case["request"].clone();
    for body in [&mut sent, &mut asked] {
        for member in ["model", "stream", "anthropic_version", "anthropic_beta"] {
            body.as_object_mut().unwrap().remove(member);
        }
    }
    assert_eq!(sent, asked, "{what}");
}

fn check_reply(case: &Value, reply: &Reply, what: &str) {
    let expect = &case["expect"];
    if let Some(kind) = expect["error"].as_str() {
        let told = reply.json();
        let got = (u64::from(reply.status), told["error"]["type"].as_str());
        assert_eq!(got, (case["status"].as_u64().unwrap(), Some(kind)), "{what}");
        if let Some(message) = expect["message"].as_str() {
            assert_eq!(told["error"]["message"], message, "{what}");
        }
        return;
    }
    assert_eq!(reply.status, 200, "{what}: {}", reply.text());
    if let Some(kind) = expect["stream_error"].as_str() {
        let text = reply.text();
        let (_, last) = text.split_once("event: error\ndata: ").unwrap_or_else(|| panic!("{what}: {text}"));
        let last: Value = serde_json::from_str(last.trim_end()).unwrap();
        assert_eq!(last["error"]["type"], kind, "{what}");
        assert!(!text.contains("message_stop"), "{what}");
        return;
    }
    match case["events"].as_array() {
        Some(events) => assert_eq!(reply.text(), native(events), "{what}"),
        None => assert_eq!(reply.json(), case["reply"], "{what}"),
    }
}

fn check_record(case: &Value, record: &Value, what: &str) {
    let expect = &case["expect"];
    let ended = if expect["error"].is_string() {
        "upstream_error"
    } else if expect["stream_error"].is_string() {
        "upstream_failed"
    } else {
        "completed"
    };
    assert_eq!(record["ended"], ended, "{what}: {record:#}");
    for (member, count) in expect["usage"].as_object().into_iter().flatten() {
        assert_eq!(&record["usage"][member], count, "{what}: {member} of {record:#}");
    }
}

#[test]
fn every_case_holds_with_every_kind_of_provider() {
    let cases = corpus();
    assert!(cases.len() > 20);
    for (kind, settings) in [
        ("anthropic", ""),
        ("bedrock", BEDROCK),
        ("bedrock-mantle", MANTLE),
        ("claude-platform-aws", PLATFORM),
        ("vertex", VERTEX),
        ("foundry", FOUNDRY),
    ] {
        let first = script(&json!({}), false);
        let w = if settings.is_empty() { world(first) } else { cloud(settings, first) };
        for (name, case) in &cases {
            let what = format!("{name} with {kind}");
            w.provider.now(script(case, kind == "bedrock"));
            let reply = ask(&w, case);
            let record = w.gatehouse.exchanges().pop().unwrap();
            let is_refused = case["refused_by"].as_array().is_some_and(|by| by.contains(&json!(kind)));
            if is_refused {
                assert_eq!((reply.status, &record["reason"]), (400, &json!("unsupported")), "{what}");
                assert_eq!(w.provider.unseen(), 0, "{what}");
                continue;
            }
            check_sent(case, &w.provider.seen(), &what);
            check_reply(case, &reply, &what);
            check_record(case, &record, &what);
        }
    }
}

#[test]
fn a_live_provider_is_asked_only_when_that_is_wanted_and_by_its_name() {
    let w = world(crate::world::echo(12, 5));
    let ask = |more: &[&str]| {
        let base = ["--json", "conformance", "--provider", "main", "--model", MODEL, "--key", &w.key];
        let output = w.gatehouse.cli(&[&base, more].concat());
        let said = String::from_utf8_lossy(&[output.stdout.clone(), output.stderr].concat()).into_owned();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default(), said)
    };
    let (code, _, said) = ask(&[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("--yes"), "{said}");
    for (case, why) in [("none", "there is no case `none`"), ("cut", "cannot be asked of a live provider")] {
        let (code, _, said) = ask(&["--yes", "--case", case]);
        assert_eq!(code, Some(2));
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(w.provider.unseen(), 0);
    let (code, runs, said) = ask(&["--yes", "--case", "text,text_stream,count"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(runs.as_array().unwrap().iter().all(|run| run["passed"] == true), "{runs:#}");
    assert_eq!(runs.as_array().unwrap().len(), 3);
    // It says "forty-two" to everything.
    let (code, runs, _) = ask(&["--yes", "--case", "tool_use,error_400"]);
    assert_eq!(code, Some(1));
    let wrong: Vec<&str> = runs.as_array().unwrap().iter().filter_map(|run| run["wrong"].as_str()).collect();
    assert_eq!(wrong, ["`no error` instead of `invalid_request_error`", "no `tool_use` among [\"text\"]"]);
}

//! What a provider says that it does not know is left out, the request is sent once more, and it is said so.

use gatehouse_testkit::http::{Connection, Reply};
use gatehouse_testkit::provider::{Act, Seen};
use gatehouse_testkit::sse;
use serde_json::{Value, json};

use super::{Several, several};
use crate::world::{MODEL, echo};

const TOLD: &str = "[routing]\nreply_headers = true\nhealth_check_seconds = 0\n";
const BETAS: &str = "context-management-2025-06-27, effort-2025-11-24";
const FIELD: &str = "\"context_management\" : {\"edits\":[1e2]}";

/// A provider that does not know these members of the body, nor the betas that belong to context management.
fn strict(unknown: &'static [&'static str]) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    move |seen| {
        let asked: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let found = unknown.iter().find(|name| asked.get(name).is_some());
        let is_half = asked.get("context_management").is_none()
            && seen.header("anthropic-beta").is_some_and(|betas| betas.contains("context-management"));
        match (found, is_half) {
            (Some(name), _) => refuse(&format!("{name}: Extra inputs are not permitted")),
            (None, true) => refuse("half a pair"),
            (None, false) => echo(10, 5)(seen),
        }
    }
}

fn refuse(message: &str) -> Vec<Act> {
    let error = json!({"type": "invalid_request_error", "message": message});
    sse::plain(400, &json!({"type": "error", "error": error, "request_id": "req_theirs"}))
}

/// Odd spacing: every other byte is to stay as it was.
fn body(model: &str, more: &str) -> String {
    format!("{{\"model\": \"{model}\" ,{more} \"max_tokens\" :100, \"x\":[ 1e2 ],\"messages\": []}}")
}

fn ask(w: &Several, path: &str, body: &str) -> Reply {
    let mut connection = Connection::open(&w.gatehouse.gateway);
    let headers = [("x-api-key", w.key.as_str()), ("anthropic-beta", BETAS)];
    connection.request("POST", path, &headers, body.as_bytes());
    connection.reply()
}

fn sent(seen: &Seen) -> String {
    String::from_utf8(seen.body.clone()).unwrap()
}

#[test]
fn a_member_that_is_not_known_is_left_out_once_and_then_at_once() {
    for count in [1, 2] {
        let w = several(count, &[], TOLD);
        w.providers[0].now(strict(&["context_management"]));
        let with = body(MODEL, &format!(" {FIELD} ,"));
        let without = with.replace(&format!(", {FIELD}"), "");
        let reply = ask(&w, "/v1/messages", &with);
        assert_eq!((reply.status, reply.complete), (200, true), "{}", reply.text());
        let left_out = "context_management,context-management-2025-06-27";
        assert_eq!(reply.header("x-gatehouse-left-out"), Some(left_out));
        let (first, second) = (w.providers[0].seen(), w.providers[0].seen());
        assert_eq!((sent(&first), first.header("anthropic-beta")), (with.clone(), Some(BETAS)));
        assert_eq!(
            (sent(&second), second.header("anthropic-beta")),
            (without.clone(), Some("effort-2025-11-24"))
        );
        let e = w.newest();
        let attempts: Vec<_> =
            e["attempts"].as_array().unwrap().iter().map(|a| (&a["provider"], &a["fault"])).collect();
        assert_eq!(attempts, [(&json!("main"), &json!("unsupported"))], "{e:#}");
        assert_eq!(
            (e["status"].as_u64(), e["provider"].as_str(), e["ended"].as_str()),
            (Some(200), Some("main"), Some("completed"))
        );
        assert_eq!(e["left_out"], json!(["context_management", "context-management-2025-06-27"]));

        // From now on at once: no refusal, and no attempt that comes to nothing. Of another model it is not known.
        let reply = ask(&w, "/v1/messages", &with);
        assert_eq!((reply.status, sent(&w.providers[0].seen())), (200, without));
        assert_eq!((w.newest()["attempts"].as_array().map(Vec::len), w.providers[0].unseen()), (Some(0), 0));
        assert_eq!(w.newest()["left_out"][0], "context_management");
        let other = body("claude-novum-9", &format!(" {FIELD} ,"));
        assert_eq!(ask(&w, "/v1/messages", &other).status, 200);
        assert_eq!(w.counts()[0], 2);

        let listed = w.gatehouse.json(&["provider", "list"]);
        let learned = &listed[0]["learned"];
        assert_eq!(learned.as_array().map(Vec::len), Some(2), "{listed:#}");
        let one = learned.as_array().unwrap().iter().find(|one| one["model"] == MODEL).unwrap();
        assert_eq!(
            (&one["kind"], &one["name"], &one["requests"]),
            (&json!("field"), &json!("context_management"), &json!(2))
        );
        let metrics = gatehouse_testkit::http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
        for line in [
            "gatehouse_provider_learned{provider=\"main\"} 2",
            "gatehouse_provider_learned_total{provider=\"main\"} 2",
            "gatehouse_provider_left_out_total{provider=\"main\"} 3",
            "gatehouse_attempts_total{provider=\"main\",outcome=\"unsupported\"} 2",
        ] {
            assert!(metrics.contains(line), "{line}\n{metrics}");
        }
        assert!(w.providers.iter().skip(1).all(|other| other.unseen() == 0), "nobody else is asked");
    }
}

#[test]
fn what_cannot_be_left_out_is_refused_once_in_the_providers_words() {
    let w = several(1, &[], TOLD);
    for message in [
        "messages: Extra inputs are not permitted",
        "tools.0.custom.defer_loading: Extra inputs are not permitted",
        "never_sent: Extra inputs are not permitted",
        "max_tokens: must be greater than 0",
    ] {
        w.providers[0].now(move |_| refuse(message));
        let reply = ask(&w, "/v1/messages", &body(MODEL, ""));
        let told = reply.json();
        assert_eq!(
            (reply.status, told["error"]["message"].as_str(), told["request_id"].as_str()),
            (400, Some(message), Some("req_theirs"))
        );
        assert_eq!(w.counts(), [1], "{message}");
        let e = w.newest();
        assert_eq!(
            (e["attempts"].as_array().map(Vec::len), e["ended"].as_str()),
            (Some(0), Some("upstream_error"))
        );
    }
    // Two things, of which the second is named only when the first is gone: one further attempt, not two.
    w.providers[0].now(strict(&["context_management", "speed"]));
    let both = body(MODEL, &format!(" {FIELD} , \"speed\":\"fast\","));
    let reply = ask(&w, "/v1/messages", &both);
    assert_eq!((reply.status, w.counts()), (400, vec![2]));
    assert!(reply.text().contains("speed: Extra inputs"), "{}", reply.text());
    assert_eq!(
        (ask(&w, "/v1/messages", &both).status, w.counts()),
        (200, vec![2]),
        "the next one gets further"
    );
}

#[test]
fn counts_and_clouds_are_the_same_and_it_can_be_turned_off() {
    let w = several(1, &[], TOLD);
    w.providers[0].now(strict(&["context_management"]));
    let with = body(MODEL, &format!(" {FIELD} ,"));
    assert_eq!((ask(&w, "/v1/messages/count_tokens", &with).status, w.counts()), (200, vec![2]));

    let cloud = "serves = [\"direct-*\"]\n[[provider]]\nname = \"cloud\"\nkind = \"foundry\"\nbase_url = \"URL\"\napi_key = \"env:UPSTREAM_KEY\"\n";
    let fake = gatehouse_testkit::provider::FakeProvider::start(strict(&["context_management"]));
    let w = several(1, &[&cloud.replace("URL", &fake.url)], TOLD);
    assert_eq!(ask(&w, "/v1/messages", &with).status, 200);
    let (first, second) = (fake.seen(), fake.seen());
    let without = with.replace(&format!(", {FIELD}"), "");
    assert_eq!((sent(&first), sent(&second)), (with.clone(), without));
    assert_eq!(second.header("anthropic-beta"), Some("effort-2025-11-24"));

    let w = several(1, &[], "[routing]\nlearn_hours = 0\n");
    w.providers[0].now(strict(&["context_management"]));
    for _ in 0..2 {
        assert_eq!((ask(&w, "/v1/messages", &with).status, w.counts()), (400, vec![1]));
    }
}

//! Another provider takes over, or does not: by the class of the failure, within the budget, behind breakers.

use gatehouse_testkit::provider::Act;
use gatehouse_testkit::{sse, wait};
use serde_json::json;

use super::{failing, raw, several};
use crate::world::{MODEL, ask, echo};

/// Nothing is remembered against a provider, so that each case stands alone.
const PATIENT: &str = "[routing]\nbreaker_failures = 1000\ncooldown_seconds = 0\nretry_burst = 1000\nreply_headers = true\n\
    health_check_seconds = 0\n";

#[test]
fn what_another_provider_may_answer_is_failed_over_before_content() {
    let w = several(2, &["first_byte_seconds = 1\nstream_idle_seconds = 1"], PATIENT);
    let html = "HTTP/1.1 200 X\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    let error = |kind: &str| sse::event(&json!({"type": "error", "error": {"type": kind, "message": "m"}}));
    let begun = |text: &str, then: Act| vec![sse::stream_head(), sse::chunk(text), then];
    let cases: Vec<(&str, Vec<Act>)> = vec![
        ("overloaded", failing(529, "overloaded_error")(&nobody())),
        ("server_error", failing(500, "api_error")(&nobody())),
        ("rate_limited", failing(429, "rate_limit_error")(&nobody())),
        ("credential", failing(401, "authentication_error")(&nobody())),
        ("credential", failing(403, "permission_error")(&nobody())),
        ("not_served", failing(404, "not_found_error")(&nobody())),
        ("broken", vec![Act::Close]),
        ("broken", raw("this is no HTTP\r\n\r\n")),
        ("garbage", raw(html)),
        (
            "garbage",
            raw("HTTP/1.1 302 X\r\nlocation: http://elsewhere.example/\r\ncontent-length: 0\r\n\r\n"),
        ),
        ("broken", begun("event: message_sta", Act::Close)),
        ("broken", begun("event: ping\ndata: {\"type\": \"ping\"}\n\n", Act::Close)),
        ("overloaded", begun(&error("overloaded_error"), sse::last_chunk())),
        ("timeout", vec![Act::Hang]),
        ("timeout", vec![sse::stream_head(), Act::Hang]),
    ];
    for (fault, acts) in cases {
        w.providers[0].now(move |_| acts.clone());
        let reply = w.post("s", &ask(true));
        assert_eq!((reply.status, reply.complete), (200, true), "{fault}: {}", reply.text());
        assert_eq!(reply.text(), sse::stream(MODEL, "forty-two", &sse::usage(10, 5)), "{fault}");
        assert_eq!(reply.header("x-gatehouse-provider"), Some("b"));
        assert_eq!(reply.header("x-gatehouse-attempts"), Some("2"));
        let (first, second) = (w.providers[0].seen(), w.providers[1].seen());
        assert!(first.body == ask(true) && second.body == ask(true), "the same bytes");
        let e = w.newest();
        assert_eq!((e["provider"].as_str(), e["ended"].as_str()), (Some("b"), Some("completed")), "{e:#}");
        let attempts = e["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "{e:#}");
        assert_eq!(
            (attempts[0]["provider"].as_str(), attempts[0]["fault"].as_str()),
            (Some("main"), Some(fault)),
            "{e:#}"
        );
        let counted = (&e["usage"]["input_tokens"], &e["usage"]["output_tokens"], &e["estimated"]);
        assert_eq!(counted, (&json!(10), &json!(5), &json!(false)));
        assert_eq!(e["bytes_out"], reply.body.len());
    }
    assert_eq!(w.counts(), [0, 0], "one request each");
    // Plain replies, and counts of tokens.
    w.providers[0].now(failing(529, "overloaded_error"));
    assert_eq!(w.post("s", &ask(false)).json()["content"][0]["text"], "forty-two");
    let count = w.gatehouse.post_to("/v1/messages/count_tokens", &w.key, &ask(false));
    assert_eq!(count.json()["input_tokens"], 10);
    w.providers[0]
        .now(|_| raw("HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n<oh>\n"));
    assert_eq!(w.post("s", &ask(false)).json()["content"][0]["text"], "forty-two");
}

fn nobody() -> gatehouse_testkit::provider::Seen {
    gatehouse_testkit::provider::Seen { line: String::new(), headers: Vec::new(), body: Vec::new() }
}

#[test]
fn a_provider_that_is_overloaded_gets_fewer_requests_at_once() {
    let w = several(2, &[], &format!("{PATIENT}adaptive_concurrency = true\n"));
    w.providers[0].now(failing(529, "overloaded_error"));
    for _ in 0..20 {
        assert_eq!(w.post("s", &ask(false)).header("x-gatehouse-attempts"), Some("2"));
    }
    w.providers[0].now(|seen| [vec![Act::Hold], echo(10, 5)(seen)].concat());
    assert_eq!(w.counts(), [20, 20]);
    let first = std::thread::scope(|scope| {
        let first = scope.spawn(|| w.post("s", &ask(false)));
        wait::until("the first to be under way", || (w.providers[0].unseen() == 1).then_some(()));
        let second = w.post("t", &ask(false));
        assert_eq!(second.header("x-gatehouse-provider"), Some("b"), "there is room for one");
        assert_eq!(second.header("x-gatehouse-attempts"), Some("1"), "it was not even asked");
        w.providers[0].release();
        first.join().unwrap()
    });
    assert_eq!(first.header("x-gatehouse-provider"), Some("main"));
}

#[test]
fn a_slow_provider_is_hedged_only_if_wanted_and_both_attempts_are_recorded() {
    let w = several(2, &[], &format!("{PATIENT}hedge_after_ms = 20\n"));
    for stream in [true, false] {
        w.providers[0].now(|_| vec![Act::Hang]);
        let reply = w.post("s", &ask(stream));
        assert_eq!(
            (reply.status, reply.complete, reply.header("x-gatehouse-provider")),
            (200, true, Some("b"))
        );
        w.providers[0].wait_gone(1 + usize::from(!stream));
        assert_eq!(w.counts(), [1, 1]);
        let e = w.newest();
        let told: Vec<_> = e["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| (a["provider"].as_str(), a["fault"].as_str()))
            .collect();
        assert_eq!(told, [(Some("main"), Some("hedged"))], "{e:#}");
        assert_eq!((e["provider"].as_str(), e["ended"].as_str()), (Some("b"), Some("completed")));
        let counted = (&e["usage"]["input_tokens"], &e["usage"]["output_tokens"], &e["estimated"]);
        assert_eq!(counted, (&json!(10), &json!(5), &json!(false)));
    }
    // One that fails meanwhile is recorded as what it was, and the other one is waited for.
    w.providers[1].now(failing(529, "overloaded_error"));
    w.providers[0].now(|seen| [vec![Act::Hold], echo(10, 5)(seen)].concat());
    let reply = std::thread::scope(|scope| {
        let reply = scope.spawn(|| w.post("t", &ask(true)));
        overloaded(&w, 1);
        w.providers[0].release();
        reply.join().unwrap()
    });
    assert_eq!((reply.status, reply.header("x-gatehouse-provider")), (200, Some("main")));
    let e = w.newest();
    assert_eq!((&e["provider"], &e["attempts"][0]["provider"]), (&json!("main"), &json!("b")), "{e:#}");
    assert_eq!((&e["attempts"][0]["fault"], &e["usage"]["output_tokens"]), (&json!("overloaded"), &json!(5)));
    // Both fail: the client hears the last.
    w.providers[0].now(|_| [vec![Act::Hold], failing(500, "api_error")(&nobody())].concat());
    let reply = std::thread::scope(|scope| {
        let reply = scope.spawn(|| w.post("u", &ask(true)));
        overloaded(&w, 2);
        w.providers[0].release();
        reply.join().unwrap()
    });
    assert_eq!(reply.status, 500);
    assert_eq!(w.gatehouse.exchanges().len(), 4, "one record each");
}

/// Waits until the second provider has answered so often that it is overloaded.
fn overloaded(w: &super::Several, count: usize) {
    let line = format!("gatehouse_attempts_total{{provider=\"b\",outcome=\"overloaded\"}} {count}\n");
    wait::until("the other to fail", || {
        let metrics = gatehouse_testkit::http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
        metrics.contains(&line).then_some(())
    });
}

#[test]
fn what_is_the_requests_fault_or_has_begun_is_not_failed_over() {
    let w = several(2, &[], PATIENT);
    for (status, kind) in [(400, "invalid_request_error"), (413, "request_too_large"), (402, "billing_error")]
    {
        w.providers[0].now(failing(status, kind));
        let reply = w.post("s", &ask(true));
        assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (status, Some(kind)));
        assert_eq!(w.counts(), [1, 0]);
    }
    w.providers[0].now(|_| {
        let begun = sse::start(MODEL, &sse::usage(7, 1)) + &sse::text("half a wo");
        vec![sse::stream_head(), sse::chunk(&begun), Act::Close]
    });
    let reply = w.post("s", &ask(true));
    assert_eq!(w.counts(), [1, 0]);
    assert!(reply.text().contains("half a wo") && reply.text().contains("event: error"), "{}", reply.text());
    let e = w.newest();
    assert_eq!(
        (e["ended"].as_str(), e["attempts"].as_array().map(Vec::len)),
        (Some("upstream_failed"), Some(0))
    );
    assert_eq!(e["provider"], "main");
}

#[test]
fn the_last_answer_goes_to_the_client_and_never_that_a_credential_is_bad() {
    let w = several(2, &[], PATIENT);
    w.providers[0].now(failing(529, "overloaded_error"));
    w.providers[1].now(failing(500, "api_error"));
    let reply = w.post("s", &ask(true));
    assert_eq!((reply.status, reply.header("x-gatehouse-provider")), (500, Some("b")));
    let e = w.newest();
    assert_eq!(
        (e["status"].as_u64(), e["ended"].as_str(), e["cost_nanos"].as_u64()),
        (Some(500), Some("upstream_error"), Some(0))
    );
    w.providers[1].now(failing(401, "authentication_error"));
    assert_eq!(w.post("s", &ask(true)).status, 503, "the client would ask its user to sign in");
    w.providers[1].now(|_| vec![sse::stream_head(), Act::Close]);
    assert_eq!(w.post("s", &ask(true)).status, 502, "nothing has gone out, so the status tells it");
}

#[test]
fn a_provider_that_cannot_be_connected_to_costs_one_attempt() {
    // Port 1 is nobody's. Nothing is tried beside requests.
    let closed = "[[provider]]\nname = \"z\"\nbase_url = \"http://127.0.0.1:1\"\napi_key = \"env:UPSTREAM_KEY\"\n\
        [[route]]\nname = \"r\"\n[[route.providers]]\nname = \"z\"\n[[route.providers]]\nname = \"main\"\npriority = 2\n";
    let w = several(1, &[], &format!("{PATIENT}{closed}"));
    assert_eq!(w.post("s", &ask(true)).status, 200);
    assert_eq!(w.newest()["attempts"][0]["fault"], "connect");
    assert_eq!(w.counts(), [1]);
}

#[test]
fn a_check_finds_a_provider_that_cannot_be_connected_to() {
    let closed = "[routing]\nhealth_check_seconds = 1\n[[provider]]\nname = \"z\"\nbase_url = \"http://127.0.0.1:1\"\n\
        api_key = \"env:UPSTREAM_KEY\"\n";
    let w = several(1, &[], closed);
    wait::until("the check", || {
        let list = w.gatehouse.json(&["provider", "list"]);
        let z = list.as_array()?.iter().find(|one| one["name"] == "z")?;
        (z["health"] == "cannot be connected to").then_some(())
    });
    assert_eq!(w.counts(), [0], "it costs nothing");
}

#[test]
fn a_breaker_opens_and_closes_as_documented() {
    let w = several(
        2,
        &[],
        "[routing]\nbreaker_failures = 3\nbreaker_open_seconds = 4\nbreaker_probes = 2\nretry_burst = 100\n",
    );
    w.providers[0].now(failing(500, "api_error"));
    for _ in 0..3 {
        assert_eq!(w.post("s", &ask(false)).status, 200);
    }
    assert_eq!(w.counts(), [3, 3]);
    for _ in 0..3 {
        assert_eq!(w.post("s", &ask(false)).status, 200);
    }
    assert_eq!(w.counts(), [0, 3], "it is left alone");
    let told = w.gatehouse.json(&["route", "explain", "--user", "dev@example.com", "--model", MODEL]);
    assert!(told["candidates"][0]["state"].as_str().unwrap().starts_with("breaker open for"), "{told:#}");
    assert_eq!(
        (told["candidates"][0]["usable"].as_bool(), told["candidates"][1]["usable"].as_bool()),
        (Some(false), Some(true))
    );
    // A probe fails, and the breaker is open anew; then two are good.
    let probe = || {
        wait::until("a probe", || {
            assert_eq!(w.post("s", &ask(false)).status, 200);
            (w.counts()[0] > 0).then_some(())
        });
    };
    probe();
    assert_eq!(w.post("s", &ask(false)).status, 200);
    assert_eq!(w.counts()[0], 0);
    w.providers[0].now(echo(1, 1));
    probe();
    for _ in 0..3 {
        w.post("s", &ask(false));
    }
    assert_eq!(w.counts(), [3, 0], "it is in use again");
    let metrics = gatehouse_testkit::http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
    assert!(
        metrics.contains("gatehouse_attempts_total{provider=\"main\",outcome=\"server_error\"} 4"),
        "{metrics}"
    );
}

#[test]
fn where_all_are_left_alone_nobody_is_asked() {
    let w = several(2, &[], "[routing]\nretry_burst = 100\n");
    let limited =
        "HTTP/1.1 429 X\r\nretry-after: 50\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    for provider in &w.providers {
        provider.now(move |_| vec![Act::Send(limited.as_bytes().to_vec())]);
    }
    let reply = w.post("s", &ask(true));
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("50")));
    assert_eq!(w.counts(), [1, 1]);
    let reply = w.post("s", &ask(true));
    assert_eq!(reply.status, 503);
    let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=50).contains(&after), "{after}");
    assert_eq!(w.counts(), [0, 0], "no storm");
    let e = w.newest();
    assert_eq!((e["ended"].as_str(), e["reason"].as_str()), (Some("refused"), Some("providers_unavailable")));
}

#[test]
fn further_attempts_keep_to_their_budget() {
    let budget = "[routing]\nretry_percent = 10\nretry_burst = 3\nbreaker_failures = 1000\n";
    let w = several(2, &[], budget);
    w.providers[0].now(failing(500, "api_error"));
    let good = (0..50).filter(|_| w.post("s", &ask(false)).status == 200).count();
    let counts = w.counts();
    assert_eq!(counts, [50, good]);
    assert!((7..=8).contains(&good), "3 at once, and one for each ten requests: {good}");
}

#[test]
fn one_provider_is_asked_again_only_where_rounds_are_allowed() {
    let w = several(1, &[], "");
    w.providers[0].now(failing(529, "overloaded_error"));
    assert_eq!(w.post("s", &ask(true)).status, 529);
    assert_eq!(w.counts(), [1]);
    let w = several(1, &[], "[routing]\nrounds = 3\nbackoff_base_ms = 20\n");
    w.providers[0].now(failing(529, "overloaded_error"));
    assert_eq!(w.post("s", &ask(true)).status, 529);
    assert_eq!(w.counts(), [3]);
    assert_eq!(w.newest()["attempts"].as_array().map(Vec::len), Some(2));
    w.providers[0].now(failing(401, "authentication_error"));
    assert_eq!(w.post("s", &ask(true)).status, 401);
    assert_eq!(w.counts(), [1], "a credential that is refused is refused again");
}

#[test]
fn budgets_are_held_and_charged_once_however_many_are_asked() {
    let w = several(2, &[], PATIENT);
    let id = w.gatehouse.json(&["budget", "add", "1"])["id"].as_str().unwrap().to_owned();
    w.providers[0].now(failing(529, "overloaded_error"));
    for _ in 0..3 {
        assert_eq!(w.post("s", &ask(true)).status, 200);
    }
    let cost: u64 = w.gatehouse.exchanges().iter().map(|e| e["cost_nanos"].as_u64().unwrap()).sum();
    assert_eq!(cost, 3 * (10 * 2_000 + 5 * 10_000));
    let shown = w.gatehouse.json(&["budget", "show", &id]);
    assert_eq!(
        (shown["spent_nanos"].as_u64(), shown["held_nanos"].as_u64()),
        (Some(cost), Some(0)),
        "{shown:#}"
    );
    // One that counts the second provider only, and is used up: that provider is not asked.
    w.gatehouse.json(&["budget", "add", "0.000001", "--provider", "b"]);
    w.counts();
    let reply = w.post("s", &ask(true));
    assert_eq!(reply.status, 429, "{}", reply.text());
    assert_eq!(w.counts(), [1, 0]);
    let shown = w.gatehouse.json(&["budget", "show", &id]);
    assert_eq!(
        (shown["spent_nanos"].as_u64(), shown["held_nanos"].as_u64()),
        (Some(cost), Some(0)),
        "{shown:#}"
    );
}

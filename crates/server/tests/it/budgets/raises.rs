//! A person asks for a higher limit, an administrator decides; the calendar and the grace of a budget.

use super::*;

fn ask_more(w: &World, body: &Value) -> Reply {
    let headers = [("x-api-key", w.key.as_str()), ("content-type", "application/json")];
    http::once(&w.gatehouse.gateway, "POST", "/budget/raises", &headers, body.to_string().as_bytes())
}

#[test]
fn only_what_makes_sense_is_asked_for() {
    let w = configured("", "sqlite", echo(10, 10));
    let nothing = ask_more(&w, &json!({"amount_usd": "1", "reason": "x"}));
    assert_eq!(nothing.status, 400, "no budget limits them: {}", nothing.text());
    add(&w, 0, &["--user", "dev@example.com", "--period", "month"]);
    for (body, told) in [
        (json!({"amount_usd": "0", "reason": "x"}), "amount_usd"),
        (json!({"amount_usd": "-1", "reason": "x"}), "amount_usd"),
        (json!({"amount_usd": "1", "reason": " "}), "reason"),
        (json!({"amount_usd": "1", "reason": "x", "until": "1000d"}), "until"),
        (json!({"amount_usd": "1", "reason": "x", "budget": "bud_01JD8X4R6V3Q2M9KZB7T5W0C1E"}), "budget"),
        (json!({"amount_usd": "1"}), "expected a JSON object"),
    ] {
        let reply = ask_more(&w, &body);
        assert!(reply.status == 400 && reply.text().contains(told), "{body}: {}", reply.text());
    }
    let stranger = http::once(&w.gatehouse.gateway, "POST", "/budget/raises", &[], b"{}");
    assert_eq!(stranger.status, 401);
    assert_eq!(w.gatehouse.json(&["budget", "raises"]), json!([]));
}

#[test]
fn a_raise_is_asked_for_decided_and_audited() {
    for store in stores() {
        let w = configured("", &store, echo(10, 10));
        let id = add(&w, 0, &["--user", "dev@example.com", "--period", "month"]);
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 429);
        let much = 10 * worst(&ask(false));
        let body = json!({"amount_usd": usd(much), "reason": "a large migration"});
        let asked = ask_more(&w, &body);
        assert_eq!(asked.status, 201, "{}", asked.text());
        assert_eq!((&asked.json()["state"], &asked.json()["budget"]), (&json!("asked"), &json!(id)));
        assert_eq!(ask_more(&w, &body).status, 409, "one request at a time");
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 429, "a request changes nothing");

        let waiting = w.gatehouse.json(&["budget", "raises", "--state", "asked"]);
        assert_eq!(
            (waiting.as_array().unwrap().len(), &waiting[0]["reason"]),
            (1, &json!("a large migration"))
        );
        let raise = waiting[0]["id"].as_str().unwrap();
        let approved = w.gatehouse.json(&["budget", "approve", raise, "--until", "1h"]);
        assert_eq!(
            (&approved["state"], &approved["in_force"]),
            (&json!("approved"), &json!(true)),
            "{approved}"
        );
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
        let shown = show(&w, &id);
        assert_eq!((shown["limit_nanos"].as_i64(), shown["raised_nanos"].as_i64()), (Some(0), Some(much)));
        let words = ["budget", "explain", "dev@example.com", "--model", MODEL, "--max-tokens", "100"];
        assert_eq!(w.gatehouse.cli(&words).status.code(), Some(0));
        assert!(!w.gatehouse.cli(&["budget", "deny", raise]).status.success(), "it is decided");

        let again = ask_more(&w, &body).json();
        let denied = w.gatehouse.json(&["budget", "deny", again["id"].as_str().unwrap()]);
        assert_eq!(denied["state"], "denied");
        let mine =
            http::once(&w.gatehouse.gateway, "GET", "/budget/raises", &[("x-api-key", &w.key)], b"").json();
        let states: Vec<_> =
            mine["items"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
        assert_eq!(states, ["denied", "approved"]);
        for (action, count) in [("budget.raise", 2), ("budget.approve", 1), ("budget.deny", 1)] {
            let acts = w.gatehouse.json(&["audit", "list", "--action", action]);
            assert_eq!(acts.as_array().unwrap().len(), count, "{action}: {acts}");
        }
    }
}

#[test]
fn a_budget_has_the_calendar_of_its_zone_and_a_grace_behind_its_limit() {
    let w = configured("[budgets]\ntime_zone = \"Asia/Shanghai\"\n", "sqlite", echo(10, 10));
    let one = worst(&ask(false));
    let shanghai = add(&w, 100 * one, &["--period", "day"]);
    let zurich = add(&w, 100 * one, &["--period", "month", "--zone", "Europe/Zurich"]);
    let shown = show(&w, &shanghai);
    assert_eq!(
        (&shown["time_zone"], shown["resets_at"].as_str().map(|at| &at[10..])),
        (&json!("Asia/Shanghai"), Some("T16:00:00.000Z"))
    );
    let resets = show(&w, &zurich)["resets_at"].as_str().unwrap().to_owned();
    assert!(resets.ends_with("T23:00:00.000Z") || resets.ends_with("T22:00:00.000Z"), "{resets}");
    let bad = w.gatehouse.cli(&["budget", "add", "1", "--zone", "Mars/Olympus"]);
    assert!(String::from_utf8_lossy(&bad.stderr).contains("no time zone"));

    let tight = add(&w, one - 1, &["--key", &w.key_id, "--grace", "100", "--period", "day"]);
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200, "within the grace");
    w.gatehouse.json(&["budget", "set", &tight, "--grace", "0"]);
    let refused = w.gatehouse.post(&w.key, &ask(false));
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains("at 00:00 Asia/Shanghai"), "{}", refused.text());
    assert!(!w.gatehouse.cli(&["budget", "set", &tight, "--grace", "101"]).status.success());
}

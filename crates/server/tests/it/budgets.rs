//! A hard budget is never overshot, and refuses nobody without need (P2).

mod raises;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use gatehouse_testkit::http::{self, Connection, Reply};
use gatehouse_testkit::provider::{Act, Seen};
use gatehouse_testkit::{sse, wait};
use serde_json::{Value, json};

use crate::world::{MODEL, World, ask, configured, echo, stores};

/// One request of these tests costs at most so much: its body's tokens written to the cache for an hour, and 100 of output.
pub fn worst(body: &[u8]) -> i64 {
    i64::try_from(body.len().div_ceil(4)).unwrap() * 4_000 + 100 * 10_000
}

/// What [`echo`] of so many tokens costs, in nano-dollars.
pub fn cost(input: i64, output: i64) -> i64 {
    input * 2_000 + output * 10_000
}

/// Nano-dollars as the command line takes them.
pub fn usd(nanos: i64) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

fn add(w: &World, limit: i64, more: &[&str]) -> String {
    let made = w.gatehouse.json(&[&["budget", "add", &usd(limit)], more].concat());
    assert_eq!(made["in_force"], true, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

fn show(w: &World, id: &str) -> Value {
    w.gatehouse.json(&["budget", "show", id])
}

fn standing(w: &World, id: &str) -> (i64, i64) {
    let shown = show(w, id);
    (shown["spent_nanos"].as_i64().unwrap(), shown["held_nanos"].as_i64().unwrap())
}

fn ledger(w: &World) -> i64 {
    w.gatehouse.exchanges().iter().map(|e| e["cost_nanos"].as_i64().unwrap()).sum()
}

/// Answers once it is released.
pub fn held(input: u64, output: u64) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    move |seen| {
        let mut acts = vec![Act::Hold];
        acts.extend(echo(input, output)(seen));
        acts
    }
}

#[test]
fn two_hundred_calls_race_for_the_last_cent() {
    let w = configured("", "sqlite", held(1, 50));
    let body = ask(false);
    let fit: i64 = 7;
    let id =
        add(&w, fit * worst(&body) + worst(&body) - 1, &["--user", "dev@example.com", "--period", "total"]);
    let (passed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                let reply = w.gatehouse.post(&w.key, &body);
                match reply.status {
                    200 => passed.fetch_add(1, Ordering::Relaxed),
                    429 => refused.fetch_add(1, Ordering::Relaxed),
                    other => panic!("{other}: {}", reply.text()),
                };
            });
        }
        // Nobody is answered before all have been let in or refused, so that all of them race for the same money.
        wait::until("all to be let in or refused", || {
            (refused.load(Ordering::Relaxed) == 200 - usize::try_from(fit).unwrap()).then_some(())
        });
        assert_eq!(standing(&w, &id), (0, fit * worst(&body)));
        for _ in 0..fit {
            w.provider.release();
        }
    });
    assert_eq!(passed.load(Ordering::Relaxed), usize::try_from(fit).unwrap());
    assert_eq!(standing(&w, &id), (fit * cost(1, 50), 0));
    let refusals = w.gatehouse.exchanges().into_iter().filter(|e| e["reason"] == "budget");
    assert_eq!(refusals.filter(|e| e["ended"] == "refused" && e["cost_nanos"] == 0).count(), 193);
    // What was reserved and not spent is there again: one after the other, until the next would not fit.
    w.provider.now(echo(1, 50));
    let mut more = 0;
    while w.gatehouse.post(&w.key, &body).status == 200 {
        more += 1;
    }
    let limit = fit * worst(&body) + worst(&body) - 1;
    assert_eq!(more, (limit - worst(&body) - fit * cost(1, 50)) / cost(1, 50) + 1);
    assert_eq!(standing(&w, &id).0, ledger(&w));
}

#[test]
fn a_refusal_is_one_request_and_a_sentence_and_explained_beforehand() {
    for store in stores() {
        let w = configured("", &store, echo(10, 50));
        let limit = worst(&ask(false)) + cost(10, 50) / 2;
        let id = add(&w, limit, &["--user", "dev@example.com", "--period", "day", "--warn", "10,80"]);
        let first = w.gatehouse.post(&w.key, &ask(false));
        assert_eq!(first.status, 200);
        assert_eq!(first.header("anthropic-ratelimit-unified-status"), Some("allowed"));
        let refused = w.gatehouse.post(&w.key, &ask(true));
        assert_eq!((refused.status, refused.header("x-should-retry")), (429, Some("false")));
        assert_eq!(refused.json()["error"]["type"], "billing_error");
        assert!(refused.text().contains("Your daily budget is used up"), "{}", refused.text());
        for (name, value) in
            [("status", "rejected"), ("overage-utilization", "1"), ("overage-period", "daily")]
        {
            assert_eq!(refused.header(&format!("anthropic-ratelimit-unified-{name}")), Some(value), "{name}");
        }
        assert_eq!(refused.header("anthropic-ratelimit-unified-overage-scope"), None, "it is one person's");
        let e = w.gatehouse.exchanges().into_iter().find(|e| e["status"] == 429).unwrap();
        assert_eq!((e["ended"].as_str(), e["reason"].as_str()), (Some("refused"), Some("budget")));

        let explained = w.gatehouse.cli(&[
            "budget",
            "explain",
            "dev@example.com",
            "--model",
            MODEL,
            "--max-tokens",
            "100",
        ]);
        let said = String::from_utf8_lossy(&explained.stdout).into_owned();
        assert_eq!(explained.status.code(), Some(1), "{said}");
        assert!(said.contains("would be refused") && said.contains(&id), "{said}");

        // What the client asks for agrees with what the headers say, to the second.
        let usage =
            http::once(&w.gatehouse.gateway, "GET", "/api/oauth/usage", &[("x-api-key", &w.key)], b"").json();
        let shown = show(&w, &id);
        let (daily, limits) = (&usage["extra_usage"]["daily"], &usage["limits"][0]);
        assert_eq!((daily["used_credits"].as_i64(), daily["limit"].as_i64()), (Some(1), Some(0)), "{usage}");
        assert_eq!(limits["percent"], shown["used_percent"]);
        assert_eq!((&limits["resets_at"], &limits["group"]), (&shown["resets_at"], &json!("daily")));
        let reset: i64 = refused.header("anthropic-ratelimit-unified-reset").unwrap().parse().unwrap();
        assert_eq!(reset % 86_400, 0);

        // Counting tokens costs nothing; a raised limit lets the next one through, with a warning.
        let count = w.gatehouse.post_to("/v1/messages/count_tokens", &w.key, &ask(false));
        assert_eq!(count.status, 200);
        w.gatehouse.json(&["budget", "set", &id, "--limit", &usd(limit + worst(&ask(false)))]);
        let warned = w.gatehouse.post(&w.key, &ask(false));
        assert_eq!(warned.status, 200);
        assert_eq!(warned.header("anthropic-ratelimit-unified-status"), Some("allowed_warning"));
        assert_eq!(warned.header("anthropic-ratelimit-unified-overage-surpassed-threshold"), Some("0.10"));
        w.gatehouse.json(&["budget", "remove", &id]);
        let free = w.gatehouse.post(&w.key, &ask(false));
        assert_eq!((free.status, free.header("anthropic-ratelimit-unified-status")), (200, None));
        assert_eq!(w.gatehouse.json(&["budget", "list"]), json!([]));
    }
}

#[test]
fn team_user_and_key_are_charged_together_or_not_at_all() {
    let w = configured("", "sqlite", echo(10, 10));
    w.gatehouse.json(&["team", "add", "Core"]);
    w.gatehouse.json(&["user", "teams", "dev@example.com", "Core"]);
    let (key_id, key) = w.gatehouse.key("dev@example.com", &["--team", "Core"]);
    let roomy = 10 * worst(&ask(false));
    let team = add(&w, roomy, &["--team", "Core"]);
    let user = add(&w, roomy, &["--user", "dev@example.com", "--period", "week"]);
    let narrow = add(&w, worst(&ask(false)) - 1, &["--key", &key_id, "--period", "total"]);
    let shadow = add(&w, 1, &["--shadow", "--period", "day"]);
    let other_model = add(&w, 0, &["--model", "claude-opus-*"]);
    assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 429);
    for id in [&team, &user, &narrow, &shadow] {
        assert_eq!(standing(&w, id), (0, 0), "nothing is held of a refused request");
    }
    // Another key of the same person, charged to no team.
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    w.gatehouse.json(&["budget", "set", &narrow, "--limit", "1"]);
    let reply = w.gatehouse.post(&key, &ask(false));
    assert_eq!(reply.status, 200);
    let one = cost(10, 10);
    assert_eq!((standing(&w, &team).0, standing(&w, &user).0, standing(&w, &narrow).0), (one, 2 * one, one));
    assert_eq!((standing(&w, &shadow).0, standing(&w, &other_model).0), (2 * one, 0));
    // A lowered limit does not cut who is under way, and lets nobody in who would go beyond it.
    w.provider.now(held(10, 10));
    let mut open = Connection::open(&w.gatehouse.gateway);
    open.request("POST", "/v1/messages", &[("x-api-key", &key)], &ask(true));
    wait::until("the request to be under way", || (standing(&w, &team).1 > 0).then_some(()));
    w.gatehouse.json(&["budget", "set", &team, "--limit", "0"]);
    assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 429);
    w.provider.release();
    assert!(open.reply().text().contains("message_stop"));
    assert_eq!(standing(&w, &team), (2 * one, 0));
    w.provider.now(echo(10, 10));
    w.gatehouse.json(&["budget", "set", &team, "--mode", "shadow"]);
    assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 200);
    assert_eq!(standing(&w, &user).0, ledger(&w));
}

#[test]
fn the_account_is_the_ledgers_after_a_restart_and_after_a_kill() {
    for store in stores() {
        let mut w = configured("", &store, echo(100, 10));
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200, "before there is a budget");
        let id = add(&w, 1_000_000_000, &["--user", "dev@example.com"]);
        assert_eq!(standing(&w, &id), (cost(100, 10), 0), "what was spent before counts");
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
        w.gatehouse.signal("-TERM");
        w.gatehouse.wait();
        w.gatehouse.restart();
        assert_eq!(standing(&w, &id), (2 * cost(100, 10), 0));
        // One that ended and one that is under way: the first is recorded, the second found at the start.
        w.provider.now(|seen| {
            let asked: Value = serde_json::from_slice(&seen.body).unwrap();
            if asked["stream"] == json!(true) { vec![Act::Hang] } else { echo(100, 10)(seen) }
        });
        let mut open = Connection::open(&w.gatehouse.gateway);
        open.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
        wait::until("the request to be under way", || (standing(&w, &id).1 > 0).then_some(()));
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
        w.gatehouse.kill();
        w.gatehouse.restart();
        let all = w.gatehouse.exchanges();
        assert!(all.iter().any(|e| e["ended"] == "interrupted"), "{all:#?}");
        assert_eq!(standing(&w, &id), (ledger(&w), 0));
        assert_eq!(
            standing(&w, &id).0,
            3 * cost(100, 10) + i64::try_from(ask(true).len().div_ceil(4)).unwrap() * 2_000
        );
    }
}

/// Budgets that are made while others spend: nothing is missed, nothing is counted twice.
#[test]
fn a_budget_that_is_made_under_load_is_exact() {
    let w = configured("", "sqlite", echo(10, 1));
    let (stop, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while stop.load(Ordering::Relaxed) == 0 {
                    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
                }
            });
        }
        for n in 0..6 {
            let more: &[&str] =
                if n % 2 == 0 { &["--user", "dev@example.com"] } else { &["--period", "total"] };
            done.lock().unwrap().push(add(&w, 1_000_000_000_000, more));
        }
        stop.store(1, Ordering::Relaxed);
    });
    let spent = ledger(&w);
    for id in done.lock().unwrap().iter() {
        assert_eq!(standing(&w, id), (spent, 0));
    }
}

#[test]
fn who_leaves_and_what_fails_gives_back_what_was_held() {
    let w = configured("", "sqlite", |_: &Seen| vec![Act::Hang]);
    let id = add(&w, 1_000_000_000, &[]);
    let mut leaver = Connection::open(&w.gatehouse.gateway);
    leaver.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
    wait::until("the request to be under way", || (standing(&w, &id).1 > 0).then_some(()));
    drop(leaver);
    wait::until("what was held to be given back", || (standing(&w, &id).1 == 0).then_some(()));
    w.provider.now(|_| {
        sse::plain(529, &json!({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}))
    });
    let failed: Reply = w.gatehouse.post(&w.key, &ask(false));
    assert_eq!(failed.status, 529);
    assert_eq!(failed.header("anthropic-ratelimit-unified-status"), None, "only a success tells of budgets");
    assert_eq!(standing(&w, &id), (ledger(&w), 0));
}

#[test]
fn bad_budgets_are_refused_with_what_is_wrong() {
    let w = configured("", "sqlite", echo(1, 1));
    for (words, told) in [
        (&["1e3"][..], "not an amount of dollars"),
        (&["-1"], "unexpected argument"),
        (&["1", "--user", "nobody@example.com"], "there is no user"),
        (&["1", "--team", "Nowhere"], "there is no team"),
        (&["1", "--user", "dev@example.com", "--key", &w.key_id], "one holder"),
        (&["1", "--model", "a*b"], "model pattern"),
        (&["1", "--provider", "nowhere"], "there is no provider"),
        (&["1", "--warn", "0"], "1 to 100"),
        (&["1", "--period", "year"], "invalid value"),
    ] {
        let output = w.gatehouse.cli(&[&["budget", "add"], words].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(told), "{words:?}: {said}");
    }
    assert_eq!(w.gatehouse.json(&["budget", "list"]), json!([]));
    let output = w.gatehouse.cli(&["budget", "show", "bud_01JD8X4R6V3Q2M9KZB7T5W0C1E"]);
    assert!(!output.status.success());
}

//! Limits on rates.

use std::sync::atomic::{AtomicUsize, Ordering};

use gatehouse_testkit::gatehouse::Gatehouse;
use gatehouse_testkit::wait;
use serde_json::Value;

use crate::budgets::held;
use crate::nodes::cluster;
use crate::world::{MODEL, ask, configured, echo, stores};

#[test]
fn requests_beyond_a_limit_are_told_when_to_come_back() {
    for store in stores() {
        let w = configured("", &store, echo(10, 50));
        let made = w.gatehouse.json(&["limit", "add", "requests", "3", "--user", "dev@example.com"]);
        assert_eq!((&made["in_force"], made["amount"].as_u64()), (&Value::Bool(true), Some(3)), "{made}");
        for _ in 0..3 {
            assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
        }
        let refused = w.gatehouse.post(&w.key, &ask(true));
        assert_eq!(refused.status, 429, "{}", refused.text());
        assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
        assert!(refused.text().contains("3 requests per minute"), "{}", refused.text());
        assert_eq!(refused.header("x-should-retry"), None, "the client may come back");
        let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=20).contains(&after), "a third of a minute at most, not {after} s");
        assert_eq!(refused.header("anthropic-ratelimit-requests-limit"), Some("3"));
        assert_eq!(refused.header("anthropic-ratelimit-requests-remaining"), Some("0"));
        let e = w.gatehouse.exchanges().into_iter().find(|e| e["status"] == 429).unwrap();
        assert_eq!((e["ended"].as_str(), e["reason"].as_str()), (Some("refused"), Some("rate_limited")));
        // Others, and what is no message, go on.
        let (_, other) = w.gatehouse.key("other@example.com", &[]);
        assert_eq!(w.gatehouse.post(&other, &ask(false)).status, 200);
        assert_eq!(w.gatehouse.post_to("/v1/messages/count_tokens", &w.key, &ask(false)).status, 200);

        let explained = w.gatehouse.json(&["limit", "explain", "dev@example.com", "--model", MODEL]);
        assert_eq!(explained["limits"][0]["remaining"], 0, "{explained}");
        assert_eq!(explained["limits"][0]["holder"], "dev@example.com");
        let listed = w.gatehouse.json(&["limit", "list"]);
        assert!(listed.to_string().contains(made["id"].as_str().unwrap()), "{listed}");
        w.gatehouse.json(&["limit", "remove", made["id"].as_str().unwrap()]);
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    }
}

#[test]
fn output_is_counted_in_the_end_and_the_estimate_of_input_replaced() {
    let w = configured("", "sqlite", echo(5, 1_000));
    w.gatehouse.json(&["limit", "add", "output_tokens", "1500", "--model", "claude-sonnet-*"]);
    w.gatehouse.json(&["limit", "add", "input_tokens", "100000"]);
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    let refused = w.gatehouse.post(&w.key, &ask(false));
    assert_eq!(
        (refused.status, refused.header("anthropic-ratelimit-output-tokens-limit")),
        (429, Some("1500"))
    );
    let explained = w.gatehouse.json(&["limit", "explain", "dev@example.com"]);
    let input =
        explained["limits"].as_array().unwrap().iter().find(|l| l["measure"] == "input_tokens").unwrap();
    assert!(input["remaining"].as_u64().unwrap() >= 99_990, "{input}");
}

#[test]
fn no_more_than_so_many_at_the_same_time() {
    let w = configured("", "sqlite", held(1, 1));
    w.gatehouse.json(&["limit", "add", "concurrency", "2"]);
    let body = ask(false);
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| match w.gatehouse.post(&w.key, &body).status {
                429 => refused.fetch_add(1, Ordering::Relaxed),
                status => usize::from(status != 200),
            });
        }
        wait::until("four to be refused", || (refused.load(Ordering::Relaxed) == 4).then_some(()));
        w.provider.release();
        w.provider.release();
    });
    w.provider.now(echo(1, 1));
    assert_eq!(w.gatehouse.post(&w.key, &body).status, 200);
}

#[test]
fn nodes_count_together() {
    let Some(c) = cluster(3, "", echo(1, 1)) else { return };
    let made = c.nodes[0].json(&["limit", "add", "requests", "30", "--model", MODEL]);
    c.in_force();
    let body = ask(false);
    let left = |node: &Gatehouse, measure: &str| {
        let shown = node.json(&["limit", "explain", "dev@example.com", "--model", MODEL]);
        let all = shown["limits"].as_array().unwrap();
        all.iter().find(|limit| limit["measure"] == measure).unwrap()["remaining"].as_u64().unwrap()
    };
    for call in 0..30 {
        assert_eq!(c.nodes[call % 3].post(&c.key, &body).status, 200);
    }
    // A node that knew only of its own ten would have twenty left.
    for node in &c.nodes {
        wait::until("a node to know what the others took", || (left(node, "requests") < 20).then_some(()));
    }
    c.nodes[1].json(&["limit", "remove", made["id"].as_str().unwrap()]);

    c.nodes[1].json(&["limit", "add", "concurrency", "2", "--user", "dev@example.com"]);
    c.in_force();
    c.provider.now(held(1, 1));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(c.nodes[0].post(&c.key, &body).status, 200));
        }
        wait::until("another node to know it", || (left(&c.nodes[2], "concurrency") == 0).then_some(()));
        let refused = c.nodes[2].post(&c.key, &body);
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("2")));
        c.provider.release();
        c.provider.release();
    });
    wait::until("another node to know the end", || (left(&c.nodes[2], "concurrency") == 2).then_some(()));
    c.provider.now(echo(1, 1));
    assert_eq!(c.nodes[2].post(&c.key, &body).status, 200);
}

//! A provider's quota is scarce: who waits, for how long, in which order, and what the others are told.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use gatehouse_domain::time::UnixMillis;
use gatehouse_testkit::gatehouse::Gatehouse;
use gatehouse_testkit::http::{Connection, once};
use gatehouse_testkit::provider::{Act, Seen};
use gatehouse_testkit::{sse, wait};
use serde_json::{Value, json};

use super::several;
use crate::budgets::held;
use crate::world::{MODEL, World, ask, configured, echo};

/// One request at once, and patience.
const ONE: &str = "concurrent = 1\n[routing]\nqueue_seconds = 120\nhealth_check_seconds = 0\n";

/// A request's body that says whose it is.
fn by(who: &str) -> Vec<u8> {
    let said = json!([{"role": "user", "content": who}]);
    json!({"model": MODEL, "max_tokens": 100, "messages": said}).to_string().into_bytes()
}

/// Whose a request at the provider is.
fn whose(seen: &Seen) -> String {
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    body["messages"][0]["content"].as_str().unwrap().to_owned()
}

fn send(gatehouse: &Gatehouse, key: &str, body: &[u8]) -> Connection {
    let mut connection = Connection::open(&gatehouse.gateway);
    connection.request("POST", "/v1/messages", &[("x-api-key", key)], body);
    connection
}

fn metrics(gatehouse: &Gatehouse) -> String {
    once(&gatehouse.admin, "GET", "/metrics", &[], b"").text()
}

fn wait_waiting(gatehouse: &Gatehouse, provider: &str, count: usize) {
    let line = format!("gatehouse_queue_waiting{{provider=\"{provider}\"}} {count}\n");
    wait::until("requests to wait", || metrics(gatehouse).contains(&line).then_some(()));
}

/// One request of somebody's is at the provider, which holds it.
fn busy(w: &World) -> Connection {
    let (_, key) = w.gatehouse.key("first@example.com", &[]);
    let first = send(&w.gatehouse, &key, &by("first"));
    assert_eq!(whose(&w.provider.seen()), "first");
    first
}

/// So many of a user's requests, of which all wait, with those that waited before.
fn line_up(w: &World, who: &str, count: usize, before: usize) -> Vec<Connection> {
    let (_, key) = w.gatehouse.key(&format!("{who}@example.com"), &[]);
    let all = (0..count).map(|_| send(&w.gatehouse, &key, &by(who))).collect();
    wait_waiting(&w.gatehouse, "main", before + count);
    all
}

/// Lets all go on; gives the order in which the provider saw them.
fn served(w: &World, all: Vec<Connection>) -> Vec<String> {
    for _ in &all {
        w.provider.release();
    }
    let count = all.len();
    for mut connection in all {
        let reply = connection.reply();
        assert_eq!((reply.status, reply.complete), (200, true), "{}", reply.text());
    }
    (1..count).map(|_| whose(&w.provider.seen())).collect()
}

#[test]
fn a_greedy_user_does_not_starve_a_modest_one() {
    let w = configured(ONE, "sqlite", held(10, 5));
    let mut all = vec![busy(&w)];
    all.extend(line_up(&w, "greedy", 100, 0));
    all.extend(line_up(&w, "modest", 5, 100));
    let told = w.gatehouse.json(&["provider", "limits"]);
    let quota = &told[0]["quota"];
    assert_eq!(
        (&quota["waiting"], &quota["waiting_users"], &quota["under_way"]),
        (&json!(105), &json!(2), &json!(1))
    );
    let order = served(&w, all);
    let last = order.iter().rposition(|who| who == "modest").unwrap();
    let greedy = order[..last].iter().filter(|who| *who == "greedy").count();
    assert!(greedy <= 6, "{greedy} of the greedy user's were served before: {order:?}");
    assert_eq!(
        (order.len(), order.iter().filter(|who| *who == "greedy").count()),
        (105, 100),
        "nobody is lost"
    );
    let records = w.gatehouse.exchanges();
    assert!(records.iter().all(|e| e["ended"] == "completed"), "{records:#?}");
    assert!(metrics(&w.gatehouse).contains("gatehouse_queue_wait_seconds_count{provider=\"main\"} 105\n"));
    wait_waiting(&w.gatehouse, "main", 0);
}

#[test]
fn turns_go_by_weight() {
    let w = configured(ONE, "sqlite", held(10, 5));
    w.gatehouse.key("heavy@example.com", &[]);
    let users = w.gatehouse.json(&["user", "list"]);
    let heavy = users.as_array().unwrap().iter().find(|user| user["email"] == "heavy@example.com").unwrap();
    let share = format!("\n[[share]]\nname = \"release\"\nusers = [{}]\nweight = 3\n", heavy["id"]);
    let file = w.gatehouse.dir().join("gatehouse.toml");
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &share).unwrap();
    w.gatehouse.json(&["config", "reload"]);
    let mut all = vec![busy(&w)];
    all.extend(line_up(&w, "light", 20, 0));
    all.extend(line_up(&w, "heavy", 20, 20));
    let order = served(&w, all);
    let heavy = order[..16].iter().filter(|who| *who == "heavy").count();
    assert!((11..=13).contains(&heavy), "{heavy} of 16: {order:?}");
}

#[test]
fn whoever_leaves_is_out_of_the_line_and_lines_are_bounded() {
    let w = configured(&format!("{ONE}queue_per_user = 3\nqueue_total = 4\n"), "sqlite", held(10, 5));
    let budget = w.gatehouse.json(&["budget", "add", "1"])["id"].as_str().unwrap().to_owned();
    let first = busy(&w);
    let mut greedy = line_up(&w, "greedy", 3, 0);
    let (_, key) = w.gatehouse.key("greedy@example.com", &[]);
    let refused = w.gatehouse.post(&key, &by("greedy"));
    assert_eq!((refused.status, refused.header("x-should-retry")), (429, None), "{}", refused.text());
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    let e = w.gatehouse.exchanges().pop().unwrap();
    assert_eq!(
        (e["ended"].as_str(), e["reason"].as_str()),
        (Some("refused"), Some("provider_quota")),
        "{e:#}"
    );
    // Where all lines are full, the longest one makes room.
    let mut rest = line_up(&w, "b", 1, 3);
    let (revoked, key) = w.gatehouse.key("leaver@example.com", &[]);
    let mut leaver = send(&w.gatehouse, &key, &by("leaver"));
    let out = greedy.pop().unwrap().reply();
    assert_eq!((out.status, out.json()["error"]["type"].as_str()), (429, Some("rate_limit_error")));
    wait_waiting(&w.gatehouse, "main", 4);
    // A client goes, a key is revoked: both are out of the line at once.
    drop(greedy.pop());
    wait_waiting(&w.gatehouse, "main", 3);
    w.gatehouse.json(&["key", "revoke", &revoked]);
    assert_eq!(leaver.reply().status, 401);
    wait_waiting(&w.gatehouse, "main", 2);
    rest.append(&mut greedy);
    rest.push(first);
    let mut order = served(&w, rest);
    order.sort();
    assert_eq!(order, ["b", "greedy"]);
    let e = w.gatehouse.exchanges();
    let ended = |what: &str| e.iter().filter(|e| e["ended"] == what).count();
    assert_eq!(
        (ended("completed"), ended("refused"), ended("client_gone"), ended("revoked")),
        (3, 2, 1, 1),
        "{e:#?}"
    );
    let cost: u64 = e.iter().map(|e| e["cost_nanos"].as_u64().unwrap()).sum();
    let shown = w.gatehouse.json(&["budget", "show", &budget]);
    assert_eq!(
        (shown["spent_nanos"].as_u64(), shown["held_nanos"].as_u64()),
        (Some(cost), Some(0)),
        "{shown:#}"
    );
    assert_eq!(cost, 3 * (10 * 2_000 + 5 * 10_000), "who waited in vain pays nothing");
    assert!(w.provider.unseen() == 0);
}

#[test]
fn without_patience_what_is_beyond_a_limit_is_refused_at_once() {
    let w = configured("requests_per_minute = 2\n", "sqlite", echo(10, 5));
    let began = Instant::now();
    for _ in 0..2 {
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    }
    let refused = w.gatehouse.post(&w.key, &ask(true));
    if began.elapsed() < Duration::from_secs(30) {
        assert_eq!(refused.status, 429, "{}", refused.text());
        let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=30).contains(&after), "half a minute at most, not {after} s");
    }
    // Counts of tokens are no messages.
    assert_eq!(w.gatehouse.post_to("/v1/messages/count_tokens", &w.key, &ask(false)).status, 200);
    let text = String::from_utf8(w.gatehouse.cli(&["provider", "limits"]).stdout).unwrap();
    assert!(text.contains("requests a minute") && text.contains("configured"), "{text}");
}

/// A reply with further header lines.
fn headed(acts: Vec<Act>, lines: &str) -> Vec<Act> {
    let add = |act| match act {
        Act::Send(bytes) => {
            let text = String::from_utf8(bytes).unwrap();
            Act::Send(text.replacen("\r\n", &format!("\r\n{lines}"), 1).into_bytes())
        }
        other @ (Act::Pause(_) | Act::Hold | Act::Close | Act::Hang) => other,
    };
    acts.into_iter().map(add).collect()
}

fn too_many(lines: &str) -> Vec<Act> {
    let error = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "Not now."}});
    headed(sse::plain(429, &error), lines)
}

#[test]
fn after_a_refusal_nobody_storms_and_retry_after_is_honest() {
    let w = configured("[routing]\nqueue_seconds = 5\n", "sqlite", |_| too_many("retry-after: 50\r\n"));
    let budget = w.gatehouse.json(&["budget", "add", "1"])["id"].as_str().unwrap().to_owned();
    let asked = Instant::now();
    let refused = w.gatehouse.post(&w.key, &ask(true));
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("50")), "the provider's own");
    let told = Instant::now();
    w.provider.now(echo(10, 5));
    for _ in 0..3 {
        let most = 50 - told.elapsed().as_secs().min(49);
        let refused = w.gatehouse.post(&w.key, &ask(true));
        assert_eq!(refused.status, 429, "{}", refused.text());
        assert!(refused.text().contains("quota is used up"), "{}", refused.text());
        let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        let least = 50_u64.saturating_sub(asked.elapsed().as_secs() + 1);
        assert!((least..=most).contains(&after), "{after} s, not {least} to {most}");
    }
    assert_eq!(w.provider.peers().len(), 1, "it is left alone");
    // Another model has limits of its own.
    let other = String::from_utf8(ask(false)).unwrap().replace(MODEL, "claude-opus-5-5");
    assert_eq!(w.gatehouse.post(&w.key, other.as_bytes()).status, 200);
    let told = w.gatehouse.json(&["provider", "limits"]);
    let limit = &told[0]["quota"]["limits"][0];
    assert_eq!((&limit["model"], &limit["measure"]), (&json!(MODEL), &json!("refused")), "{told:#}");
    let query = ["--json", "route", "explain", "--user", "dev@example.com", "--model", MODEL];
    let output = w.gatehouse.cli(&query);
    assert_eq!(output.status.code(), Some(1), "nobody would be asked now");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["candidates"][0]["usable"], false, "{told:#}");
    assert!(
        told["candidates"][0]["state"].as_str().unwrap().starts_with("its quota is used up for"),
        "{told:#}"
    );
    let shown = w.gatehouse.json(&["budget", "show", &budget]);
    assert_eq!(shown["held_nanos"], 0, "{shown:#}");
    let metrics = metrics(&w.gatehouse);
    assert!(
        metrics.contains("gatehouse_queue_refused_total{provider=\"main\",why=\"too_long\"} 3\n"),
        "{metrics}"
    );
}

#[test]
fn a_short_refusal_is_waited_for() {
    let w = configured("[routing]\nqueue_seconds = 60\n", "sqlite", |_| too_many("retry-after: 1\r\n"));
    assert_eq!(w.gatehouse.post(&w.key, &ask(true)).status, 429);
    w.provider.now(echo(10, 5));
    let all: Vec<Connection> = (0..5).map(|_| send(&w.gatehouse, &w.key, &ask(true))).collect();
    for mut connection in all {
        let reply = connection.reply();
        assert_eq!((reply.status, reply.complete), (200, true), "{}", reply.text());
    }
    assert_eq!(w.provider.peers().len(), 6, "each was sent once");
}

/// A token bucket as the provider keeps one, told in its headers.
struct Bucket {
    limit: u64,
    window_ms: u64,
    /// What is in it, times `window_ms`.
    level: u64,
    at_ms: u64,
}

impl Bucket {
    fn answer(&mut self, seen: &Seen) -> Vec<Act> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = u64::try_from(now.as_millis()).unwrap();
        let most = self.limit * self.window_ms;
        self.level = (self.level + now.saturating_sub(self.at_ms) * self.limit).min(most);
        self.at_ms = now;
        let has_room = self.level >= self.window_ms;
        if has_room {
            self.level -= self.window_ms;
        }
        let whole = now + (most - self.level).div_ceil(self.limit);
        let reset = UnixMillis(i64::try_from(whole).unwrap());
        let told = [
            ("limit", self.limit.to_string()),
            ("remaining", (self.level / self.window_ms).to_string()),
            ("reset", reset.to_string()),
        ];
        let line = |(what, value)| format!("anthropic-ratelimit-requests-{what}: {value}\r\n");
        let lines: String = told.into_iter().map(line).collect();
        if has_room {
            headed(echo(10, 5)(seen), &lines)
        } else {
            too_many(&format!("{lines}retry-after: 1\r\n"))
        }
    }
}

#[test]
fn what_a_provider_tells_of_its_limits_is_learned_and_kept_to() {
    let bucket = Mutex::new(Bucket { limit: 4, window_ms: 4_000, level: 16_000, at_ms: 0 });
    let w = configured("[routing]\nqueue_seconds = 60\n", "sqlite", move |seen| {
        bucket.lock().unwrap().answer(seen)
    });
    // One after the other, so that each is counted when the next one comes.
    for _ in 0..10 {
        let reply = w.gatehouse.post(&w.key, &ask(false));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("anthropic-ratelimit-requests-limit"), Some("4"));
    }
    assert_eq!(w.provider.peers().len(), 10, "it never had to refuse");
    let told = w.gatehouse.json(&["provider", "limits"]);
    let limit = &told[0]["quota"]["limits"][0];
    let of = (&limit["model"], &limit["measure"], &limit["limit"]);
    assert_eq!(of, (&json!(MODEL), &json!("requests"), &json!(4)), "{told:#}");
    let metrics = metrics(&w.gatehouse);
    assert!(
        metrics.contains("gatehouse_provider_limit{provider=\"main\",measure=\"requests\"} 4\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("gatehouse_provider_remaining{provider=\"main\",measure=\"requests\"}"),
        "{metrics}"
    );
    let text = String::from_utf8(w.gatehouse.cli(&["provider", "limits"]).stdout).unwrap();
    assert!(text.contains(MODEL) && text.contains("requests"), "{text}");
}

#[test]
fn where_nobody_waits_limits_are_only_shown() {
    let lines = "anthropic-ratelimit-requests-limit: 1\r\nanthropic-ratelimit-requests-remaining: 0\r\n";
    let w = configured("", "sqlite", move |seen| headed(echo(10, 5)(seen), lines));
    for _ in 0..3 {
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    }
    w.provider.now(|_| too_many("retry-after: 50\r\n"));
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 429);
    w.provider.now(echo(10, 5));
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    let told = w.gatehouse.json(&["provider", "limits"]);
    assert_eq!(told[0]["quota"]["limits"].as_array().map(Vec::len), Some(2), "{told:#}");
}

#[test]
fn a_provider_that_has_room_goes_first() {
    let w = several(
        2,
        &["concurrent = 1\n", "concurrent = 1\n"],
        "[routing]\nqueue_seconds = 120\nreply_headers = true\n",
    );
    for provider in &w.providers {
        provider.now(held(10, 5));
    }
    let mut first = send(&w.gatehouse, &w.key, &ask(false));
    wait::until("the first", || (w.providers[0].unseen() == 1).then_some(()));
    let mut second = send(&w.gatehouse, &w.key, &ask(false));
    wait::until("the second", || (w.providers[1].unseen() == 1).then_some(()));
    let mut third = send(&w.gatehouse, &w.key, &ask(false));
    wait_waiting(&w.gatehouse, "main", 1);
    w.providers[0].release();
    assert_eq!(first.reply().header("x-gatehouse-provider"), Some("main"));
    wait::until("the third", || (w.providers[0].unseen() == 2).then_some(()));
    w.providers[0].release();
    w.providers[1].release();
    assert_eq!(second.reply().header("x-gatehouse-provider"), Some("b"));
    let third = third.reply();
    assert_eq!(
        (third.header("x-gatehouse-provider"), third.header("x-gatehouse-attempts")),
        (Some("main"), Some("1"))
    );
}

#[test]
fn a_refusal_closes_one_model_of_a_provider_and_others_take_over() {
    let config = "[routing]\nqueue_seconds = 5\nretry_burst = 100\n";
    let w = several(2, &[], config);
    for provider in &w.providers {
        provider.now(|_| too_many("retry-after: 50\r\n"));
    }
    let reply = w.post("s", &ask(true));
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("50")));
    assert_eq!(w.counts(), [1, 1]);
    let reply = w.post("s", &ask(true));
    assert_eq!((reply.status, w.counts()), (429, vec![0, 0]), "{}", reply.text());
    assert_eq!(w.newest()["reason"], "provider_quota");
    let other = String::from_utf8(ask(false)).unwrap().replace(MODEL, "claude-opus-5-5");
    w.providers[0].now(echo(10, 5));
    assert_eq!(w.post("s", other.as_bytes()).status, 200);
    assert_eq!(w.counts(), [1, 0], "nothing is remembered against it as a whole");
}

#[test]
fn adaptive_concurrency_makes_requests_wait() {
    let config = "[routing]\nqueue_seconds = 120\nbreaker_failures = 1000\nretry_percent = 100\nretry_burst = 1000\nadaptive_concurrency = true\n";
    let w = several(2, &[], config);
    for provider in &w.providers {
        provider.now(super::failing(529, "overloaded_error"));
    }
    for _ in 0..20 {
        assert_eq!(w.post("s", &ask(false)).status, 529);
    }
    for provider in &w.providers {
        provider.now(held(10, 5));
    }
    w.counts();
    let mut all: Vec<Connection> = (0..2).map(|_| send(&w.gatehouse, &w.key, &ask(false))).collect();
    wait::until("one at each", || (w.providers.iter().all(|p| p.unseen() == 1)).then_some(()));
    all.push(send(&w.gatehouse, &w.key, &ask(false)));
    wait::until("the third to wait", || {
        let told = w.gatehouse.json(&["provider", "limits"]);
        told.as_array()?.iter().any(|one| one["quota"]["waiting"] == 1).then_some(())
    });
    for provider in &w.providers {
        provider.release();
        provider.release();
    }
    for mut one in all {
        assert_eq!(one.reply().status, 200);
    }
}

#[test]
fn those_that_wait_are_served_before_a_node_stops() {
    let mut w = configured(ONE, "sqlite", held(10, 5));
    let mut all = vec![busy(&w)];
    all.extend(line_up(&w, "a", 3, 0));
    w.gatehouse.signal("-TERM");
    let order = served(&w, all);
    assert_eq!(order.len(), 3);
    assert_eq!(w.gatehouse.wait(), Some(0));
}

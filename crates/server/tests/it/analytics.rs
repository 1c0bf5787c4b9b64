//! The provider's client analytics: fetched page by page or carried over by hand, kept once a day, and in the figures where
//! nobody else tells.

use std::sync::{Arc, Mutex};

use gatehouse_testkit::http;
use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
use gatehouse_testkit::{sse, wait};
use serde_json::{Value, json};

use crate::world::{MODEL, World, ask, configured, echo, stores};

const KEY: &str = "sk-ant-admin-9876543210";

/// What the provider answers.
#[derive(Clone)]
enum Mood {
    /// These records of this day, two on a page; of other days none.
    Tells(String, Vec<Value>),
    Unauthorized,
    NoJson,
    Circle,
    Endless,
    OtherDay,
}

struct Api {
    provider: FakeProvider,
    mood: Arc<Mutex<Mood>>,
}

impl Api {
    fn start() -> Self {
        let mood = Arc::new(Mutex::new(Mood::Unauthorized));
        let now = Arc::clone(&mood);
        let provider = FakeProvider::start(move |seen| answer(seen, &now.lock().unwrap()));
        Self { provider, mood }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn config(&self, hours: u32) -> String {
        format!(
            "[[provider_report]]\nname = \"anthropic\"\nbase_url = \"{}\"\nadmin_key = \"exec:echo {KEY}\"\n\
             every_hours = {hours}\nanalytics_days = 2\n",
            self.provider.url
        )
    }
}

fn page(records: &[Value], next: Option<&str>) -> Vec<Act> {
    sse::plain(200, &json!({"data": records, "has_more": next.is_some(), "next_page": next}))
}

fn answer(seen: &Seen, mood: &Mood) -> Vec<Act> {
    let target = seen.line.trim_start_matches("GET ");
    let Some(query) = target.strip_prefix("/v1/organizations/usage_report/claude_code?") else {
        return page(&[], None);
    };
    assert_eq!(seen.header("x-api-key"), Some(KEY));
    assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
    let part =
        |name: &str| query.split(' ').next().unwrap().split('&').find_map(|pair| pair.strip_prefix(name));
    assert_eq!(part("limit="), Some("1000"));
    let (day, cursor) = (part("starting_at=").unwrap(), part("page="));
    match mood {
        Mood::Tells(of, records) if of == day => {
            // What is said of the next page comes back as it was said.
            let at = cursor.map_or(0, |cursor| cursor.strip_prefix("at%2B").unwrap().parse().unwrap());
            let more = format!("at+{}", at + 2);
            let rest = &records[at..];
            page(&rest[..rest.len().min(2)], (rest.len() > 2).then_some(more.as_str()))
        }
        Mood::Tells(..) => page(&[], None),
        Mood::Unauthorized => sse::plain(401, &json!({"error": {"type": "authentication_error"}})),
        Mood::NoJson => {
            vec![Act::Send(
                b"HTTP/1.1 200 X\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>".to_vec(),
            )]
        }
        Mood::Circle => page(&[], Some("again")),
        Mood::Endless => {
            let at: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
            let next = (at + 1).to_string();
            page(&vec![record(day, "ada@example.com", 1, [1, 0], 1.0); 500], Some(&next))
        }
        Mood::OtherDay => page(&[record("2025-01-01", "ada@example.com", 1, [1, 0], 1.0)], None),
    }
}

fn record(day: &str, who: &str, sessions: u64, [yes, no]: [u64; 2], cents: f64) -> Value {
    let actor = if who.contains('@') {
        json!({"type": "user_actor", "email_address": who})
    } else {
        json!({"type": "api_actor", "api_key_name": who})
    };
    json!({
        "date": format!("{day}T00:00:00Z"), "actor": actor, "organization_id": "org-1", "customer_type": "api",
        "terminal_type": "vscode",
        "core_metrics": {"num_sessions": sessions, "lines_of_code": {"added": 30, "removed": 10},
            "commits_by_claude_code": 2, "pull_requests_by_claude_code": 1},
        "tool_actions": {"edit_tool": {"accepted": yes, "rejected": no}, "write_tool": {"accepted": 0, "rejected": 0}},
        "model_breakdown": [{"model": MODEL,
            "tokens": {"input": 1000, "output": 200, "cache_read": 3000, "cache_creation": 500},
            "estimated_cost": {"currency": "USD", "amount": cents}}]
    })
}

/// Puts other hours into the configuration, so that everything is fetched at once.
fn fetch(w: &World, hours: u32) {
    let file = w.gatehouse.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let before = text.lines().find(|line| line.starts_with("every_hours")).unwrap().to_owned();
    std::fs::write(&file, text.replace(&before, &format!("every_hours = {hours}"))).unwrap();
    w.gatehouse.json(&["config", "reload"]);
}

fn usage(w: &World, by: &str) -> Vec<Value> {
    let told = w.gatehouse.json(&["usage", "--source", "analytics", "--by", by]);
    told["items"].as_array().unwrap().clone()
}

fn sessions(w: &World) -> i64 {
    usage(w, "day").iter().map(|row| row["analytics"]["sessions"].as_i64().unwrap()).sum()
}

fn today() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let now = gatehouse_domain::time::UnixMillis(i64::try_from(now).unwrap());
    now.to_string().chars().take(10).collect()
}

#[test]
fn what_the_provider_answers_wrongly_changes_nothing() {
    let api = Api::start();
    let w = configured(&api.config(1), "sqlite", echo(1, 1));
    let says = |what: &str| {
        wait::until(what, || {
            w.gatehouse
                .log()
                .lines()
                .any(|line| line.contains("client analytics") && line.contains(what))
                .then_some(())
        });
    };
    says("the admin key is not accepted (status 401)");
    let failing = || {
        let metrics = http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
        metrics.contains("gatehouse_client_analytics_failing{report=\"anthropic\"} 1")
    };
    wait::until("it to be failing", || failing().then_some(()));
    let day = today();
    let good = vec![record(&day, "ada@example.com", 4, [1, 0], 1.0)];
    api.is(Mood::Tells(day.clone(), good.clone()));
    fetch(&w, 2);
    wait::until("the figures", || (sessions(&w) == 4).then_some(()));
    wait::until("it to be failing no more", || (!failing()).then_some(()));
    let mut negative = record(&day, "ada@example.com", 9, [1, 0], -0.5);
    let mut absurd = record(&day, "ada@example.com", 9, [1, 0], 1.0);
    absurd["core_metrics"]["num_sessions"] = json!(1e18);
    negative["actor"]["email_address"] = json!("bob@example.com");
    let after_good = |bad: Value| Mood::Tells(day.clone(), vec![good[0].clone(), good[0].clone(), bad]);
    for (hours, mood, what) in [
        (3, Mood::NoJson, "it answers no JSON"),
        (4, Mood::Circle, "its pages go round in a circle"),
        (5, Mood::Endless, "it has more than 20 pages"),
        (6, Mood::OtherDay, "it answers with records of 2025-01-01"),
        (7, after_good(negative), "record 3: its `estimated_cost.amount` is negative"),
        (8, after_good(absurd), "record 3: its `num_sessions` is more than can be"),
    ] {
        api.is(mood);
        fetch(&w, hours);
        says(what);
        assert_eq!(sessions(&w), 4, "what was there stays: {what}");
    }
    assert!(!w.gatehouse.log().contains(KEY), "no key in the log");
}

/// Tells of two sessions, decisions on four edits and a quarter of a dollar.
fn telemetry(w: &World, key: &str) {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos().to_string();
    let metric = |name: &str, attributes: &[(&str, &str)], value: Value| {
        let attributes: Vec<Value> = attributes
            .iter()
            .map(|(key, text)| json!({"key": key, "value": {"stringValue": text}}))
            .collect();
        let mut point = json!({"attributes": attributes, "startTimeUnixNano": now, "timeUnixNano": now});
        point.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        json!({"name": name, "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point]}})
    };
    let decision = |decision, count: &str| {
        let of = [("tool_name", "Edit"), ("decision", decision), ("source", "user_temporary")];
        metric("claude_code.code_edit_tool.decision", &of, json!({"asInt": count}))
    };
    let metrics = [
        metric("claude_code.session.count", &[], json!({"asInt": "2"})),
        decision("accept", "3"),
        decision("reject", "1"),
        metric("claude_code.cost.usage", &[("model", MODEL)], json!({"asDouble": 0.25})),
    ];
    let body = json!({"resourceMetrics": [{"resource": {"attributes": []}, "scopeMetrics": [{"metrics": metrics}]}]});
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let reply =
        http::once(&w.gatehouse.gateway, "POST", "/v1/metrics", &headers, body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn the_figures_have_it_where_nobody_else_tells_and_nothing_twice() {
    for store in stores() {
        let api = Api::start();
        api.is(Mood::Tells(String::new(), Vec::new()));
        let w = configured(&api.config(1), &store, echo(1000, 10));
        w.gatehouse.json(&["user", "add", "ada@example.com"]);
        let [bob, cyd] = ["bob@example.com", "cyd@example.com"].map(|who| w.gatehouse.key(who, &[]).1);
        // Bob's client sends telemetry, Cyd's goes through the gateway, both on one day.
        let (mut times, mut day) = (0, today());
        loop {
            times += 1;
            telemetry(&w, &bob);
            assert_eq!(w.gatehouse.post(&cyd, &ask(false)).status, 200);
            if std::mem::replace(&mut day, today()) == day {
                break;
            }
        }
        let records = vec![
            record(&day, "ADA@Example.com", 3, [5, 1], 150.5),
            record(&day, "bob@example.com", 50, [100, 100], 99_900.0),
            record(&day, "cyd@example.com", 7, [1, 0], 500.0),
            record(&day, "ghost@elsewhere.example", 1, [9, 9], 1.0),
            record(&day, "ci key", 1, [9, 9], 1.0),
        ];
        api.is(Mood::Tells(day.clone(), records.clone()));
        fetch(&w, 2);
        wait::until("the figures", || (sessions(&w) == 62).then_some(()));

        let rows = usage(&w, "user");
        let row = |name: &str| {
            rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {rows:?}"))
        };
        assert_eq!(rows.len(), 5);
        let ada = row("ada@example.com");
        assert_eq!(
            (ada["cost_nanos"].as_i64(), ada["source"].as_str()),
            (Some(1_505_000_000), Some("analytics"))
        );
        assert_eq!(ada["analytics"]["edits_accepted"], 5);
        assert_eq!(
            (row("ghost@elsewhere.example")["id"].as_str(), row("ci key")["id"].as_str()),
            (Some(""), Some(""))
        );
        let table = w.gatehouse.cli(&["usage", "--source", "analytics"]);
        let table = String::from_utf8_lossy(&table.stdout).into_owned();
        assert!(table.contains("ci key (?)") && table.contains("none of our people"), "{table}");
        assert_eq!(usage(&w, "terminal")[0]["name"], "vscode");
        assert_eq!(
            w.gatehouse.json(&["usage", "--source", "client", "--by", "model"])["items"]
                .as_array()
                .unwrap()
                .len(),
            2
        );

        // Three are active: Cyd by exchanges, Bob by telemetry, Ada by analytics; of each one word counts.
        let all = w.gatehouse.json(&["metrics", "--window", "7d"]);
        let exchanges: i64 =
            w.gatehouse.exchanges().iter().map(|one| one["cost_nanos"].as_i64().unwrap()).sum();
        let cost = exchanges + times * 250_000_000 + 1_505_000_000;
        assert_eq!(
            (&all["counts"]["active_users"], &all["counts"]["told_users"]),
            (&json!(3), &json!(2)),
            "{all:#}"
        );
        assert_eq!(all["metrics"]["user_adoption"]["value"], json!(0.6), "of five, with dev and the owner");
        let per_user = all["metrics"]["cost_per_user"]["nanos"].as_i64().unwrap();
        assert!((per_user - cost / 3).abs() <= 1, "{per_user} {cost}");
        let frequency = &all["metrics"]["usage_frequency"];
        assert_eq!((frequency["of"].as_str(), frequency["n"].as_i64()), (Some("requests"), Some(1)));
        assert_eq!(frequency["value"].as_f64(), Some(f64::from(i32::try_from(times).unwrap())));
        assert_eq!(all["told"]["analytics"]["users"], 1);
        assert_eq!(all["told"]["analytics"]["cost_nanos"], 1_505_000_000);
        assert_eq!(all["told"]["telemetry"]["cost_nanos"].as_i64(), Some(times * 250_000_000));
        assert_eq!(all["counts"]["sessions"].as_i64(), Some(3 + 2 * times + 7));
        assert_eq!(all["edit_accept_rate"]["n"].as_i64(), Some(6 + 4 * times + 1));
        assert_eq!(all["counts"]["active_7d"], 3);
        // Of Ada alone nobody's requests are known: sessions of a person, as the provider tells.
        let ada = w.gatehouse.json(&["metrics", "--scope", "user:ada@example.com", "--window", "7d"]);
        assert_eq!(
            ada["metrics"]["usage_frequency"],
            json!({"value": 3.0, "n": 1, "no_data": false, "of": "sessions"})
        );
        assert_eq!(ada["edit_accept_rate"]["value"], json!(0.833_333_333_333_333_4));
        assert_eq!(ada["metrics"]["cost_per_user"]["nanos"], 1_505_000_000);
        assert_eq!(ada["metrics"]["error_rate"]["no_data"], true, "errors, the provider does not tell");
        let report = w.gatehouse.json(&["mode", "report", "--days", "2"]);
        let people = report["people"].as_array().unwrap();
        let seen = people.iter().find(|person| person["user"] == "ada@example.com").unwrap();
        assert_eq!(seen["claimed_cost_nanos"], 1_505_000_000);

        // The provider's figures arrive late: the day takes the place of what it was.
        let mut later = records;
        later[0] = record(&day, "ada@example.com", 4, [6, 1], 200.0);
        api.is(Mood::Tells(day.clone(), later));
        fetch(&w, 3);
        wait::until("the later figures", || (sessions(&w) == 63).then_some(()));
        let ada = w.gatehouse.json(&["metrics", "--scope", "user:ada@example.com", "--window", "7d"]);
        assert_eq!(ada["metrics"]["cost_per_user"]["nanos"], 2_000_000_000_i64);
    }
}

#[test]
fn a_report_is_imported_by_hand_whole_or_not_at_all() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        let file = w.gatehouse.dir().join("report.json");
        let write = |value: &Value| std::fs::write(&file, value.to_string()).unwrap();
        let path = file.to_str().unwrap();
        let day = "2026-10-31";
        let one = |sessions| json!({"data": [record(day, "dev@example.com", sessions, [1, 1], 10.0)], "has_more": false});
        write(&json!([
            {"data": [record(day, "dev@example.com", 2, [1, 1], 10.0)], "has_more": true, "next_page": "x"},
            {"data": [record("2026-10-30", "nobody@example.com", 3, [1, 1], 10.0)], "has_more": false}
        ]));
        let told = w.gatehouse.json(&["analytics", "import", path]);
        assert_eq!(told["days"], json!(["2026-10-30", "2026-10-31"]));
        assert_eq!(
            (&told["records"], &told["people"], &told["unmatched"]),
            (&json!(2), &json!(1), &json!(1))
        );
        assert_eq!(told["unmatched_actors"], json!([{"kind": "person", "name": "nobody@example.com"}]));
        assert_eq!(sessions(&w), 5);
        write(&one(6));
        for _ in 0..2 {
            w.gatehouse.json(&["analytics", "import", path]);
        }
        assert_eq!(sessions(&w), 9, "the day anew, the other as it was");
        let acts = w.gatehouse.json(&["audit", "list", "--action", "analytics.import"]);
        let acts = acts.as_array().unwrap();
        assert_eq!((acts.len(), &acts[0]["detail"]["records"]), (3, &json!(1)));

        let mut negative = one(1);
        negative["data"][0]["core_metrics"]["num_sessions"] = json!(-1);
        let mut more = one(1);
        more["has_more"] = json!(true);
        for (text, told) in [
            ("<html>".to_owned(), "no JSON"),
            (more.to_string(), "before its last page"),
            ("{}".to_owned(), "without `data`"),
            ("{\"data\": []}".to_owned(), "there is no record"),
            (negative.to_string(), "record 1: its `num_sessions` is negative"),
            ("{\"data\": [1]}".to_owned(), "record 1"),
        ] {
            std::fs::write(&file, &text).unwrap();
            let refused = w.gatehouse.cli(&["analytics", "import", path]);
            let why = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && why.contains(told), "{text}: {why}");
        }
        // As many as a large organization has on a day.
        let many: Vec<Value> =
            (0..10_000).map(|n| record(day, &format!("p{n}@example.com"), 1, [1, 0], 1.0)).collect();
        write(&json!({"data": many}));
        let told = w.gatehouse.json(&["analytics", "import", path]);
        assert_eq!(
            (&told["records"], told["unmatched_actors"].as_array().unwrap().len()),
            (&json!(10_000), 100)
        );
        assert_eq!(sessions(&w), 10_003);
        for (by, source) in
            [("team", "analytics"), ("hour", "analytics"), ("terminal", "gateway"), ("terminal", "client")]
        {
            assert!(
                !w.gatehouse.cli(&["usage", "--by", by, "--source", source]).status.success(),
                "{by} {source}"
            );
        }
        let reader = w.gatehouse.json(&[
            "admin",
            "token",
            "create",
            "--name",
            "reader",
            "--role",
            "viewer",
            "--service",
            "reader",
        ]);
        let bearer = format!("Bearer {}", reader["token"].as_str().unwrap());
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = one(1).to_string();
        let refused =
            http::once(&w.gatehouse.admin, "POST", "/api/v1/analytics/imports", &headers, body.as_bytes());
        assert_eq!(refused.status, 403, "{}", refused.text());
    }
}

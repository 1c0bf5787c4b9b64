//! Usage and exchanges, as the ledger holds them.

use std::sync::atomic::Ordering;

use gatehouse_domain::exchange::{Cost, Credential, Ended, Exchange, Kind, PriceBasis, Principal};
use gatehouse_domain::id::ExchangeId;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::{DAY_MS, HOUR_MS, UnixMillis};
use gatehouse_domain::usage::{Advisor, Tokens, Usage};
use gatehouse_store::journal::Position;
use gatehouse_store::ledger::bring_in;
use serde_json::{Value, json};

use crate::house::{BEGIN, World, world};

const MODEL: &str = "claude-opus-5-5";

/// One message through the gateway, a while before the beginning.
pub(crate) fn exchange(principal: Option<Principal>, ago_ms: i64, n: u128) -> Exchange {
    let started_at = UnixMillis(BEGIN.0 - ago_ms);
    Exchange {
        id: ExchangeId::new(started_at, n),
        request_id: format!("req_upstream{n}"),
        kind: Kind::Messages,
        principal,
        provider: Some("main".into()),
        model: Some(MODEL.into()),
        served_model: Some(MODEL.into()),
        stream: true,
        status: 200,
        ended: Ended::Completed,
        reason: None,
        usage: Usage {
            tokens: Tokens { input: 10, cache_write_5m: 20, cache_write_1h: 30, cache_read: 40, output: 50 },
            thinking: 7,
            advisors: vec![Advisor {
                model: "claude-haiku-5-5".into(),
                tokens: Tokens { input: 1, ..Tokens::default() },
            }],
            ..Usage::default()
        },
        estimated: false,
        cost: Cost { nanos: Nanos(1_234_567), basis: PriceBasis::Table },
        started_at,
        first_byte_ms: Some(120),
        duration_ms: 900,
        overhead_us: 85,
        bytes_in: 60_000,
        bytes_out: 4_000,
        peer: Some("192.0.2.1".parse().unwrap()),
        session: Some("s-1".into()),
        client: Some("claude-cli/2.1.330".into()),
        asked: None,
        attempts: Vec::new(),
        switched: false,
        left_out: Vec::new(),
        data: None,
    }
}

/// A user with a key of the team Core, and whom exchanges with it belong to.
pub(crate) async fn with_key(world: &World, email: &str, team: Option<&str>) -> (Value, Principal) {
    world.post("/api/v1/users", json!({"email": email})).await.ok();
    let made = world.post("/api/v1/keys", json!({"user": email, "team": team})).await.ok();
    let public = made["hint"].as_str().unwrap();
    let id = made["id"].as_str().unwrap().parse().unwrap();
    let key = world.app.store.key(world.app.org, id).await.unwrap();
    let team = match team {
        Some(name) => {
            let name = name.parse().unwrap();
            Some(world.app.store.team_by_name(world.app.org, &name).await.unwrap().id)
        }
        None => None,
    };
    assert!(public.starts_with("gh_"));
    (
        made,
        Principal {
            org: world.app.org,
            user: key.user,
            credential: Credential::Key(key.id),
            team,
            project: None,
        },
    )
}

pub(crate) async fn record(world: &World, exchanges: &[Exchange]) {
    let app = &world.app;
    let new = bring_in(&app.store, app.org, app.node, exchanges, Position::default()).await.unwrap();
    assert_eq!(new, exchanges.len());
}

/// Ada (team Core) 3 times in three days, Bob once, and one refusal that is nobody's.
async fn busy() -> (World, Value) {
    let world = world().await;
    world.post("/api/v1/teams", json!({"name": "Core"})).await.ok();
    let (key, ada) = with_key(&world, "ada@b.c", Some("Core")).await;
    let (_, bob) = with_key(&world, "bob@b.c", None).await;
    let mut refused = exchange(None, HOUR_MS / 2, 5);
    refused.status = 401;
    refused.ended = Ended::Refused;
    refused.reason = Some("unknown_key".into());
    refused.usage = Usage::default();
    refused.cost = Cost::default();
    let exchanges = [
        exchange(Some(ada), 2 * DAY_MS, 1),
        exchange(Some(ada), DAY_MS, 2),
        exchange(Some(ada), HOUR_MS, 3),
        exchange(Some(bob), HOUR_MS, 4),
        refused,
    ];
    record(&world, &exchanges).await;
    (world, key)
}

async fn items(world: &World, path: &str) -> Vec<Value> {
    world.get(path).await.ok()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_exchange_shows_every_figure() {
    let (world, key) = busy().await;
    let listed = items(&world, "/api/v1/exchanges?user=ada@b.c&limit=1").await;
    let expected = json!({
        "request_id": "req_upstream3", "kind": "messages", "user": "ada@b.c", "key": key["id"], "team": "Core",
        "project": null, "model": MODEL, "served_model": MODEL, "provider": "main", "status": 200,
        "ended": "completed", "reason": null, "stream": true, "cost_nanos": 1_234_567, "cost_usd": "0.001234567",
        "price_basis": "table", "estimated": false, "started_at": "2027-01-15T07:00:00.000Z", "duration_ms": 900,
        "first_byte_ms": 120, "overhead_us": 85, "bytes_in": 60_000, "bytes_out": 4_000, "peer": "192.0.2.1",
        "session": "s-1", "client": "claude-cli/2.1.330", "user_id": key["user_id"],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&listed[0][name], value, "{name}");
    }
    let usage = &listed[0]["usage"];
    for (pointer, tokens) in [
        ("/input_tokens", 10),
        ("/output_tokens", 50),
        ("/cache_creation_input_tokens", 50),
        ("/cache_read_input_tokens", 40),
        ("/cache_creation/ephemeral_5m_input_tokens", 20),
        ("/cache_creation/ephemeral_1h_input_tokens", 30),
        ("/thinking_tokens", 7),
        ("/server_tool_use/web_search_requests", 0),
        ("/advisors/0/input_tokens", 1),
    ] {
        assert_eq!(usage.pointer(pointer), Some(&json!(tokens)), "{pointer}");
    }
}

#[tokio::test]
async fn exchanges_are_filtered_ordered_and_paged() {
    let (world, key) = busy().await;
    let requests = async |query: &str| {
        let items = items(&world, &format!("/api/v1/exchanges{query}")).await;
        let numbers =
            items.iter().map(|item| item["request_id"].as_str().unwrap().trim_start_matches("req_upstream"));
        numbers.map(str::to_owned).collect::<Vec<_>>().join(",")
    };
    let (id, hint) = (key["id"].as_str().unwrap(), key["hint"].as_str().unwrap());
    for (query, expected) in [
        ("", "5,4,3,2,1"),
        ("?order=oldest", "1,2,3,4,5"),
        ("?user=bob@b.c", "4"),
        ("?team=core", "3,2,1"),
        (&format!("?key={id}"), "3,2,1"),
        (&format!("?key={hint}"), "3,2,1"),
        ("?ended=refused", "5"),
        ("?status=401", "5"),
        ("?model=claude-opus-5-5&status=200", "4,3,2,1"),
        ("?model='%20OR%201=1", ""),
        ("?since=1d&until=1h", "2"),
        ("?since=2027-01-15", "5,4,3"),
    ] {
        assert_eq!(requests(query).await, expected, "{query}");
    }
    let first = world.get("/api/v1/exchanges?limit=2").await.ok();
    let next = first["next"].as_str().unwrap();
    assert_eq!(requests(&format!("?limit=3&after={next}")).await, "3,2,1");
    for (query, field) in [
        ("user=ghost@b.c", "user"),
        ("team=ghosts", "team"),
        ("key=x", "key"),
        ("ended=never", "ended"),
        ("status=70000", "status"),
        ("since=soon", "since"),
        ("limit=5000", "limit"),
        ("after=x", "after"),
        ("order=random", "order"),
        ("model=a%00b", "model"),
    ] {
        world.get(&format!("/api/v1/exchanges?{query}")).await.refused(400, "invalid_field", Some(field));
    }
}

#[tokio::test]
async fn usage_is_summed_by_each_noun() {
    let (world, key) = busy().await;
    let sums = async |query: &str| {
        let items = items(&world, &format!("/api/v1/usage{query}")).await;
        let row = |item: &Value| {
            (
                item["name"].as_str().unwrap().to_owned(),
                item["requests"].as_u64().unwrap(),
                item["cost_nanos"].as_i64().unwrap(),
            )
        };
        items.iter().map(row).collect::<Vec<_>>()
    };
    let row = |name: &str, requests: u64, completed: i64| (name.to_owned(), requests, completed * 1_234_567);
    let (ada, bob, nobody) = (row("ada@b.c", 3, 3), row("bob@b.c", 1, 1), row("", 1, 0));
    assert_eq!(sums("").await, [ada, bob, nobody]);
    assert_eq!(sums("?by=team").await, [row("Core", 3, 3), row("", 2, 1)]);
    assert_eq!(sums("?by=model").await, [row(MODEL, 5, 4)]);
    assert_eq!(sums("?by=provider").await, [row("main", 5, 4)]);
    assert_eq!(sums("?by=key").await[0], row(key["hint"].as_str().unwrap(), 3, 3));
    assert_eq!(sums("?by=total").await[0].1, 5);
    let days = sums("?by=day").await;
    assert_eq!(days[0], row("2027-01-13T00:00:00.000Z", 1, 1));
    assert_eq!(days.len(), 3);
    assert_eq!(sums("?by=user&since=2h").await.len(), 3);
    assert_eq!(sums("?by=day&since=2027-01-15").await.len(), 1);
    assert_eq!(sums("?by=day&since=2030-01-01").await, []);

    let total = &items(&world, "/api/v1/usage?by=total").await[0];
    for (name, value) in
        [("refusals", 1), ("errors", 0), ("cache_creation_input_tokens", 200), ("mean_first_byte_ms", 120)]
    {
        assert_eq!(total[name], value, "{name}");
    }
    for (query, field) in
        [("by=color", "by"), ("since=x", "since"), ("until=x", "until"), ("since=1h&until=2h", "until")]
    {
        world.get(&format!("/api/v1/usage?{query}")).await.refused(400, "invalid_field", Some(field));
    }
}

#[tokio::test]
async fn readers_wait_for_the_ledger_and_say_when_it_is_stuck() {
    let world = world().await;
    world.get("/api/v1/usage").await.ok();
    world.get("/api/v1/exchanges").await.ok();
    assert_eq!(world.knobs.flushes.load(Ordering::Relaxed), 2);
    *world.knobs.ledger_stuck.lock().unwrap() = true;
    for path in ["/api/v1/usage", "/api/v1/exchanges"] {
        let answer = world.get(path).await;
        answer.refused(503, "unavailable", None);
        assert_eq!(answer.headers["retry-after"], "2");
    }
}

#[tokio::test]
async fn exchanges_are_in_the_audit_log_apart_from_the_acts() {
    let (world, _) = busy().await;
    let batches = world.audited("?kind=exchanges").await;
    let counts = batches.iter().map(|batch| batch["detail"]["count"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), 5);
    assert!(world.audited("?limit=1000").await.iter().all(|entry| entry["action"] != "exchange.batch"));
}

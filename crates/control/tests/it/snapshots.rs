//! Daily snapshots of the figures, against what was computed by hand, on both engines.

use std::sync::atomic::Ordering;

use gatehouse_control::metrics::snapshot::{Ran, run_due};
use gatehouse_domain::exchange::{Cost, Ended, Exchange, PriceBasis, Principal};
use gatehouse_domain::id::ExchangeId;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::role::Role;
use gatehouse_domain::time::{DAY_MS, HOUR_MS, UnixMillis};
use gatehouse_domain::usage::{Tokens, Usage};
use gatehouse_store::StoreConfig;
use serde_json::{Value, json};

use crate::house::{BEGIN, World, world, world_in};
use crate::usage::{exchange, record, with_key};

/// The day on which every world begins.
const DAY: UnixMillis = UnixMillis(BEGIN.0 - BEGIN.0 % DAY_MS);
const ONE: Ran = Ran { days: 1, deleted: 0 };
const NOTHING: Ran = Ran { days: 0, deleted: 0 };

/// An exchange on the first day, so long after midnight.
fn at(who: Principal, ms: i64, n: u128, ended: Ended, duration_ms: u32, nanos: i64) -> Exchange {
    let started_at = DAY.plus_millis(ms);
    Exchange {
        id: ExchangeId::new(started_at, n),
        started_at,
        ended,
        duration_ms,
        first_byte_ms: Some(duration_ms / 10),
        cost: Cost { nanos: Nanos(nanos), basis: PriceBasis::Table },
        usage: Usage {
            tokens: Tokens { input: 100, cache_read: 300, output: 7, ..Tokens::default() },
            ..Usage::default()
        },
        bytes_in: 1000 + u64::try_from(n).unwrap(),
        ..exchange(Some(who), 0, n)
    }
}

impl World {
    /// Sets the clock to so long after the first day's midnight.
    fn clock(&self, ms: i64) {
        self.knobs.now.store(DAY.0 + ms, Ordering::Relaxed);
    }

    async fn history(&self, query: &str) -> Value {
        self.get(&format!("/api/v1/metrics/history{query}")).await.ok()
    }

    async fn days(&self, query: &str) -> Vec<String> {
        let history = self.history(query).await;
        let items = history["items"].as_array().unwrap();
        items.iter().map(|item| item["day"].as_str().unwrap().to_owned()).collect()
    }
}

/// Worlds on every engine there is.
async fn worlds() -> Vec<World> {
    let mut worlds = vec![world().await];
    if let Some(url) = gatehouse_testkit::postgres::fresh() {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig { url, ..StoreConfig::sqlite(dir.path()) };
        worlds.push(world_in(dir, &config).await);
    }
    worlds
}

/// Three people, two in the team Core: five requests of which two failed, a refusal, one given up, a try that was repeated.
async fn busy(w: &World) {
    w.post("/api/v1/teams", json!({"name": "Core"})).await.ok();
    w.post("/api/v1/teams", json!({"name": "Idle"})).await.ok();
    let (_, ada) = with_key(w, "ada@b.c", Some("Core")).await;
    let (_, bob) = with_key(w, "bob@b.c", None).await;
    with_key(w, "eve@b.c", Some("Core")).await;
    for member in ["ada@b.c", "eve@b.c"] {
        w.put(&format!("/api/v1/users/{member}/teams"), json!({"teams": ["Core"]})).await.ok();
    }
    let mut again = at(ada, 7_000_000, 3, Ended::UpstreamError, 1_000, 0);
    again.bytes_in = 77;
    let mut answered = at(ada, 7_010_000, 4, Ended::Completed, 2_003, 1_000_000_001);
    answered.bytes_in = 77;
    record(
        w,
        &[
            at(ada, -1, 1, Ended::Completed, 9_999, 5_000_000_000),
            at(ada, 0, 2, Ended::Completed, 100, 30),
            again,
            answered,
            at(bob, 3 * HOUR_MS, 5, Ended::Completed, 300, 2),
            at(bob, 4 * HOUR_MS, 6, Ended::UpstreamError, 400, 0),
            at(bob, 5 * HOUR_MS, 7, Ended::UpstreamFailed, 500, 0),
            at(bob, 6 * HOUR_MS, 8, Ended::Refused, 1, 0),
            at(bob, 7 * HOUR_MS, 9, Ended::ClientGone, 50, 7),
            at(bob, DAY_MS, 10, Ended::Completed, 9_999, 5_000_000_000),
        ],
    )
    .await;
    for (who, score) in [("ada@b.c", 5), ("bob@b.c", 4)] {
        w.post("/api/v1/feedback", json!({"user": who, "score": score})).await.ok();
    }
}

fn figure(value: f64, numerator: u64, n: u64) -> Value {
    json!({"value": value, "numerator": numerator, "n": n, "no_data": false})
}

#[tokio::test]
async fn a_day_is_what_was_computed_by_hand_to_the_last_digit() {
    for w in worlds().await {
        w.clock(8 * HOUR_MS);
        busy(&w).await;
        w.clock(DAY_MS + HOUR_MS);
        assert_eq!(run_due(&w.app).await.unwrap(), ONE);
        let history = w.history("").await;
        let [day] = history["items"].as_array().unwrap().as_slice() else { panic!("{history:#}") };
        assert_eq!(
            (&day["day"], &day["window"], &day["basis"]),
            (&json!("2027-01-15"), &json!("1d"), &json!("exchanges"))
        );
        assert_eq!(day["taken_at"], DAY.plus_millis(DAY_MS + HOUR_MS).to_string());
        let six = &day["metrics"];
        assert_eq!(six["user_adoption"], figure(0.666_666_666_666_666_6, 2, 3));
        assert_eq!(six["usage_frequency"], figure(2.5, 5, 2));
        assert_eq!(six["error_rate"], figure(0.4, 2, 5));
        assert_eq!(six["response_time"], figure(660.6, 3303, 5));
        let cost = json!({
            "usd": Nanos(500_000_020).to_string(), "nanos": 500_000_020, "numerator_nanos": 1_000_000_040, "n": 2, "no_data": false
        });
        assert_eq!(six["cost_per_user"], cost);
        let withheld = json!({"value": null, "numerator": null, "n": 2, "no_data": false});
        assert_eq!(six["satisfaction_score"], withheld, "two answers tell nothing");
        assert_eq!(day["cache_read_ratio"], figure(0.75, 2400, 3200));
        assert_eq!(day["response_time_ms"], json!({"p50": 400, "p95": 2003, "p99": 2003, "n": 5}));
        assert_eq!(day["first_byte_ms"], json!({"p50": 40, "p95": 200, "p99": 200, "n": 5}));
        assert_eq!(day["edit_accept_rate"], json!({"value": 0.0, "numerator": 0, "n": 0, "no_data": true}));
        let counts = &day["counts"];
        let apart = ["refused_requests", "retried_requests", "abandoned_requests", "active_7d"]
            .map(|key| &counts[key]);
        assert_eq!(apart, [&json!(1), &json!(1), &json!(1), &json!(2)]);
        let core = &w.history("?scope=team:core").await["items"][0]["metrics"];
        assert_eq!(
            (&core["user_adoption"], &core["usage_frequency"]),
            (&figure(0.5, 1, 2), &figure(2.0, 2, 1))
        );
        let mode = w.history("?scope=mode:gateway").await;
        assert_eq!(mode["items"][0]["metrics"], *six, "all go this way");
        for empty in ["mode:proxy", "team:idle"] {
            let nobody = &w.history(&format!("?scope={empty}")).await["items"][0]["metrics"];
            for name in [
                "user_adoption",
                "usage_frequency",
                "error_rate",
                "response_time",
                "cost_per_user",
                "satisfaction_score",
            ] {
                assert_eq!(
                    (&nobody[name]["no_data"], &nobody[name]["n"]),
                    (&json!(true), &json!(0)),
                    "{empty} {name}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_day_is_taken_once_and_stays_as_it_was() {
    for w in worlds().await {
        w.clock(8 * HOUR_MS);
        busy(&w).await;
        w.clock(DAY_MS + HOUR_MS - 1);
        assert_eq!(run_due(&w.app).await.unwrap(), NOTHING, "the hour of grace is not over");
        w.clock(DAY_MS + HOUR_MS);
        // Two nodes at once: whoever has the lease does it, and only once.
        let (one, other) = tokio::join!(run_due(&w.app), run_due(&w.app));
        assert_eq!(one.unwrap().days + other.unwrap().days, 1);
        let before = w.history("").await["items"].clone();
        // What comes late is in the sums, not in the day; nor does who is new change it.
        let (_, late) = with_key(&w, "late@b.c", None).await;
        record(&w, &[at(late, HOUR_MS, 50, Ended::Completed, 1, 1)]).await;
        w.clock(DAY_MS + 2 * HOUR_MS);
        assert_eq!(run_due(&w.app).await.unwrap(), NOTHING);
        assert_eq!(w.history("").await["items"], before);
    }
}

#[tokio::test]
async fn whoever_lost_the_lease_writes_nothing() {
    let w = world().await;
    w.clock(DAY_MS + HOUR_MS);
    let (store, org, now) = (&w.app.store, w.app.org, w.app.now());
    assert!(store.take_lease(org, "metric snapshots", "another", now, now.plus_millis(1000)).await.unwrap());
    assert_eq!(run_due(&w.app).await.unwrap(), NOTHING);
    assert_eq!(w.days("").await, [""; 0]);
    w.pass(1001);
    assert_eq!(run_due(&w.app).await.unwrap(), ONE);
}

#[tokio::test]
async fn missed_days_are_taken_later_a_month_back_at_most() {
    for w in worlds().await {
        w.clock(3 * DAY_MS + HOUR_MS);
        assert_eq!(run_due(&w.app).await.unwrap().days, 3);
        assert_eq!(w.days("").await, ["2027-01-15", "2027-01-16", "2027-01-17"]);
        let empty = &w.history("").await["items"][1];
        assert_eq!(
            empty["metrics"]["error_rate"],
            json!({"value": 0.0, "numerator": 0, "n": 0, "no_data": true})
        );
        // Forty days without anybody: a month is taken after all, and what is older than is kept goes.
        w.clock(43 * DAY_MS + HOUR_MS);
        let ran = run_due(&w.app).await.unwrap();
        assert_eq!(ran.days, 31);
        assert!(ran.deleted > 0, "the first days are older than 40 days");
        let days = w.days("?since=60d").await;
        assert_eq!(
            (days.len(), days[0].as_str(), days[30].as_str()),
            (31, "2027-01-27", "2027-02-26"),
            "{days:?}"
        );
        assert_eq!(run_due(&w.app).await.unwrap(), NOTHING);
    }
}

#[tokio::test]
async fn a_team_that_is_no_more_keeps_its_days_for_who_sees_all() {
    let w = world().await;
    w.clock(8 * HOUR_MS);
    busy(&w).await;
    w.clock(DAY_MS + HOUR_MS);
    run_due(&w.app).await.unwrap();
    let teams = w.get("/api/v1/teams").await.ok();
    let team = teams["items"].as_array().unwrap().iter().find(|team| team["name"] == "Idle").unwrap();
    assert!(w.ask(&w.owner, "DELETE", "/api/v1/teams/Idle", None).await.status.is_success());
    w.clock(2 * DAY_MS + HOUR_MS);
    assert_eq!(run_due(&w.app).await.unwrap(), ONE);
    assert_eq!(w.days("?scope=team:Idle").await, ["2027-01-15"]);
    let by_id = format!("?scope=team:{}", team["id"].as_str().unwrap());
    assert_eq!(w.days(&by_id).await, ["2027-01-15"]);
    assert_eq!(w.days("").await, ["2027-01-15", "2027-01-16"]);
}

#[tokio::test]
async fn who_is_limited_to_a_team_sees_only_its_days() {
    let w = world().await;
    w.clock(8 * HOUR_MS);
    busy(&w).await;
    let body = json!({"name": "core", "role": "admin", "team": "Core"});
    let token = w.post("/api/v1/admin-tokens", body).await.ok()["token"].as_str().unwrap().to_owned();
    let viewer = w.token(Role::Viewer).await;
    w.clock(DAY_MS + HOUR_MS);
    run_due(&w.app).await.unwrap();
    let ask = async |token: &str, query: &str| {
        w.ask(token, "GET", &format!("/api/v1/metrics/history{query}"), None).await
    };
    let own = ask(&token, "").await.ok();
    assert_eq!(
        (&own["scope"], &own["items"][0]["metrics"]["user_adoption"]["n"]),
        (&json!("team:Core"), &json!(2))
    );
    for other in ["org", "team:Idle", "mode:gateway", "rollout:a/b", "user:ada@b.c"] {
        ask(&token, &format!("?scope={other}")).await.refused(400, "invalid_field", Some("scope"));
    }
    assert_eq!(ask(&viewer, "").await.ok()["scope"], "org");
    for (query, field) in [
        ("?scope=user:ada@b.c", "scope"),
        ("?scope=team:Nobody", "scope"),
        ("?scope=mode:sideways", "scope"),
        ("?scope=rollout:none/pilot", "scope"),
        ("?since=367d", "since"),
        ("?since=soon", "since"),
        ("?since=1d&until=2d", "until"),
    ] {
        w.get(&format!("/api/v1/metrics/history{query}")).await.refused(400, "invalid_field", Some(field));
    }
}

#[tokio::test]
async fn many_teams_are_taken_a_few_at_a_time() {
    let w = world().await;
    for n in 0..120 {
        w.post("/api/v1/teams", json!({"name": format!("Team {n}")})).await.ok();
    }
    w.clock(DAY_MS + HOUR_MS);
    assert_eq!(run_due(&w.app).await.unwrap(), ONE);
    for n in [0, 60, 119] {
        assert_eq!(w.days(&format!("?scope=team:Team%20{n}")).await, ["2027-01-15"]);
    }
}

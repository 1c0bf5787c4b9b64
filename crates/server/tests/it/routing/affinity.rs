//! Sessions stay where they are, routes keep to teams and regions, and what decides is told.

use gatehouse_testkit::provider::Act;
use serde_json::{Value, json};

use super::{failing, several};
use crate::world::{MODEL, ask, echo};

const POOL: &str = "[routing]\nbreaker_failures = 1000\nretry_burst = 1000\n[[route]]\nname = \"pool\"\n\
    [[route.providers]]\nname = \"main\"\n[[route.providers]]\nname = \"b\"\n[[route.providers]]\nname = \"c\"\n";

#[test]
fn a_session_stays_with_its_provider_and_a_switch_is_counted() {
    let w = several(3, &[], POOL);
    let mut all = vec![0; 3];
    for n in 0..30 {
        let session = format!("session {n}");
        for _ in 0..3 {
            assert_eq!(w.post(&session, &ask(false)).status, 200);
        }
        let counts = w.counts();
        assert_eq!(counts.iter().max(), Some(&3), "all of a session at one provider: {counts:?}");
        all = all.iter().zip(counts).map(|(a, b)| a + b).collect();
    }
    assert!(all.iter().all(|count| *count >= 9), "sessions are spread: {all:?}");
    assert!(w.gatehouse.exchanges().iter().all(|e| e["switched"] == json!(false)));
    let explain = || {
        w.gatehouse.json(&[
            "route",
            "explain",
            "--user",
            "dev@example.com",
            "--model",
            MODEL,
            "--session",
            "session 1",
        ])
    };
    let told = explain();
    let home = told["session_with"].as_str().unwrap().to_owned();
    assert_eq!(told["candidates"][0]["provider"], home.as_str(), "{told:#}");
    let at = ["main", "b", "c"].iter().position(|name| *name == home).unwrap();
    w.providers[at].now(failing(529, "overloaded_error"));
    assert_eq!(w.post("session 1", &ask(false)).status, 200);
    let e = w.newest();
    assert_eq!(
        (e["switched"].as_bool(), e["attempts"][0]["provider"].as_str()),
        (Some(true), Some(home.as_str())),
        "{e:#}"
    );
    // Its cache is at the new one now, so it stays there when the old one is back.
    w.providers[at].now(echo(1, 1));
    w.counts();
    assert_eq!(w.post("session 1", &ask(false)).status, 200);
    assert_eq!(w.counts()[at], 0);
    assert_eq!(w.newest()["switched"], false);
    let metrics = gatehouse_testkit::http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
    assert!(metrics.contains("gatehouse_session_switches_total 1"), "{metrics}");
}

#[test]
fn routes_keep_to_their_teams_and_regions() {
    let w =
        several(3, &["region = \"us-east-1\"", "region = \"eu-west-1\"", "region = \"eu-central-1\""], "");
    let team = w.gatehouse.json(&["team", "add", "Core"])["id"].as_str().unwrap().to_owned();
    let (_, key) = w.gatehouse.key("eve@example.com", &["--team", "Core"]);
    let more = format!(
        "\n[[route]]\nname = \"europe\"\nteams = [\"{team}\"]\nregions = [\"eu-*\"]\nstrategy = \"least_busy\"\n"
    );
    let file = w.gatehouse.dir().join("gatehouse.toml");
    let config = std::fs::read_to_string(&file).unwrap() + &more;
    std::fs::write(&file, config).unwrap();
    let changed = w.gatehouse.json(&["config", "reload"]);
    assert!(changed.to_string().contains("route[europe]"), "{changed:#}");
    w.providers[1].now(failing(529, "overloaded_error"));
    assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 200);
    assert_eq!(w.counts()[0], 0, "not even when another fails");
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    assert_eq!(w.counts(), [1, 0, 0], "the other team's is nobody else's");
    let query = ["route", "explain", "--user", "eve@example.com", "--model", MODEL, "--team", "Core"];
    let told = w.gatehouse.json(&query);
    assert_eq!(told["rule"], "the route `europe` (least_busy)");
    assert_eq!(told["left_out"], json!([{"provider": "main", "why": "it is not in a region of the route"}]));
    let text = String::from_utf8(w.gatehouse.cli(&query).stdout).unwrap();
    assert!(text.contains("not asked: it is not in a region") && text.contains("rule: the route"), "{text}");
}

#[test]
fn the_least_busy_is_asked() {
    let least = POOL.replace("name = \"pool\"", "name = \"pool\"\nstrategy = \"least_busy\"");
    let w = several(3, &[], &least);
    for provider in &w.providers {
        provider.now(|_| {
            [
                vec![Act::Hold],
                gatehouse_testkit::sse::message(MODEL, "so", &gatehouse_testkit::sse::usage(1, 1)),
            ]
            .concat()
        });
    }
    // Three at once, each of a session of its own: one for each provider.
    std::thread::scope(|scope| {
        let w = &w;
        for n in 0..3 {
            scope.spawn(move || assert_eq!(w.post(&format!("s{n}"), &ask(false)).status, 200));
            // Only when it is there does the next one come.
            gatehouse_testkit::wait::until("the request at a provider", || {
                (w.providers.iter().map(gatehouse_testkit::provider::FakeProvider::unseen).sum::<usize>() > n)
                    .then_some(())
            });
        }
        assert_eq!(
            w.providers.iter().map(gatehouse_testkit::provider::FakeProvider::unseen).collect::<Vec<_>>(),
            [1, 1, 1]
        );
        w.providers.iter().for_each(gatehouse_testkit::provider::FakeProvider::release);
    });
}

#[test]
fn another_model_answers_where_the_route_allows_it_and_the_key_too() {
    let fallback = "claude-haiku-4-5";
    let config = format!(
        "[routing]\nbreaker_failures = 1000\n[[route]]\nname = \"r\"\nmodels = [\"{MODEL}\"]\nfallback_model = \"{fallback}\"\n"
    );
    let w = several(2, &[], &config);
    for provider in &w.providers {
        provider.now(|seen| {
            let asked: Value = serde_json::from_slice(&seen.body).unwrap();
            if asked["model"] == MODEL { failing(529, "overloaded_error")(seen) } else { echo(10, 5)(seen) }
        });
    }
    let reply = w.post("s", &ask(true));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let e = w.newest();
    assert_eq!((e["asked"].as_str(), e["model"].as_str()), (Some(MODEL), Some(fallback)), "{e:#}");
    assert_eq!(e["cost_nanos"], 10 * 1_000 + 5 * 5_000, "priced as served");
    assert_eq!(e["attempts"].as_array().map(Vec::len), Some(2));
    let (_, narrow) = w.gatehouse.key("dev@example.com", &["--models", MODEL]);
    assert_eq!(w.gatehouse.post(&narrow, &ask(true)).status, 529, "the key may not use the other model");
}

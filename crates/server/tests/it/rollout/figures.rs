//! The six figures against what was computed by hand, on both stores.

use gatehouse_testkit::provider::Act;
use gatehouse_testkit::{http, wait};
use serde_json::{Value, json};

use crate::world::{configured, echo, stores};

#[test]
fn the_six_are_what_was_computed_by_hand() {
    for store in stores() {
        let w = configured("", &store, echo(1000, 10));
        w.gatehouse.json(&["team", "add", "core"]);
        let keys: Vec<String> = ["ada@example.com", "bob@example.com", "eve@example.com"]
            .map(|who| w.gatehouse.key(who, &[]).1)
            .to_vec();
        w.gatehouse.json(&["user", "add", "idle@example.com", "--team", "core"]);
        w.gatehouse.json(&["user", "teams", "ada@example.com", "core"]);
        let none = w.gatehouse.json(&["metrics", "--window", "7d"]);
        for name in ["usage_frequency", "error_rate", "response_time", "cost_per_user", "satisfaction_score"]
        {
            assert_eq!(none["metrics"][name]["no_data"], json!(true), "{name}");
        }
        // Ada: three that succeed. Bob: two, and one that the provider fails.
        for n in 0..3 {
            assert_eq!(w.message(&keys[0], n), 200);
        }
        for n in 0..2 {
            assert_eq!(w.message(&keys[1], n), 200);
        }
        w.provider.now(|_| {
            vec![Act::Send(
                b"HTTP/1.1 500 X\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
            )]
        });
        assert_eq!(w.message(&keys[1], 7), 500);
        // Eve: two tries of one request that fail, of which the client made the second by itself.
        assert_eq!(w.message(&keys[2], 9), 500);
        assert_eq!(w.message(&keys[2], 9), 500);
        // Who is refused did not fail: the key may use another model only.
        let (_, narrow) = w.gatehouse.key("bob@example.com", &["--models", "claude-haiku-5-5"]);
        assert_eq!(w.message(&narrow, 1), 451);
        for (who, score) in [
            ("ada@example.com", "5"),
            ("bob@example.com", "4"),
            ("eve@example.com", "3"),
            ("idle@example.com", "4"),
            ("dev@example.com", "1"),
        ] {
            w.gatehouse.json(&["feedback", "add", who, score]);
        }
        let all = w.gatehouse.json(&["metrics", "--scope", "org", "--window", "7d"]);
        let value = |name: &str| all["metrics"][name]["value"].clone();
        assert_eq!(all["basis"], "exchanges");
        assert_eq!(value("user_adoption"), json!(0.333_333_333_333_333_3), "two of six: {all:#}");
        assert_eq!(value("usage_frequency"), json!(3.5), "seven of two");
        assert_eq!(value("error_rate"), json!(0.285_714_285_714_285_7), "two of seven");
        assert_eq!(value("satisfaction_score"), json!(3.4), "17 of 5");
        // Five answers of 1,000 and 10 tokens at 2 and 10 dollars for a million each.
        assert_eq!(all["metrics"]["cost_per_user"]["nanos"], json!(5 * (1000 * 2_000 + 10 * 10_000) / 2));
        let counts = &all["counts"];
        let apart: Vec<&Value> = ["failed_requests", "retried_requests", "refused_requests", "active_7d"]
            .map(|k| &counts[k])
            .to_vec();
        assert_eq!(apart, [&json!(2), &json!(1), &json!(1), &json!(2)], "{all:#}");
        // The mean is that of the very exchanges.
        let exchanges = w.gatehouse.exchanges();
        let mut counted: Vec<u64> = exchanges
            .iter()
            .filter(|e| e["ended"] != "refused")
            .map(|e| e["duration_ms"].as_u64().unwrap())
            .collect();
        let retried = exchanges
            .iter()
            .filter(|e| e["ended"] == "upstream_error" && e["user"] == "eve@example.com")
            .map(|e| e["duration_ms"].as_u64().unwrap())
            .next();
        if let Some(retried) = retried {
            let at = counted.iter().position(|ms| *ms == retried).unwrap();
            counted.remove(at);
            assert_eq!(
                value("response_time"),
                json!(f64::from(u32::try_from(counted.iter().sum::<u64>()).unwrap()) / 7.0)
            );
        }
        let core = w.gatehouse.json(&["metrics", "--scope", "team:core", "--window", "7d"]);
        assert_eq!(
            (&core["metrics"]["user_adoption"]["value"], &core["metrics"]["usage_frequency"]["value"]),
            (&json!(0.5), &json!(3.0))
        );
        assert_eq!(
            core["metrics"]["satisfaction_score"]["withheld"],
            json!(true),
            "two answers tell nothing"
        );
        let ada = w.gatehouse.json(&["metrics", "--scope", "user:ada@example.com"]);
        assert_eq!(ada["metrics"]["error_rate"], json!({"value": 0.0, "n": 3, "no_data": false}));
        let (code, told) = w.run(&["metrics", "--scope", "galaxy"]);
        assert!(code == 1 && told.contains("team:NAME"), "{told}");
        let (code, told) = w.run(&["metrics", "--window", "7d"]);
        assert!(code == 0 && told.contains("user_adoption") && told.contains("retried_requests"), "{told}");
        let metrics = http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
        assert!(!metrics.contains("example.com"), "no person is a label");
    }
}

#[test]
fn the_figures_of_each_mode_are_gauges_and_absent_without_data() {
    for store in stores() {
        let mut w = configured("", &store, echo(1000, 10));
        w.gatehouse.json(&["team", "add", "core"]);
        let [ada, bob] = ["ada@example.com", "bob@example.com"].map(|who| w.gatehouse.key(who, &[]).1);
        w.gatehouse.json(&["user", "teams", "ada@example.com", "core"]);
        w.gatehouse.json(&["mode", "set", "hybrid", "--team", "core"]);
        for n in 0..3 {
            assert_eq!(w.message(&ada, n), 200);
        }
        assert_eq!(w.message(&bob, 9), 200);
        let hybrid = w.gatehouse.json(&["metrics", "--scope", "mode:hybrid"]);
        let frequency = json!({"value": 3.0, "n": 1, "no_data": false, "of": "requests"});
        assert_eq!(hybrid["metrics"]["usage_frequency"], frequency);
        // They are reckoned at the start, and then every few minutes.
        w.gatehouse.kill();
        w.gatehouse.restart();
        let told = wait::until("the figures of modes", || {
            let told = http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
            told.contains("gatehouse_mode_requests_per_active_user{").then_some(told)
        });
        for line in [
            r#"gatehouse_requests_per_active_user{window="7d"} 2"#,
            r#"gatehouse_mode_requests_per_active_user{window="7d",mode="hybrid"} 3"#,
            r#"gatehouse_mode_requests_per_active_user{window="7d",mode="gateway"} 1"#,
            r#"gatehouse_mode_user_adoption_ratio{window="7d",mode="hybrid"} 1"#,
            r#"gatehouse_mode_user_error_ratio{window="7d",mode="hybrid"} 0"#,
        ] {
            assert!(told.lines().any(|one| one == line), "{line} is not in\n{told}");
        }
        // Nobody goes these ways, nobody was asked, no client told of edits.
        for absent in
            [r#"mode="direct"}"#, r#"mode="proxy"}"#, "satisfaction_score{", "edit_accept_ratio{", " NaN"]
        {
            assert!(!told.contains(absent), "{absent} is in\n{told}");
        }
        let (code, told) = w.run(&["metrics", "history", "--since", "7d"]);
        assert!(code == 0 && told.contains("an hour after its end"), "{told}");
        let history = w.gatehouse.json(&["metrics", "history", "--scope", "team:core"]);
        assert_eq!((&history["scope"], &history["items"]), (&json!("team:core"), &json!([])));
        let (code, told) = w.run(&["metrics", "history", "--scope", "user:ada@example.com"]);
        assert!(code == 1 && told.contains("none are kept of single people"), "{told}");
    }
}

//! An organization of two thousand: a pilot that passes, a phase that fails and is taken back, a second rollout to everybody.

use std::collections::BTreeMap;

use gatehouse_testkit::browser::{Browser, hidden};
use gatehouse_testkit::provider::Act;
use gatehouse_testkit::wait;
use serde_json::{Value, json};

use crate::world::{World, echo, reachable, stores};

const PEOPLE: usize = 2000;
const PILOTS: usize = 12;

fn pilots() -> Vec<String> {
    (0..PILOTS).map(|n| format!("p{n}@example.com")).collect()
}

fn first() -> Value {
    let errors = json!({"metric": "error_rate", "at_most": 0.05, "min_sample": 60, "on_fail": "rollback"});
    json!({
        "name": "first", "settings": [{"profile": "haiku", "version": 1}],
        "interval": "1s", "failures": 1, "batch": 150, "exclude_users": ["p40@example.com"],
        "phase": [
            {"id": "pilot", "cohort": {"users": pilots()}, "soak": "0s", "approvals": 1, "check": [
                errors,
                {"metric": "receipts", "at_least": 0.9, "min_sample": PILOTS},
                {"metric": "satisfaction", "at_least": 3.5},
            ]},
            {"id": "limited_rollout", "cohort": {"teams": ["t0", "t1", "t2"]}, "soak": "1d", "check": [errors]},
            {"id": "full_rollout", "soak": "1d"},
        ],
    })
}

#[test]
fn a_pilot_passes_a_phase_fails_and_all_is_as_it_was() {
    for store in stores() {
        let w = reachable(&store, echo(10, 5));
        let reviewer = w.second("reviewer");
        w.people(PEOPLE);
        let base = w.write("base.json", &json!({"model": "opus"}));
        w.gatehouse.json(&["settings", "new", "base", "--for", "organization", "-f", &base]);
        w.publish("base", &reviewer);
        w.overlay("haiku", &json!({"model": "haiku"}), &reviewer);
        w.overlay("sonnet", &json!({"model": "sonnet"}), &reviewer);
        let keys: BTreeMap<String, String> = (0..60)
            .map(|n| format!("p{n}@example.com"))
            .map(|email| {
                let made = w.api("POST", "/api/v1/keys", &json!({"user": email}));
                assert_eq!(made.status, 201, "{}", made.text());
                (email, made.json()["key"].as_str().unwrap().to_owned())
            })
            .collect();
        let before = w.effective_of("p0@example.com");
        let file = w.write("first.json", &first());
        let preview = w.gatehouse.json(&["rollout", "apply", "-f", &file, "--dry-run"]);
        let totals: Vec<&Value> = preview["phases"].as_array().unwrap().iter().map(|p| &p["total"]).collect();
        // 12 pilots, of whom nine are in other teams than the three; everybody but one, the developer, and who was there at the first start.
        assert_eq!(totals, [&json!(12), &json!(308), &json!(2001)], "{preview}");

        assert_eq!(w.rollout(&first())["outcome"], "created");
        assert_eq!(w.rollout(&first())["outcome"], "unchanged", "the same again changes nothing");
        pilot(&w, &keys, &reviewer);
        limited(&w, &keys);
        taken_back(&w, &keys, &before);
        second(&w);
    }
}

/// Nothing passes until there is evidence, and the author's word does not count.
fn pilot(w: &World, keys: &BTreeMap<String, String>, reviewer: &str) {
    let shown = wait::until("the pilot to be looked at", || {
        let shown = w.status("first");
        (shown["state"] == "evaluating").then_some(shown)
    });
    assert_eq!(shown["phases"][0]["users"], PILOTS);
    assert_eq!(w.effective_of("p0@example.com")["settings"]["model"], "haiku");
    assert_eq!(w.effective_of("p50@example.com")["settings"]["model"], "opus");
    for (email, n) in pilots().iter().zip(0..) {
        w.client_takes_settings(&keys[email]);
        for m in 0..6 {
            assert_eq!(w.message(&keys[email], n * 10 + m), 200);
        }
    }
    answer_by_link(w);
    for email in pilots().iter().skip(1).take(5) {
        w.gatehouse.json(&["feedback", "add", email, "4", "--nps", "9", "--rollout", "first"]);
    }
    let waiting = w.wait_for("first", "awaiting_approval", "pilot");
    let verdicts: Vec<&Value> =
        waiting["phases"][0]["checks"].as_array().unwrap().iter().map(|check| &check["verdict"]).collect();
    assert_eq!(verdicts, ["pass", "pass", "pass"], "{waiting:#}");
    let (code, told) = w.run(&["rollout", "approve", "first", "--comment", "mine is good"]);
    assert!(code == 1 && told.contains("somebody else must look at it"), "{told}");
    w.gatehouse.json(&["--token", reviewer, "rollout", "approve", "first", "--comment", "twelve are happy"]);
    let summary = w.gatehouse.json(&["feedback", "summary", "--rollout", "first"]);
    assert_eq!((&summary["answers"], &summary["mean"]), (&json!(6), &json!(25.0 / 6.0)));
}

/// A link answers once, without script and in three languages.
fn answer_by_link(w: &World) {
    let sent = w.gatehouse.json(&["feedback", "send", "--user", "p0@example.com", "--rollout", "first"]);
    let url = sent[0]["url"].as_str().unwrap().to_owned();
    let (origin, path) = url.split_at(url.find("/feedback").unwrap());
    let mut browser = Browser::new(&w.gatehouse.gateway, origin);
    let mut texts = Vec::new();
    for lang in ["en", "zh-Hans", "zh-Hant"] {
        let page = browser.get(&format!("{path}&lang={lang}"), &[]);
        assert_eq!(page.status, 200, "{}", page.text());
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{policy}");
        assert!(!page.text().contains("<script"));
        texts.push(page.text());
    }
    assert!(texts[0].contains("How satisfied") && texts[1].contains("满意度") && texts[2].contains("滿意度"));
    let fields = [
        ("survey", hidden(&texts[0], "survey")),
        ("form", hidden(&texts[0], "form")),
        ("score", "5".to_owned()),
        ("nps", "10".to_owned()),
        ("comment", "<b>fast</b>".to_owned()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(browser.post_from("/feedback", &fields, &[]).status, 403, "not from our page");
    assert_eq!(browser.post("/feedback", &[fields[0], fields[1]]).status, 403, "without a score");
    let few = w.gatehouse.json(&["feedback", "list"]);
    assert_eq!(few, json!([]));
    let thanks = browser.post("/feedback", &fields);
    assert_eq!(thanks.status, 200, "{}", thanks.text());
    assert_eq!(browser.post("/feedback", &fields).status, 403, "a second time");
    assert_eq!(browser.get(path, &[]).status, 403);
    let forged = path.replace("svy_0", "svy_1");
    assert_eq!(browser.get(&forged, &[]).status, 403);
    let few = w.gatehouse.json(&["feedback", "summary"]);
    assert_eq!((&few["answers"], &few["mean"], &few["withheld"]), (&json!(1), &Value::Null, &json!(true)));
}

/// Errors at the provider take it back by themselves, long before the phase would have ended.
fn limited(w: &World, keys: &BTreeMap<String, String>) {
    w.wait_for("first", "soaking", "limited_rollout");
    assert_eq!(w.effective_of("p41@example.com")["settings"]["model"], "haiku");
    assert_eq!(w.effective_of("p40@example.com")["settings"]["model"], "opus", "excluded");
    assert_eq!(w.effective_of("p43@example.com")["settings"]["model"], "opus", "of another team");
    let late = json!({"email": "late@example.com", "teams": ["t1"]});
    assert_eq!(w.api("POST", "/api/v1/users", &late).status, 201);
    wait::until("the joiner to have it", || {
        (w.effective_of("late@example.com")["settings"]["model"] == "haiku").then_some(())
    });
    w.provider.now(|_| {
        let body = r#"{"type":"error","error":{"type":"api_error","message":"broken"}}"#;
        let head = format!(
            "HTTP/1.1 500 X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        vec![Act::Send([head.as_bytes(), body.as_bytes()].concat())]
    });
    for (n, m) in
        [20, 21, 22, 41, 42].into_iter().zip(0..).flat_map(|(n, m)| [(n, m), (n, m + 10), (n, m + 20)])
    {
        assert_eq!(w.message(&keys[&format!("p{n}@example.com")], m), 500);
    }
    w.wait_for("first", "rolled_back", "limited_rollout");
    w.provider.now(echo(10, 5));
}

fn taken_back(w: &World, keys: &BTreeMap<String, String>, before: &Value) {
    let all = w.assignments("first");
    assert_eq!(all.len(), 309);
    for one in &all {
        assert!(matches!(one["state"].as_str().unwrap(), "undone" | "restored"), "{one}");
        assert_eq!((&one["from"], one["undone_at"].is_string()), (&before["checksum"], true), "{one}");
    }
    for n in (0..PEOPLE).step_by(97).chain(0..PILOTS) {
        assert_eq!(w.effective_of(&format!("p{n}@example.com"))["checksum"], before["checksum"]);
    }
    // Their clients still have it until they ask again, and until then they are named.
    let named = w.status("first")["unconfirmed"].as_array().unwrap().len();
    assert_eq!(named, PILOTS);
    for email in pilots() {
        w.client_takes_settings(&keys[&email]);
    }
    wait::until("all receipts of the old version", || {
        (w.status("first")["unconfirmed"] == json!([])).then_some(())
    });
    let (code, told) = w.run(&["rollout", "status", "first", "--result"]);
    let result: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(code, 1);
    assert_eq!(
        (&result["success"], &result["phase"], &result["error"]),
        (&json!(false), &json!("limited_rollout"), &json!("Deployment failed, rolled back"))
    );
    assert_eq!(result["phases"][0]["phase"], "pilot");
    assert_eq!(
        (&result["phases"][0]["success"], &result["phases"][1]["success"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(result["phases"][0]["users"].as_array().unwrap().len(), PILOTS);
    assert_eq!(result["phases"][1]["teams"], json!(["t0", "t1", "t2"]));
    assert!(result["phases"][1]["metrics"]["error_rate"]["value"].as_f64().unwrap() > 0.05, "{result:#}");
    assert!(result["causes"][0].as_str().unwrap().contains("error_rate"), "{result:#}");
    let (code, told) = w.run(&["rollout", "status", "first"]);
    assert!(code == 1 && told.contains("rolled_back") && told.contains("error_rate"), "{told}");
    let acts = w.gatehouse.json(&["audit", "list", "--action", "rollout.undo"]);
    assert!(acts.as_array().unwrap().len() >= 3, "{acts}");
}

/// Another goes to everybody, whoever comes later too.
fn second(w: &World) {
    w.rollout(&json!({
        "name": "second", "settings": [{"profile": "sonnet", "version": 1}], "interval": "1s", "batch": 500,
        "phase": [
            {"id": "pilot", "cohort": {"percent": 5}, "soak": "0s", "check": []},
            {"id": "limited_rollout", "cohort": {"percent": 25, "teams": ["t7"]}, "soak": "0s", "check": []},
            {"id": "full_rollout", "soak": "0s", "check": []},
        ],
    }));
    let done = w.wait_for("second", "succeeded", "full_rollout");
    let users: Vec<u64> =
        done["phases"].as_array().unwrap().iter().map(|phase| phase["users"].as_u64().unwrap()).collect();
    assert!((90..=120).contains(&users[0]) && (540..=640).contains(&users[1]), "{users:?}");
    assert_eq!(users[2], 2003);
    let all = w.assignments("second");
    assert_eq!(all.len(), 2003);
    let of_pilot: Vec<&Value> = all.iter().filter(|one| one["phase"] == "pilot").collect();
    assert_eq!(of_pilot.len() as u64, users[0]);
    let result = w.gatehouse.json(&["rollout", "status", "second", "--result"]);
    assert_eq!((&result["success"], result["phases"].as_array().unwrap().len()), (&json!(true), 3));
    assert_eq!(result["phases"][2]["users"].as_array().unwrap().len() as u64, users[2] - users[1]);
    assert_eq!(w.api("POST", "/api/v1/users", &json!({"email": "new@example.com"})).status, 201);
    assert_eq!(w.effective_of("new@example.com")["settings"]["model"], "sonnet");
    let metrics = w.gatehouse.json(&["metrics", "--scope", "rollout:second/pilot", "--window", "1d"]);
    assert_eq!(metrics["metrics"]["user_adoption"]["n"], users[0]);
}

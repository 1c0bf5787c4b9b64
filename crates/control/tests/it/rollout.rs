//! Overlays and publications at a time from the outside.

use std::sync::atomic::Ordering;

use gatehouse_control::settings::{Answer, schedule};
use gatehouse_domain::id::UserId;
use gatehouse_domain::role::Role;
use gatehouse_domain::settings::ReceiptState;
use gatehouse_domain::time::DAY_MS;
use serde_json::{Value, json};

use crate::settings::{Bench, PROFILES, bench};

const MINUTE: i64 = 60_000;

/// A bench with people, a published base for all, and a published overlay that nobody has.
async fn pilot() -> Bench {
    let b = bench().await;
    b.people().await;
    b.make("base", json!("organization"), json!({"model": "opus", "permissions": {"deny": ["WebFetch"]}}))
        .await;
    b.publish("base", 1).await;
    b.make("pilot", json!("rollout"), json!({"model": "haiku", "permissions": {"deny": ["Bash"]}})).await;
    b.publish("pilot", 1).await;
    b
}

impl Bench {
    async fn audience(&self, method: &str, rest: &str, body: Value) -> crate::house::Answer {
        let path = format!("{PROFILES}/pilot/audience{rest}");
        self.world.ask(&self.second, method, &path, Some(body)).await
    }

    async fn model(&self, user: &str) -> Value {
        self.effective(user).await["settings"]["model"].clone()
    }

    /// What the data path hands out.
    async fn handed_out(&self, user: &str) -> String {
        let app = &self.world.app;
        let id = gatehouse_control::user::get(app, user).await.unwrap().id;
        match app.settings.fetch(id, None, Some("claude-code/2.1.330"), app.now()).unwrap() {
            Answer::Settings(served) | Answer::Same(served) => served.settings.as_map()["model"].to_string(),
            Answer::Nothing => "nothing".to_owned(),
        }
    }

    async fn refreshed(&self) {
        self.world.app.settings.refresh(&self.world.app.store, self.world.app.org).await.unwrap();
    }
}

#[tokio::test]
async fn an_overlay_is_assigned_widened_and_withdrawn() {
    let b = pilot().await;
    let shown = b.world.get(&format!("{PROFILES}/pilot/audience")).await.ok();
    assert_eq!((&shown["state"], &shown["people"]), (&json!("unassigned"), &json!(0)));
    assert_eq!(b.model("ada@b.c").await, "opus", "published for nobody");
    let changes = b.world.knobs.policy_changes.load(Ordering::Relaxed);
    let assigned = b.audience("PUT", "", json!({"users": ["ada@b.c"]})).await.ok();
    assert_eq!(b.world.knobs.policy_changes.load(Ordering::Relaxed), changes + 1);
    assert_eq!(
        (&assigned["state"], &assigned["people"], &assigned["users"]),
        (&json!("open"), &json!(1), &json!(["ada@b.c"]))
    );
    assert_eq!((b.model("ada@b.c").await, b.model("bob@b.c").await), (json!("haiku"), json!("opus")));
    let layers = b.effective("ada@b.c").await["layers"].clone();
    assert_eq!(layers[1], json!({"rank": "rollout", "profile": "pilot"}));
    let told = b.world.get("/api/v1/settings/users/ada@b.c/explain?key=permissions.deny").await.ok();
    assert_eq!(told["value"], json!(["WebFetch", "Bash"]), "deny-lists grow through an overlay too");
    assert_eq!(told["leaves"][0]["decided_by"][1], json!({"rank": "rollout", "profile": "pilot"}));

    b.refreshed().await;
    assert_eq!(
        (b.handed_out("ada@b.c").await, b.handed_out("bob@b.c").await),
        ("\"haiku\"".into(), "\"opus\"".into())
    );
    let wider = b.audience("POST", "/widen", json!({"percent": 100})).await.ok();
    assert_eq!((&wider["people"], &wider["percent"]), (&json!(2), &json!(100)), "{wider}");
    let narrower = b.audience("POST", "/widen", json!({"percent": 99})).await;
    narrower.refused(400, "invalid_field", Some("audience"));
    b.refreshed().await;
    assert_eq!(b.handed_out("bob@b.c").await, "\"haiku\"");
    let over = b.audience("POST", "/withdraw", json!({})).await.ok();
    assert_eq!(over["state"], "over");
    b.audience("POST", "/widen", json!({"users": ["bob@b.c"]})).await.refused(
        400,
        "invalid_field",
        Some("audience"),
    );
    b.refreshed().await;
    assert_eq!(
        (b.handed_out("ada@b.c").await, b.handed_out("bob@b.c").await),
        ("\"opus\"".into(), "\"opus\"".into())
    );

    let acts = b.world.audited("?limit=3").await;
    let told: Vec<&Value> = acts.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(told, ["settings.audience_withdraw", "settings.audience_widen", "settings.audience_assign"]);
    assert_eq!(acts[2]["detail"]["user_names"], json!(["ada@b.c"]));
}

#[tokio::test]
async fn an_overlay_comes_and_goes_with_the_time_alone() {
    let b = pilot().await;
    let body = json!({"teams": ["core"], "starts": "1h", "ends": "2h"});
    let waiting = b.audience("PUT", "", body).await.ok();
    assert_eq!((&waiting["state"], &waiting["people"]), (&json!("waiting"), &json!(1)));
    b.refreshed().await;
    // The node is told nothing from here on.
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push((b.handed_out("ada@b.c").await, b.model("ada@b.c").await));
        b.world.pass(40 * MINUTE);
    }
    let (opus, haiku) = (("\"opus\"".to_owned(), json!("opus")), ("\"haiku\"".to_owned(), json!("haiku")));
    assert_eq!(seen, [opus.clone(), opus.clone(), haiku, opus]);
    assert_eq!(b.world.get(&format!("{PROFILES}/pilot/audience")).await.ok()["state"], "over");
}

#[tokio::test]
async fn who_is_affected_and_how_far_an_overlay_is() {
    let b = pilot().await;
    b.audience("PUT", "", json!({"teams": ["core"], "starts": "1h"})).await.ok();
    b.draft("pilot", json!({"model": "sonnet"})).await;
    let diff = b.world.get(&format!("{PROFILES}/pilot/versions/2/diff")).await.ok();
    assert_eq!(diff["affected"], 1, "as it will be when it begins");
    b.world.pass(61 * MINUTE);
    b.refreshed().await;
    let app = &b.world.app;
    let ada = gatehouse_control::user::get(app, "ada@b.c").await.unwrap().id;
    let Ok(Answer::Settings(served)) = app.settings.fetch(ada, None, Some("claude-code/2.1.330"), app.now())
    else {
        panic!("settings")
    };
    assert_eq!(
        app.settings.report(ada, &served.checksum.to_string(), None, app.now()),
        Some(ReceiptState::Confirmed)
    );
    let of = async |query: &str| b.world.get(&format!("/api/v1/settings/receipts{query}")).await.ok();
    let pilots = of("?profile=pilot").await;
    assert_eq!(pilots["items"].as_array().unwrap().len(), 1, "{pilots}");
    assert_eq!(
        (&pilots["items"][0]["email"], &pilots["items"][0]["state"]),
        (&json!("ada@b.c"), &json!("confirmed"))
    );
    let count = of("/count?profile=pilot").await;
    let total: u64 =
        count["items"].as_array().unwrap().iter().map(|one| one["users"].as_u64().unwrap()).sum();
    assert_eq!(total, 1);
    b.audience("POST", "/withdraw", json!({})).await.ok();
    let waiting = of("?state=assigned").await;
    assert_eq!(waiting["items"][0]["email"], "ada@b.c", "her client has not asked since it was withdrawn");
    assert_eq!(of("?profile=pilot").await["items"], json!([]));
    b.world.get("/api/v1/settings/receipts?profile=ghost").await.refused(404, "not_found", None);
}

#[tokio::test]
async fn what_no_audience_can_be() {
    let b = pilot().await;
    for (body, field) in [
        (json!({}), "audience"),
        (json!({"percent": 101}), "percent"),
        (json!({"users": ["ghost@b.c"]}), "users"),
        (json!({"teams": ["ghosts"]}), "teams"),
        (json!({"percent": 5, "starts": "2020-01-01"}), "starts"),
        (json!({"percent": 5, "starts": "soon"}), "starts"),
        (json!({"percent": 5, "starts": "2h", "ends": "1h"}), "audience"),
        (json!({"users": vec!["x"; 1001]}), "users"),
    ] {
        b.audience("PUT", "", body).await.refused(400, "invalid_field", Some(field));
    }
    let other = format!("{PROFILES}/base/audience");
    let told = b.world.ask(&b.second, "PUT", &other, Some(json!({"percent": 5}))).await;
    told.refused(400, "invalid_field", Some("profile"));
    b.audience("POST", "/widen", json!({"percent": 5})).await.refused(400, "invalid_field", Some("audience"));
    b.audience("POST", "/withdraw", json!({})).await.refused(400, "invalid_field", Some("audience"));
    let auditor = b.world.token(Role::Auditor).await;
    let path = format!("{PROFILES}/pilot/audience");
    b.world.ask(&auditor, "PUT", &path, Some(json!({"percent": 5}))).await.refused(403, "forbidden", None);
    assert!(b.world.ask(&auditor, "GET", &path, None).await.status.is_success());
}

#[tokio::test]
async fn an_overlay_that_would_leave_somebody_without_settings_is_refused() {
    let b = pilot().await;
    let large = json!({"companyAnnouncements": ["x".repeat(600_000)]});
    b.make("large", json!("organization"), large.clone()).await;
    b.publish("large", 1).await;
    let other = json!({"extra": "x".repeat(600_000)});
    b.make("heavy", json!("rollout"), other).await;
    b.step(&b.author, "heavy", 1, "submit", json!({})).await.ok();
    b.step(&b.second, "heavy", 1, "approve", json!({})).await.ok();
    let refused = b.step(&b.author, "heavy", 1, "publish", json!({})).await;
    refused.refused(400, "invalid_field", Some("settings"));
    assert!(refused.text.contains("bytes"), "{}", refused.text);
}

#[tokio::test]
async fn who_is_in_a_share_does_not_depend_on_the_node() {
    let b = pilot().await;
    b.audience("PUT", "", json!({"percent": 30})).await.ok();
    b.refreshed().await;
    let app = &b.world.app;
    let one = app.settings.snapshot().unwrap();
    let other = gatehouse_control::settings::Snapshot::load(&app.store, app.org, app.settings.catalogue())
        .await
        .unwrap();
    let in_it = |snapshot: &gatehouse_control::settings::Snapshot, n: u128| {
        snapshot.served(UserId::from_bits(n), app.now()).unwrap().unwrap().layers.len() == 2
    };
    let count = (0..1000).filter(|n| in_it(&one, *n)).count();
    assert!((200..400).contains(&count), "{count}");
    assert!((0..1000).all(|n| in_it(&one, n) == in_it(&other, n)));
}

#[tokio::test]
async fn an_approved_version_is_published_when_its_time_has_come() {
    let b = pilot().await;
    b.draft("base", json!({"model": "sonnet"})).await;
    let path = format!("{PROFILES}/base/versions/2/schedule");
    let schedule_at = async |at: &str| b.world.ask(&b.second, "PUT", &path, Some(json!({"at": at}))).await;
    schedule_at("1h").await.refused(400, "invalid_field", Some("version"));
    b.step(&b.author, "base", 2, "submit", json!({})).await.ok();
    b.step(&b.second, "base", 2, "approve", json!({})).await.ok();
    for bad in ["", "tomorrow", "2020-01-01T00:00:00Z", "-1h"] {
        schedule_at(bad).await.refused(400, "invalid_field", Some("at"));
    }
    let shown = schedule_at("1h").await.ok();
    assert_eq!((&shown["scheduled"]["version"], &shown["scheduled"]["by"]), (&json!(2), &json!("second")));
    let app = &b.world.app;
    schedule::run_due(app).await.unwrap();
    assert_eq!(b.model("bob@b.c").await, "opus");

    b.world.pass(60 * MINUTE);
    let until = app.now().plus_millis(MINUTE);
    assert!(
        app.store.take_lease(app.org, "settings_schedule", "another node", app.now(), until).await.unwrap()
    );
    schedule::run_due(app).await.unwrap();
    assert_eq!(b.model("bob@b.c").await, "opus", "another node is at it");
    b.world.pass(MINUTE);
    schedule::run_due(app).await.unwrap();
    assert_eq!(b.model("bob@b.c").await, "sonnet");
    let profile = b.world.get(&format!("{PROFILES}/base")).await.ok();
    assert_eq!((&profile["published"], &profile["scheduled"]), (&json!(2), &Value::Null));
    let version = b.world.get(&format!("{PROFILES}/base/versions/2")).await.ok();
    let last = version["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["kind"], &last["note"]), (&json!("published"), &json!("scheduled by second")));
    let acts = b.world.audited("?limit=2").await;
    assert_eq!(
        (&acts[0]["action"], &acts[0]["actor"]["kind"]),
        (&json!("settings.publish"), &json!("system"))
    );
    assert_eq!(acts[1]["action"], "settings.schedule");
    let count = b.world.audited("?limit=100").await.len();
    schedule::run_due(app).await.unwrap();
    assert_eq!(b.world.audited("?limit=100").await.len(), count, "once");
}

#[tokio::test]
async fn what_is_taken_back_or_not_possible_is_not_published() {
    let b = pilot().await;
    b.draft("base", json!({"model": "sonnet"})).await;
    b.step(&b.author, "base", 2, "submit", json!({})).await.ok();
    b.step(&b.second, "base", 2, "approve", json!({})).await.ok();
    let path = format!("{PROFILES}/base/versions/2/schedule");
    let at = || json!({"at": "1h"});
    b.world.ask(&b.second, "DELETE", &path, None).await.refused(404, "not_found", None);
    b.world.ask(&b.second, "PUT", &path, Some(at())).await.ok();
    b.world.ask(&b.author, "DELETE", &format!("{PROFILES}/base/versions/1/schedule"), None).await.refused(
        404,
        "not_found",
        None,
    );
    b.world.ask(&b.author, "DELETE", &path, None).await.ok();
    b.world.pass(61 * MINUTE);
    schedule::run_due(&b.world.app).await.unwrap();
    assert_eq!(b.model("bob@b.c").await, "opus");

    // Meanwhile it has become too large together with what others published.
    b.draft("pilot", json!({"extra": "x".repeat(600_000)})).await;
    b.publish("pilot", 2).await;
    b.make("late", json!("organization"), json!({"more": "x".repeat(500_000)})).await;
    b.step(&b.author, "late", 1, "submit", json!({})).await.ok();
    b.step(&b.second, "late", 1, "approve", json!({})).await.ok();
    let late = format!("{PROFILES}/late/versions/1/schedule");
    b.world.ask(&b.second, "PUT", &late, Some(at())).await.ok();
    b.world.pass(61 * MINUTE);
    schedule::run_due(&b.world.app).await.unwrap();
    let profile = b.world.get(&format!("{PROFILES}/late")).await.ok();
    assert!(profile["scheduled"]["problem"].as_str().unwrap().contains("bytes"), "{profile}");
    let failed = &b.world.audited("?limit=1").await[0];
    assert_eq!((&failed["action"], &failed["outcome"]), (&json!("settings.publish"), &json!("failed")));
    schedule::run_due(&b.world.app).await.unwrap();
    assert_eq!(b.world.audited("?limit=1").await[0]["seq"], failed["seq"], "it is not tried again");
    b.draft("pilot", json!({})).await;
    b.publish("pilot", 3).await;
    b.step(&b.second, "late", 1, "publish", json!({})).await.ok();
    assert_eq!(b.world.get(&format!("{PROFILES}/late")).await.ok()["scheduled"], Value::Null);
}

#[tokio::test]
async fn a_phase_under_way_has_days_of_its_own() {
    let b = pilot().await;
    let definition = json!({
        "name": "first", "settings": [{"profile": "pilot", "version": 1}],
        "phase": [{"id": "few", "cohort": {"users": ["ada@b.c"]}, "soak": "30d"}, {"id": "full_rollout"}],
    });
    b.world.post("/api/v1/rollouts", json!({"definition": definition})).await.ok();
    gatehouse_control::rollout::controller::run_due(&b.world.app).await.unwrap();
    b.world.pass(DAY_MS);
    gatehouse_control::metrics::snapshot::run_due(&b.world.app).await.unwrap();
    let days = b.world.get("/api/v1/metrics/history?scope=rollout:first/few").await.ok();
    let [day] = days["items"].as_array().unwrap().as_slice() else { panic!("{days:#}") };
    let adoption = json!({"value": 0.0, "numerator": 0, "n": 1, "no_data": false});
    assert_eq!((&day["scope"], &day["metrics"]["user_adoption"]), (&json!("rollout:first/few"), &adoption));
    // Nobody is in the second one yet.
    let later = b.world.get("/api/v1/metrics/history?scope=rollout:first/full_rollout").await;
    later.refused(400, "invalid_field", Some("scope"));
}

//! Configuration, providers, status.

use gatehouse_domain::role::Role;
use serde_json::json;

use crate::house::world;

#[tokio::test]
async fn a_reload_says_what_changed_and_is_recorded_in_two_steps() {
    let world = world().await;
    let answer = world.post("/api/v1/config/reload", json!({})).await.ok();
    assert_eq!(answer, json!({"changed": ["log.filter"], "restart_needed": ["listen.admin"]}));
    let entries = world.audited("").await;
    assert_eq!(
        (&entries[0]["action"], &entries[1]["action"]),
        (&json!("config.reload"), &json!("config.reload.begin"))
    );
    assert_eq!(entries[0]["detail"]["changed"], json!(["log.filter"]));
}

#[tokio::test]
async fn a_refused_reload_tells_all_mistakes() {
    let world = world().await;
    *world.knobs.refuse_reload.lock().unwrap() = vec!["gate.toml:3: one".into(), "gate.toml:9: two".into()];
    let answer = world.post("/api/v1/config/reload", json!({})).await;
    answer.refused(422, "config_refused", None);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("gate.toml:3: one\ngate.toml:9: two"), "{message}");
    let entry = &world.audited("?action=config.reload").await[0];
    assert_eq!((&entry["outcome"], &entry["reason"]), (&json!("failed"), &json!("2 mistakes")));
}

#[tokio::test]
async fn configuration_providers_and_status_are_shown() {
    let world = world().await;
    let auditor = world.token(Role::Auditor).await;
    let get = async |path: &str| world.ask(&auditor, "GET", path, None).await.ok();
    assert_eq!(get("/api/v1/config").await["settings"][0]["key"], "log.filter");
    assert_eq!(get("/api/v1/providers").await["items"][0]["credential"], "sealed:main");
    let status = get("/api/v1/status").await;
    assert_eq!((&status["version"], &status["store"]), (&json!("1.2.3"), &json!("sqlite")));
    assert_eq!(
        (&status["started_at"], &status["snapshot_version"]),
        (&json!("2027-01-15T08:00:00.000Z"), &json!(7))
    );
    assert_eq!(status["organization"], world.app.org.to_string());
}

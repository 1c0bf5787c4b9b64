//! Imported schemas of the client's settings, from the outside.

use std::sync::atomic::Ordering;

use gatehouse_domain::role::Role;
use serde_json::{Value, json};

use crate::settings::{Bench, PROFILES, bench};

const SCHEMAS: &str = "/api/v1/settings/schemas";

fn schema(properties: &Value) -> String {
    json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": properties})
        .to_string()
}

fn lamps() -> String {
    schema(&json!({
        "lamp": {"enum": ["on", "off"], "description": "Whether it shines."},
        "lampCommand": {"type": "string"},
        "model": {"type": "boolean"},
    }))
}

impl Bench {
    async fn import(&self, text: &str) -> crate::house::Answer {
        let body = json!({"text": text, "client": "2.1.400"});
        self.world.ask(&self.second, "POST", SCHEMAS, Some(body)).await
    }

    async fn codes(&self, settings: Value) -> Vec<String> {
        let found = self.world.post("/api/v1/settings/lint", json!({"settings": settings})).await.ok();
        let items = found["items"].as_array().unwrap().iter();
        items.map(|one| one["code"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn keys_of_a_schema_become_known_and_strict() {
    let b = bench().await;
    let tried = json!({"text": lamps(), "dry_run": true});
    let told = b.world.ask(&b.second, "POST", SCHEMAS, Some(tried)).await.ok();
    assert_eq!((&told["number"], &told["added"][0]["key"]), (&Value::Null, &json!("lamp")));
    assert!(b.codes(json!({"lamp": "blue"})).await.contains(&"unknown-key".to_owned()));

    let changes = b.world.knobs.policy_changes.load(Ordering::Relaxed);
    let imported = b.import(&lamps()).await;
    assert_eq!(imported.status.as_u16(), 201);
    let told = imported.ok();
    assert_eq!(b.world.knobs.policy_changes.load(Ordering::Relaxed), changes + 1);
    let lamp = &told["added"][0];
    assert_eq!(
        (&lamp["merge"], &lamp["asks"], &lamp["runs"]),
        (&json!("unite"), &json!(true), &json!(false))
    );
    assert_eq!((&lamp["since"], &lamp["origin"]), (&json!("2.1.400"), &json!("schema")));
    assert_eq!((&told["added"][1]["key"], &told["added"][1]["runs"]), (&json!("lampCommand"), &json!(true)));
    assert!(b.codes(json!({"lamp": "blue"})).await.contains(&"bad-value".to_owned()));
    assert!(
        !b.codes(json!({"model": "opus"})).await.contains(&"wrong-type".to_owned()),
        "what is known stays"
    );
    let keys = b.world.get("/api/v1/settings/catalogue").await.ok();
    let known = keys["items"].as_array().unwrap().iter().find(|key| key["key"] == "lamp").unwrap();
    assert_eq!(known["help"]["en"], "Whether it shines.");

    // A program by another name needs two people like any other.
    let body = json!({"name": "x", "target": "organization", "settings": {"lampCommand": "/bin/true"}});
    b.world.ask(&b.author, "POST", PROFILES, Some(body.clone())).await.refused(
        400,
        "invalid_field",
        Some("settings"),
    );
    b.world.knobs.allow_commands.store(true, Ordering::Relaxed);
    b.world.ask(&b.author, "POST", PROFILES, Some(body)).await.ok();
    assert_eq!(b.step(&b.author, "x", 1, "submit", json!({})).await.ok()["approvals_needed"], 2);
    let entry = &b.world.audited("?action=settings.schema_import").await[0];
    assert_eq!(entry["detail"]["added_keys"], json!(["lamp", "lampCommand"]));
}

#[tokio::test]
async fn schemas_add_up_warn_of_what_is_gone_and_are_reset() {
    let b = bench().await;
    b.import(&lamps()).await.ok();
    b.make("bright", json!("organization"), json!({"lamp": "on"})).await;
    b.publish("bright", 1).await;
    let again = b.import(&lamps()).await;
    assert_eq!((again.status.as_u16(), &again.ok()["number"]), (200, &Value::Null), "nothing new");
    let told = b.import(&schema(&json!({"lampCommand": {"type": "boolean"}, "oil": {}}))).await.ok();
    assert_eq!((&told["number"], &told["changed"][0]["key"]), (&json!(2), &json!("lampCommand")));
    assert_eq!(told["changed"][0]["runs"], true, "it stays strict");
    let missing = told["missing"].as_array().unwrap();
    let lamp = missing.iter().find(|one| one["key"] == "lamp").unwrap();
    assert_eq!(lamp["profiles"], json!(["bright"]));
    assert!(b.codes(json!({"lamp": "blue"})).await.contains(&"bad-value".to_owned()), "it stays known");

    let listed = b.world.get(SCHEMAS).await.ok();
    assert_eq!((&listed["items"][0]["number"], &listed["items"][0]["by"]), (&json!(2), &json!("second")));
    assert!(listed["items"][0]["text"].is_null());
    let one = b.world.get(&format!("{SCHEMAS}/1")).await.ok();
    assert_eq!((one["text"].as_str().unwrap(), &one["client"]), (lamps().as_str(), &json!("2.1.400")));
    b.world.get(&format!("{SCHEMAS}/9")).await.refused(404, "not_found", None);

    let reset = format!("{SCHEMAS}/reset");
    assert_eq!(b.world.ask(&b.second, "POST", &reset, None).await.ok()["kind"], "reset");
    assert!(b.codes(json!({"lamp": "blue"})).await.contains(&"unknown-key".to_owned()));
    b.world.ask(&b.second, "POST", &reset, None).await.refused(400, "invalid_field", Some("schema"));
}

#[tokio::test]
async fn another_node_goes_by_it_when_it_notices() {
    let b = bench().await;
    b.import(&lamps()).await.ok();
    let app = &b.world.app;
    let other = gatehouse_control::settings::Delivery::new(app.settings.builtin().clone());
    let lamp = gatehouse_domain::settings::Path::parse("lamp").unwrap();
    assert!(other.catalogue().key(&lamp).is_none());
    other.refresh(&app.store, app.org).await.unwrap();
    assert!(other.catalogue().key(&lamp).is_some());
    b.world.ask(&b.second, "POST", &format!("{SCHEMAS}/reset"), None).await.ok();
    other.refresh(&app.store, app.org).await.unwrap();
    assert!(other.catalogue().key(&lamp).is_none());
}

#[tokio::test]
async fn hostile_schemas_and_strangers_are_refused() {
    let b = bench().await;
    let circle = r##"{"properties": {"a": {"$ref": "#/properties/a"}}}"##;
    for text in ["", "[]", "{}", circle, r#"{"properties": {"a": {"$ref": "https://x/y.json"}}}"#] {
        b.import(text).await.refused(400, "invalid_field", Some("schema"));
    }
    let body = json!({"text": lamps(), "client": "new"});
    b.world.ask(&b.second, "POST", SCHEMAS, Some(body)).await.refused(400, "invalid_field", Some("client"));
    b.import(&"x".repeat(1_100_000)).await.refused(413, "body_too_large", None);
    let auditor = b.world.token(Role::Auditor).await;
    let body = json!({"text": lamps()});
    b.world.ask(&auditor, "POST", SCHEMAS, Some(body)).await.refused(403, "forbidden", None);
    assert!(b.world.ask(&auditor, "GET", SCHEMAS, None).await.status.is_success());
    assert_eq!(b.world.get(SCHEMAS).await.ok()["items"], json!([]));
}

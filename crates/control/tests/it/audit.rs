//! The audit log through the API.

use std::collections::BTreeSet;

use gatehouse_domain::audit::{PublicKey, verify};
use serde_json::{Value, json};

use crate::house::world;

#[tokio::test]
async fn an_export_verifies_against_the_published_key() {
    let world = world().await;
    for n in 0..40 {
        world.post("/api/v1/teams", json!({"name": format!("team {n}")})).await.ok();
    }
    let export = world.get("/api/v1/audit/export").await;
    assert_eq!(export.headers["content-type"], "application/x-ndjson");
    let key = world.get("/api/v1/audit/public-key").await.ok();
    let key: PublicKey = serde_json::from_value(key["key"].clone()).unwrap();

    let report = verify(export.text.as_bytes(), &[key]).unwrap();
    assert!(report.fault.is_none() && report.trusted, "{report:?}");
    assert!(export.text.contains("\"audit.export\""), "the export tells of itself");
    let tampered = export.text.replace("team 7", "team 8");
    assert!(verify(tampered.as_bytes(), &[key]).unwrap().fault.is_some());

    let later = world.get("/api/v1/audit/export?first=20").await;
    assert!(verify(later.text.as_bytes(), &[key]).unwrap().fault.is_none());
    for first in ["0", "100000", "-1", "x"] {
        world.get(&format!("/api/v1/audit/export?first={first}")).await.refused(
            400,
            "invalid_field",
            Some("first"),
        );
    }
}

#[tokio::test]
async fn every_act_leaves_one_entry_that_says_who_and_from_where() {
    let world = world().await;
    world.post("/api/v1/users", json!({"email": "a@b.c"})).await.ok();
    let key = world.post("/api/v1/keys", json!({"user": "a@b.c"})).await.ok();
    let answer = world.post(&format!("/api/v1/keys/{}/revoke", key["id"].as_str().unwrap()), json!({})).await;
    let entries = world.audited("?action=key.revoke").await;
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!(entry["object"], json!({"kind": "key", "id": key["id"], "name": key["hint"]}));
    assert_eq!((&entry["actor"]["kind"], &entry["actor"]["name"]), (&json!("admin"), &json!("first owner")));
    assert_eq!((&entry["outcome"], &entry["at"]), (&json!("done"), &json!("2027-01-15T08:00:00.000Z")));
    assert_eq!(entry["request_id"], answer.headers["x-request-id"].to_str().unwrap());
    assert!(entry["from"].as_str().unwrap().starts_with("10."));
}

#[tokio::test]
async fn entries_are_filtered_and_paged() {
    let world = world().await;
    for n in 0..25 {
        world.post("/api/v1/teams", json!({"name": format!("team {n}")})).await.ok();
        world.pass(1000);
    }
    let mut seen = BTreeSet::new();
    let mut path = "/api/v1/audit?limit=7".to_owned();
    loop {
        let page = world.get(&path).await.ok();
        for entry in page["items"].as_array().unwrap() {
            assert!(seen.insert(entry["seq"].as_u64().unwrap()));
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/audit?limit=7&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), (1..=28).collect::<Vec<u64>>());
    let count = async |query: &str| world.audited(query).await.len();
    assert_eq!(count("?action=team.add&since=10s").await, 10);
    assert_eq!(count("?action=team.add&until=10s").await, 15);
    assert_eq!(count("?kind=exchanges").await, 0);
    assert_eq!(count("?actor=bootstrap").await, 3);
    for (query, field) in
        [("since=soon", "since"), ("until=x", "until"), ("after=x", "after"), ("since=1h&until=2h", "until")]
    {
        world.get(&format!("/api/v1/audit?{query}")).await.refused(400, "invalid_field", Some(field));
    }
    let _: Value = world.get("/api/v1/audit?kind=all&since=2020-01-01").await.ok();
}

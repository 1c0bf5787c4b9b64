//! Marks on what was written from files, and a person's name.

use serde_json::{Value, json};

use crate::house::{World, world};

const PATH: &str = "/api/v1/owned-objects";

fn mark(noun: &str, name: &str, digest: &str) -> Value {
    json!({"noun": noun, "name": name, "digest": digest})
}

impl World {
    async fn owned(&self) -> Vec<Value> {
        self.get(PATH).await.ok()["items"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn marks_are_set_recorded_and_removed() {
    let world = world().await;
    let digest = "ab".repeat(32);
    let items = json!({"items": [mark("user", "a@b.c", &digest), mark("team", "Core / Web", &digest)]});
    assert_eq!(world.put(PATH, items).await.ok()["marked"], 2);
    let owned = world.owned().await;
    assert_eq!((&owned[0]["name"], &owned[1]["digest"]), (&json!("Core / Web"), &json!(digest)));
    let entry = &world.audited("?action=owned_objects.mark").await[0];
    assert_eq!(entry["detail"]["objects"], json!(["user a@b.c", "team Core / Web"]));
    let path = format!("{PATH}/team/Core%20%2F%20Web");
    world.ask(&world.owner, "DELETE", &path, None).await;
    assert_eq!(world.owned().await.len(), 1);
    world.ask(&world.owner, "DELETE", &path, None).await.refused(404, "not_found", None);
    assert_eq!(world.audited("?action=owned_objects.release").await.len(), 1);
}

#[tokio::test]
async fn bad_marks_are_refused_as_a_whole() {
    let world = world().await;
    let digest = "ab".repeat(32);
    let good = mark("team", "Core", &digest);
    for (bad, field) in [
        (mark("key", "x", &digest), "noun"),
        (mark("team", "", &digest), "name"),
        (mark("team", "a\u{0}b", &digest), "name"),
        (mark("team", &"x".repeat(321), &digest), "name"),
        (mark("team", "x", "ab"), "digest"),
        (mark("team", "x", &"zz".repeat(32)), "digest"),
    ] {
        let answer = world.put(PATH, json!({"items": [good.clone(), bad]})).await;
        answer.refused(400, "invalid_field", Some(field));
    }
    for items in [json!([]), json!(vec![good.clone(); 501])] {
        world.put(PATH, json!({"items": items})).await.refused(400, "invalid_field", Some("items"));
    }
    assert!(world.owned().await.is_empty());
    for path in ["key/x", "team/a%00b", "team/Core"] {
        let answer = world.ask(&world.owner, "DELETE", &format!("{PATH}/{path}"), None).await;
        answer.refused(404, "not_found", None);
    }
}

#[tokio::test]
async fn a_person_gets_another_name() {
    let world = world().await;
    world.post("/api/v1/users", json!({"email": "a@b.c", "name": "Ada"})).await.ok();
    let path = "/api/v1/users/a@b.c/name";
    assert_eq!(world.put(path, json!({"name": "Ada L."})).await.ok()["name"], "Ada L.");
    let entry = &world.audited("?action=user.set_name").await[0];
    assert_eq!(entry["detail"], json!({"before": "Ada", "name": "Ada L."}));
    world.put(path, json!({"name": ""})).await.refused(400, "invalid_field", Some("name"));
    assert_eq!(world.put(path, json!({})).await.ok()["name"], Value::Null);
    world.put("/api/v1/users/no@b.c/name", json!({})).await.refused(404, "not_found", None);
}

//! Secrets go in and never come out (promise P7).

use gatehouse_control::secret;
use gatehouse_identity::secret::Secret;
use serde_json::{Value, json};

use crate::house::world;

const CANARY: &str = "sk-ant-canary-7f3a9";

#[tokio::test]
async fn a_provider_key_is_used_but_never_seen() {
    let world = world().await;
    let answer = world.put("/api/v1/providers/main/key", json!({"key": CANARY})).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    assert_eq!(*world.knobs.keys_changed.lock().unwrap(), ["main"]);

    let app = &world.app;
    let key = secret::provider_key(&app.store, &app.keyring, app.org, "main").await.unwrap();
    assert_eq!(key.as_ref().and_then(Secret::expose_text), Some(CANARY));
    assert!(secret::provider_key(&app.store, &app.keyring, app.org, "other").await.unwrap().is_none());

    let document: Value = serde_json::from_str(&gatehouse_control::openapi()).unwrap();
    let gets = document["paths"].as_object().unwrap().iter().filter(|(_, item)| item.get("get").is_some());
    for (path, _) in gets {
        let answer = world.get(&path.replace("{user}", "x").replace("{key}", "x")).await;
        assert!(!answer.text.contains("canary"), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn refused_secrets_are_not_repeated() {
    let world = world().await;
    for body in [
        json!({"key": format!("{CANARY} with a space")}),
        json!({"key": format!("{CANARY}\n")}),
        json!({"key": CANARY.repeat(1000)}),
        json!({"key": [CANARY]}),
        json!({"key": {CANARY: 1}}),
        json!({"kee": CANARY}),
        json!(CANARY),
        json!([CANARY]),
        json!({"key": ""}),
    ] {
        let answer = world.put("/api/v1/providers/main/key", body).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert!(!answer.text.contains("canary"), "{}", answer.text);
    }
    let bad_name = world.put("/api/v1/providers/a%2Fb/key", json!({"key": CANARY})).await;
    bad_name.refused(400, "invalid_field", Some("name"));
    assert!(world.knobs.keys_changed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_key_pasted_where_an_id_belongs_is_not_repeated() {
    let world = world().await;
    world.post("/api/v1/users", json!({"email": "a@b.c"})).await.ok();
    let made = world.post("/api/v1/keys", json!({"user": "a@b.c"})).await.ok();
    let key = made["key"].as_str().unwrap();
    let answer = world.get(&format!("/api/v1/keys/{key}")).await;
    answer.refused(404, "not_found", None);
    assert!(!answer.text.contains(&key[11..]), "{}", answer.text);
}

#[tokio::test]
async fn the_database_holds_no_secret_in_the_clear() {
    let world = world().await;
    world.put("/api/v1/providers/main/key", json!({"key": CANARY})).await.ok();
    world.post("/api/v1/users", json!({"email": "a@b.c"})).await.ok();
    let made = world.post("/api/v1/keys", json!({"user": "a@b.c"})).await.ok();
    let export = world.get("/api/v1/audit/export").await;
    world.app.store.close().await;

    let secrets = [CANARY, &made["key"].as_str().unwrap()[11..], &world.owner[12..]];
    let mut bytes = export.text.into_bytes();
    for file in std::fs::read_dir(world.dir.path()).unwrap() {
        bytes.extend(std::fs::read(file.unwrap().path()).unwrap_or_default());
    }
    assert!(contains(&bytes, "a@b.c"), "the files were read");
    for secret in secrets {
        assert!(!contains(&bytes, secret), "found {secret}");
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

//! Secrets go in and never come out (promise P7).

use gatehouse_control::secret;
use gatehouse_domain::id::NodeId;
use gatehouse_domain::time::DAY_MS as DAY;
use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::master::MasterKey;
use gatehouse_identity::secret::Secret;
use gatehouse_store::node::Tells;
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

async fn keys_of(world: &crate::house::World, purpose: &str) -> Vec<(String, String, Value)> {
    let listed = world.get("/api/v1/secrets").await.ok();
    let items = listed["items"].as_array().unwrap().iter().filter(|key| key["purpose"] == purpose);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    items.map(|key| (text(&key["key"]), text(&key["state"]), key["under"].clone())).collect()
}

fn key(name: &str, state: &str, under: impl Into<Value>) -> (String, String, Value) {
    (name.to_owned(), state.to_owned(), under.into())
}

#[tokio::test]
async fn a_pepper_is_rotated_and_retired_when_nothing_is_hashed_with_it() {
    let world = world().await;
    assert_eq!(keys_of(&world, "hashes").await, [key("1", "active", 1)], "the owner's token");
    let idle = world.post("/api/v1/admin-tokens", json!({"name": "idle", "role": "viewer"})).await.ok();
    let rotated = world.post("/api/v1/secrets/hashes/rotate", json!({"retire_after": "1d"})).await.ok();
    assert_eq!((&rotated["keys"][1]["state"], &rotated["in_force"]), (&json!("active"), &json!(true)));
    // The owner's was used since.
    assert_eq!(keys_of(&world, "hashes").await, [key("1", "old", 1), key("2", "active", 1)]);
    let refused = world.post("/api/v1/secrets/hashes/1/retire", json!({})).await;
    refused.refused(409, "conflict", None);
    assert!(refused.text.contains("1 credentials"), "{}", refused.text);
    world.pass(2 * DAY);
    gatehouse_control::rotation::tidy(&world.app).await.unwrap();
    assert_eq!(keys_of(&world, "hashes").await.len(), 2, "its time has come, but something hangs on it");
    let idle_text = idle["token"].as_str().unwrap();
    assert_eq!(world.ask(idle_text, "GET", "/api/v1/users", None).await.status, 200, "an old hash is good");
    gatehouse_control::rotation::tidy(&world.app).await.unwrap();
    assert_eq!(keys_of(&world, "hashes").await, [key("2", "active", 2)]);
    assert_eq!(world.ask(idle_text, "GET", "/api/v1/users", None).await.status, 200);
    let entries = world.audited("?action=secret.retire").await;
    assert_eq!((entries.len(), &entries[0]["actor"]["id"]), (1, &json!("rotation")));
}

#[tokio::test]
async fn a_key_that_others_check_is_announced_first() {
    let world = world().await;
    for purpose in ["access-tokens", "refresh-tokens", "sign-in-forms", "audit"] {
        let path = format!("/api/v1/secrets/{purpose}/rotate");
        let rotated = world.post(&path, json!({})).await.ok();
        assert_eq!(rotated["keys"][0]["state"], "active", "{purpose}");
        assert_eq!(rotated["keys"][1]["state"], "announced", "{purpose}");
        world.post(&path, json!({})).await.refused(409, "conflict", None);
        let retire = format!("/api/v1/secrets/{purpose}/1/retire");
        world.post(&retire, json!({})).await.refused(409, "conflict", None);
    }
    let public = |key: &Value| key["public_key"].as_str().unwrap().to_owned();
    let before = world.get("/api/v1/audit/public-key").await.ok()["key"].as_str().unwrap().to_owned();
    world.pass(10_000);
    let listed = world.get("/api/v1/secrets").await.ok();
    let audit: Vec<&Value> =
        listed["items"].as_array().unwrap().iter().filter(|key| key["purpose"] == "audit").collect();
    assert_eq!((audit[0]["state"].as_str(), audit[1]["state"].as_str()), (Some("old"), Some("active")));
    let now = world.get("/api/v1/audit/public-key").await.ok()["key"].as_str().unwrap().to_owned();
    assert_eq!((public(audit[0]), public(audit[1])), (before.clone(), now.clone()));
    world.post("/api/v1/secrets/audit/1/retire", json!({})).await.ok();
    // Both verify the whole log: the entry about the change was signed with the old key.
    let log = world.get("/api/v1/audit/export").await.text;
    for trusted in [&before, &now] {
        let report = gatehouse_domain::audit::verify(log.as_bytes(), &[trusted.parse().unwrap()]).unwrap();
        assert!(report.is_sound(), "{:?}", report.fault);
        assert_eq!(report.keys.len(), 2);
    }
    let stranger = gatehouse_domain::audit::Signer::new(&[9; 32]).public();
    assert!(!gatehouse_domain::audit::verify(log.as_bytes(), &[stranger]).unwrap().is_sound());
}

#[tokio::test]
async fn keys_are_rotated_by_owners_and_security_administrators_only() {
    let world = world().await;
    for (role, status) in [("admin", 403), ("viewer", 403), ("security_admin", 200)] {
        let made = world.post("/api/v1/admin-tokens", json!({"name": role, "role": role})).await.ok();
        let token = made["token"].as_str().unwrap();
        let told = world.ask(token, "POST", "/api/v1/secrets/bundles/rotate", Some(json!({}))).await;
        assert_eq!(told.status, status, "{role}: {}", told.text);
    }
    for (path, status, code) in [
        ("/api/v1/secrets/nothing/rotate", 404, "not_found"),
        ("/api/v1/secrets/hashes/7/retire", 404, "not_found"),
        ("/api/v1/secrets/hashes/1/retire", 409, "conflict"),
        ("/api/v1/secrets/bundles/x/retire", 404, "not_found"),
    ] {
        world.post(path, json!({})).await.refused(status, code, None);
    }
    world.post("/api/v1/secrets/master/rotate", json!({})).await.refused(
        400,
        "invalid_field",
        Some("purpose"),
    );
    let body = json!({"retire_after": "9999d"});
    world.post("/api/v1/secrets/hashes/rotate", body).await.refused(
        400,
        "invalid_field",
        Some("retire_after"),
    );
}

/// A node must never meet a secret under a master key that it does not know.
#[tokio::test]
async fn the_master_key_changes_over_when_every_node_knows_it() {
    let world = world().await;
    world.put("/api/v1/providers/main/key", json!({"key": CANARY})).await.ok();
    let app = &world.app;
    let (old, new) = (app.keyring.newest(), MasterKey::from_bytes(*b"0123456789abcdefghijklmnopqrstuv"));
    let other = NodeId::from_bits(77);
    app.store.register_node(other, "1.2.3", &old.id().to_string(), app.now()).await.unwrap();
    app.keyring.replace(&Keyring::new(new.clone(), vec![old.clone()]));
    assert_eq!(app.keyring.sealing().id(), old.id());
    let refused = world.post("/api/v1/secrets/master/rotate", json!({})).await;
    refused.refused(409, "conflict", None);
    assert!(refused.text.contains(&other.to_string()), "{}", refused.text);

    app.store
        .touch_node(other, &format!("{} {}", old.id(), new.id()), &Tells::default(), app.now())
        .await
        .unwrap();
    world.post("/api/v1/secrets/master/rotate", json!({})).await.ok();
    assert_eq!(app.keyring.sealing().id(), new.id());
    let listed = keys_of(&world, "master").await;
    assert_eq!(listed, [key(&old.id().to_string(), "old", 0), key(&new.id().to_string(), "active", 2)]);
    let alone = Keyring::new(new, vec![]);
    let found = secret::provider_key(&app.store, &alone, app.org, "main").await.unwrap();
    assert_eq!(found.as_ref().and_then(Secret::expose_text), Some(CANARY));
    // Another node that follows seals under it too.
    let follower = Keyring::new(old, vec![alone.newest()]);
    let (keys, notary) = (&app.keys, &app.notary);
    let fresh = gatehouse_control::keys::Keys::new(keys.with(Clone::clone));
    fresh.refresh(&app.store, &follower, app.org, notary).await.unwrap();
    assert_eq!(follower.sealing().id(), alone.newest().id());
}

//! Virtual keys.

use std::sync::atomic::Ordering;

use gatehouse_domain::key::{KeyKind, VirtualKey};
use gatehouse_domain::policy::Denied;
use gatehouse_domain::time::{DAY_MS, HOUR_MS};
use serde_json::{Value, json};

use crate::house::{World, world};

async fn with_ada() -> World {
    let world = world().await;
    world.post("/api/v1/teams", json!({"name": "Core"})).await.ok();
    world.post("/api/v1/projects", json!({"name": "Apollo"})).await.ok();
    world.post("/api/v1/users", json!({"email": "ada@b.c", "teams": ["Core"]})).await.ok();
    world
}

/// What the data path would say to this key now.
async fn verdict(world: &World, text: &str) -> Result<(), Denied> {
    let key = VirtualKey::parse(KeyKind::Virtual, text.as_bytes()).unwrap();
    let snapshot = world.app.store.load_snapshot(world.app.org).await.unwrap();
    snapshot.with_proofs(world.app.keys.proofs(world.app.now())).identify(&key, world.app.now()).map(drop)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[tokio::test]
async fn a_key_is_made_shown_once_and_works() {
    let world = with_ada().await;
    let body = json!({
        "user": "ada@b.c", "name": "laptop", "team": "core", "project": "Apollo",
        "models": ["claude-haiku-*", "claude-opus-5-5"], "expires": "30d",
    });
    let made = world.post("/api/v1/keys", body).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!(made["expires_at"], "2027-02-14T08:00:00.000Z");
    assert_eq!(
        (&made["team"], &made["project"], &made["email"]),
        (&json!("Core"), &json!("Apollo"), &json!("ada@b.c"))
    );
    assert_eq!(made["models"], json!(["claude-haiku-*", "claude-opus-5-5"]));
    let key = text(&made["key"]);
    assert!(key.starts_with(text(&made["hint"])));
    assert_eq!(verdict(&world, key).await, Ok(()));

    for path in [
        "/api/v1/keys".to_owned(),
        format!("/api/v1/keys/{}", text(&made["id"])),
        format!("/api/v1/keys/{}", text(&made["hint"])),
    ] {
        let seen = world.get(&path).await;
        assert!(seen.status.is_success() && !seen.text.contains(&key[11..]), "{path}: {}", seen.text);
    }
    world.pass(31 * DAY_MS);
    assert_eq!(verdict(&world, key).await, Err(Denied::Expired));
    assert_eq!(world.get("/api/v1/keys").await.ok()["items"][0]["state"], "expired");
}

#[tokio::test]
async fn disable_enable_and_revoke_take_effect_and_revoking_is_final() {
    let world = with_ada().await;
    let made = world.post("/api/v1/keys", json!({"user": "ada@b.c"})).await.ok();
    let (id, key) = (text(&made["id"]), text(&made["key"]));
    let changes = || world.knobs.policy_changes.load(Ordering::Relaxed);
    let before = changes();
    for (verb, state, expected) in [
        ("disable", "disabled", Err(Denied::Disabled)),
        ("disable", "disabled", Err(Denied::Disabled)),
        ("enable", "active", Ok(())),
        ("revoke", "revoked", Err(Denied::Revoked)),
        ("revoke", "revoked", Err(Denied::Revoked)),
    ] {
        let answer = world.post(&format!("/api/v1/keys/{id}/{verb}"), json!({})).await.ok();
        assert_eq!(answer["state"], state, "{verb}");
        assert_eq!(verdict(&world, key).await, expected, "{verb}");
    }
    assert_eq!(changes(), before + 5, "the data path is told of every change");
    for (verb, body) in [
        ("enable", json!({})),
        ("disable", json!({})),
        ("expire", json!({"at": "1d"})),
        ("rotate", json!({})),
    ] {
        world.post(&format!("/api/v1/keys/{id}/{verb}"), body).await.refused(409, "conflict", None);
    }
    assert_eq!(verdict(&world, key).await, Err(Denied::Revoked));
}

/// A node that cannot read the policy once said "refused from now on" of a key that went on working.
#[tokio::test]
async fn a_change_that_is_not_in_force_yet_says_so() {
    let world = with_ada().await;
    let made = world.post("/api/v1/keys", json!({"user": "ada@b.c"})).await.ok();
    assert_eq!((&made["in_force"], &made["warning"]), (&json!(true), &Value::Null));
    world.knobs.policy_stuck.store(true, Ordering::Relaxed);
    let key = format!("/api/v1/keys/{}", text(&made["id"]));
    for (path, body) in [
        ("/api/v1/keys".to_owned(), json!({"user": "ada@b.c"})),
        (format!("{key}/disable"), json!({})),
        (format!("{key}/enable"), json!({})),
        (format!("{key}/expire"), json!({"at": "1d"})),
        (format!("{key}/rotate"), json!({})),
        (format!("{key}/revoke"), json!({})),
        ("/api/v1/users/ada@b.c/disable".to_owned(), json!({})),
        ("/api/v1/users/ada@b.c/enable".to_owned(), json!({})),
    ] {
        let answer = world.post(&path, body).await.ok();
        assert_eq!(answer["in_force"], false, "{path}");
        assert!(text(&answer["warning"]).contains("does not decide by it yet"), "{path}: {answer}");
    }
    assert_eq!(world.get(&key).await.ok()["state"], "revoked", "it is recorded all the same");
}

/// Only what changes the policy waits for it: a node that cannot read it once took two seconds for every probe.
#[tokio::test]
async fn nothing_else_waits_for_the_policy() {
    let world = with_ada().await;
    let before = world.knobs.policy_changes.load(Ordering::Relaxed);
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/keys", "/api/v1/users", "/api/v1/status"] {
        assert!(world.get(path).await.status.is_success(), "{path}");
    }
    world.post("/api/v1/teams", json!({"name": "Web"})).await.ok();
    world.post("/api/v1/keys/key_x/revoke", json!({})).await.refused(404, "not_found", None);
    assert_eq!(world.knobs.policy_changes.load(Ordering::Relaxed), before);
}

#[tokio::test]
async fn a_rotated_key_works_beside_its_successor_for_the_overlap() {
    let world = with_ada().await;
    let old = world.post("/api/v1/keys", json!({"user": "ada@b.c", "team": "Core", "name": "ci"})).await.ok();
    let path = format!("/api/v1/keys/{}/rotate", text(&old["id"]));
    let new = world.post(&path, json!({"overlap": "2h"})).await.ok();
    assert_eq!((&new["team"], &new["name"]), (&json!("Core"), &json!("ci")));
    assert_eq!(new["replaces"], json!({"id": old["id"], "expires_at": "2027-01-15T10:00:00.000Z"}));
    assert_ne!(new["key"], old["key"]);
    for key in [&old, &new] {
        assert_eq!(verdict(&world, text(&key["key"])).await, Ok(()));
    }
    world.post(&path, json!({})).await.refused(409, "conflict", None);
    world.pass(2 * HOUR_MS);
    assert_eq!(verdict(&world, text(&old["key"])).await, Err(Denied::Expired));
    assert_eq!(verdict(&world, text(&new["key"])).await, Ok(()));

    let entry = &world.audited("?action=key.rotate").await[0];
    assert_eq!((&entry["object"]["id"], &entry["detail"]["replaced_by"]), (&old["id"], &new["id"]));
}

#[tokio::test]
async fn the_default_overlap_is_a_day_and_none_is_possible() {
    let world = with_ada().await;
    for (body, until) in
        [(json!({}), "2027-01-16T08:00:00.000Z"), (json!({"overlap": "0"}), "2027-01-15T08:00:00.000Z")]
    {
        let old = world.post("/api/v1/keys", json!({"user": "ada@b.c"})).await.ok();
        let new = world.post(&format!("/api/v1/keys/{}/rotate", text(&old["id"])), body).await.ok();
        assert_eq!(new["replaces"]["expires_at"], until);
    }
}

#[tokio::test]
async fn expiry_is_set_and_lifted() {
    let world = with_ada().await;
    let made = world.post("/api/v1/keys", json!({"user": "ada@b.c"})).await.ok();
    let path = format!("/api/v1/keys/{}/expire", text(&made["id"]));
    for (at, shown, works) in [
        ("2h", json!("2027-01-15T10:00:00.000Z"), true),
        ("2030-01-01", json!("2030-01-01T00:00:00.000Z"), true),
        ("now", json!("2027-01-15T08:00:00.000Z"), false),
        ("never", Value::Null, true),
    ] {
        assert_eq!(world.post(&path, json!({"at": at})).await.ok()["expires_at"], shown, "{at}");
        assert_eq!(verdict(&world, text(&made["key"])).await.is_ok(), works, "{at}");
    }
}

#[tokio::test]
async fn fields_that_cannot_be_used_are_named() {
    let world = with_ada().await;
    let key = world.post("/api/v1/keys", json!({"user": "ada@b.c"})).await.ok();
    let many: Vec<String> = (0..101).map(|n| format!("m{n}")).collect();
    for (body, field) in [
        (json!({"user": "ghost@b.c"}), "user"),
        (json!({"user": "usr_00000000000000000000000000"}), "user"),
        (json!({"user": ""}), "user"),
        (json!({"user": "ada@b.c", "team": "ghosts"}), "team"),
        (json!({"user": "ada@b.c", "project": "ghosts"}), "project"),
        (json!({"user": "ada@b.c", "models": ["a b"]}), "models"),
        (json!({"user": "ada@b.c", "models": [""]}), "models"),
        (json!({"user": "ada@b.c", "models": many}), "models"),
        (json!({"user": "ada@b.c", "expires": "yesterday"}), "expires"),
        (json!({"user": "ada@b.c", "expires": "2001-01-01"}), "expires"),
        (json!({"user": "ada@b.c", "expires": "99999d"}), "expires"),
        (json!({"user": "ada@b.c", "name": "\u{7}"}), "name"),
    ] {
        world.post("/api/v1/keys", body).await.refused(400, "invalid_field", Some(field));
    }
    for (verb, body, field) in [
        ("rotate", json!({"overlap": "-1h"}), "overlap"),
        ("rotate", json!({"overlap": "91d"}), "overlap"),
        ("rotate", json!({"expires": "2001-01-01"}), "expires"),
        ("expire", json!({"at": "2001-01-01"}), "at"),
        ("expire", json!({"at": ""}), "at"),
    ] {
        let path = format!("/api/v1/keys/{}/{verb}", text(&key["id"]));
        world.post(&path, body).await.refused(400, "invalid_field", Some(field));
    }
    for id in [
        "x",
        "key_",
        "usr_00000000000000000000000000",
        "key_00000000000000000000000000",
        "gh_00000000",
        "%F0%9F%94%91",
    ] {
        world.get(&format!("/api/v1/keys/{id}")).await.refused(404, "not_found", None);
    }
    assert_eq!(world.get("/api/v1/keys").await.ok()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_disabled_holder_stops_all_their_keys() {
    let world = with_ada().await;
    let made = world.post("/api/v1/keys", json!({"user": "ada@b.c"})).await.ok();
    world.post("/api/v1/users/ada@b.c/disable", json!({})).await.ok();
    assert_eq!(verdict(&world, text(&made["key"])).await, Err(Denied::HolderDisabled));
    world.post("/api/v1/users/ada@b.c/enable", json!({})).await.ok();
    assert_eq!(verdict(&world, text(&made["key"])).await, Ok(()));
}

#[tokio::test]
async fn lists_are_filtered() {
    let world = with_ada().await;
    world.post("/api/v1/users", json!({"email": "bob@b.c"})).await.ok();
    let one = world.post("/api/v1/keys", json!({"user": "ada@b.c", "team": "Core"})).await.ok();
    world.pass(1);
    let two = world.post("/api/v1/keys", json!({"user": "bob@b.c", "project": "Apollo"})).await.ok();
    world.post(&format!("/api/v1/keys/{}/revoke", text(&two["id"])), json!({})).await.ok();
    for (query, expected) in [
        ("?user=ada@b.c", vec![&one]),
        ("?user=bob@b.c&state=active", vec![]),
        ("?team=core", vec![&one]),
        ("?project=apollo", vec![&two]),
        ("?state=revoked", vec![&two]),
        ("", vec![&two, &one]),
    ] {
        let listed = world.get(&format!("/api/v1/keys{query}")).await.ok();
        let ids: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|key| &key["id"]).collect();
        assert_eq!(ids, expected.iter().map(|key| &key["id"]).collect::<Vec<_>>(), "{query}");
    }
}

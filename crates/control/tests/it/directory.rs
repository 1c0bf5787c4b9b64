//! Users, teams and projects.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::house::world;

#[tokio::test]
async fn a_user_is_added_moved_disabled_and_enabled() {
    let world = world().await;
    world.post("/api/v1/teams", json!({"name": "Core"})).await.ok();
    world.post("/api/v1/teams", json!({"name": "Web 平台"})).await.ok();

    let body = json!({"email": "Ada@Example.com", "name": "Ada Lovelace", "teams": ["core", "Core"]});
    let ada = world.post("/api/v1/users", body).await;
    assert_eq!(ada.status, 201);
    let ada = ada.json();
    assert_eq!(ada["email"], "ada@example.com");
    assert_eq!(ada["teams"], json!(["Core"]));
    assert_eq!(ada["created_at"], "2027-01-15T08:00:00.000Z");

    let moved = world.put("/api/v1/users/ada@example.com/teams", json!({"teams": ["Web 平台"]})).await.ok();
    assert_eq!(moved["teams"], json!(["Web 平台"]));
    let id = ada["id"].as_str().unwrap();
    let before = world.knobs.policy_changes.load(Ordering::Relaxed);
    assert_eq!(world.post(&format!("/api/v1/users/{id}/disable"), json!({})).await.ok()["state"], "disabled");
    assert_eq!(world.get(&format!("/api/v1/users/{id}")).await.ok()["state"], "disabled");
    assert_eq!(world.get("/api/v1/users?state=disabled").await.ok()["items"][0]["id"], id);
    assert_eq!(world.post(&format!("/api/v1/users/{id}/enable"), json!({})).await.ok()["state"], "active");
    assert_eq!(world.knobs.policy_changes.load(Ordering::Relaxed), before + 2);

    let acts: Vec<Value> = world.audited("").await.iter().map(|entry| entry["action"].clone()).collect();
    let expected = ["user.enable", "user.disable", "user.set_teams", "user.add", "team.add", "team.add"];
    assert_eq!(acts[..6], expected.map(Value::from));
}

#[tokio::test]
async fn what_is_there_already_is_a_conflict_and_changes_nothing() {
    let world = world().await;
    for (path, body) in [
        ("/api/v1/users", json!({"email": "a@b.c"})),
        ("/api/v1/teams", json!({"name": "Core"})),
        ("/api/v1/projects", json!({"name": "Apollo"})),
    ] {
        let first = world.post(path, body.clone()).await;
        assert_eq!(first.status, 201);
        let entries = world.audited("").await.len();
        let shouted: Value = serde_json::from_str(&body.to_string().replace("Core", "CORE")).unwrap();
        world.post(path, shouted).await.refused(409, "conflict", None);
        assert_eq!(world.audited("").await.len(), entries, "a conflict is not an act");
        assert_eq!(world.get(path).await.ok()["items"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_team_goes_only_when_nothing_hangs_on_it() {
    let world = world().await;
    let team = world.post("/api/v1/teams", json!({"name": "Core"})).await.ok();
    world.post("/api/v1/users", json!({"email": "a@b.c", "teams": ["Core"]})).await.ok();
    let remove = async |path: &str| world.ask(&world.owner, "DELETE", path, None).await;
    remove("/api/v1/teams/Core").await.refused(409, "conflict", None);
    world.put("/api/v1/users/a@b.c/teams", json!({"teams": []})).await.ok();
    let by_id = format!("/api/v1/teams/{}", team["id"].as_str().unwrap());
    let answer = remove(&by_id).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    remove(&by_id).await.refused(404, "not_found", None);
}

#[tokio::test]
async fn fields_that_cannot_be_used_are_named() {
    let world = world().await;
    for (path, body, field) in [
        ("/api/v1/users", json!({"email": "nobody"}), "email"),
        ("/api/v1/users", json!({"email": "a@b.c", "name": ""}), "name"),
        ("/api/v1/users", json!({"email": "a@b.c", "name": "a\u{202e}b"}), "name"),
        ("/api/v1/users", json!({"email": "a@b.c", "teams": ["ghosts"]}), "teams"),
        ("/api/v1/users", json!({"email": "a@b.c", "teams": vec!["x"; 201]}), "teams"),
        ("/api/v1/teams", json!({"name": "x".repeat(121)}), "name"),
        ("/api/v1/teams", json!({"name": "a\u{0}b"}), "name"),
        ("/api/v1/projects", json!({"name": " \t"}), "name"),
    ] {
        world.post(path, body).await.refused(400, "invalid_field", Some(field));
    }
    for query in
        ["?team=ghosts", "?limit=0", "?limit=1001", "?after=%00", "?limit=-1", "?limit=x", "?state=dead"]
    {
        let field = query[1..].split('=').next();
        world.get(&format!("/api/v1/users{query}")).await.refused(400, "invalid_field", field);
    }
}

#[tokio::test]
async fn texts_that_look_like_sql_are_only_texts() {
    let world = world().await;
    let nasty = "Robert'); DROP TABLE users;-- % _ \\ \" ${jndi} <script>";
    let team = world.post("/api/v1/teams", json!({"name": nasty})).await.ok();
    assert_eq!(team["name"], nasty);
    world
        .post("/api/v1/users", json!({"email": "o'brien+x@b.c", "name": nasty, "teams": [nasty]}))
        .await
        .ok();
    for q in ["%25", "_", "%5C", "'", "%22", "drop%20table", "%3Cscript%3E", "%27%20OR%201=1--"] {
        let found = world.get(&format!("/api/v1/users?q={q}")).await.ok()["items"].as_array().unwrap().len();
        assert_eq!(found, usize::from(!q.contains("OR")), "{q}");
    }
    world.get("/api/v1/users/'%20OR%20'1'='1").await.refused(404, "not_found", None);
    world.get("/api/v1/users?after='%20OR%20'1'='1").await.ok();
}

/// Pages are cut by cursor, so that walking through is linear and nobody is seen twice or missed.
#[tokio::test]
async fn ten_thousand_users_are_listed_page_by_page() {
    const COUNT: usize = 10_000;
    let world = world().await;
    let caller = gatehouse_control::act::Caller::system("test");
    for n in 0..COUNT {
        let email = format!("user{n:05}@example.com");
        gatehouse_control::user::add(&world.app, &caller, &email, None, &[]).await.unwrap();
    }
    let (mut seen, mut next, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let after = next.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let page = world.get(&format!("/api/v1/users?limit=999{after}")).await.ok();
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|user| user["email"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        next = page["next"].as_str().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..COUNT).map(|n| format!("user{n:05}@example.com")).collect();
    assert_eq!((pages, seen.len()), (11, COUNT));
    assert_eq!(seen, expected);
}

//! Tokens that are limited to a team or a person see and do nothing outside of it, whatever they ask for.

use serde_json::{Value, json};

use crate::house::{Answer, World, world};

struct Two {
    world: World,
    /// A manager's token for the team Core.
    core: String,
    /// A developer's token for Ada, who is in Core.
    ada: String,
    /// Keys: Ada's that charges Core, Ada's that charges nothing, Eve's that charges Web.
    keys: [String; 3],
}

async fn limited(world: &World, role: &str, to: Value) -> String {
    let mut body = json!({"name": role, "role": role});
    body.as_object_mut().unwrap().extend(to.as_object().unwrap().clone());
    world.post("/api/v1/admin-tokens", body).await.ok()["token"].as_str().unwrap().to_owned()
}

async fn two_teams() -> Two {
    let world = world().await;
    for team in ["Core", "Web"] {
        world.post("/api/v1/teams", json!({"name": team})).await.ok();
    }
    world.post("/api/v1/users", json!({"email": "ada@example.com", "teams": ["Core"]})).await.ok();
    world.post("/api/v1/users", json!({"email": "eve@example.com", "teams": ["Web"]})).await.ok();
    let mut keys = Vec::new();
    for (user, team) in [("ada", Some("Core")), ("ada", None), ("eve", Some("Web"))] {
        let body = json!({"user": format!("{user}@example.com"), "team": team});
        keys.push(world.post("/api/v1/keys", body).await.ok()["id"].as_str().unwrap().to_owned());
    }
    let core = limited(&world, "project_manager", json!({"team": "core"})).await;
    let ada = limited(&world, "developer", json!({"user": "ada@example.com"})).await;
    Two { world, core, ada, keys: keys.try_into().unwrap() }
}

impl Two {
    async fn ask(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.world.ask(token, method, path, body).await
    }

    async fn seen(&self, token: &str, path: &str, key: &str) -> Vec<String> {
        let answer = self.ask(token, "GET", path, None).await.ok();
        let items = answer["items"].as_array().unwrap().iter();
        items.map(|item| item[key].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn lists_hold_what_lies_within_and_nothing_else() {
    let two = two_teams().await;
    let [charged, free, _] = &two.keys;
    assert_eq!(two.seen(&two.core, "/api/v1/users", "email").await, ["ada@example.com"]);
    assert_eq!(two.seen(&two.ada, "/api/v1/users", "email").await, ["ada@example.com"]);
    assert_eq!(two.seen(&two.ada, "/api/v1/users?q=eve", "email").await, [""; 0]);
    assert_eq!(two.seen(&two.core, "/api/v1/teams", "name").await, ["Core"]);
    assert_eq!(two.seen(&two.ada, "/api/v1/teams", "name").await, ["Core"]);
    assert_eq!(two.seen(&two.core, "/api/v1/keys", "id").await, [charged.as_str()]);
    // Both were made in the same millisecond, so that neither is the newer one.
    let mut keys = two.seen(&two.ada, "/api/v1/keys", "id").await;
    keys.sort_unstable();
    let mut own = [free.as_str(), charged.as_str()];
    own.sort_unstable();
    assert_eq!(keys, own);
}

#[tokio::test]
async fn what_lies_outside_is_as_if_it_did_not_exist() {
    let two = two_teams().await;
    let [charged, free, foreign] = &two.keys;
    for (token, outside) in [(&two.core, vec![free, foreign]), (&two.ada, vec![foreign])] {
        for key in outside {
            two.ask(token, "GET", &format!("/api/v1/keys/{key}"), None).await.refused(404, "not_found", None);
            for (act, body) in [
                ("rotate", Some(json!({}))),
                ("expire", Some(json!({"at": "now"}))),
                ("disable", None),
                ("enable", None),
                ("revoke", None),
            ] {
                let answer = two.ask(token, "POST", &format!("/api/v1/keys/{key}/{act}"), body).await;
                answer.refused(404, "not_found", None);
            }
            assert_eq!(two.world.get(&format!("/api/v1/keys/{key}")).await.ok()["state"], "active");
        }
        two.ask(token, "GET", "/api/v1/users/eve@example.com", None).await.refused(404, "not_found", None);
        for (query, field) in [
            ("keys?user=eve@example.com", "user"),
            ("keys?team=Web", "team"),
            ("users?team=Web", "team"),
            ("exchanges?user=eve@example.com", "user"),
            ("exchanges?team=Web", "team"),
            (&format!("exchanges?key={foreign}"), "key"),
            ("explain?user=eve@example.com&model=claude-opus-5-5", "user"),
            ("explain?user=ada@example.com&model=claude-opus-5-5&team=Web", "team"),
            ("explain?user=ada@example.com&model=claude-opus-5-5&project=Apollo", "project"),
            (&format!("explain?user=ada@example.com&model=claude-opus-5-5&key={foreign}"), "key"),
        ] {
            let answer = two.ask(token, "GET", &format!("/api/v1/{query}"), None).await;
            answer.refused(400, "invalid_field", Some(field));
        }
    }
    two.ask(&two.core, "POST", &format!("/api/v1/keys/{charged}/disable"), None).await.ok();
}

#[tokio::test]
async fn a_key_is_never_wider_than_its_maker() {
    let two = two_teams().await;
    let make = async |token: &str, body: Value| two.ask(token, "POST", "/api/v1/keys", Some(body)).await;
    let made = make(&two.core, json!({"user": "ada@example.com"})).await.ok();
    assert_eq!(made["team"], "Core", "what a team's manager makes charges the team");
    two.world.post("/api/v1/projects", json!({"name": "Apollo"})).await.ok();
    for (token, body, field) in [
        (&two.core, json!({"user": "eve@example.com"}), "user"),
        (&two.core, json!({"user": "ada@example.com", "team": "Web"}), "team"),
        (&two.core, json!({"user": "ada@example.com", "project": "Apollo"}), "project"),
        (&two.ada, json!({"user": "eve@example.com"}), "user"),
        (&two.ada, json!({"user": "ada@example.com", "team": "Web"}), "team"),
    ] {
        make(token, body).await.refused(400, "invalid_field", Some(field));
    }
    make(&two.ada, json!({"user": "ada@example.com", "team": "Core"})).await.ok();
    // Who leaves the team is outside of it at once.
    two.world.put("/api/v1/users/ada@example.com/teams", json!({"teams": []})).await.ok();
    make(&two.core, json!({"user": "ada@example.com"})).await.refused(400, "invalid_field", Some("user"));
}

#[tokio::test]
async fn a_disabled_persons_token_may_nothing() {
    let two = two_teams().await;
    two.world.post("/api/v1/users/ada@example.com/disable", json!({})).await.ok();
    two.ask(&two.ada, "GET", "/api/v1/keys", None).await.refused(403, "forbidden", None);
    two.world.post("/api/v1/users/ada@example.com/enable", json!({})).await.ok();
    two.ask(&two.ada, "GET", "/api/v1/keys", None).await.ok();
}

#[tokio::test]
async fn roles_of_ones_own_are_written_used_and_removed() {
    let two = two_teams().await;
    let world = &two.world;
    let put = async |name: &str, body: Value| world.put(&format!("/api/v1/roles/{name}"), body).await;
    put("costs", json!({"permissions": ["read_usage"]})).await.ok();
    for (name, permissions, field) in [
        ("owner", json!(["read_usage"]), "name"),
        ("Costs", json!(["read_usage"]), "name"),
        ("all", json!(["write_admins"]), "permissions"),
        ("all", json!(["fly"]), "permissions"),
    ] {
        put(name, json!({"permissions": permissions})).await.refused(400, "invalid_field", Some(field));
    }
    let token = limited(world, "costs", json!({})).await;
    two.ask(&token, "GET", "/api/v1/usage", None).await.ok();
    two.ask(&token, "GET", "/api/v1/users", None).await.refused(403, "forbidden", None);
    put("costs", json!({"permissions": ["read_directory"]})).await.ok();
    two.ask(&token, "GET", "/api/v1/usage", None).await.refused(403, "forbidden", None);
    two.ask(&token, "GET", "/api/v1/users", None).await.ok();
    let remove = async || world.ask(&world.owner, "DELETE", "/api/v1/roles/costs", None).await;
    remove().await.refused(409, "conflict", None);
    let id = world.token_named("costs").await["id"].as_str().unwrap().to_owned();
    world.post(&format!("/api/v1/admin-tokens/{id}/revoke"), json!({})).await.ok();
    assert_eq!(remove().await.status, 204);
    let body = json!({"name": "x", "role": "costs"});
    world.post("/api/v1/admin-tokens", body).await.refused(400, "invalid_field", Some("role"));
    let body = json!({"name": "x", "role": "owner", "team": "Core"});
    world.post("/api/v1/admin-tokens", body).await.refused(400, "invalid_field", Some("role"));
}

/// What an administrator of the organization has disabled, nobody who is limited enables again.
#[tokio::test]
async fn a_key_that_was_disabled_from_above_stays_disabled() {
    let two = two_teams().await;
    let path = |step: &str| format!("/api/v1/keys/{}/{step}", two.keys[0]);
    two.world.post(&path("disable"), json!({})).await.ok();
    for token in [&two.core, &two.ada] {
        two.ask(token, "POST", &path("enable"), None).await.refused(409, "conflict", None);
    }
    two.world.post(&path("enable"), json!({})).await.ok();
    two.ask(&two.ada, "POST", &path("disable"), None).await.ok();
    two.ask(&two.core, "POST", &path("enable"), None).await.ok();
    two.ask(&two.core, "POST", &path("disable"), None).await.ok();
    two.ask(&two.ada, "POST", &path("enable"), None).await.refused(409, "conflict", None);
    two.ask(&two.core, "POST", &path("enable"), None).await.ok();
}

/// Rotating hands out the text of a key in the name of its holder.
#[tokio::test]
async fn nobody_limited_gets_a_key_in_the_name_of_who_lies_outside() {
    let two = two_teams().await;
    let path = |step: &str| format!("/api/v1/keys/{}/{step}", two.keys[0]);
    two.world.put("/api/v1/users/ada@example.com/teams", json!({"teams": []})).await.ok();
    two.ask(&two.core, "POST", &path("rotate"), Some(json!({}))).await.refused(409, "conflict", None);
    two.ask(&two.core, "POST", &path("revoke"), None).await.ok();
}

#[tokio::test]
async fn policies_have_an_end_together() {
    let world = world().await;
    let text =
        |n: usize| format!("// {}\nforbid (principal, action, resource) when {{ false }};", "x".repeat(n));
    for n in 0..4 {
        world.put(&format!("/api/v1/access-policies/p{n}"), json!({"text": text(32_000)})).await.ok();
    }
    let one_more = world.put("/api/v1/access-policies/p9", json!({"text": text(32_000)})).await;
    one_more.refused(400, "invalid_field", Some("text"));
    world.put("/api/v1/access-policies/p3", json!({"text": text(10)})).await.ok();
}

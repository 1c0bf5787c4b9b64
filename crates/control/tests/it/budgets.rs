//! Budgets over the API: who may make them, who sees which, what is audited.

use gatehouse_domain::role::Role;
use serde_json::json;

use crate::house::world;

#[tokio::test]
async fn finance_makes_budgets_and_a_team_sees_its_own() {
    let world = world().await;
    for team in ["Core", "Web"] {
        world.post("/api/v1/teams", json!({"name": team})).await.ok();
    }
    world.post("/api/v1/users", json!({"email": "ada@example.com", "teams": ["Core"]})).await.ok();
    let token = async |role: &str, team: Option<&str>| {
        let body = json!({"name": role, "role": role, "team": team});
        world.post("/api/v1/admin-tokens", body).await.ok()["token"].as_str().unwrap().to_owned()
    };
    let (finance, viewer) = (token("finance", None).await, token("viewer", None).await);
    let (core, limited) =
        (token("project_manager", Some("Core")).await, token("finance", Some("Core")).await);

    let mut made = Vec::new();
    for team in [Some("Core"), Some("Web"), None] {
        let body = json!({"team": team, "period": "month", "limit_usd": "12.5"});
        let answer = world.ask(&finance, "POST", "/api/v1/budgets", Some(body.clone())).await.ok();
        assert_eq!(answer["limit_nanos"], 12_500_000_000_i64);
        assert_eq!((&answer["mode"], &answer["thresholds"]), (&json!("hard"), &json!([75, 95])));
        assert_eq!((&answer["holder"], &answer["in_force"]), (&json!(team), &json!(true)));
        made.push(answer["id"].as_str().unwrap().to_owned());
        for other in [&viewer, &core, &limited] {
            let answer = world.ask(other, "POST", "/api/v1/budgets", Some(body.clone())).await;
            answer.refused(403, "forbidden", None);
        }
    }
    let listed = world.ask(&core, "GET", "/api/v1/budgets", None).await.ok();
    let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|budget| budget["id"].clone()).collect();
    assert_eq!(ids, [made[0].as_str()]);
    world.ask(&core, "GET", &format!("/api/v1/budgets/{}", made[0]), None).await.ok();
    for outside in &made[1..] {
        let path = format!("/api/v1/budgets/{outside}");
        world.ask(&core, "GET", &path, None).await.refused(404, "not_found", None);
        for method in ["PUT", "DELETE"] {
            let body = (method == "PUT").then(|| json!({}));
            world.ask(&limited, method, &path, body).await.refused(403, "forbidden", None);
        }
    }

    let path = format!("/api/v1/budgets/{}", made[2]);
    let body = json!({"limit_usd": "0", "mode": "shadow", "thresholds": [50]});
    let changed = world.ask(&finance, "PUT", &path, Some(body)).await.ok();
    assert_eq!(
        (&changed["limit_usd"], &changed["mode"], &changed["thresholds"]),
        (&json!("0.00"), &json!("shadow"), &json!([50]))
    );
    assert_eq!(world.get(&path).await.ok()["mode"], "shadow");
    world.ask(&finance, "PUT", &path, Some(json!({"period": "day"}))).await.refused(
        400,
        "unknown_field",
        Some("period"),
    );
    world.ask(&finance, "DELETE", &path, None).await.ok();
    world.get(&path).await.refused(404, "not_found", None);
    world.ask(&finance, "DELETE", "/api/v1/budgets/x", None).await.refused(404, "not_found", None);

    let entries = world.audited("?limit=100").await;
    let acts = entries.iter().filter_map(|entry| entry["action"].as_str());
    let mut acts: Vec<_> = acts.filter(|act| act.starts_with("budget.")).collect();
    acts.sort_unstable();
    assert_eq!(acts, ["budget.add", "budget.add", "budget.add", "budget.remove", "budget.set"]);
}

/// A team that has a budget stays until the budget is gone.
#[tokio::test]
async fn a_team_goes_after_its_budget() {
    let world = world().await;
    world.post("/api/v1/teams", json!({"name": "Web"})).await.ok();
    let body = json!({"team": "Web", "period": "month", "limit_usd": "12.5"});
    let budget = world.post("/api/v1/budgets", body).await.ok()["id"].as_str().unwrap().to_owned();
    let finance = world.token(Role::Finance).await;
    world.ask(&finance, "DELETE", "/api/v1/teams/Web", None).await.refused(403, "forbidden", None);
    let owner = world.token(Role::Owner).await;
    let delete = async |path: &str| world.ask(&owner, "DELETE", path, None).await;
    delete("/api/v1/teams/Web").await.refused(409, "conflict", None);
    delete(&format!("/api/v1/budgets/{budget}")).await.ok();
    assert_eq!(delete("/api/v1/teams/Web").await.status, 204);
}

#[tokio::test]
async fn a_budget_that_makes_no_sense_is_refused_by_field() {
    let world = world().await;
    world.post("/api/v1/teams", json!({"name": "Core"})).await.ok();
    for (body, field) in [
        (json!({"period": "year", "limit_usd": "1"}), "period"),
        (json!({"period": "day", "limit_usd": "1,5"}), "limit_usd"),
        (json!({"period": "day", "limit_usd": "1", "mode": "soft"}), "mode"),
        (json!({"period": "day", "limit_usd": "1", "thresholds": [101]}), "thresholds"),
        (json!({"period": "day", "limit_usd": "1", "model": "a*b"}), "model"),
        (json!({"period": "day", "limit_usd": "1", "provider": "nowhere"}), "provider"),
        (json!({"period": "day", "limit_usd": "1", "team": "Web"}), "team"),
        (json!({"period": "day", "limit_usd": "1", "team": "Core", "user": "a@b.example"}), "user"),
        (json!({"period": "day", "limit_usd": "1", "key": "key_x"}), "key"),
    ] {
        world.post("/api/v1/budgets", body).await.refused(400, "invalid_field", Some(field));
    }
    world.get("/api/v1/budget-explanations?user=nobody@example.com").await.refused(
        400,
        "invalid_field",
        Some("user"),
    );
}

#[tokio::test]
async fn what_would_be_deleted_is_told_and_only_who_may_deletes() {
    let world = world().await;
    let viewer = world.token(Role::Viewer).await;
    world.ask(&viewer, "POST", "/api/v1/retention/runs", Some(json!({}))).await.refused(
        403,
        "forbidden",
        None,
    );
    let told = world.get("/api/v1/retention").await.ok();
    let kinds: Vec<_> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| (&kind["name"], &kind["days"], &kind["due"]))
        .collect();
    assert_eq!(
        kinds,
        [
            (&json!("exchanges"), &json!(40), &json!(0)),
            (&json!("tunnels"), &json!(1), &json!(0)),
            (&json!("client events"), &json!(1), &json!(0)),
            (&json!("metric snapshots"), &json!(40), &json!(0)),
        ]
    );
    let ran = world.post("/api/v1/retention/runs", json!({})).await.ok();
    assert_eq!(ran, json!({"announced": 0, "deleted": 0, "more": false}));
    assert!(
        world.audited("?action=exchange.delete").await.is_empty(),
        "nothing was deleted, so nothing is said"
    );
}

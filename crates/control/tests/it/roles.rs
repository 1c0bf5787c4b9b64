//! Every route the document knows refuses whoever may not use it. New routes are covered by being there.

use gatehouse_control::openapi;
use gatehouse_domain::role::{Permission, Role};
use serde_json::{Value, json};

use crate::house::{World, world};

/// Routes that ask for no token. The document itself is served beside them.
const OPEN: [&str; 3] = ["/healthz", "/metrics", "/readyz"];

struct Route {
    method: String,
    path: String,
    scope: Option<String>,
    needs_body: bool,
}

impl Route {
    fn permission(&self) -> Permission {
        let scope =
            self.scope.as_deref().unwrap_or_else(|| panic!("{} {} has no scope", self.method, self.path));
        scope.parse().unwrap()
    }

    async fn ask(&self, world: &World, token: &str) -> crate::house::Answer {
        let body = self.needs_body.then(|| json!({}));
        world.ask(token, &self.method, &self.path, body).await
    }
}

fn routes() -> Vec<Route> {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope =
                operation.pointer("/security/0/admin_token/0").and_then(Value::as_str).map(str::to_owned);
            let filled = path.split('/').map(|part| if part.starts_with('{') { "nobody" } else { part });
            routes.push(Route {
                method: method.to_uppercase(),
                path: filled.collect::<Vec<_>>().join("/"),
                scope,
                needs_body: operation.get("requestBody").is_some(),
            });
        }
    }
    assert!(routes.len() > 25, "the document lists {} routes", routes.len());
    routes
}

#[test]
fn only_the_probes_are_open() {
    let open: Vec<String> = routes().into_iter().filter(|r| r.scope.is_none()).map(|r| r.path).collect();
    assert_eq!(open, OPEN);
}

#[tokio::test]
async fn every_route_refuses_no_token_and_wrong_tokens() {
    let world = world().await;
    let virtual_key = {
        world.post("/api/v1/users", json!({"email": "a@b.c"})).await.ok();
        world.post("/api/v1/keys", json!({"user": "a@b.c"})).await.ok()["key"].as_str().unwrap().to_owned()
    };
    let stranger = crate::house::world().await.owner;
    let mut mistyped = world.owner.clone();
    mistyped.replace_range(20..21, if &mistyped[20..21] == "x" { "y" } else { "x" });
    for route in routes().iter().filter(|r| r.scope.is_some()) {
        for token in ["", "x", "gha_", &virtual_key, &stranger, &mistyped, &world.owner[..60]] {
            let answer = route.ask(&world, token).await;
            assert_eq!(answer.status, 401, "{} {} with `{token}`: {}", route.method, route.path, answer.text);
            answer.refused(401, "unauthenticated", None);
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn every_route_refuses_each_role_that_lacks_its_permission() {
    let world = world().await;
    for role in Role::ALL {
        let token = world.token(role).await;
        for route in routes().iter().filter(|r| r.scope.is_some()) {
            let answer = route.ask(&world, &token).await;
            let name = format!("{} {} as {}", route.method, route.path, role.as_str());
            if role.may(route.permission()) {
                assert!(![401, 403].contains(&answer.status.as_u16()), "{name}: {}", answer.text);
                assert!(!answer.status.is_server_error(), "{name}: {}", answer.text);
            } else {
                assert_eq!(answer.status, 403, "{name}: {}", answer.text);
                answer.refused(403, "forbidden", None);
            }
        }
    }
}

/// A token that is limited to a team or a person gets nothing but what is made for such tokens.
#[tokio::test]
async fn a_limited_token_is_refused_wherever_nothing_else_is_said() {
    const LIMITED: [&str; 28] = [
        "GET /api/v1/metrics/history",
        "GET /api/v1/metrics/summary",
        "GET /api/v1/proxy/tunnels",
        "GET /api/v1/proxy/explanations",
        "GET /api/v1/route-explanation",
        "GET /api/v1/telemetry/events",
        "GET /api/v1/users/nobody/onboarding",
        "GET /api/v1/users/nobody/factors",
        "GET /api/v1/budgets",
        "GET /api/v1/budgets/nobody",
        "GET /api/v1/budget-explanations",
        "GET /api/v1/limits",
        "GET /api/v1/limit-explanations",
        "GET /api/v1/users",
        "GET /api/v1/users/nobody",
        "GET /api/v1/teams",
        "GET /api/v1/keys",
        "POST /api/v1/keys",
        "GET /api/v1/keys/nobody",
        "POST /api/v1/keys/nobody/rotate",
        "POST /api/v1/keys/nobody/expire",
        "POST /api/v1/keys/nobody/disable",
        "POST /api/v1/keys/nobody/enable",
        "POST /api/v1/keys/nobody/revoke",
        "GET /api/v1/usage",
        "GET /api/v1/exchanges",
        "GET /api/v1/exchanges/nobody/trace",
        "GET /api/v1/explain",
    ];
    let world = world().await;
    world.post("/api/v1/teams", json!({"name": "Core"})).await.ok();
    let body = json!({"name": "core", "role": "admin", "team": "Core"});
    let token = world.post("/api/v1/admin-tokens", body).await.ok()["token"].as_str().unwrap().to_owned();
    for route in routes().iter().filter(|r| r.scope.is_some()) {
        let name = format!("{} {}", route.method, route.path);
        let answer = route.ask(&world, &token).await;
        if LIMITED.contains(&name.as_str()) {
            assert!(![401, 403].contains(&answer.status.as_u16()), "{name}: {}", answer.text);
        } else {
            answer.refused(403, "forbidden", None);
        }
    }
}

#[tokio::test]
async fn a_refused_act_changes_nothing_and_is_recorded() {
    let world = world().await;
    let viewer = world.token(Role::Viewer).await;
    let answer = world.ask(&viewer, "POST", "/api/v1/users", Some(json!({"email": "a@b.c"}))).await;
    answer.refused(403, "forbidden", None);
    world.get("/api/v1/users/a@b.c").await.refused(404, "not_found", None);
    let entry = &world.audited("?action=admin.forbidden").await[0];
    assert_eq!((&entry["outcome"], &entry["actor"]["name"]), (&json!("refused"), &json!("viewer")));
    assert_eq!(entry["request_id"], answer.json()["error"]["request_id"]);
}

#[tokio::test]
async fn probes_answer_without_a_token() {
    let world = world().await;
    for (path, text) in [("/healthz", "ok\n"), ("/metrics", "# TYPE up gauge\nup 1\n")] {
        let answer = world.ask("", "GET", path, None).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, text), "{path}");
    }
    assert_eq!(world.ask("", "GET", "/readyz", None).await.ok()["ready"], json!(true));
    *world.knobs.not_ready.lock().unwrap() = Some("the journal cannot be written".into());
    let answer = world.ask("", "GET", "/readyz", None).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["checks"][0]["ok"]), (503, &json!(false)));
}

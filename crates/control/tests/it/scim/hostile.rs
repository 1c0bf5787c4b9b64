//! Who is let in, and what is refused in the words of the protocol.

use axum::body::Body;
use axum::http::Request;
use gatehouse_domain::role::Role;
use serde_json::{Value, json};

use super::{Scim, error, id, okta_user};

#[tokio::test]
async fn only_a_good_provisioning_token_is_let_in_and_only_to_scim() {
    let mut s = Scim::of("okta").await;
    let good = s.token.clone();
    for path in ["/Users", "/Groups", "/ServiceProviderConfig", "/Schemas", "/ResourceTypes", "/Users/x"] {
        for token in
            ["", "nonsense", &s.w.owner.clone(), &good.replace("ghscim_", "gha_"), &format!("{good}x")]
        {
            let answer = s.w.ask(token, "GET", &format!("/scim/v2{path}"), None).await;
            error(&answer, 401, None);
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
        let answer = s.w.ask("", "POST", "/scim/v2/Bulk", Some(json!({}))).await;
        error(&answer, 401, None);
    }
    for path in ["/api/v1/users", "/api/v1/audit", "/api/v1/status", "/api/v1/scim/tokens"] {
        assert_eq!(s.w.ask(&good, "GET", path, None).await.status.as_u16(), 401, "{path}");
    }
    for role in [Role::Admin, Role::Auditor, Role::Viewer] {
        let token = s.w.token(role).await;
        let made = s.w.ask(&token, "POST", "/api/v1/scim/tokens", Some(json!({"source": "x"}))).await;
        assert_eq!(made.status.as_u16(), 403);
    }
    for bad in [json!({"source": "Okta"}), json!({"source": ""}), json!({"source": "a", "expires": "0s"})] {
        assert_eq!(s.w.post("/api/v1/scim/tokens", bad).await.status.as_u16(), 400);
    }
    let listed = s.w.get("/api/v1/scim/tokens").await;
    assert!(!listed.text.contains(&good[15..]), "only the public part is seen again");
    let token = &listed.ok()["items"][0];
    assert!(token["last_used_at"].is_null() && good.starts_with(token["hint"].as_str().unwrap()));
    s.get("/Users").await;
    s.w.post(&format!("/api/v1/scim/tokens/{}/revoke", id(token)), json!({})).await.ok();
    error(&s.ask("GET", "/Users", None).await, 401, None);
    let made = s.w.post("/api/v1/scim/tokens", json!({"source": "okta", "expires": "1h"})).await.ok();
    made["token"].as_str().unwrap().clone_into(&mut s.token);
    s.get("/Users").await;
    s.w.pass(3_600_001);
    error(&s.ask("GET", "/Users", None).await, 401, None);
}

#[tokio::test]
async fn hostile_requests_are_refused_in_the_words_of_the_protocol() {
    let s = Scim::of("okta").await;
    let user = format!("/Users/{}", s.user("ada@example.com").await);
    for (method, path, body, status) in [
        ("POST", "/Bulk", Some(json!({"Operations": []})), 501),
        ("POST", "/.search", Some(json!({"filter": "nothing eq 1"})), 400),
        ("GET", "/Me", None, 501),
        ("GET", "/nothing", None, 404),
        ("GET", "/Users/usr_x", None, 404),
        ("GET", "/Users/%00", None, 404),
        ("GET", "/Groups/%27%20OR%201=1", None, 404),
        ("DELETE", "/Users", None, 405),
        ("PUT", "/Schemas", Some(json!({})), 405),
        ("GET", "/Schemas?filter=id%20eq%20%22x%22", None, 403),
        ("GET", "/Schemas/urn:x", None, 404),
        ("POST", "/Users", Some(json!({})), 400),
        ("POST", "/Users", Some(json!([])), 400),
        ("POST", "/Groups", Some(json!({"displayName": "g", "members": [{"value": "nobody"}]})), 400),
        ("PATCH", user.as_str(), Some(json!({})), 400),
        (
            "PATCH",
            user.as_str(),
            Some(json!({"Operations": [{"op": "replace", "path": "nothing.x", "value": 1}]})),
            400,
        ),
        (
            "PATCH",
            user.as_str(),
            Some(json!({"Operations": [{"op": "replace", "path": "id", "value": "x"}]})),
            400,
        ),
    ] {
        let answer = s.ask(method, path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
        assert_eq!(answer.json()["status"], status.to_string(), "{method} {path}");
    }
    let mut long = okta_user("long@example.com");
    long["title"] = json!("x".repeat(5 * 1024 * 1024));
    error(&s.ask("POST", "/Users", Some(long)).await, 413, None);
    let mut wide = okta_user("wide@example.com");
    wide["addresses"] = (0..100).map(|n| json!({"formatted": format!("{n}{}", "x".repeat(8000))})).collect();
    error(&s.ask("POST", "/Users", Some(wide)).await, 413, None);
    let plain = Request::post("/scim/v2/Users")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {}", s.token))
        .header("content-type", "text/plain")
        .body(Body::from("{}"));
    error(&s.w.send(plain.unwrap()).await, 415, None);
    // One operation that cannot be done undoes the others.
    let operations = json!([
        {"op": "replace", "path": "title", "value": "changed"},
        {"op": "replace", "path": "userName", "value": ""},
    ]);
    assert_eq!(s.patch(&user, operations).await.status.as_u16(), 400);
    assert_eq!(s.get(&user).await["title"], Value::Null);
    assert_eq!(s.get("/Users").await["totalResults"], 1);
}

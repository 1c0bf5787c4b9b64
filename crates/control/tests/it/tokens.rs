//! Administrators' tokens and signing in.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use gatehouse_control::attempts::LIMIT;
use gatehouse_domain::role::Role;
use serde_json::{Value, json};

use crate::house::{Answer, World, world};

async fn from(world: &World, address: &str, token: &str) -> Answer {
    let req = Request::builder()
        .uri("/api/v1/users")
        .header("host", "a")
        .header("authorization", format!("Bearer {token}"));
    let mut req = req.body(Body::empty()).unwrap();
    req.extensions_mut().insert(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 1)));
    world.send(req).await
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked() {
    let world = world().await;
    let made = world.post("/api/v1/admin-tokens", json!({"name": "ci", "role": "viewer"})).await.ok();
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert!(token.starts_with(made["hint"].as_str().unwrap()));
    assert!(world.ask(token, "GET", "/api/v1/users", None).await.status.is_success());
    let listed = world.get("/api/v1/admin-tokens").await;
    assert!(!listed.text.contains(&token[12..]));
    assert_eq!(world.token_named("ci").await["last_used_at"], "2027-01-15T08:00:00.000Z");

    assert_eq!(
        world.post(&format!("/api/v1/admin-tokens/{id}/revoke"), json!({})).await.ok()["state"],
        "revoked"
    );
    world.ask(token, "GET", "/api/v1/users", None).await.refused(401, "unauthenticated", None);
    assert_eq!(world.audited("?action=admin.sign_in").await[0]["object"]["id"], id);
}

#[tokio::test]
async fn a_token_expires() {
    let world = world().await;
    let body = json!({"name": "short", "role": "owner", "expires": "1h"});
    let token = world.post("/api/v1/admin-tokens", body).await.ok()["token"].as_str().unwrap().to_owned();
    assert!(world.ask(&token, "GET", "/api/v1/users", None).await.status.is_success());
    world.pass(3_600_000);
    world.ask(&token, "GET", "/api/v1/users", None).await.refused(401, "unauthenticated", None);
    assert_eq!(world.token_named("short").await["state"], "expired");
}

#[tokio::test]
async fn the_last_owner_stays() {
    let world = world().await;
    let tokens = world.token_named("first owner").await;
    let first = tokens["id"].as_str().unwrap();
    let revoke = async |id: &str| world.post(&format!("/api/v1/admin-tokens/{id}/revoke"), json!({})).await;
    revoke(first).await.refused(409, "conflict", None);
    let other = world.token(Role::Owner).await;
    revoke(first).await.ok();
    let left = world.ask(&other, "GET", "/api/v1/admin-tokens", None).await.ok();
    let mut left = left["items"].as_array().unwrap().iter().filter(|token| token["state"] == "active");
    let mine = left.next().unwrap()["id"].as_str().unwrap();
    assert!(left.next().is_none());
    let answer = world.ask(&other, "POST", &format!("/api/v1/admin-tokens/{mine}/revoke"), None).await;
    answer.refused(409, "conflict", None);
}

/// An owner's token for an hour once counted as a successor: an hour later nobody could administer anything.
#[tokio::test]
async fn an_owner_that_is_about_to_expire_is_no_successor() {
    let world = world().await;
    let make = async |expires: Option<&str>| {
        let body = json!({"name": "next", "role": "owner", "expires": expires});
        world.post("/api/v1/admin-tokens", body).await.ok()["id"].as_str().unwrap().to_owned()
    };
    let revoke = async |id: &str| world.post(&format!("/api/v1/admin-tokens/{id}/revoke"), json!({})).await;
    let first = world.token_named("first owner").await["id"].as_str().unwrap().to_owned();
    let (short, week) = (make(Some("1h")).await, make(Some("7d")).await);
    let answer = revoke(&first).await;
    answer.refused(409, "conflict", None);
    assert!(answer.text.contains("more than 7 days"), "{}", answer.text);
    revoke(&short).await.ok();
    revoke(&week).await.ok();
    make(Some("8d")).await;
    revoke(&first).await.ok();
}

#[tokio::test]
async fn guessing_is_slowed_and_recorded_twice_a_minute() {
    let world = world().await;
    let wrong = crate::house::world().await.owner;
    for n in 0..LIMIT {
        let answer = from(&world, "192.0.2.7", &wrong).await;
        assert_eq!(answer.status, 401, "{n}");
    }
    for _ in 0..20 {
        let answer = from(&world, "192.0.2.7", &wrong).await;
        answer.refused(429, "too_many_failures", None);
        assert_eq!(answer.headers["retry-after"], "60");
    }
    assert_eq!(from(&world, "192.0.2.7", &world.owner).await.status, 200, "a good token passes");
    assert_eq!(from(&world, "192.0.2.8", &wrong).await.status, 401, "another address is not touched");
    let entries = world.audited("?action=admin.sign_in").await;
    let from_there: Vec<&Value> = entries.iter().filter(|entry| entry["from"] == "192.0.2.7").collect();
    assert_eq!(from_there.len(), 2);
    assert_eq!((&from_there[0]["outcome"], &from_there[0]["reason"]), (&json!("refused"), &json!("unknown")));
    world.pass(60_000);
    assert_eq!(from(&world, "192.0.2.7", &wrong).await.status, 401, "a minute later");
}

#[tokio::test]
async fn credentials_in_odd_forms_are_refused() {
    let world = world().await;
    let good = world.owner.clone();
    for (headers, status) in [
        (vec![format!("Bearer {good}")], 200),
        (vec![format!("bearer {good}")], 200),
        (vec![format!("Bearer  {good} ")], 200),
        (vec![good.clone()], 401),
        (vec![format!("Basic {good}")], 401),
        (vec![format!("Bearer{good}")], 401),
        (vec![format!("Bearer {good}, Bearer {good}")], 401),
        (vec![format!("Bearer {good}"), format!("Bearer {good}")], 401),
        (vec![String::new()], 401),
    ] {
        let mut req = Request::builder().uri("/api/v1/users").header("host", "a");
        for value in &headers {
            req = req.header("authorization", value);
        }
        let answer = world.send(req.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{}", headers.join(" | ").replace(&good, "TOKEN"));
    }
    let query = format!("/api/v1/users?token={good}");
    world.ask("", "GET", &query, None).await.refused(401, "unauthenticated", None);
}

#[tokio::test]
async fn only_known_roles_and_names_are_taken() {
    let world = world().await;
    for (body, code, field) in [
        (json!({"name": "x", "role": "root"}), "invalid_field", "role"),
        (json!({"name": "x"}), "missing_field", "role"),
        (json!({"name": "", "role": "viewer"}), "invalid_field", "name"),
        (json!({"name": "x", "role": "viewer", "expires": "1999-01-01"}), "invalid_field", "expires"),
        (json!({"name": "x", "role": "viewer", "org": "y"}), "unknown_field", "org"),
    ] {
        world.post("/api/v1/admin-tokens", body).await.refused(400, code, Some(field));
    }
    world.post("/api/v1/admin-tokens/tok_x/revoke", json!({})).await.refused(404, "not_found", None);
}

//! Requests that are wrong in form: each gets a clear error in the one shape, and nothing else happens.

use axum::body::{Body, Bytes};
use axum::http::Request;
use http_body::Frame;
use serde_json::json;

use crate::house::{Answer, World, world};

async fn raw(world: &World, content_type: Option<&str>, body: impl Into<Body>) -> Answer {
    let mut req = Request::builder().method("POST").uri("/api/v1/teams").header("host", "a");
    req = req.header("authorization", format!("Bearer {}", world.owner));
    if let Some(value) = content_type {
        req = req.header("content-type", value);
    }
    world.send(req.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn bodies() {
    let world = world().await;
    let json_type = Some("application/json; charset=utf-8");
    for (text, code, field) in [
        ("", "malformed_json", None),
        ("{", "malformed_json", None),
        ("{\"name\":\"x\"}{}", "malformed_json", None),
        ("{'name':'x'}", "malformed_json", None),
        ("{\"name\":\"x\",}", "malformed_json", None),
        ("{\"name\":NaN}", "malformed_json", None),
        ("\u{feff}{\"name\":\"x\"}", "malformed_json", None),
        ("{}", "missing_field", Some("name")),
        ("{\"name\":null}", "invalid_field", Some("name")),
        ("{\"name\":{\"a\":1}}", "invalid_field", Some("name")),
        ("{\"name\":\"x\",\"nome\":1}", "unknown_field", Some("nome")),
        ("{\"name\":\"x\",\"name\":\"y\"}", "invalid_field", Some("name")),
        ("{\"name\":\"x\",\"__proto__\":{}}", "unknown_field", Some("__proto__")),
    ] {
        raw(&world, json_type, text).await.refused(400, code, field);
    }
    raw(&world, json_type, vec![b'{', 0xff, b'}']).await.refused(400, "malformed_json", None);
    raw(&world, json_type, "[".repeat(500_000)).await.refused(400, "malformed_json", None);
    raw(&world, json_type, "[\"x\"]").await.refused(400, "invalid_field", None);
    for content_type in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonx")]
    {
        raw(&world, content_type, "{\"name\":\"x\"}").await.refused(415, "unsupported_media_type", None);
    }
    assert_eq!(world.get("/api/v1/teams").await.ok()["items"], json!([]));
}

#[tokio::test]
async fn large_bodies() {
    let world = world().await;
    let mebibyte = 1024 * 1024;
    let fits = format!("{{\"name\":\"x\"{}}}", " ".repeat(mebibyte - 12));
    assert_eq!(fits.len(), mebibyte);
    assert_eq!(raw(&world, Some("application/json"), fits.clone()).await.status, 201);
    raw(&world, Some("application/json"), fits.clone() + " ").await.refused(413, "body_too_large", None);
    // The same without an announced length, and with one that lies.
    let unannounced = Body::new(Unannounced(Some((fits + " ").into())));
    raw(&world, Some("application/json"), unannounced).await.refused(413, "body_too_large", None);
}

/// A body whose length nobody knows beforehand.
struct Unannounced(Option<Bytes>);

impl http_body::Body for Unannounced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[tokio::test]
async fn paths_and_methods() {
    let world = world().await;
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v2/users",
        "/api/v1/users/",
        "/api/v1//users",
        "/api/v1/users/a/b",
        "/API/v1/users",
        "/.git/config",
        "/api/v1/../v1/users",
    ] {
        world.get(path).await.refused(404, "unknown_path", None);
    }
    for (method, path, allow) in [
        ("DELETE", "/api/v1/users", "GET,HEAD,POST"),
        ("PATCH", "/api/v1/users/a@b.c", "GET,HEAD"),
        ("OPTIONS", "/api/v1/keys", "GET,HEAD,POST"),
        ("TRACE", "/api/v1/keys", "GET,HEAD,POST"),
        ("POST", "/healthz", "GET,HEAD"),
        ("BREW", "/api/v1/status", "GET,HEAD"),
    ] {
        let answer = world.ask(&world.owner, method, path, None).await;
        answer.refused(405, "method_not_allowed", None);
        let mut allowed: Vec<&str> = answer.headers["allow"].to_str().unwrap().split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{method} {path}");
    }
    world.get("/api/v1/users/%FF%FE").await.refused(404, "not_found", None);
    world.get("/api/v1/users?nonsense=1").await.refused(400, "unknown_field", Some("nonsense"));
    world.get("/api/v1/users?limit=1&limit=2").await.refused(400, "invalid_field", Some("limit"));
    world.get("/api/v1/users?limit=99999999999999999999").await.refused(400, "invalid_field", Some("limit"));
    world.get(&format!("/api/v1/users?q={}", "x".repeat(5000))).await.refused(
        400,
        "invalid_field",
        Some("text"),
    );
}

#[tokio::test]
async fn heads() {
    let world = world().await;
    let ask = async |headers: &[(&str, &str)]| {
        let mut req = Request::builder().method("POST").uri("/api/v1/teams");
        for (name, value) in headers {
            req = req.header(*name, *value);
        }
        req = req
            .header("authorization", format!("Bearer {}", world.owner))
            .header("content-type", "application/json");
        world.send(req.body(Body::from("{\"name\":\"x\"}")).unwrap()).await
    };
    ask(&[]).await.refused(400, "bad_request", None);
    ask(&[("host", "a"), ("host", "b")]).await.refused(400, "bad_request", None);
    ask(&[("host", "a b")]).await.refused(400, "bad_request", None);
    ask(&[("host", "a"), ("origin", "https://evil.example")]).await.refused(403, "cross_origin", None);
    ask(&[("host", "a"), ("sec-fetch-site", "cross-site")]).await.refused(403, "cross_origin", None);
    let forwarded = [("host", "a"), ("x-forwarded-host", "evil.example"), ("x-forwarded-for", "127.0.0.1")];
    assert_eq!(ask(&forwarded).await.status, 201, "forwarding headers neither help nor harm");
    let entry = &world.audited("?action=team.add").await[0];
    assert!(entry["from"].as_str().unwrap().starts_with("10."), "the address is the connection's: {entry}");
}

#[tokio::test]
async fn every_answer_is_dressed() {
    let world = world().await;
    for (path, token) in
        [("/api/v1/users", world.owner.as_str()), ("/api/v1/users", ""), ("/nowhere", ""), ("/metrics", "")]
    {
        let answer = world.ask(token, "GET", path, None).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(answer.headers[name], value, "{path} {name}");
        }
        assert!(answer.headers["x-request-id"].to_str().unwrap().starts_with("req_"));
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_said_so_and_nothing_else() {
    let world = world().await;
    world.app.store.close().await;
    for path in ["/api/v1/users", "/api/v1/status", "/api/v1/audit/export"] {
        let answer = world.get(path).await;
        answer.refused(503, "unavailable", None);
        for word in ["sqlx", "pool", "Pool", "SELECT", "sqlite"] {
            assert!(!answer.text.contains(word), "{}", answer.text);
        }
    }
    assert_eq!(world.ask("", "GET", "/healthz", None).await.status, 200);
}

/// Beyond the listener's bounds probes are answered and everything else is refused, token or not.
#[tokio::test]
async fn beyond_the_bounds_probes_are_answered() {
    use tower::ServiceExt as _;

    let world = world().await;
    for (method, path, status) in [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 429),
        ("GET", "/api/v1/users", 429),
        ("POST", "/api/v1/users", 429),
        ("POST", "/healthz", 405),
    ] {
        let req = Request::builder().method(method).uri(path).header("host", "a");
        let req = req.header("authorization", format!("Bearer {}", world.owner)).body(Body::empty()).unwrap();
        let answer = gatehouse_control::probe_router(world.app.clone()).oneshot(req).await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_eq!(answer.headers().contains_key("retry-after"), status == 429, "{method} {path}");
    }
}

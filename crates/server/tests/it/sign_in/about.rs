//! What a signed-in client is served besides models.

use gatehouse_testkit::http::once;
use gatehouse_testkit::wait;
use serde_json::{Value, json};

use super::{URL, text, world};
use crate::world::{ask, echo};

#[test]
fn settings_are_served_from_memory_and_change_with_a_reload() {
    let folder = gatehouse_testkit::folder();
    let file = folder.path().join("managed.json");
    let config = format!("[settings]\nmanaged = \"{}\"\n", file.display());
    std::fs::write(&file, r#"{"permissions":{"deny":["Read(./.env)"]},"availableModels":["claude-sonnet-4-6"],"env":{"A":"1","B":"é"}}"#).unwrap();
    let w = world("sqlite", &config, echo(1, 1));
    w.person("ada@example.com");
    let tokens = w.sign_in("ada@example.com");
    let access = text(&tokens, "access_token");
    let first = w.get("/managed/settings", access, &[]);
    let checksum = "sha256:c3be3543660eb4fcf30b8e85313f7467f2ecded0ad8bb3047af3ca26a7a080ed";
    let etag = format!("\"{checksum}\"");
    assert_eq!((first.status, first.header("etag")), (200, Some(etag.as_str())));
    let body = first.json();
    assert_eq!((text(&body, "checksum"), &body["settings"]["env"]["B"]), (checksum, &json!("é")));
    assert!(body["uuid"].is_string());
    for known in [etag.as_str(), "*"] {
        let same = w.get("/managed/settings", access, &[("if-none-match", known)]);
        assert_eq!((same.status, same.header("etag"), same.body.len()), (304, Some(etag.as_str()), 0));
    }
    assert_eq!(w.get("/managed/settings", access, &[("if-none-match", "\"sha256:x\"")]).status, 200);

    std::fs::write(&file, "{\"a\":").unwrap();
    assert!(!w.gatehouse.cli(&["config", "reload"]).status.success());
    assert_eq!(
        w.get("/managed/settings", access, &[("if-none-match", &etag)]).status,
        304,
        "the old one stays"
    );
    std::fs::write(&file, "{\"model\":\"claude-sonnet-4-6\"}").unwrap();
    w.gatehouse.json(&["config", "reload"]);
    // A new document under the same name in the configuration is taken over too.
    assert_eq!(w.get("/managed/settings", access, &[("if-none-match", &etag)]).status, 200);

    for path in ["/managed/settings", "/api/oauth/usage", "/user/bootstrap"] {
        let stranger = once(&w.gatehouse.gateway, "GET", path, &[], b"");
        assert_eq!((stranger.status, stranger.header("x-should-retry")), (401, Some("false")), "{path}");
    }
}

#[test]
fn a_client_learns_about_itself_and_its_telemetry_is_taken() {
    let w = world("sqlite", "", echo(1000, 1000));
    w.person("ada@example.com");
    let tokens = w.sign_in("ada@example.com");
    let access = text(&tokens, "access_token");
    assert_eq!(w.get("/managed/settings", access, &[]).status, 404, "no policy");
    assert_eq!(w.gatehouse.post(access, &ask(false)).status, 200);
    let usage = wait::until("the cost to be counted", || {
        let usage = w.get("/api/oauth/usage", access, &[]).json();
        usage["extra_usage"]["used_credits"].as_i64().filter(|cents| *cents > 0).map(|_| usage)
    });
    assert_eq!((&usage["limits"], &usage["extra_usage"]["monthly_limit"]), (&json!([]), &Value::Null));
    assert!(usage["extra_usage"]["daily"]["used_credits"].as_i64() > Some(0));
    let desktop = w.get("/user/bootstrap", access, &[]).json();
    assert_eq!(text(&desktop, "inferenceGatewayBaseUrl"), URL);

    let bearer = format!("Bearer {access}");
    for path in ["/v1/metrics", "/v1/logs", "/v1/traces"] {
        for (kind, answer) in [("application/json", "{}"), ("application/x-protobuf", "")] {
            let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
            let reply = once(&w.gatehouse.gateway, "POST", path, &headers, &vec![1; 200_000]);
            assert_eq!((reply.status, reply.text().as_str()), (200, answer), "{path} {kind}");
        }
        assert_eq!(once(&w.gatehouse.gateway, "POST", path, &[], b"{}").status, 401, "{path}");
    }
    // None of this is an exchange.
    assert!(w.gatehouse.exchanges().iter().all(|e| e["kind"] == "messages" || e["status"] == 401));
}

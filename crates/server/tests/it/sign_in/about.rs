//! What a signed-in client is served besides models.

use gatehouse_testkit::http::once;
use gatehouse_testkit::wait;
use serde_json::{Value, json};

use super::{URL, World, text, world};
use crate::world::{ask, echo};

/// Publishes settings for the whole organization, as two people do it.
pub(super) fn publish(w: &World, second: &str, settings: &str) {
    let file = w.gatehouse.dir().join("settings.json");
    std::fs::write(&file, settings).unwrap();
    let file = file.to_str().unwrap();
    let known = w.gatehouse.cli(&["settings", "show", "base"]).status.success();
    if known {
        w.gatehouse.json(&["settings", "edit", "base", "-f", file]);
    } else {
        w.gatehouse.json(&["settings", "new", "base", "--for", "organization", "-f", file]);
    }
    w.gatehouse.json(&["settings", "submit", "base"]);
    w.gatehouse.json(&["--token", second, "settings", "approve", "base"]);
    assert_eq!(w.gatehouse.json(&["settings", "publish", "base"])["in_force"], true);
}

/// From what is published to the client's word that it has it: assigned, offered, confirmed, and back after a rollback.
#[test]
fn published_settings_reach_the_client_and_it_confirms_them() {
    let w = world("sqlite", "", echo(1, 1));
    w.person("ada@example.com");
    let reviewer = ["admin", "token", "create", "--name", "reviewer", "--role", "security_admin"];
    let made = w.gatehouse.json(&[&reviewer[..], &["--service", "reviewer"]].concat());
    let second = text(&made, "token").to_owned();
    let tokens = w.sign_in("ada@example.com");
    let access = text(&tokens, "access_token");
    let state = || w.gatehouse.json(&["settings", "receipts"])[0]["state"].as_str().unwrap().to_owned();
    assert_eq!(w.get("/managed/settings", access, &[]).status, 404, "no policy");

    publish(
        &w,
        &second,
        r#"{"permissions":{"deny":["Read(./.env)"]},"availableModels":["claude-sonnet-4-6"],"env":{"A":"1","B":"é"}}"#,
    );
    let first = w.get("/managed/settings", access, &[]);
    let checksum = "sha256:c3be3543660eb4fcf30b8e85313f7467f2ecded0ad8bb3047af3ca26a7a080ed";
    let etag = format!("\"{checksum}\"");
    assert_eq!((first.status, first.header("etag")), (200, Some(etag.as_str())));
    let body = first.json();
    assert_eq!((text(&body, "checksum"), &body["settings"]["env"]["B"]), (checksum, &json!("é")));
    assert!(body["uuid"].is_string());
    wait::until("the offer", || (state() == "offered").then_some(()));
    for known in [etag.as_str(), "*"] {
        let same = w.get("/managed/settings", access, &[("if-none-match", known)]);
        assert_eq!((same.status, same.header("etag"), same.body.len()), (304, Some(etag.as_str()), 0));
    }
    wait::until("the confirmation by a poll", || (state() == "confirmed").then_some(()));
    assert_eq!(w.get("/managed/settings", access, &[("if-none-match", "\"sha256:x\"")]).status, 200);

    publish(&w, &second, r#"{"model":"claude-sonnet-4-6"}"#);
    let next = w.get("/managed/settings", access, &[("if-none-match", &etag)]);
    assert_eq!(next.status, 200);
    // The client says what it has with its requests, too.
    let has = text(&next.json(), "checksum").to_owned();
    let authorization = format!("Bearer {access}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("x-claude-code-managed-settings-checksum", has.as_str()),
    ];
    assert_eq!(once(&w.gatehouse.gateway, "POST", "/v1/messages", &headers, &ask(false)).status, 200);
    wait::until("the confirmation by a request", || (state() == "confirmed").then_some(()));

    w.gatehouse.json(&["settings", "rollback", "base", "1", "--note", "not it"]);
    assert_eq!(
        w.get("/managed/settings", access, &[("if-none-match", &format!("\"{has}\""))]).header("etag"),
        Some(etag.as_str())
    );
    assert_eq!(w.get("/managed/settings", access, &[("if-none-match", &etag)]).status, 304);
    wait::until("the confirmation of the first version", || (state() == "confirmed").then_some(()));

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
        for (kind, body, answer) in [("application/json", "{}", "{}"), ("application/x-protobuf", "", "")] {
            let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
            let reply = once(&w.gatehouse.gateway, "POST", path, &headers, body.as_bytes());
            assert_eq!((reply.status, reply.text().as_str()), (200, answer), "{path} {kind}");
        }
        assert_eq!(once(&w.gatehouse.gateway, "POST", path, &[], b"{}").status, 401, "{path}");
    }
    // None of this is an exchange.
    assert!(w.gatehouse.exchanges().iter().all(|e| e["kind"] == "messages" || e["status"] == 401));
}

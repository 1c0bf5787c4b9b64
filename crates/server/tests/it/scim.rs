//! A directory disables somebody by SCIM: keys and open replies end at once (P6).

use std::time::{Duration, Instant};

use gatehouse_testkit::http::{self, Connection, Reply};
use gatehouse_testkit::provider::Act;
use gatehouse_testkit::{sse, wait};
use serde_json::{Value, json};

use crate::world::{MODEL, World, ask, configured, stores};

fn scim(w: &World, token: &str, method: &str, path: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/scim+json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    http::once(&w.gatehouse.admin, method, &format!("/scim/v2{path}"), &headers, body.as_bytes())
}

#[test]
fn a_leaver_in_the_directory_loses_keys_and_open_streams_within_five_seconds() {
    for leave in ["PATCH", "PUT", "DELETE"] {
        for store in stores() {
            let w = configured("", &store, |_| {
                vec![sse::stream_head(), sse::chunk(&sse::start(MODEL, &sse::usage(9, 1))), Act::Hang]
            });
            let made = w.gatehouse.json(&["scim", "token", "create", "okta"]);
            let token = made["token"].as_str().unwrap();
            assert_eq!(made["base_url"], format!("{}/scim/v2", w.gatehouse.admin));
            let user = json!({"userName": "leaver@example.com", "externalId": "1", "active": true});
            let joined = scim(&w, token, "POST", "/Users", &user);
            assert_eq!(joined.status, 201, "{}", joined.text());
            let path = format!("/Users/{}", joined.json()["id"].as_str().unwrap());
            let (_, key) = w.gatehouse.key("leaver@example.com", &[]);
            let mut stream = Connection::open(&w.gatehouse.gateway);
            stream.request("POST", "/v1/messages", &[("x-api-key", &key)], &ask(true));
            stream.read_until("message_start");

            let began = Instant::now();
            let off = match leave {
                "PATCH" => json!({"Operations": [{"op": "Replace", "path": "active", "value": "False"}]}),
                "PUT" => json!({"userName": "leaver@example.com", "externalId": "1", "active": false}),
                _ => Value::Null,
            };
            let left = scim(&w, token, leave, &path, &off);
            assert!(left.status < 300, "{leave}: {}", left.text());
            assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 401, "{leave}: at once");
            let reply = stream.reply();
            assert!(began.elapsed() < Duration::from_secs(5), "{leave}: it took {:?}", began.elapsed());
            assert!(reply.text().contains("event: error"), "{leave}: {}", reply.text());
            assert_eq!(w.gatehouse.json(&["user", "get", "leaver@example.com"])["state"], "disabled");

            if leave == "PATCH" {
                let on = json!({"Operations": [{"op": "Replace", "path": "active", "value": "True"}]});
                assert_eq!(scim(&w, token, "PATCH", &path, &on).status, 200);
                let mut again = Connection::open(&w.gatehouse.gateway);
                again.request("POST", "/v1/messages", &[("x-api-key", &key)], &ask(true));
                again.read_until("message_start");
            }
        }
    }
}

#[test]
fn the_command_line_shows_tokens_and_maps_groups() {
    let w = configured("", "sqlite", crate::world::echo(1, 1));
    let made = w.gatehouse.json(&[
        "scim",
        "token",
        "create",
        "okta",
        "--name",
        "Okta production",
        "--expires",
        "365d",
    ]);
    let token = made["token"].as_str().unwrap();
    let listed = w.gatehouse.cli(&["scim", "token", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("Okta production") && listed.contains("scim:okta"), "{listed}");
    assert!(!listed.contains(token));
    let group = scim(&w, token, "POST", "/Groups", &json!({"displayName": "Engineers"})).json();
    let group = group["id"].as_str().unwrap();
    w.gatehouse.json(&["team", "add", "core"]);
    let mapped = w.gatehouse.json(&["scim", "group", "map", group, "--team", "core"]);
    assert_eq!(w.gatehouse.json(&["scim", "group", "list"])[0]["team_id"], mapped["team_id"]);
    assert!(w.gatehouse.json(&["scim", "group", "unmap", group])["team_id"].is_null());
    w.gatehouse.json(&["scim", "token", "revoke", made["id"].as_str().unwrap()]);
    wait::until("the token to be refused", || {
        (scim(&w, token, "GET", "/Users", &Value::Null).status == 401).then_some(())
    });
    let log = w.gatehouse.log();
    assert!(!log.contains(&token[15..]), "no token is logged");
}

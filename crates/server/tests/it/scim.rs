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

/// Two directories with their people; gives the first one's token.
fn two_directories(w: &World) -> String {
    let made = |name: &str| {
        w.gatehouse.json(&["scim", "token", "create", name])["token"].as_str().unwrap().to_owned()
    };
    let (okta, entra) = (made("okta"), made("entra"));
    for (token, name) in
        [(&okta, "ann@example.com"), (&okta, "o'hara@example.com"), (&entra, "secret@example.com")]
    {
        let user = json!({"userName": name, "externalId": name, "active": true});
        assert_eq!(scim(w, token, "POST", "/Users", &user).status, 201, "{name}");
    }
    okta
}

fn find(w: &World, token: &str, filter: &str) -> Reply {
    let query = gatehouse_testkit::browser::encoded(&[("filter", filter)]);
    scim(w, token, "GET", &format!("/Users?{query}"), &Value::Null)
}

#[test]
fn a_filter_finds_what_it_says_and_nothing_else() {
    for store in stores() {
        let w = configured("", &store, |_| vec![Act::Hang]);
        let okta = two_directories(&w);
        for (filter, found) in [
            ("userName eq \"ann@example.com\"", 1),
            ("userName eq \"o'hara@example.com\"", 1),
            ("userName eq \"%\"", 0),
            ("userName eq \"_nn@example.com\"", 0),
            ("userName sw \"%\"", 0),
            ("userName co \"_\"", 0),
            ("userName eq \"x' OR '1'='1\"", 0),
            ("userName eq \"x'; DROP TABLE users; --\"", 0),
            ("id eq \"x\" or userName co \"\"", 2),
            ("userName eq \"secret@example.com\"", 0),
            ("not (userName eq \"ann@example.com\")", 1),
            ("userName pr", 2),
            ("userName eq \"a\\u0000nn\"", 0),
        ] {
            let reply = find(&w, &okta, filter);
            assert_eq!(reply.status, 200, "{filter}: {}", reply.text());
            assert_eq!(reply.json()["totalResults"], found, "{filter}: {}", reply.text());
            assert!(!reply.text().contains("secret@example.com"), "{filter}: another directory's people");
        }
        // What belongs to another directory is not there, whoever asks by whatever identifier.
        let theirs =
            w.gatehouse.json(&["user", "get", "secret@example.com"])["id"].as_str().unwrap().to_owned();
        for method in ["GET", "DELETE"] {
            assert_eq!(scim(&w, &okta, method, &format!("/Users/{theirs}"), &Value::Null).status, 404);
        }
    }
}

#[test]
fn hostile_filters_are_refused_wherever_they_are_read() {
    for store in stores() {
        let w = configured("", &store, |_| vec![Act::Hang]);
        let okta = two_directories(&w);
        let deep = format!("{}userName pr{}", "(".repeat(5000), ")".repeat(5000));
        let nots = format!("{}userName pr{}", "not (".repeat(200), ")".repeat(200));
        let wide = vec!["userName eq \"x\""; 200].join(" or ");
        let long = format!("userName eq \"{}\"", "x".repeat(5000));
        let bad = [
            &deep,
            &nots,
            &wide,
            &long,
            "userName eq",
            "userName eq x",
            "userName eq \"x",
            "password eq \"x\"",
            "userName xx \"x\"",
            "userName eq \"x\" union select hash from keys",
            "emails[type eq \"work\"",
            "\0",
            "()",
            "1 eq 1",
        ];
        for filter in bad {
            let reply = find(&w, &okta, filter);
            let brief: String = filter.chars().take(60).collect();
            assert_eq!(
                (reply.status, reply.json()["scimType"].as_str()),
                (400, Some("invalidFilter")),
                "{brief}: {}",
                reply.text()
            );
        }
        // In paths of a PATCH the same grammar is read, and the same is refused.
        let id = find(&w, &okta, "userName eq \"ann@example.com\"").json()["Resources"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        for path in [
            "emails[type eq \"work\" or 1 eq 1].value".to_owned(),
            format!("emails[{wide}].value"),
            "users.password".into(),
            "meta.version".into(),
            "id".into(),
        ] {
            let patch = json!({"Operations": [{"op": "replace", "path": path, "value": "x"}]});
            let reply = scim(&w, &okta, "PATCH", &format!("/Users/{id}"), &patch);
            assert_eq!(reply.status, 400, "{path}: {}", reply.text());
        }
    }
}

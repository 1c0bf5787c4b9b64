//! Two nodes on one database: what is published on one is served by the other.

use std::path::Path;

use gatehouse_testkit::{postgres, wait};
use serde_json::{Value, json};

use super::{World, text, world};
use crate::world::echo;

/// A node on this database; nodes of one database have one master key.
fn node(store: &str, key: &Path) -> World {
    world(store, &format!("[secrets]\nmaster_key = \"file:{}\"", key.display()), echo(1, 1))
}

fn model(node: &World, access: &str) -> Option<Value> {
    let reply = node.get("/managed/settings", access, &[]);
    (reply.status == 200).then(|| reply.json()["settings"]["model"].clone())
}

#[test]
fn settings_overlays_and_schemas_come_to_every_node() {
    let Some(store) = postgres::fresh() else { return };
    let shared = tempfile::tempdir().unwrap();
    let key = shared.path().join("master.key");
    let (one, other) = (node(&store, &key), node(&store, &key));
    one.person("ada@example.com");
    let reviewer =
        ["admin", "token", "create", "--name", "reviewer", "--role", "admin", "--service", "reviewer"];
    let made = one.gatehouse.json(&reviewer);
    let second = text(&made, "token").to_owned();
    let tokens = one.sign_in("ada@example.com");
    let access = text(&tokens, "access_token").to_owned();
    let publish = |name: &str, target: &str, settings: Value| {
        let file = shared.path().join("settings.json");
        std::fs::write(&file, settings.to_string()).unwrap();
        one.gatehouse.json(&["settings", "new", name, "--for", target, "-f", file.to_str().unwrap()]);
        one.gatehouse.json(&["settings", "submit", name]);
        one.gatehouse.json(&["--token", &second, "settings", "approve", name]);
        one.gatehouse.json(&["settings", "publish", name]);
    };
    let comes = |expected: &str| {
        wait::until(expected, || (model(&other, &access) == Some(json!(expected))).then_some(()));
    };
    publish("base", "organization", json!({"model": "opus"}));
    comes("opus");
    publish("pilot", "rollout", json!({"model": "haiku"}));
    one.gatehouse.json(&["settings", "audience", "assign", "pilot", "--percent", "100"]);
    comes("haiku");
    one.gatehouse.json(&["settings", "audience", "withdraw", "pilot"]);
    comes("opus");

    // Over HTTP, since the other node has no token for its command line.
    let lamp = shared.path().join("schema.json");
    std::fs::write(&lamp, json!({"properties": {"lamp": {"type": "boolean"}}}).to_string()).unwrap();
    one.gatehouse.json(&["settings", "schema", "import", lamp.to_str().unwrap()]);
    let bearer = format!("Bearer {second}");
    let headers = [("authorization", bearer.as_str())];
    wait::until("the schema on the other node", || {
        let path = "/api/v1/settings/catalogue";
        let known = gatehouse_testkit::http::once(&other.gatehouse.admin, "GET", path, &headers, b"").json();
        known["items"].as_array().unwrap().iter().any(|one| one["key"] == "lamp").then_some(())
    });
}

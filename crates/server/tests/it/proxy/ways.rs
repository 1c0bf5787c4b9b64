//! Who used models by which way, and one request as the proxy, the gateway and its client saw it.

use std::net::Ipv4Addr;

use gatehouse_testkit::http::once;
use gatehouse_testkit::wait;
use serde_json::{Value, json};

use super::inspection::world::{RULES, inspecting};
use super::inspection::{MESSAGES, OWN};
use super::world::{World, name_server, stored};
use crate::world::{MODEL, ask, echo, stores};

/// Tells by telemetry of requests with these ids, and of a dollar for each.
fn claim(w: &World, key: &str, requests: &[&str]) {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let records: Vec<Value> = requests
        .iter()
        .map(|id| {
            let told = [text("model", MODEL), text("cost_usd", "1.0"), text("request_id", id)];
            json!({"body": {"stringValue": "claude_code.api_request"}, "attributes": told})
        })
        .collect();
    let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).to_string();
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let reply = once(&w.gatehouse.gateway, "POST", "/v1/logs", &headers, body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn person(w: &World) -> Value {
    let report = w.gatehouse.json(&["mode", "report"]);
    let people = report["people"].as_array().unwrap();
    assert_eq!(people.len(), 1, "one of whom anything was seen: {report}");
    people[0].clone()
}

#[test]
fn direct_and_personal_use_is_told_beside_what_went_through_the_gateway() {
    let w = inspecting(RULES, echo(1000, 20));
    let g = &w.world.gatehouse;
    let (_, key) = g.key("dev@example.com", &[]);
    assert_eq!(g.json(&["mode", "report"])["people"], json!([]));
    // At the gateway: nothing to tell.
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(once(&g.gateway, "POST", "/v1/messages", &headers, &ask(false)).status, 200);
    claim(&w.world, &key, &["req_a"]);
    let seen = person(&w.world);
    assert_eq!((&seen["gateway_requests"], &seen["claimed_requests"]), (&json!(1), &json!(1)), "{seen}");
    assert_eq!((&seen["detours"], &seen["mode"]), (&json!([]), &json!("gateway")));

    // By a credential of their own, looked into; then unseen, and refused; and a request that was seen nowhere.
    assert_eq!(w.ask("api.test", MESSAGES, OWN, &ask(false)).status, 200);
    w.change("hosts = [\"api.test\", \"other.test\"]", "hosts = []");
    drop(w.greet("api.test", "api.test", &w.hosts_authority.certificate).unwrap());
    g.json(&["proxy", "rule", "add", "no", "deny", "--host", "api.test", "--before", "all"]);
    w.world.refused(&w.to("api.test"));
    drop(w.greet("other.test", "other.test", &w.hosts_authority.certificate).unwrap());
    claim(&w.world, &key, &["req_b", "req_c"]);
    let seen = wait::until("the tunnel's bytes", || {
        Some(person(&w.world)).filter(|seen| seen["tunnel_bytes"].as_u64() > Some(0))
    });
    for (what, expected) in [
        ("gateway_requests", json!(1)),
        ("own_requests", json!(1)),
        ("tunnels", json!(1)),
        ("refused", json!(1)),
        ("sign_ins", json!(0)),
        ("claimed_requests", json!(3)),
        ("claimed_cost_nanos", json!(3_000_000_000_i64)),
        ("detours", json!(["direct", "own_credential", "claims", "refused"])),
    ] {
        assert_eq!(seen[what], expected, "{what}: {seen}");
    }
    assert!(seen["own_cost_nanos"].as_i64().unwrap() > 0, "{seen}");
    let told = String::from_utf8(g.cli(&["mode", "report", "--days", "1"]).stdout).unwrap();
    assert!(told.contains("requests by a credential of their own") && told.contains("api.test"), "{told}");
    // Where that is the way, it is none past it.
    g.json(&["mode", "set", "direct"]);
    assert_eq!(person(&w.world)["detours"], json!([]));
    assert_eq!(g.cli(&["mode", "report", "--days", "401"]).status.code(), Some(1));
}

#[test]
fn a_request_is_traced_from_the_proxy_through_the_gateway_to_what_its_client_tells() {
    for store in stores() {
        let names = name_server(|_, _| vec![Ipv4Addr::LOCALHOST]);
        let w = stored(&store, &[443], "gateway_names = [\"gw.corp.test:443\"]\n", &names);
        let (_, key) = w.gatehouse.key("dev@example.com", &[]);
        let mut through = w.tunnel("gw.corp.test:443");
        let body = ask(false);
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: gw.corp.test\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        through.send(&[head.as_bytes(), &body].concat());
        let answer = through.all();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let exchange = w.gatehouse.exchanges().remove(0);
        let seen = exchange["request_id"].as_str().unwrap();
        claim(&w, &key, &[seen, "req_another"]);
        // Somebody else's, at the same time.
        let (_, other) = w.gatehouse.key("other@example.com", &[]);
        claim(&w, &other, &[seen]);
        for id in [seen, exchange["id"].as_str().unwrap()] {
            let trace = w.gatehouse.json(&["trace", id]);
            assert_eq!(trace["exchange"]["id"], exchange["id"], "{trace}");
            let tunnels = trace["tunnels"].as_array().unwrap();
            assert_eq!(tunnels.len(), 1, "{trace}");
            assert_eq!(
                (&tunnels[0]["rule"], &tunnels[0]["verdict"], &tunnels[0]["user"]),
                (&json!("gateway"), &json!("allow"), &json!("dev@example.com"))
            );
            let events = trace["events"].as_array().unwrap();
            assert_eq!((events.len(), &events[0]["user"]), (1, &json!("dev@example.com")), "{trace}");
        }
        let told = String::from_utf8(w.gatehouse.cli(&["trace", seen]).stdout).unwrap();
        for part in ["proxy    allow (rule gateway)", "gateway  200 completed", "client   claims api_request"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
        // The provider gives the same id again: the newest is meant.
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        assert_eq!(once(&w.gatehouse.gateway, "POST", "/v1/messages", &headers, &body).status, 200);
        let later = w.gatehouse.exchanges().pop().unwrap();
        assert_eq!(later["request_id"], seen, "as the fake provider has it");
        for id in [seen, later["id"].as_str().unwrap()] {
            assert_eq!(w.gatehouse.json(&["trace", id])["exchange"]["id"], later["id"]);
        }
        assert_eq!(w.gatehouse.cli(&["trace", "req_nobodys"]).status.code(), Some(1));
    }
}

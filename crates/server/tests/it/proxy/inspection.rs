//! Tunnels that are looked into: model requests go through the gateway's stages, the rest is passed on, and nothing gets past.

pub(super) mod world;
mod hostile;
mod authority;
mod parent;
mod protection;

use gatehouse_testkit::provider::{Act, UPSTREAM_KEY};
use gatehouse_testkit::{sse, wait};
use serde_json::{Value, json};

use super::world::{Client, basic};
use crate::world::{MODEL, ask, echo};
use world::{RULES, inspecting, send, without_authority};

pub(super) const MESSAGES: &str = "POST /v1/messages?beta=true";
pub(super) const OWN: &str = "x-api-key: sk-of-the-caller\r\ncontent-type: application/json\r\n";

#[test]
fn a_model_request_is_booked_on_who_opened_the_tunnel_and_made_by_its_own_credential() {
    let w = inspecting(RULES, echo(1000, 20));
    for stream in [false, true] {
        let lines = format!("{OWN}cookie: a=b\r\nx-unknown: kept\r\nx-forwarded-for: 6.6.6.6\r\n");
        let reply = w.ask("api.test", MESSAGES, &lines, &ask(stream));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().contains("forty-two"));
        let seen = w.host.provider.seen();
        assert_eq!(seen.line, MESSAGES, "the path and query are as they were");
        for (name, value) in [
            ("x-api-key", "sk-of-the-caller"),
            ("cookie", "a=b"),
            ("x-unknown", "kept"),
            ("host", &w.to("api.test")),
            ("accept-encoding", "identity"),
        ] {
            assert_eq!(seen.header(name), Some(value), "{name}");
        }
        assert_eq!(seen.body, ask(stream), "the body is as it came");
        assert!(!format!("{seen:?}").contains(&w.world.key), "the proxy's key stays here");
    }
    let exchanges = w.world.gatehouse.exchanges();
    assert_eq!(exchanges.len(), 2);
    for exchange in &exchanges {
        for (key, expected) in [
            ("user", json!("dev@example.com")),
            ("provider", json!("caller:api.test")),
            ("model", json!(MODEL)),
            ("ended", json!("completed")),
            ("peer", json!("127.0.0.1")),
        ] {
            assert_eq!(exchange[key], expected, "{key} of {exchange}");
        }
        assert!(exchange["cost_nanos"].as_i64().unwrap() > 0);
    }
    let tunnels = w.world.tunnels();
    let seen = wait::until("the tunnels' ends", || {
        let all = w.world.tunnels();
        all.iter().all(|tunnel| !tunnel["ended"].is_null()).then_some(all)
    });
    assert_eq!(seen.len(), tunnels.len());
    assert!(seen.iter().all(|tunnel| tunnel["inspected"] == 1 && tunnel["verdict"] == "allow"), "{seen:#?}");
}

#[test]
fn requests_follow_each_other_in_a_tunnel() {
    let w = inspecting(RULES, echo(10, 2));
    let mut connection = w.within("api.test");
    let to = w.to("api.test");
    for _ in 0..3 {
        assert_eq!(send(&mut connection, &to, MESSAGES, OWN, &ask(true)).status, 200);
        assert_eq!(send(&mut connection, &to, "POST /api/x", OWN, b"anything").status, 200);
        assert_eq!(
            send(&mut connection, &to, "POST /v1/messages/count_tokens", OWN, &ask(false)).status,
            200
        );
    }
    drop(connection);
    assert_eq!(w.world.ended()["inspected"], 9);
    let kinds: Vec<_> = w.world.gatehouse.exchanges().iter().map(|e| e["kind"].clone()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "messages").count(), 3, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "count_tokens").count(), 3, "{kinds:?}");
    assert_eq!(kinds.len(), 6, "what is passed on is no exchange");
}

#[test]
fn what_the_stages_refuse_never_reaches_the_host() {
    let w = inspecting(RULES, echo(1, 1));
    // By the key's own models.
    let (_, narrow) =
        w.world.gatehouse.key("dev@example.com", &["--for", "proxy", "--models", "claude-haiku-4-5"]);
    let mut client = Client::open(&w.world.proxy);
    client.connect(&w.to("api.test"), &basic(&narrow));
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    let tls = w.speak(client.0, "api.test", &w.ca).unwrap();
    let answer = w.exchange(tls, "api.test", MESSAGES, OWN, &ask(false));
    assert!(answer.starts_with("HTTP/1.1 451 ") && answer.contains("may not use the model"), "{answer}");
    // By a budget.
    let budget = w.world.gatehouse.json(&["budget", "add", "0.000001"]);
    let reply = w.ask("api.test", MESSAGES, OWN, &ask(false));
    assert_eq!((reply.status, reply.header("x-should-retry")), (429, Some("false")), "{}", reply.text());
    w.world.gatehouse.json(&["budget", "remove", budget["id"].as_str().unwrap()]);
    // By an access policy.
    let policy = w.world.gatehouse.dir().join("deny.cedar");
    std::fs::write(&policy, format!("forbid (principal, action, resource == Model::\"{MODEL}\");\n"))
        .unwrap();
    w.world.gatehouse.json(&["access", "set", "deny", policy.to_str().unwrap()]);
    let reply = w.ask("api.test", MESSAGES, OWN, &ask(false));
    assert_eq!(reply.status, 451, "{}", reply.text());
    assert_eq!(w.host.provider.unseen(), 0, "the host saw one of them");
    let ends: Vec<_> = w.world.gatehouse.exchanges().iter().map(|e| e["ended"].clone()).collect();
    assert_eq!(ends, ["refused", "refused", "refused"]);
}

#[test]
fn all_other_requests_are_passed_on_as_they_are_with_what_the_operator_adds() {
    let rules = format!(
        "{RULES}add_headers = [\"*.test X-Tenant: ours\"]\nallowed_organizations = [\"6f1c3b52-0000-4000-8000-000000000000\"]\n"
    );
    let big: Vec<u8> = (0..2_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let w = inspecting(&rules, |seen| {
        let head =
            "HTTP/1.1 201 Created\r\nset-cookie: c=d\r\nserver: theirs\r\nx-hop: 1\r\nconnection: x-hop\r\n";
        let head = format!("{head}content-encoding: br\r\ncontent-length: {}\r\n\r\n", seen.body.len());
        vec![Act::Send([head.as_bytes(), &seen.body].concat())]
    });
    for (host, path) in [("api.test", "/api/event_logging/v2/batch?x=%2F"), ("other.test", "/v1/messages")] {
        let lines = "authorization: Bearer own\r\nx-tenant: theirs\r\naccept-encoding: br\r\nupgrade: websocket\r\n\
                     connection: upgrade\r\n";
        let reply = w.ask(host, &format!("PUT {path}"), lines, &big);
        assert_eq!(
            (reply.status, reply.header("set-cookie"), reply.header("server")),
            (201, Some("c=d"), Some("theirs"))
        );
        assert_eq!((reply.header("content-encoding"), reply.header("x-hop")), (Some("br"), None));
        assert!(reply.body == big && reply.complete, "{host}: the body is another");
        let seen = w.host.provider.seen();
        assert_eq!(seen.line, format!("PUT {path}"));
        assert_eq!(seen.header("authorization"), Some("Bearer own"));
        assert_eq!((seen.header("x-tenant"), seen.header("upgrade")), (Some("ours"), None));
        assert_eq!(seen.header("accept-encoding"), Some("br"));
        assert_eq!(seen.header("anthropic-allowed-org-ids"), None, "that is for Anthropic's hosts");
        assert!(seen.body == big);
    }
    assert!(w.world.gatehouse.exchanges().is_empty(), "other hosts' paths mean nothing to us");
}

#[test]
fn the_organization_may_pay_instead() {
    let rules = format!("{RULES}credential = \"organization\"\n");
    let w = inspecting(&rules, echo(1, 1));
    let reply = w.ask("api.test", MESSAGES, OWN, &ask(false));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(w.host.provider.unseen(), 0);
    assert_eq!(w.only_exchange()["provider"], "main");
    let seen = w.world.provider.seen();
    assert_eq!(seen.header("x-api-key"), Some(UPSTREAM_KEY));
}

#[test]
fn without_hosts_a_tunnel_carries_bytes_only() {
    let w = without_authority("", "", echo(1, 1));
    w.world.gatehouse.json(&["inspection", "ca", "create", "--host", "api.test"]);
    let their = w.hosts_authority.certificate.clone();
    drop(w.greet("api.test", "api.test", &their).unwrap());
    let tunnel = w.world.ended();
    assert!(tunnel["inspected"].is_null(), "{tunnel}");
    assert!(tunnel["bytes_up"].as_u64().unwrap() > 0);
    // Switched on and off while it runs.
    w.change("ca_file =", &format!("{RULES}ca_file ="));
    assert!(w.greet("api.test", "api.test", &their).is_err(), "our certificate is not theirs");
    w.change(RULES, "");
    drop(w.greet("api.test", "api.test", &their).unwrap());
}

#[test]
fn it_is_explained_whether_a_host_is_looked_into_and_by_which_setting() {
    let rules = "hosts = [\"api.test\", \"*.other.test\"]\nnever = [\"not.other.test\"]\n";
    let w = without_authority("", rules, echo(1, 1));
    let asked = |host: &str, more: &[&str]| {
        let to = w.to(host);
        let output = w.world.gatehouse.cli(&[more, &["proxy", "explain", "dev@example.com", &to]].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let explained = |host: &str| serde_json::from_str::<Value>(&asked(host, &["--json"])).unwrap();
    let early = explained("api.test");
    assert_eq!((&early["verdict"], &early["rule"]), (&"deny".into(), &"inspection".into()), "{early}");
    let tell = early["why"].as_str().unwrap();
    assert!(tell.contains("`inspection.hosts` has `api.test`") && tell.contains("not set up"), "{tell}");
    w.world.gatehouse.json(&["inspection", "ca", "create", "--host", "api.test", "--host", "x.other.test"]);
    for (host, rule, inspected, why) in [
        ("api.test", "all", true.into(), "`inspection.hosts` has `api.test`"),
        ("x.other.test", "all", true.into(), "`inspection.hosts` has `*.other.test`"),
        ("not.other.test", "all", false.into(), "`inspection.never` has `not.other.test`"),
        ("third.test", "all", false.into(), "`inspection.hosts` does not have it"),
        ("y.other.test", "inspection", Value::Null, ""),
    ] {
        let told = explained(host);
        assert_eq!((&told["rule"], &told["inspected"]), (&rule.into(), &inspected), "{host}: {told}");
        assert_eq!(told["inspected_why"].as_str().unwrap_or_default(), why, "{host}");
    }
    let text = asked("api.test", &[]);
    assert!(text.contains("Looked into: yes, `inspection.hosts` has `api.test`."), "{text}");
}

#[test]
fn a_stream_is_handed_on_as_it_comes_and_ends_with_its_credential() {
    let w = inspecting(RULES, |seen| {
        if seen.line.contains("messages") {
            let usage = sse::usage(3, 1);
            vec![
                sse::stream_head(),
                sse::chunk(&sse::start(MODEL, &usage)),
                sse::chunk(&sse::text("begun")),
                Act::Hang,
            ]
        } else {
            vec![Act::Hang]
        }
    });
    let mut connection = w.within("api.test");
    let head =
        format!("{MESSAGES} HTTP/1.1\r\nhost: api.test\r\n{OWN}content-length: {}\r\n\r\n", ask(true).len());
    connection.send(&[head.as_bytes(), &ask(true)].concat()).unwrap();
    connection.read_until("begun");
    w.world.gatehouse.json(&["key", "revoke", &w.world.key_id]);
    w.host.provider.wait_gone(1);
    let exchange = wait::until("the exchange's end", || w.world.gatehouse.exchanges().into_iter().next());
    assert!(["revoked", "client_gone"].contains(&exchange["ended"].as_str().unwrap()), "{exchange}");
    let tunnel = w.world.ended();
    assert!(
        ["revoked", "server_gone", "client_gone", "done"].contains(&tunnel["ended"].as_str().unwrap()),
        "{tunnel}"
    );
}

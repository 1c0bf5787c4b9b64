//! Who tries to get past the inspection, and hosts that are not who they should be.

use std::net::Ipv4Addr;

use gatehouse_testkit::http::Reply;
use gatehouse_testkit::wait;
use serde_json::Value;

use super::super::world::{Client, configured, hello, name_server};
use super::world::{Authority, Host, Inspecting, RULES, inspecting, send, without_authority};
use super::{MESSAGES, OWN};
use crate::world::{ask, echo};

/// The newest tunnel that ended in this way.
fn ended_as(w: &Inspecting, why: &str) -> Value {
    wait::until("a tunnel's end", || w.world.tunnels().into_iter().find(|tunnel| tunnel["ended"] == why))
}

#[test]
fn another_name_in_the_greeting_is_refused() {
    let w = inspecting(RULES, echo(1, 1));
    assert!(w.greet("api.test", "other.test", &w.ca).is_err());
    assert_eq!(ended_as(&w, "refused")["rule"], "sni");
}

#[test]
fn no_name_in_the_greeting_is_refused_whatever_else_tunnels_may_carry() {
    let w = without_authority("unnamed = \"anything\"", RULES, echo(1, 1));
    w.world.gatehouse.json(&["inspection", "ca", "create"]);
    let mut client = w.world.tunnel(&w.to("api.test"));
    client.send(b"SSH-2.0-x\r\n");
    client.ends();
    assert_eq!(ended_as(&w, "refused")["rule"], "not-tls");
}

#[test]
fn a_client_that_does_not_trust_us_is_on_record() {
    let w = inspecting(RULES, echo(1, 1));
    let other = Authority::new();
    let error = w.greet("api.test", "api.test", &other.certificate).unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let tunnel = ended_as(&w, "untrusted");
    assert_eq!((&tunnel["user"], &tunnel["inspected"]), (&"dev@example.com".into(), &0.into()));
    assert_eq!(w.host.provider.unseen(), 0);
}

#[test]
fn who_speaks_http2_only_is_told_by_tls_and_is_on_record() {
    let w = inspecting(RULES, echo(1, 1));
    let Client(stream) = w.world.tunnel(&w.to("api.test"));
    let error = w.speak_of(stream, "api.test", &w.ca, &["h2"]).unwrap_err();
    let told = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
    assert_eq!(told, Some(&alert), "{error}");
    assert_eq!(ended_as(&w, "refused")["rule"], "handshake");
    assert_eq!(w.host.provider.unseen(), 0);
}

#[test]
fn a_host_whose_certificate_does_not_hold_gets_nothing() {
    let w = inspecting(RULES, echo(1, 1));
    let stranger = Authority::new();
    // Of an authority that nobody trusts, and of the right one but for another name.
    let hosts = [
        Host::start(&stranger, None, echo(1, 1)),
        Host::start(&w.hosts_authority, Some("evil.test"), echo(1, 1)),
    ];
    let ports: Vec<u16> = hosts.iter().map(|host| host.port).chain([w.host.port]).collect();
    w.change(&format!("connect_ports = {:?}", [w.host.port]), &format!("connect_ports = {ports:?}"));
    for host in hosts {
        for (line, body) in [(MESSAGES, ask(false)), ("POST /api/x", b"secret".to_vec())] {
            let to = format!("api.test:{}", host.port);
            let Client(stream) = w.world.tunnel(&to);
            let tls = w.speak(stream, "api.test", &w.ca).unwrap();
            let reply = w.exchange(tls, &to, line, OWN, &body);
            assert!(reply.starts_with("HTTP/1.1 502 "), "{reply}");
            assert!(reply.contains("api.test has no valid certificate"), "{reply}");
        }
        assert_eq!(host.provider.unseen(), 0, "something was sent to it");
    }
    let all = w.world.gatehouse.exchanges();
    assert!(all.iter().all(|exchange| exchange["reason"] == "upstream_untrusted"), "{all:#?}");
    assert_eq!(all.len(), 4);
}

#[test]
fn a_host_outside_the_authoritys_constraints_is_refused_and_not_let_through_unseen() {
    let w = inspecting("hosts = [\"*.test\"]\nmodel_hosts = []\n", echo(1, 1));
    assert_eq!(w.ask("api.test", "POST /x", "", b"{}").status, 200);
    let answer = w.world.refused(&w.to("outside.test"));
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("not good for this name"), "{answer}");
    assert!(answer.contains("X-Gatehouse-Rule: inspection\r\n"), "{answer}");
    let tunnel = ended_as(&w, "refused");
    assert_eq!((&tunnel["rule"], &tunnel["verdict"]), (&"inspection".into(), &"deny".into()));
}

#[test]
fn without_an_authority_what_is_to_be_looked_into_is_refused() {
    let w = without_authority("", RULES, echo(1, 1));
    let answer = w.world.refused(&w.to("api.test"));
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("not set up yet"), "{answer}");
}

#[test]
fn who_is_known_by_a_network_only_is_told_to_show_a_key() {
    let source = "sources = { \"127.0.0.0/8\" = \"dev@example.com\" }";
    let w = without_authority(source, RULES, echo(1, 1));
    w.world.gatehouse.json(&["inspection", "ca", "create"]);
    let mut client = Client::open(&w.world.proxy);
    client.connect(&w.to("api.test"), "");
    let answer = client.all();
    assert!(answer.starts_with("HTTP/1.1 407 ") && answer.contains("show a key"), "{answer}");
}

#[test]
fn requests_that_could_be_read_in_two_ways_or_are_for_others_are_refused() {
    let w = inspecting(RULES, echo(1, 1));
    let (to, body) = (w.to("api.test"), String::from_utf8(ask(false)).unwrap());
    let raw = |text: &str| -> Reply {
        let mut connection = w.within("api.test");
        connection.send(text.as_bytes()).unwrap();
        connection.reply()
    };
    let length = body.len();
    for (text, status) in [
        // Smuggling: two lengths, a length and chunks, two hosts.
        (
            format!(
                "POST /api/x HTTP/1.1\r\nhost: {to}\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{MESSAGES} HTTP/1.1\r\nhost: {to}\r\n\r\n"
            ),
            400,
        ),
        (
            format!(
                "POST /api/x HTTP/1.1\r\nhost: {to}\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd"
            ),
            400,
        ),
        (format!("POST /api/x HTTP/1.1\r\nhost: {to}\r\nhost: other.test\r\ncontent-length: 0\r\n\r\n"), 400),
        // Fronting within the tunnel.
        (format!("{MESSAGES} HTTP/1.1\r\nhost: other.test\r\ncontent-length: {length}\r\n\r\n{body}"), 421),
        (
            format!(
                "POST https://other.test/v1/messages HTTP/1.1\r\nhost: {to}\r\ncontent-length: {length}\r\n\r\n{body}"
            ),
            421,
        ),
        ("POST /api/x HTTP/1.1\r\nhost: api.test:1\r\ncontent-length: 0\r\n\r\n".to_owned(), 421),
        // Other spellings of what goes through the stages, and other ways to use models.
        (format!("POST /v1//messages HTTP/1.1\r\nhost: {to}\r\ncontent-length: {length}\r\n\r\n{body}"), 404),
        (
            format!("POST /v1/%6dessages HTTP/1.1\r\nhost: {to}\r\ncontent-length: {length}\r\n\r\n{body}"),
            404,
        ),
        (
            format!(
                "POST /v1/messages/batches HTTP/1.1\r\nhost: {to}\r\ncontent-length: {length}\r\n\r\n{body}"
            ),
            404,
        ),
        (format!("POST /v1/messages/ HTTP/1.1\r\nhost: {to}\r\ncontent-length: {length}\r\n\r\n{body}"), 404),
        // Heads that never end, or are no heads.
        (format!("GET /x HTTP/1.1\r\nhost: {to}\r\nx: {}\r\n\r\n", "a".repeat(200_000)), 431),
        (format!("GET /x HTTP/1.1\r\nhost: {to}\r\n{}\r\n", "a: b\r\n".repeat(500)), 431),
        ("GET /x HTTP/1.1\r\nhost : y\r\n\r\n".to_owned(), 400),
    ] {
        let reply = raw(&text);
        assert_eq!(reply.status, status, "{}: {}", &text[..text.len().min(120)], reply.text());
    }
    assert_eq!(w.host.provider.unseen(), 0, "something reached the host");
    // And the host still answers.
    assert_eq!(send(&mut w.within("api.test"), &to, MESSAGES, OWN, &ask(false)).status, 200);
}

#[test]
fn a_greeting_that_never_ends_is_given_up() {
    let w = without_authority("hello_seconds = 1", RULES, echo(1, 1));
    w.world.gatehouse.json(&["inspection", "ca", "create"]);
    // All of the greeting, and then nothing.
    let mut client = w.world.tunnel(&w.to("api.test"));
    client.send(&hello("api.test"));
    client.ends();
    let tunnel = wait::until("the tunnel's end", || {
        w.world.tunnels().into_iter().find(|tunnel| tunnel["rule"] == "handshake")
    });
    assert_eq!((&tunnel["ended"], &tunnel["verdict"]), (&"refused".into(), &"deny".into()));
    // Half of it.
    let mut client = w.world.tunnel(&w.to("api.test"));
    client.send(&hello("api.test")[..40]);
    client.ends();
    wait::until("the other's end", || {
        w.world.tunnels().into_iter().find(|tunnel| tunnel["rule"] == "not-tls")
    });
}

#[test]
fn where_people_sign_in_nothing_is_looked_into_by_any_configuration() {
    let w = configured(&[443], "", &name_server(|_, _| vec![Ipv4Addr::LOCALHOST]));
    let file = w.gatehouse.dir().join("bad.toml");
    for (lines, told) in [
        ("hosts = [\"claude.ai\"]", "people sign in at `claude.ai`"),
        ("hosts = [\"*.okta.com\"]", "people sign in at `okta.com`"),
        ("hosts = [\"*\"]", "expected a name"),
        ("hosts = [\"10.0.0.0/8\"]", "expected a name"),
        ("hosts = [\"preset:sign-in\"]", "expected a name"),
        ("add_headers = [\"a.test Authorization: Bearer x\"]", "not for credentials or framing"),
        ("add_headers = [\"a.test X\"]", "HOST NAME: VALUE"),
        ("allowed_organizations = [\"acme\"]", "expected ids of organizations"),
    ] {
        std::fs::write(&file, format!("[inspection]\n{lines}\n")).unwrap();
        let checked = w.gatehouse.cli(&["config", "check", "--config", file.to_str().unwrap()]);
        let text =
            String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
        assert!(!checked.status.success() && text.contains(told), "{lines}: {text}");
    }
}

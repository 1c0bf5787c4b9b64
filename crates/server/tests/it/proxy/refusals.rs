//! Where nobody gets, and that they are told by which rule.

use std::net::Ipv4Addr;

use gatehouse_testkit::wait;
use serde_json::Value;

use super::world::{Client, Destination, configured, hello, mirror, name_server, world};

/// The rule and the text of a refusal.
fn rule(answer: &str) -> &str {
    answer
        .lines()
        .find_map(|line| line.strip_prefix("X-Gatehouse-Rule: "))
        .unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn a_refusal_names_its_rule_says_whom_to_ask_and_is_on_record() {
    let there = Destination::start(mirror);
    let w = world(&[there.port]);
    let answer = w.refused(&format!("a.test:{}", there.port));
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    let told = answer.rsplit("\r\n\r\n").next().unwrap();
    for part in ["a.test", "rule no-rule", "Help: help@example.com"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(told.len() < 300 && told.lines().count() == 1, "{told}");
    let tunnel = w.ended();
    assert_eq!((&tunnel["rule"], &tunnel["verdict"]), (&"no-rule".into(), &"deny".into()));
    assert_eq!((&tunnel["ended"], &tunnel["user"]), (&"refused".into(), &"dev@example.com".into()));
    assert_eq!(there.seen(), 0);

    let to = format!("a.test:{}", there.port);
    let explained = w.gatehouse.cli(&["--json", "proxy", "explain", "dev@example.com", &to]);
    assert_eq!(explained.status.code(), Some(1));
    let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!((&explained["rule"], &explained["verdict"]), (&"no-rule".into(), &"deny".into()));
    w.allow("mine", &["--host", "a.test"]);
    let explained = w.gatehouse.json(&["proxy", "explain", "dev@example.com", &to]);
    assert_eq!((&explained["rule"], &explained["addresses"][0]), (&"mine".into(), &"127.0.0.1".into()));
    drop(w.tunnel(&to));
}

#[test]
fn odd_spellings_and_special_addresses_lead_nowhere() {
    let there = Destination::start(mirror);
    let w = world(&[there.port]);
    w.allow("all", &["--host", "*", "--host", "127.0.0.0/8", "--host", "169.254.0.0/16"]);
    for (host, expected) in [
        ("127.1", "authority"),
        ("0x7f000001", "authority"),
        ("0x7f.0.0.1", "authority"),
        ("0177.0.0.1", "authority"),
        ("2130706433", "authority"),
        ("127.0.0.1.", "authority"),
        ("user@a.test", "authority"),
        ("a..test", "authority"),
        ("b\u{fc}cher.test", "authority"),
        ("169.254.169.254", "address-metadata"),
        ("[::ffff:169.254.169.254]", "address-metadata"),
        ("[fd00:ec2::254]", "address-metadata"),
        ("[64:ff9b::7f00:1]", "address-translated"),
        ("[2002:7f00:1::1]", "address-translated"),
        ("0.0.0.0", "address-unspecified"),
        ("[::]", "address-unspecified"),
        ("224.0.0.1", "address-multicast"),
        ("[::1]", "no-rule"),
        ("10.0.0.1", "no-rule"),
    ] {
        let answer = w.refused(&format!("{host}:{}", there.port));
        assert_eq!(rule(&answer), expected, "{host}: {answer}");
    }
    assert_eq!(there.seen(), 0);
}

#[test]
fn only_ports_that_are_allowed() {
    let w = world(&[443]);
    w.allow("all", &["--host", "*"]);
    for port in [25, 22, 80, 6379] {
        assert_eq!(rule(&w.refused(&format!("a.test:{port}"))), "port");
    }
}

#[test]
fn our_own_listeners_are_reached_by_nobody_but_the_gateway_by_its_names() {
    let ports: Vec<u16> = (0..3).map(|_| Destination::start(mirror).port).collect();
    let names = name_server(|_, _| vec![Ipv4Addr::LOCALHOST]);
    let mut w = configured(&ports, "gateway_names = [\"gw.corp.test:443\", \"gw.corp.test:80\"]\n", &names);
    w.allow("all", &["--host", "*", "--host", "127.0.0.0/8"]);
    // The ports are known only now.
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    let (gateway, admin, proxy) = (port(&w.gatehouse.gateway), port(&w.gatehouse.admin), port(&w.proxy));
    let file = w.gatehouse.dir().join("gatehouse.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let line = format!("connect_ports = [{gateway}, {admin}, {proxy}]");
    std::fs::write(&file, config.replace(&format!("connect_ports = {ports:?}"), &line)).unwrap();
    w.gatehouse.json(&["config", "reload"]);
    for port in [&gateway, &admin, &proxy] {
        for host in ["a.test", "127.0.0.1", "127.0.0.2", "gw.corp.test"] {
            assert_eq!(rule(&w.refused(&format!("{host}:{port}"))), "self", "{host}:{port}");
        }
    }
    let mut through = w.tunnel("GW.corp.test:443");
    through.send(b"GET /readyz HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n");
    let answer = through.all();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(through);
    // Those of one millisecond are listed in any order.
    let tunnel = wait::until("the tunnel's end", || {
        w.tunnels().into_iter().find(|tunnel| tunnel["verdict"] == "allow" && !tunnel["ended"].is_null())
    });
    assert_eq!(tunnel["rule"], "gateway");
    w.find();
}

#[test]
fn a_name_is_looked_up_once_and_one_bad_address_spoils_it() {
    let there = Destination::start(mirror);
    // Public at first, inside at the second look; and both at once.
    let names = name_server(|name, before| match (name, before) {
        ("rebind.test", 0) => vec![[192, 0, 2, 7].into()],
        ("mixed.test", _) => vec![[93, 184, 216, 34].into(), Ipv4Addr::LOCALHOST],
        ("meta.test", _) => vec![[169, 254, 169, 254].into()],
        ("nowhere.test", _) => vec![],
        _ => vec![Ipv4Addr::LOCALHOST],
    });
    let w = configured(&[there.port], "", &names);
    w.gatehouse.json(&["proxy", "rule", "add", "all", "allow", "--host", "*"]);
    for (host, expected) in [
        ("rebind.test", "address-documentation"),
        ("rebind.test", "address-loopback"),
        ("mixed.test", "address-loopback"),
        ("meta.test", "address-metadata"),
        ("nowhere.test", "no-address"),
    ] {
        assert_eq!(rule(&w.refused(&format!("{host}:{}", there.port))), expected, "{host}");
    }
    assert_eq!(there.seen(), 0);
}

#[test]
fn what_was_checked_is_what_is_connected_to() {
    let there = Destination::start(mirror);
    // The second answer would be another address.
    let names =
        name_server(|_, before| vec![if before == 0 { Ipv4Addr::LOCALHOST } else { [127, 9, 9, 9].into() }]);
    let w = configured(&[there.port], "", &names);
    w.gatehouse.json(&[
        "proxy",
        "rule",
        "add",
        "one",
        "allow",
        "--host",
        "a.test",
        "--internal",
        "127.0.0.1",
    ]);
    let to = format!("a.test:{}", there.port);
    let mut client = w.tunnel(&to);
    client.send(&hello("a.test"));
    client.read(1);
    drop(client);
    assert_eq!(w.ended()["pinned"], "127.0.0.1");
    assert_eq!(rule(&w.refused(&to)), "address-loopback", "the name has moved");
}

#[test]
fn a_greeting_must_name_the_host_that_was_asked_for() {
    let there = Destination::start(|mut stream| {
        let mut all = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut all);
        assert!(all.is_empty(), "bytes got through");
    });
    let w = world(&[there.port]);
    w.allow("all", &["--host", "*.test"]);
    let to = format!("a.test:{}", there.port);
    let mut other = w.tunnel(&to);
    other.send(&hello("b.test"));
    assert_eq!(other.all().as_bytes()[..1], [21], "a TLS alert");
    let tunnel = w.ended();
    assert_eq!(
        (&tunnel["rule"], &tunnel["verdict"], &tunnel["bytes_up"]),
        (&"sni".into(), &"deny".into(), &0.into())
    );
    // An address names no host, so that none is greeted.
    let mut nameless = w.tunnel(&to);
    nameless.send(&hello("127.0.0.1"));
    nameless.ends();
    assert_eq!(w.ended()["rule"], "sni");
    let mut other = w.tunnel(&to);
    other.send(b"SSH-2.0-x\r\n");
    other.ends();
    let tunnel = w.ended();
    assert_eq!((&tunnel["rule"], &tunnel["ended"]), (&"not-tls".into(), &"refused".into()));
}

#[test]
fn rules_are_for_teams_and_people_have_an_order_and_may_only_report() {
    let there = Destination::start(mirror);
    let w = world(&[there.port]);
    w.gatehouse.json(&["team", "add", "core"]);
    w.allow("team", &["--host", "team.test", "--team", "core"]);
    w.allow("mine", &["--host", "mine.test", "--user", "dev@example.com"]);
    w.allow("all", &["--host", "*.test"]);
    w.gatehouse.json(&["proxy", "rule", "add", "not-this", "deny", "--host", "bad.test", "--before", "all"]);
    let report =
        ["proxy", "rule", "add", "watch", "report", "--host", "watched.test", "--internal", "127.0.0.0/8"];
    w.gatehouse.json(&[&report[..], &["--before", "not-this"]].concat());
    let names: Vec<String> = w
        .gatehouse
        .json(&["proxy", "rule", "list"])
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["team", "mine", "watch", "not-this", "all"]);
    let to = |host: &str| format!("{host}.test:{}", there.port);
    let decides = |host: &str| {
        drop(w.connect(&to(host)).head());
        let tunnel = w.ended();
        (tunnel["rule"].as_str().unwrap().to_owned(), tunnel["verdict"].as_str().unwrap().to_owned())
    };
    assert_eq!(decides("team"), ("all".to_owned(), "allow".to_owned()), "not in the team yet");
    w.gatehouse.json(&["user", "teams", "dev@example.com", "core"]);
    assert_eq!(decides("team"), ("team".to_owned(), "allow".to_owned()));
    assert_eq!(decides("mine"), ("mine".to_owned(), "allow".to_owned()));
    assert_eq!(decides("watched"), ("watch".to_owned(), "report".to_owned()));
    assert_eq!(rule(&w.refused(&to("bad"))), "not-this");
    w.gatehouse.json(&["proxy", "rule", "remove", "not-this"]);
    assert_eq!(decides("bad"), ("all".to_owned(), "allow".to_owned()));
    for bad in [
        &["proxy", "rule", "add", "all", "allow", "--host", "x.test"][..],
        &["proxy", "rule", "add", "sni", "allow", "--host", "x.test"],
        &["proxy", "rule", "add", "x", "allow", "--host", "127.1"],
        &["proxy", "rule", "add", "x", "allow", "--host", "x.test", "--times", "always"],
        &["proxy", "rule", "add", "x", "allow", "--host", "x.test", "--before", "none"],
        &["proxy", "rule", "remove", "none"],
    ] {
        assert!(!w.gatehouse.cli(bad).status.success(), "{bad:?}");
    }
    let log = w.gatehouse.dir().join("audit.log");
    w.gatehouse.json(&["audit", "export", log.to_str().unwrap()]);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("proxy_rule.add") && text.contains("proxy_rule.remove"), "rules are audited");
}

#[test]
fn what_is_no_request_to_a_proxy_is_told_so() {
    let w = world(&[443]);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET https://a.test/ HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a.test:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        ("CONNECT a.test:443 HTTP/1.1\r\nX: a\nY: b\r\n\r\n", 400),
        ("\u{5}\u{1}\0", 400),
    ] {
        let mut client = Client::open(&w.proxy);
        client.send(request.as_bytes());
        let answer = client.all();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
    }
    let mut client = Client::open(&w.proxy);
    client.send(format!("CONNECT a.test:443 HTTP/1.1\r\nX: {}", "x".repeat(20_000)).as_bytes());
    assert!(client.all().starts_with("HTTP/1.1 431 "));
    // TLS where there is no certificate for it.
    let mut client = Client::open(&w.proxy);
    client.send(&hello("proxy.test"));
    client.ends();
}

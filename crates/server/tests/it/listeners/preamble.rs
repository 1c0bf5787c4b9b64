//! The PROXY protocol: whose connection it is, who is believed, and what is none.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::provider::FakeProvider;
use gatehouse_testkit::wait;
use serde_json::Value;

use super::client::{Files, Tls, ask, open, open_from};
use crate::world::{ask as question, echo};

/// The proxy in front.
const TRUSTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const V1: &[u8] = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n";

fn v2(command: u8, from: [u8; 4]) -> Vec<u8> {
    let addresses = [&from[..], &[192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb]].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, 0x11, 0, 12], &addresses].concat()
}

fn behind(listen: &str, more: &str) -> (FakeProvider, Gatehouse) {
    let provider = FakeProvider::start(echo(1, 1));
    let listen = format!("trusted_proxies = [\"127.0.0.2\", \"10.0.0.0/8\"]\n{listen}");
    let builder = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url).listen(&listen);
    let gatehouse = builder.config(more).start();
    (provider, gatehouse)
}

/// A message on a connection that begins with these bytes; the status, if there was an answer.
fn message(mut connection: TcpStream, first: &[u8], key: &str, more: &[(&str, &str)]) -> Option<u16> {
    let bearer = format!("Bearer {key}");
    let headers = [&[("authorization", bearer.as_str())], more].concat();
    connection.write_all(first).unwrap();
    ask(&mut connection, "POST", "/v1/messages", &headers, &question(false)).ok().map(|answer| answer.status)
}

fn last_peer(gatehouse: &Gatehouse) -> Value {
    gatehouse.exchanges().last().unwrap()["peer"].clone()
}

#[test]
fn the_record_names_the_client_that_a_trusted_proxy_connects_for() {
    let (_provider, gatehouse) = behind("proxy_protocol = [\"gateway\"]", "");
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    let v6: &[u8] = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n";
    for (first, header, peer) in [
        (V1, None, "203.0.113.9"),
        (v6, None, "2001:db8::7"),
        (&v2(0x21, [203, 0, 113, 10]), None, "203.0.113.10"),
        (&v2(0x20, [203, 0, 113, 10]), None, "127.0.0.2"),
        (b"PROXY UNKNOWN\r\n", None, "127.0.0.2"),
        // What the client itself writes is believed no more than without the protocol.
        (V1, Some("6.6.6.6"), "203.0.113.9"),
        (&v2(0x21, [10, 1, 1, 1]), Some("6.6.6.6, 203.0.113.11"), "203.0.113.11"),
        (&v2(0x20, [0, 0, 0, 0]), Some("203.0.113.12"), "203.0.113.12"),
    ] {
        let header: Vec<_> = header.map(|value| ("x-forwarded-for", value)).into_iter().collect();
        let sent = message(open_from(TRUSTED, &gatehouse.gateway), first, &key, &header);
        assert_eq!(sent, Some(200), "{}", String::from_utf8_lossy(first));
        assert_eq!(last_peer(&gatehouse), peer, "{}", String::from_utf8_lossy(first));
    }
}

#[test]
fn nobody_else_is_believed_and_a_proxy_that_does_not_say_is_not_served() {
    let (_provider, gatehouse) = behind("proxy_protocol = [\"gateway\", \"admin\"]", "");
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    assert_eq!(message(open(&gatehouse.gateway), b"", &key, &[]), Some(200), "directly, as it is");
    assert_eq!(last_peer(&gatehouse), "127.0.0.1");
    let spoofed = [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=6.6.6.6")];
    assert_eq!(message(open(&gatehouse.gateway), b"", &key, &spoofed), Some(200));
    assert_eq!(last_peer(&gatehouse), "127.0.0.1");
    for first in [V1, &v2(0x21, [203, 0, 113, 9])] {
        // Whoever is no proxy of ours talks nonsense to an HTTP server.
        assert_eq!(message(open(&gatehouse.gateway), first, &key, &[]), Some(400));
    }
    let before = gatehouse.exchanges().len();
    for first in [
        &b""[..],
        b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n",
        b"PROXY TCP4 203.0.113.999 192.0.2.1 4711 443\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\n",
        &v2(0x22, [203, 0, 113, 9]),
        &v2(0x21, [203, 0, 113, 9])[..14],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let answer = message(open_from(TRUSTED, &gatehouse.gateway), first, &key, &[]);
        assert_eq!(answer, None, "{}", String::from_utf8_lossy(first));
        let mut admin = open_from(TRUSTED, &gatehouse.admin);
        admin.write_all(first).unwrap();
        assert!(ask(&mut admin, "GET", "/healthz", &[], b"").is_err());
    }
    assert_eq!(gatehouse.exchanges().len(), before, "nothing of it was read as a request");
    // An endless preamble is cut off by itself.
    let mut endless = open_from(TRUSTED, &gatehouse.gateway);
    drop(endless.write_all(&[b"PROXY UNKNOWN ".as_slice(), &vec![b'x'; 1 << 20]].concat()));
    drop(endless.read(&mut [0; 8]));
    wait::until("all of them to be counted", || {
        let metrics = ask(&mut open(&gatehouse.admin), "GET", "/metrics", &[], b"").ok()?.text;
        metrics.contains("turned_away_total{listener=\"gateway\",why=\"preamble\"} 8").then_some(())
    });
}

#[test]
fn tls_follows_the_preamble_and_wrong_tokens_count_against_the_client() {
    let files = Files::with("server");
    let config = format!("[tls.gateway]\n{}", files.lines(""));
    let (_provider, gatehouse) = behind("proxy_protocol = [\"gateway\", \"admin\"]", &config);
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    let mut socket = open_from(TRUSTED, &gatehouse.gateway);
    socket.write_all(&v2(0x21, [203, 0, 113, 10])).unwrap();
    let mut secured = Tls::new().over(socket).unwrap();
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let answer = ask(&mut secured, "POST", "/v1/messages", &headers, &question(false)).unwrap();
    assert_eq!((answer.status, last_peer(&gatehouse)), (200, "203.0.113.10".into()));

    let wrong = |from: u8| {
        let mut admin = open_from(TRUSTED, &gatehouse.admin);
        admin.write_all(&v2(0x21, [203, 0, 113, from])).unwrap();
        let headers = [("authorization", "Bearer gha_wrong")];
        ask(&mut admin, "GET", "/api/v1/users", &headers, b"").unwrap().status
    };
    for _ in 0..10 {
        assert_eq!(wrong(9), 401);
    }
    assert_eq!((wrong(9), wrong(10)), (429, 401), "a neighbor is not shut out");
}

#[test]
fn the_forward_proxy_hears_of_its_client_and_tells_the_gateway() {
    let proxy = "[proxy]\ngateway_names = [\"gateway.test:443\"]";
    let (_provider, gatehouse) = behind("proxy = \"127.0.0.1:0\"\nproxy_protocol = [\"proxy\"]", proxy);
    let (_, for_proxy) = gatehouse.key("dev@example.com", &["--for", "proxy"]);
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    let listen = std::fs::read(gatehouse.dir().join("data/listen.json")).unwrap();
    let listen: Value = serde_json::from_slice(&listen).unwrap();
    let address = listen["proxy"].as_str().unwrap();
    let tunnel = |first: &[u8]| {
        let mut stream = open_from(TRUSTED, address);
        let basic = crate::proxy::world::basic(&for_proxy);
        let head = format!("CONNECT gateway.test:443 HTTP/1.1\r\nHost: gateway.test:443\r\n{basic}\r\n");
        stream.write_all(&[first, head.as_bytes()].concat()).unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1..) => got.push(byte[0]),
                Ok(0) | Err(_) => return None,
            }
        }
        assert!(got.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&got));
        Some(stream)
    };
    assert!(tunnel(b"").is_none(), "it does not say for whom");
    let through = tunnel(V1).unwrap();
    assert_eq!(message(through, b"", &key, &[]), Some(200));
    assert_eq!(
        last_peer(&gatehouse),
        "127.0.0.1",
        "a tunnel's bytes are the client's: nothing is added to them"
    );
    let ended = wait::until("the tunnel's record", || {
        let tunnels = gatehouse.json(&["proxy", "tunnels"]);
        tunnels.as_array().unwrap().iter().find(|tunnel| !tunnel["ended"].is_null()).cloned()
    });
    assert_eq!(ended["client"], "203.0.113.9", "{ended}");

    let file = gatehouse.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let trusting = text
        .replace("proxy_protocol = [\"proxy\"]", "proxy_protocol = [\"gateway\", \"proxy\"]")
        .replace("[\"127.0.0.2\",", "[\"127.0.0.2\", \"127.0.0.1\",");
    std::fs::write(&file, trusting).unwrap();
    gatehouse.json(&["config", "reload"]);
    let through = tunnel(V1).unwrap();
    assert_eq!(message(through, b"", &key, &[]), Some(200));
    assert_eq!(last_peer(&gatehouse), "203.0.113.9", "where the gateway expects it, it is told");
}

#[test]
fn where_proxies_write_forwarded_the_other_header_is_not_read() {
    let (_provider, gatehouse) = behind("client_header = \"forwarded\"", "");
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    let both = [
        ("forwarded", "for=6.6.6.6, for=\"[2001:db8::7]:4711\";proto=https"),
        ("x-forwarded-for", "6.6.6.6"),
    ];
    assert_eq!(message(open_from(TRUSTED, &gatehouse.gateway), b"", &key, &both), Some(200));
    assert_eq!(last_peer(&gatehouse), "2001:db8::7");
    assert_eq!(message(open_from(TRUSTED, &gatehouse.gateway), b"", &key, &both[1..]), Some(200));
    assert_eq!(last_peer(&gatehouse), "127.0.0.2");
    assert_eq!(message(open(&gatehouse.gateway), b"", &key, &both), Some(200));
    assert_eq!(last_peer(&gatehouse), "127.0.0.1");
}

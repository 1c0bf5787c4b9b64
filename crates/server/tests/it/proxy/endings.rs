//! How tunnels end: by revocation, by their bounds, with the node; and that each leaves its record.

use std::net::Ipv4Addr;

use gatehouse_testkit::wait;

use super::world::{Client, Destination, World, configured, hello, mirror, name_server, stored, world};
use crate::world::stores;

fn open(w: &World, port: u16) -> Client {
    let mut client = w.tunnel(&format!("a.test:{port}"));
    let greeting = hello("a.test");
    client.send(&greeting);
    client.read(greeting.len());
    client
}

fn bounded(port: u16, more: &str) -> World {
    let w = configured(&[port], more, &name_server(|_, _| vec![Ipv4Addr::LOCALHOST]));
    w.allow("all", &["--host", "a.test"]);
    w
}

#[test]
fn who_is_revoked_or_no_longer_allowed_loses_open_tunnels() {
    let there = Destination::start(mirror);
    let w = world(&[there.port]);
    w.allow("all", &["--host", "a.test"]);
    let (id, key) = w.gatehouse.key("leaver@example.com", &["--for", "proxy"]);
    let mut theirs = Client::open(&w.proxy);
    theirs.connect(&format!("a.test:{}", there.port), &super::world::basic(&key));
    theirs.head();
    let greeting = hello("a.test");
    theirs.send(&greeting);
    theirs.read(greeting.len());
    let mut mine = open(&w, there.port);
    w.gatehouse.json(&["key", "revoke", &id]);
    theirs.ends();
    wait::until("the record", || {
        w.tunnels().into_iter().find(|t| t["user"] == "leaver@example.com" && t["ended"] == "revoked")
    });
    mine.send(b"still");
    assert_eq!(mine.read(5), b"still", "the other one's goes on");
    w.gatehouse.json(&["proxy", "rule", "remove", "all"]);
    mine.ends();
    wait::until("the record", || {
        w.tunnels().into_iter().find(|t| t["user"] == "dev@example.com" && t["ended"] == "revoked")
    });
    w.allow("all", &["--host", "a.test"]);
    let mut mine = open(&w, there.port);
    w.gatehouse.json(&["user", "disable", "dev@example.com"]);
    mine.ends();
}

#[test]
fn a_tunnel_in_which_nothing_moves_and_one_that_is_old_end() {
    let there = Destination::start(mirror);
    for (more, why) in [("idle_seconds = 1\n", "idle"), ("longest_seconds = 1\n", "limit")] {
        let w = bounded(there.port, more);
        open(&w, there.port).ends();
        let tunnel = w.ended();
        assert_eq!(tunnel["ended"], why);
        assert!(tunnel["bytes_down"].as_u64() > Some(100), "what went through is known: {tunnel}");
    }
}

#[test]
fn a_head_and_a_greeting_that_do_not_come_end_the_connection() {
    let there = Destination::start(mirror);
    let w = bounded(there.port, "head_seconds = 1\nhello_seconds = 1\n");
    let mut client = Client::open(&w.proxy);
    client.send(b"CONNECT a.test:443 HT");
    assert!(client.all().starts_with("HTTP/1.1 408 "));
    Client::open(&w.proxy).ends();
    let mut tls = Client::open(&w.proxy);
    tls.send(b"\x16\x03\x01");
    tls.ends();
    let mut silent = w.tunnel(&format!("a.test:{}", there.port));
    silent.ends();
    assert_eq!(w.ended()["rule"], "not-tls");
}

#[test]
fn tunnels_have_bounds_for_one_person_and_for_all() {
    let there = Destination::start(mirror);
    let w = bounded(there.port, "max_tunnels = 3\nmax_tunnels_per_user = 2\n");
    let to = format!("a.test:{}", there.port);
    let first = open(&w, there.port);
    let second = open(&w, there.port);
    let answer = w.refused(&to);
    assert!(
        answer.starts_with("HTTP/1.1 429 ") && answer.contains("X-Gatehouse-Rule: user-tunnels\r\n"),
        "{answer}"
    );
    let (_, key) = w.gatehouse.key("other@example.com", &["--for", "proxy"]);
    let theirs = |to: &str| {
        let mut client = Client::open(&w.proxy);
        client.connect(to, &super::world::basic(&key));
        let head = client.head();
        (client, head)
    };
    let (third, head) = theirs(&to);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (_, head) = theirs(&to);
    assert!(head.contains("X-Gatehouse-Rule: tunnels\r\n"), "{head}");
    drop(first);
    wait::until("a place", || {
        let mut client = w.connect(&to);
        client.head().starts_with("HTTP/1.1 200 ").then_some(())
    });
    drop((second, third));
}

#[test]
fn a_destination_that_does_not_answer_is_told() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let w = bounded(gone, "");
    let answer = w.refused(&format!("a.test:{gone}"));
    assert!(
        answer.starts_with("HTTP/1.1 502 ") && answer.contains("X-Gatehouse-Rule: unreachable\r\n"),
        "{answer}"
    );
    let tunnel = w.ended();
    assert_eq!((&tunnel["ended"], &tunnel["verdict"]), (&"unreachable".into(), &"allow".into()));
}

#[test]
fn a_node_that_is_killed_leaves_complete_records() {
    for store in stores() {
        let there = Destination::start(mirror);
        let names = name_server(|_, _| vec![Ipv4Addr::LOCALHOST]);
        let mut w = stored(&store, &[there.port], "", &names);
        w.allow("all", &["--host", "a.test"]);
        let mut ended = open(&w, there.port);
        ended.half_close();
        ended.ends();
        let mut left: Vec<Client> = (0..5).map(|_| open(&w, there.port)).collect();
        w.refused("nowhere.test:1");
        w.gatehouse.kill();
        for client in &mut left {
            client.ends();
        }
        w.gatehouse.restart();
        w.find();
        let tunnels = w.tunnels();
        let mut ends: Vec<&str> = tunnels.iter().map(|tunnel| tunnel["ended"].as_str().unwrap()).collect();
        ends.sort_unstable();
        assert_eq!(
            ends,
            ["done", "interrupted", "interrupted", "interrupted", "interrupted", "interrupted", "refused"]
        );
        drop(open(&w, there.port));
        assert_eq!(w.ended()["ended"], "done");
        let files = std::fs::read_dir(w.gatehouse.dir().join("data/tunnels")).unwrap();
        let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes < 2000, "what is in the database is not kept twice: {bytes}");
    }
}

#[test]
fn a_node_that_stops_ends_its_tunnels_and_writes_their_records() {
    let there = Destination::start(mirror);
    let mut w = bounded(there.port, "");
    let mut client = open(&w, there.port);
    w.gatehouse.signal("-TERM");
    client.ends();
    assert_eq!(w.gatehouse.wait(), Some(0), "{}", w.gatehouse.log());
    w.gatehouse.restart();
    w.find();
    assert_eq!(w.ended()["ended"], "stopped");
}

//! What goes through a tunnel, and its record.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown};
use std::thread;

use super::world::{Client, Destination, hello, mirror, name_server, stored, world};
use crate::world::stores;

#[test]
fn bytes_go_both_ways_and_the_record_says_who_where_and_how_much() {
    for store in stores() {
        let there = Destination::start(mirror);
        let names = name_server(|_, _| vec![Ipv4Addr::LOCALHOST]);
        let w = stored(&store, &[there.port], "", &names);
        w.allow("all", &["--host", "*.test"]);
        let mut client = w.tunnel(&format!("API.test:{}", there.port));
        let greeting = hello("api.test");
        client.send(&greeting);
        assert_eq!(client.read(greeting.len()), greeting, "the greeting is handed on as it came");
        let open = w.tunnels();
        assert_eq!((open.len(), open[0]["ended"].is_null()), (1, true), "it is on record while it is open");

        // More than any buffer, while it comes back.
        let big: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut writer = client.0.try_clone().unwrap();
        let sent = big.clone();
        let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
        assert!(client.read(big.len()) == big, "what came back is not what was sent");
        writing.join().unwrap();
        client.half_close();
        assert_eq!(client.all(), "");

        let tunnel = w.ended();
        let bytes = (greeting.len() + big.len()) as u64;
        for (key, expected) in [
            ("user", "dev@example.com"),
            ("host", "api.test"),
            ("pinned", "127.0.0.1"),
            ("client", "127.0.0.1"),
            ("rule", "all"),
            ("verdict", "allow"),
            ("ended", "done"),
            ("form", "connect"),
            ("via", &w.key_id),
        ] {
            assert_eq!(tunnel[key], expected, "{key} of {tunnel}");
        }
        assert_eq!((tunnel["bytes_up"].as_u64(), tunnel["bytes_down"].as_u64()), (Some(bytes), Some(bytes)));
        assert!(
            tunnel["duration_ms"].is_u64() && tunnel["resolve_ms"].is_u64() && tunnel["connect_ms"].is_u64()
        );
        let key = w.gatehouse.json(&["key", "list"]);
        assert!(key[0]["last_used_at"].is_string(), "the key's use is noted: {key}");
    }
}

#[test]
fn each_side_may_be_done_before_the_other() {
    // Says its piece only when the client has said all.
    let there = Destination::start(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(format!("{} bytes", all.len()).as_bytes()).unwrap();
    });
    // Is done at once, and still listens.
    let first = Destination::start(|mut stream| {
        stream.write_all(b"done").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
    });
    let w = world(&[there.port, first.port]);
    w.allow("all", &["--host", "a.test"]);
    let greeting = hello("a.test");

    let mut client = w.tunnel(&format!("a.test:{}", there.port));
    client.send(&greeting);
    client.send(b"and more");
    client.half_close();
    assert_eq!(client.all(), format!("{} bytes", greeting.len() + 8));
    assert_eq!(w.ended()["ended"], "done");

    let mut client = w.tunnel(&format!("a.test:{}", first.port));
    client.send(&greeting);
    assert_eq!(client.all(), "done");
    client.send(b"still here");
    client.half_close();
    let tunnel = w.ended();
    assert_eq!(tunnel["bytes_up"].as_u64(), Some(greeting.len() as u64 + 10), "{tunnel}");
}

#[test]
fn what_is_sent_together_with_the_head_is_not_lost() {
    let there = Destination::start(mirror);
    let w = world(&[there.port]);
    w.allow("all", &["--host", "a.test"]);
    let to = format!("a.test:{}", there.port);
    let greeting = hello("a.test");
    let mut all = format!("CONNECT {to} HTTP/1.1\r\n{}\r\n", w.basic()).into_bytes();
    all.extend(&greeting);
    all.extend(b"early");
    let mut client = Client::open(&w.proxy);
    client.send(&all);
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    assert_eq!(client.read(greeting.len() + 5), [&greeting[..], b"early"].concat());
}

#[test]
fn a_greeting_may_come_in_pieces() {
    let there = Destination::start(mirror);
    let w = world(&[there.port]);
    w.allow("all", &["--host", "a.test"]);
    let mut client = w.tunnel(&format!("a.test:{}", there.port));
    let greeting = hello("a.test");
    for piece in greeting.chunks(7) {
        client.send(piece);
    }
    assert_eq!(client.read(greeting.len()), greeting);
}

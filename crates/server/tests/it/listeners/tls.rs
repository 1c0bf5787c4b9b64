//! TLS on our own listeners, and certificates that change while it runs.

use std::io::{Read as _, Write as _};

use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::provider::FakeProvider;
use gatehouse_testkit::{sse, wait};

use super::client::{Files, Tls, ask, open, shows};
use crate::world::{MODEL, ask as question, echo};

fn secured(config: &str) -> (FakeProvider, Gatehouse) {
    let provider = FakeProvider::start(echo(1, 1));
    let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url).config(config).start();
    (provider, gatehouse)
}

#[test]
fn both_listeners_speak_tls_and_nothing_in_the_clear() {
    let files = Files::with("server");
    let lines = files.lines("");
    let (_provider, gatehouse) = secured(&format!("[tls.gateway]\n{lines}\n[tls.admin]\n{lines}"));
    assert!(gatehouse.gateway.starts_with("https://") && gatehouse.admin.starts_with("https://"));
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Tls::version(version);
        for address in [&gatehouse.gateway, &gatehouse.admin] {
            let mut connection = client.connect(address).unwrap();
            assert_eq!(connection.conn.protocol_version(), Some(version.version));
            assert_eq!(connection.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            for _ in 0..2 {
                assert_eq!(
                    ask(&mut connection, "GET", "/readyz", &[], b"").unwrap().status,
                    200,
                    "it is kept"
                );
            }
        }
        for stream in [false, true] {
            let answer = client.post(&gatehouse.gateway, &key, &question(stream)).unwrap();
            assert!(answer.status == 200 && answer.text.contains("forty-two"), "{}", answer.text);
        }
    }
    assert_eq!(gatehouse.exchanges().len(), 4);
    for address in [&gatehouse.gateway, &gatehouse.admin] {
        assert!(Tls::speaking("h2").connect(address).is_err(), "HTTP/2 is not spoken");
        let mut plain = open(address);
        plain.write_all(b"GET /readyz HTTP/1.1\r\nhost: gateway.test\r\n\r\n").unwrap();
        let mut got = Vec::new();
        // It may be reset over bytes that were not read.
        drop(plain.read_to_end(&mut got));
        assert!(!got.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&got));
    }
    let metrics = wait::until("both to be counted", || {
        let metrics = Tls::new().get(&gatehouse.admin, "/metrics").ok()?.text;
        metrics.contains("turned_away_total{listener=\"gateway\",why=\"tls\"} 2").then_some(metrics)
    });
    let ends = "gatehouse_certificate_ends_at_seconds{listener=\"gateway\"} 49";
    assert!(metrics.contains(ends), "{metrics}");
}

#[test]
fn a_renewed_certificate_is_served_and_no_connection_is_dropped() {
    let files = Files::with("server");
    let (_provider, gatehouse) = secured(&format!("[tls.gateway]\n{}", files.lines("")));
    let client = Tls::new();
    let mut before = client.connect(&gatehouse.gateway).unwrap();
    assert!(shows(&before, "server"));
    // Of a certificate that does not fit its key yet, nothing is seen.
    files.put("renewed.pem", "server.pem");
    wait::until("the half to be noticed", || {
        gatehouse.log().contains("certificates cannot be read anew").then_some(())
    });
    assert!(shows(&client.connect(&gatehouse.gateway).unwrap(), "server"));
    files.put("renewed.key", "server.key");
    wait::until("the renewed certificate", || {
        shows(&client.connect(&gatehouse.gateway).unwrap(), "renewed").then_some(())
    });
    assert_eq!(
        ask(&mut before, "GET", "/readyz", &[], b"").unwrap().status,
        200,
        "the old connection goes on"
    );
    // Not a certificate at all: neither by itself nor by a reload.
    std::fs::write(files.path("server.pem"), "nonsense").unwrap();
    let refused = gatehouse.cli(&["config", "reload"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && told.contains("tls.gateway") && told.contains("server.pem"),
        "{told}"
    );
    assert!(shows(&client.connect(&gatehouse.gateway).unwrap(), "renewed"));
    assert_eq!(ask(&mut before, "GET", "/readyz", &[], b"").unwrap().status, 200);
}

#[test]
fn tls_comes_and_goes_with_a_reload_and_the_command_line_follows() {
    let files = Files::with("server");
    let (_provider, gatehouse) = secured("");
    let file = gatehouse.dir().join("gatehouse.toml");
    let plain = std::fs::read_to_string(&file).unwrap();
    let address = gatehouse.gateway.clone();
    std::fs::write(&file, format!("{plain}\n[tls.gateway]\n{0}\n[tls.admin]\n{0}", files.lines(""))).unwrap();
    let reloaded = gatehouse.json(&["config", "reload"]);
    assert_eq!(reloaded["restart_needed"], serde_json::json!([]), "{reloaded}");
    assert_eq!(Tls::new().get(&address, "/readyz").unwrap().status, 200);
    let listen = std::fs::read_to_string(gatehouse.dir().join("data/listen.json")).unwrap();
    assert!(listen.matches("https://127.0.0.1:").count() == 2, "{listen}");
    gatehouse.json(&["status"]);
    std::fs::write(&file, plain).unwrap();
    gatehouse.signal("-HUP");
    wait::until("the listener to speak in the clear", || {
        ask(&mut open(&address), "GET", "/readyz", &[], b"").ok().filter(|answer| answer.status == 200)
    });
    gatehouse.json(&["status"]);
}

#[test]
fn who_greets_too_slowly_is_cut_off() {
    let files = Files::with("server");
    let config = format!("[gateway]\nhead_seconds = 1\n[tls.gateway]\n{}", files.lines(""));
    let (_provider, gatehouse) = secured(&config);
    let mut silent = open(&gatehouse.gateway);
    let mut begun = open(&gatehouse.gateway);
    begun.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    for connection in [&mut silent, &mut begun] {
        assert!(matches!(connection.read(&mut [0; 8]), Ok(0)), "it ends");
    }
}

#[test]
fn who_reads_nothing_within_tls_is_cut_off() {
    let files = Files::with("server");
    let config = format!("[gateway]\nwrite_stall_seconds = 1\n[tls.gateway]\n{}", files.lines(""));
    let provider = FakeProvider::start(|_| {
        let mut acts = vec![sse::stream_head(), sse::chunk(&sse::start(MODEL, &sse::usage(5, 1)))];
        acts.extend((0..4000).map(|_| sse::chunk(&sse::text(&"x".repeat(8000)))));
        acts
    });
    let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url).config(&config).start();
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    let mut connection = Tls::new().connect(&gatehouse.gateway).unwrap();
    let body = question(true);
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: gateway.test\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    connection.flush().unwrap();
    wait::until("the stalled exchange's record", || {
        gatehouse.exchanges().into_iter().find(|e| e["reason"] == "client_stalled")
    });
}

//! Starting, draining, reloading.

use gatehouse_testkit::http::{self, Connection};
use gatehouse_testkit::provider::Act;
use gatehouse_testkit::{sse, wait};

use crate::world::{MODEL, ask, configured, echo, world};

#[test]
fn sigterm_lets_streams_finish_and_takes_no_more() {
    let mut w = world(|_| {
        vec![
            sse::stream_head(),
            sse::chunk(&sse::start(MODEL, &sse::usage(2, 1))),
            Act::Hold,
            sse::chunk(&sse::stop(&sse::usage(2, 3))),
            sse::last_chunk(),
        ]
    });
    let mut stream = Connection::open(&w.gatehouse.gateway);
    stream.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
    stream.read_until("message_start");
    w.gatehouse.signal("-TERM");
    let at = w.gatehouse.gateway.trim_start_matches("http://").to_owned();
    wait::until("the listener to close", || std::net::TcpStream::connect(&at).err().map(|_| ()));
    w.provider.release();
    let reply = stream.reply();
    assert!(reply.complete && reply.text().contains("message_stop"), "the stream was cut: {}", reply.text());
    assert_eq!(w.gatehouse.wait(), Some(0));
    w.gatehouse.restart();
    assert_eq!(w.only_exchange()["ended"], "completed");
}

#[test]
fn sigterm_waits_until_slow_readers_have_their_replies() {
    let mut w = world(|_| sse::streamed(MODEL, &"x".repeat(1024 * 1024), &sse::usage(2, 3)));
    let mut stream = Connection::open(&w.gatehouse.gateway);
    stream.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
    stream.read_until("message_start");
    // It has ended upstream, its record is written, and most of it waits for the client.
    wait::until("the record", || w.gatehouse.exchanges().pop());
    w.gatehouse.signal("-TERM");
    let at = w.gatehouse.gateway.trim_start_matches("http://").to_owned();
    wait::until("the listener to close", || std::net::TcpStream::connect(&at).err().map(|_| ()));
    let reply = stream.reply();
    assert!(reply.complete && reply.text().ends_with("{\"type\":\"message_stop\"}\n\n"), "the reply was cut");
    assert_eq!(w.gatehouse.wait(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once_and_still_records() {
    let mut w =
        world(|_| vec![sse::stream_head(), sse::chunk(&sse::start(MODEL, &sse::usage(2, 1))), Act::Hang]);
    let mut stream = Connection::open(&w.gatehouse.gateway);
    stream.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
    stream.read_until("message_start");
    w.gatehouse.signal("-TERM");
    let at = w.gatehouse.gateway.trim_start_matches("http://").to_owned();
    wait::until("the listener to close", || std::net::TcpStream::connect(&at).err().map(|_| ()));
    w.gatehouse.signal("-TERM");
    w.gatehouse.wait();
    w.gatehouse.restart();
    let e = w.only_exchange();
    assert_eq!((e["ended"].as_str(), e["estimated"].as_bool()), (Some("interrupted"), Some(true)), "{e:#}");
}

#[test]
fn a_reload_takes_good_configuration_and_refuses_bad() {
    let w = configured("", "sqlite", echo(1000, 0));
    let file = w.gatehouse.dir().join("gatehouse.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}\n[pricing]\ndiscount_percent = 50\n")).unwrap();
    w.gatehouse.json(&["config", "reload"]);
    w.gatehouse.post(&w.key, &ask(false));
    assert_eq!(w.gatehouse.exchanges().pop().unwrap()["cost_nanos"], 1_000_000);

    std::fs::write(&file, format!("{good}\n[pricing]\ndiscount_percent = 500\nfrobnicate = 1\n")).unwrap();
    let refused = w.gatehouse.cli(&["config", "reload"]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("discount_percent") && said.contains("frobnicate"),
        "not all mistakes are named: {said}"
    );
    w.gatehouse.post(&w.key, &ask(false));
    assert_eq!(w.gatehouse.exchanges().pop().unwrap()["cost_nanos"], 1_000_000, "the last good one goes on");

    std::fs::write(&file, good).unwrap();
    w.gatehouse.signal("-HUP");
    wait::until("the signal to be heeded", || {
        w.gatehouse.post(&w.key, &ask(false));
        (w.gatehouse.exchanges().pop().unwrap()["cost_nanos"] == 2_000_000).then_some(())
    });
    let audit = String::from_utf8(w.gatehouse.cli(&["--json", "audit", "list"]).stdout).unwrap();
    assert!(audit.contains("config.reload"), "{audit}");
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let w = world(echo(1, 1));
    let second =
        w.gatehouse.cli(&["serve", "--config", w.gatehouse.dir().join("gatehouse.toml").to_str().unwrap()]);
    assert!(!second.status.success());
    let said =
        String::from_utf8_lossy(&second.stderr).into_owned() + &String::from_utf8_lossy(&second.stdout);
    assert!(said.contains("another") || said.contains("in use"), "{said}");
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
}

#[test]
fn five_mistakes_are_reported_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    let text = "[listen]\ngateway = \"nowhere\"\nadmn = \"127.0.0.1:1\"\n[store]\nurl = 7\n[[provider]]\nname = \"main\"\n\
        kind = \"antropic\"\nbase_url = \"ftp://x\"\napi_key = \"sk-secret-literal\"\n";
    std::fs::write(&file, text).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_gatehouse"))
        .args(["config", "check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    for part in ["gateway", "admn", "url", "kind", "base_url", "api_key", ":2", ":3"] {
        assert!(said.contains(part), "{part} is not named: {said}");
    }
    assert!(!said.contains("sk-secret-literal"), "the secret is echoed: {said}");
}

#[test]
fn metrics_and_health_are_served_without_people_in_them() {
    let w = world(echo(5, 5));
    w.gatehouse.post(&w.key, &ask(true));
    let metrics = http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
    assert!(
        metrics.contains("gatehouse_exchanges_total{kind=\"messages\",ended=\"completed\"} 1"),
        "{metrics}"
    );
    assert!(!metrics.contains("dev@example.com") && !metrics.contains("key_"));
    assert_eq!(http::once(&w.gatehouse.admin, "GET", "/readyz", &[], b"").status, 200);
}

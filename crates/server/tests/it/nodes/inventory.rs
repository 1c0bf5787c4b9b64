//! What nodes know of each other, and what they do for each other.

use std::time::{Duration, Instant};

use gatehouse_testkit::gatehouse::Builder;
use gatehouse_testkit::http::Connection;
use gatehouse_testkit::provider::{Act, FakeProvider};
use gatehouse_testkit::{folder, postgres, sse, wait};

use super::cluster;
use crate::world::{MODEL, ask, echo};

#[test]
fn revoking_on_one_node_cuts_a_stream_on_another_within_five_seconds() {
    let script =
        |_: &_| vec![sse::stream_head(), sse::chunk(&sse::start(MODEL, &sse::usage(9, 1))), Act::Hang];
    let Some(c) = cluster(2, "", script) else { return };
    let mut stream = Connection::open(&c.nodes[1].gateway);
    stream.request("POST", "/v1/messages", &[("x-api-key", &c.key)], &ask(true));
    stream.read_until("message_start");
    let began = Instant::now();
    c.nodes[0].json(&["key", "revoke", &c.key_id]);
    let reply = stream.reply();
    assert!(began.elapsed() < Duration::from_secs(5), "the stream went on for {:?}", began.elapsed());
    assert!(reply.text().contains("event: error") && reply.text().contains("revoked"), "{}", reply.text());
    assert_eq!(c.nodes[1].post(&c.key, &ask(false)).status, 401);
}

#[test]
fn the_status_names_all_nodes() {
    let Some(mut c) = cluster(3, "", echo(1, 1)) else { return };
    let status = wait::until("all nodes to be ready", || {
        let status = c.nodes[0].json(&["status"]);
        let ready = status["nodes"].as_array().unwrap().iter().filter(|node| node["ready"] == true).count();
        (ready == 3).then_some(status)
    });
    assert_eq!(
        (status["counters"]["state"].as_str(), status["counters"]["nodes"].as_u64()),
        (Some("reached"), Some(3))
    );
    for node in status["nodes"].as_array().unwrap() {
        assert_eq!(node["state"], "running", "{node}");
        assert_eq!(node["version"], status["version"], "{node}");
    }
    c.nodes[2].signal("-TERM");
    c.nodes[2].wait();
    wait::until("the stopped one to be told", || {
        let status = c.nodes[0].json(&["status"]);
        status["nodes"].as_array().unwrap().iter().any(|node| node["state"] == "stopped").then_some(())
    });
    let said = c.nodes[1].cli(&["status"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("running") && said.contains("stopped"), "{said}");
}

#[test]
fn nodes_that_count_alone_say_so_or_do_not_start() {
    let Some(url) = postgres::fresh() else { return };
    let provider = FakeProvider::start(echo(1, 1));
    let keys = folder();
    let config = format!("[secrets]\nmaster_key = \"file:{}\"\n", keys.path().join("master.key").display());
    let start = |more: &str| {
        Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url)
            .store(&url)
            .config(&config)
            .config(more)
            .start()
    };
    let first = start("");
    assert!(first.json(&["status"])["counters"]["problem"].is_null());
    let second = start("");
    assert!(second.log().contains("hard budgets and limits are per node"), "{}", second.log());
    for node in [&first, &second] {
        let problem = &node.json(&["status"])["counters"]["problem"];
        assert!(problem.as_str().is_some_and(|text| text.contains("counters.url")), "{problem}");
    }
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        start("[counters]\nwhen_others = \"refuse\"\n");
    }));
    assert!(refused.is_err(), "it started");
}

//! Passing telemetry on to collectors.

use std::sync::atomic::{AtomicUsize, Ordering};

use gatehouse_testkit::gatehouse::Builder;
use gatehouse_testkit::provider::{Act, FakeProvider, UPSTREAM_KEY};

use super::{JSON, costs, tell};
use crate::world::{World, echo};

fn answer(status: u16) -> Vec<Act> {
    gatehouse_testkit::sse::plain(status, &serde_json::json!({}))
}

#[test]
fn what_is_counted_is_passed_on_with_whose_it_is_and_sent_again_when_refused_for_now() {
    let tries = AtomicUsize::new(0);
    let collector = FakeProvider::start(move |_| {
        answer(if tries.fetch_add(1, Ordering::Relaxed) == 0 { 503 } else { 200 })
    });
    let provider = FakeProvider::start(echo(1, 1));
    let config = format!(
        "[[telemetry.collector]]\nname = \"central\"\nendpoint = \"{}\"\nheaders = {{ x-api-key = \"env:UPSTREAM_KEY\" }}\n\
         signals = [\"metrics\"]\n",
        collector.url
    );
    let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url).config(&config).start();
    let (key_id, key) = gatehouse.key("dev@example.com", &[]);
    let w = World { provider, gatehouse, key, key_id };
    let body = costs(&w, &[0.5]);
    for _ in 0..2 {
        assert_eq!(tell(&w, "/v1/metrics", &[JSON], &body).status, 200);
    }
    assert_eq!(tell(&w, "/v1/logs", &[JSON], b"{}").status, 200);
    // The first is refused for now.
    let seen = [collector.seen(), collector.seen()];
    assert_eq!(seen[0].body, seen[1].body);
    let (line, text) = (&seen[1].line, String::from_utf8_lossy(&seen[1].body).into_owned());
    assert!(line.starts_with("POST /v1/metrics"), "{line}");
    assert!(text.contains("\"gatehouse.user.id\"") && text.contains("dev@example.com"), "{text}");
    assert_eq!(
        seen[1].header("x-api-key"),
        Some(UPSTREAM_KEY),
        "the header's value comes from where it is kept"
    );
    // What came again, and the logs, are not passed on: the next request is.
    assert_eq!(tell(&w, "/v1/metrics", &[JSON], &costs(&w, &[0.75])).status, 200);
    assert!(String::from_utf8_lossy(&collector.seen().body).contains("0.75"));
    assert!(!w.gatehouse.log().contains(UPSTREAM_KEY));
}

//! Revoking a key or its holder ends what is under way (P6).

use std::time::{Duration, Instant};

use gatehouse_testkit::http::Connection;
use gatehouse_testkit::provider::Act;
use gatehouse_testkit::{sse, wait};

use crate::world::{MODEL, ask, configured, stores};

#[test]
fn revoking_ends_open_streams_and_new_requests_within_five_seconds() {
    for store in stores() {
        let w = configured("", &store, |_| {
            vec![sse::stream_head(), sse::chunk(&sse::start(MODEL, &sse::usage(9, 1))), Act::Hang]
        });
        let (id, key) = w.gatehouse.key("leaver@example.com", &[]);
        let mut mine = Connection::open(&w.gatehouse.gateway);
        mine.request("POST", "/v1/messages", &[("x-api-key", &w.key)], &ask(true));
        mine.read_until("message_start");
        let mut theirs = Connection::open(&w.gatehouse.gateway);
        theirs.request("POST", "/v1/messages", &[("x-api-key", &key)], &ask(true));
        theirs.read_until("message_start");

        let began = Instant::now();
        w.gatehouse.json(&["key", "revoke", &id]);
        let reply = theirs.reply();
        assert!(began.elapsed() < Duration::from_secs(5), "the stream went on for {:?}", began.elapsed());
        assert!(
            reply.text().contains("event: error") && reply.text().contains("revoked"),
            "{}",
            reply.text()
        );
        assert_eq!(w.gatehouse.post(&key, &ask(true)).status, 401);

        let e = wait::until("the record", || {
            w.gatehouse.exchanges().into_iter().find(|e| e["ended"] == "revoked")
        });
        assert_eq!(
            (e["user"].as_str(), e["usage"]["input_tokens"].as_u64()),
            (Some("leaver@example.com"), Some(9))
        );
        // The other one's stream is untouched.
        mine.half_close();
        assert_eq!(w.gatehouse.exchanges().iter().filter(|e| e["ended"] == "revoked").count(), 1);
    }
}

#[test]
fn disabling_a_user_ends_all_their_keys_and_enabling_brings_them_back() {
    for store in stores() {
        let w = configured("", &store, crate::world::echo(1, 1));
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
        w.gatehouse.json(&["user", "disable", "dev@example.com"]);
        wait::until("the keys to be refused", || {
            (w.gatehouse.post(&w.key, &ask(false)).status == 401).then_some(())
        });
        w.gatehouse.json(&["user", "enable", "dev@example.com"]);
        wait::until("the keys to work", || {
            (w.gatehouse.post(&w.key, &ask(false)).status == 200).then_some(())
        });
    }
}

#[test]
fn a_rotated_key_overlaps_with_its_successor() {
    let w = configured("", "sqlite", crate::world::echo(1, 1));
    let made = w.gatehouse.json(&["key", "rotate", &w.key_id, "--overlap", "1h"]);
    let new = made["key"].as_str().unwrap();
    for key in [w.key.as_str(), new] {
        assert_eq!(w.gatehouse.post(key, &ask(false)).status, 200);
    }
    let again = w.gatehouse.json(&["key", "rotate", made["id"].as_str().unwrap(), "--overlap", "0s"]);
    assert_eq!(w.gatehouse.post(new, &ask(false)).status, 401, "no overlap was asked for");
    assert_eq!(w.gatehouse.post(again["key"].as_str().unwrap(), &ask(false)).status, 200);
}

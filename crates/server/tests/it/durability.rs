//! Kill -9 loses no entry of a reply that was complete at the client (P1), and leaves one record each (P4).

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatehouse_testkit::http::Connection;
use gatehouse_testkit::provider::Act;
use gatehouse_testkit::sse;
use serde_json::Value;

use crate::world::{MODEL, World, ask, configured, stores};

/// What the clients saw complete, by the exchange's identifier.
type Complete = Mutex<HashSet<String>>;

fn client(at: &str, key: &str, stop: &AtomicBool, complete: &Complete) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(()) = std::panic::catch_unwind(|| {
            let mut connection = Connection::open(at);
            for n in 0.. {
                connection.request("POST", "/v1/messages", &[("x-api-key", key)], &ask(n % 3 != 0));
                let reply = connection.reply();
                if reply.status != 200 || !reply.complete {
                    return;
                }
                let whole = n % 3 == 0 || reply.text().contains("message_stop");
                if let Some(id) = reply.header("x-gatehouse-exchange").filter(|_| whole) {
                    complete.lock().unwrap().insert(id.to_owned());
                }
            }
        }) else {
            // The server is down: that is what this test is about.
            return;
        };
    }
}

fn paced(seen: &gatehouse_testkit::provider::Seen) -> Vec<Act> {
    let asked: Value = serde_json::from_slice(&seen.body).unwrap();
    if asked["stream"] != serde_json::json!(true) {
        return sse::message(MODEL, "x", &sse::usage(7, 3));
    }
    let mut acts = vec![sse::stream_head(), sse::chunk(&sse::start(MODEL, &sse::usage(7, 1)))];
    for _ in 0..5 {
        acts.push(Act::Pause(Duration::from_millis(1)));
        acts.push(sse::chunk(&sse::text("word")));
    }
    acts.extend([sse::chunk(&sse::stop(&sse::usage(7, 3))), sse::last_chunk()]);
    acts
}

#[expect(
    clippy::disallowed_methods,
    reason = "the kill comes at a random moment of the load, which a sleep makes"
)]
fn kill_under_load(w: &mut World, round: u64, complete: &Complete) {
    let stop = AtomicBool::new(false);
    let (at, key) = (w.gatehouse.gateway.clone(), w.key.clone());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| client(&at, &key, &stop, complete));
        }
        std::thread::sleep(Duration::from_millis(40 + round * 37 % 160));
        w.gatehouse.kill();
        stop.store(true, Ordering::Relaxed);
    });
    w.gatehouse.restart();
}

#[test]
fn fifty_kills_under_streaming_load_lose_nothing() {
    // A panic of a client whose server was killed is expected; its message is noise.
    std::panic::set_hook(Box::new(|_| {}));
    for store in stores() {
        let mut w = configured("", &store, paced);
        let complete = Complete::default();
        let rounds = if store == "sqlite" { 50 } else { 10 };
        for round in 0..rounds {
            kill_under_load(&mut w, round, &complete);
        }
        let complete = complete.into_inner().unwrap();
        assert!(complete.len() > 200, "hardly any load: {}", complete.len());
        let all = w.gatehouse.exchanges();
        let recorded: HashSet<&str> = all.iter().map(|e| e["id"].as_str().unwrap()).collect();
        assert_eq!(recorded.len(), all.len(), "an exchange is there twice");
        let lost: Vec<&String> = complete.iter().filter(|id| !recorded.contains(id.as_str())).collect();
        assert!(
            lost.is_empty(),
            "{} of {} complete replies have no entry: {lost:?}",
            lost.len(),
            complete.len()
        );
        for e in &all {
            if complete.contains(e["id"].as_str().unwrap()) {
                assert_eq!(
                    (e["ended"].as_str(), e["usage"]["output_tokens"].as_u64()),
                    (Some("completed"), Some(3)),
                    "{e:#}"
                );
            }
        }
        let usage = w.gatehouse.json(&["usage", "--by", "model"]);
        let requests: i64 =
            usage["items"].as_array().unwrap().iter().map(|row| row["requests"].as_i64().unwrap()).sum();
        assert_eq!(requests, i64::try_from(all.len()).unwrap(), "the rollups count otherwise");

        let export = w.gatehouse.dir().join("audit.jsonl");
        let export = export.to_str().unwrap();
        assert!(w.gatehouse.cli(&["audit", "export", export]).status.success());
        let verified = w.gatehouse.cli(&["audit", "verify", export]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}

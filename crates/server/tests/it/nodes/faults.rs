//! What happens to budgets when a node, Valkey or PostgreSQL fails: the limit holds, and nothing is lost or counted twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use gatehouse_testkit::provider::{Act, Seen};
use gatehouse_testkit::wire::Wire;
use gatehouse_testkit::{http, wait};

use super::{Cluster, cluster};
use crate::budgets::{cost, held, worst};
use crate::world::{ask, echo};

const MINE: [&str; 4] = ["--user", "dev@example.com", "--period", "total"];

/// Counts what it serves.
fn counting(served: &Arc<AtomicI64>) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    let served = Arc::clone(served);
    move |seen| {
        served.fetch_add(1, Ordering::SeqCst);
        echo(1, 50)(seen)
    }
}

/// Posts until the budget is used up, on each node in turn; gives how many passed.
fn exhaust(c: &Cluster, body: &[u8]) -> i64 {
    let mut passed = 0;
    loop {
        let reply = c.nodes[usize::try_from(passed).unwrap() % c.nodes.len()].post(&c.key, body);
        match reply.status {
            200 => passed += 1,
            429 => return passed,
            other => panic!("{other}: {}", reply.text()),
        }
    }
}

#[test]
fn a_flushed_valkey_is_noticed_and_never_taken_for_nothing_spent() {
    let Some(c) = cluster(3, "", echo(1, 50)) else { return };
    let body = ask(false);
    let limit = 20 * cost(1, 50) + worst(&body);
    let id = c.budget(limit, &MINE);
    for call in 0..10 {
        assert_eq!(c.nodes[call % 3].post(&c.key, &body).status, 200);
        if call % 3 == 2 {
            c.valkey.flush();
        }
    }
    // While something is held, too: what is held on one node stays held when its pool is built by another.
    c.provider.now(held(1, 50));
    std::thread::scope(|scope| {
        let under_way = scope.spawn(|| c.nodes[0].post(&c.key, &body));
        c.provider.seen();
        wait::until("it to be held", || (c.standing(0, &id).1 > 0).then_some(()));
        c.valkey.flush();
        wait::until("all nodes to know what is held", || {
            (0..3)
                .all(|node| c.try_standing(node, &id) == Some((10 * cost(1, 50), worst(&body))))
                .then_some(())
        });
        c.provider.release();
        assert_eq!(under_way.join().unwrap().status, 200);
    });
    c.provider.now(echo(1, 50));
    assert_eq!(exhaust(&c, &body), 20 - 11 + 1);
    assert_eq!(c.ledger(), 21 * cost(1, 50));
    assert_eq!(c.standing(2, &id).0, 21 * cost(1, 50));
}

#[test]
fn a_killed_node_s_requests_are_neither_lost_nor_counted_twice() {
    let served = Arc::new(AtomicI64::new(0));
    let Some(mut c) = cluster(3, "", counting(&served)) else { return };
    let body = ask(false);
    let limit = 1_000 * cost(1, 50);
    let id = c.budget(limit, &MINE);
    let stop = AtomicBool::new(false);
    let (urls, key): (Vec<String>, String) =
        (c.nodes.iter().map(|node| node.gateway.clone()).collect(), format!("Bearer {}", c.key));
    std::thread::scope(|scope| {
        for url in &urls {
            let (stop, key, body) = (&stop, &key, &body);
            scope.spawn(move || {
                let post = || http::try_once(url, "POST", "/v1/messages", &[("authorization", key)], body);
                // A node that dies ends its client.
                while !stop.load(Ordering::Relaxed) && post().is_some() {}
            });
        }
        wait::until("some to be served", || (served.load(Ordering::SeqCst) > 40).then_some(()));
        c.nodes[1].kill();
        wait::until("more to be served", || (served.load(Ordering::SeqCst) > 100).then_some(()));
        stop.store(true, Ordering::Relaxed);
    });
    c.nodes[1].restart();
    c.in_force();
    // Every request that the provider has served is in the ledger once. The one that was under way when the node died is there
    // at its estimated cost, whether the provider has seen it or not.
    let all = c.exchanges();
    let reached: Vec<_> = all.iter().filter(|e| e["ended"] != "refused").collect();
    let unsure = i64::try_from(reached.len()).unwrap() - served.load(Ordering::SeqCst);
    assert!((0..=1).contains(&unsure), "{unsure} more than were served: {reached:#?}");
    let sum = c.ledger();
    for node in 0..3 {
        wait::until("all nodes to agree with the ledger", || {
            (c.try_standing(node, &id) == Some((sum, 0))).then_some(())
        });
    }
    assert!(sum <= limit);
}

#[test]
fn a_silent_valkey_stalls_nobody_and_each_budget_does_as_it_says() {
    let served = Arc::new(AtomicI64::new(0));
    let Some(c) = cluster(2, "patience_ms = 200\n", counting(&served)) else { return };
    let body = ask(false);
    let (_, other) = c.nodes[0].key("other@example.com", &[]);
    let limit = 40 * cost(1, 50) + worst(&body);
    let closed = c.budget(limit, &MINE);
    let open = c.budget(limit, &["--user", "other@example.com", "--when-away", "open"]);
    for key in [&c.key, &other] {
        assert_eq!(c.nodes[0].post(key, &body).status, 200);
        assert_eq!(c.nodes[1].post(key, &body).status, 200);
    }
    c.valkey.signal("-STOP");
    // Within what was granted, closed goes on for a while; then it is refused, in the words that the client knows.
    let refused = wait::until("a closed budget to refuse", || {
        let began = Instant::now();
        let reply = c.nodes[0].post(&c.key, &body);
        assert!(began.elapsed() < Duration::from_secs(5), "it stalled for {:?}", began.elapsed());
        (reply.status != 200).then_some(reply)
    });
    assert_eq!((refused.status, refused.header("x-should-retry")), (429, Some("false")));
    assert_eq!(refused.header("anthropic-ratelimit-unified-overage-disabled-reason"), Some("fetch_error"));
    for node in &c.nodes {
        assert_eq!(node.post(&other, &body).status, 200, "open goes on");
        wait::until("it to be told", || {
            (node.json(&["status"])["counters"]["state"] == "away").then_some(())
        });
    }
    c.valkey.signal("-CONT");
    c.in_force();
    // Both are exact again, with what was spent meanwhile.
    wait::until("closed to be served again", || (c.nodes[1].post(&c.key, &body).status == 200).then_some(()));
    let all = c.exchanges();
    let sum = |user: &str| -> i64 {
        all.iter().filter(|e| e["user"] == user).map(|e| e["cost_nanos"].as_i64().unwrap()).sum()
    };
    for node in 0..2 {
        for (id, user) in [(&closed, "dev@example.com"), (&open, "other@example.com")] {
            wait::until("all nodes to agree with the ledger", || {
                (c.try_standing(node, id) == Some((sum(user), 0))).then_some(())
            });
        }
    }
    assert_eq!(c.ledger(), served.load(Ordering::SeqCst) * cost(1, 50));
}

#[test]
fn a_valkey_that_dies_and_comes_back_empty_changes_nothing() {
    let served = Arc::new(AtomicI64::new(0));
    let Some(mut c) = cluster(2, "", counting(&served)) else { return };
    let body = ask(false);
    let id = c.budget(30 * cost(1, 50) + worst(&body), &MINE);
    for call in 0..10 {
        assert_eq!(c.nodes[call % 2].post(&c.key, &body).status, 200);
    }
    c.valkey.stop();
    wait::until("a closed budget to refuse", || (c.nodes[0].post(&c.key, &body).status == 429).then_some(()));
    c.valkey.restart();
    c.in_force();
    wait::until("it to be served again", || (c.nodes[0].post(&c.key, &body).status == 200).then_some(()));
    exhaust(&c, &body);
    assert_eq!(served.load(Ordering::SeqCst), 31, "no more and no fewer than fit");
    assert_eq!(c.ledger(), 31 * cost(1, 50));
    assert_eq!(c.standing(1, &id), (31 * cost(1, 50), 0));
}

#[test]
fn while_postgresql_is_away_requests_go_on_and_the_limit_holds() {
    let served = Arc::new(AtomicI64::new(0));
    let Some(c) = cluster(3, "", counting(&served)) else { return };
    let body = ask(false);
    let id = c.budget(30 * cost(1, 50) + worst(&body), &MINE);
    for call in 0..6 {
        assert_eq!(c.nodes[call % 3].post(&c.key, &body).status, 200);
    }
    c.databases.iter().for_each(Wire::cut);
    assert_eq!(exhaust(&c, &body), 25, "the pools are in Valkey, the records in the journals");
    c.databases.iter().for_each(Wire::mend);
    assert_eq!(served.load(Ordering::SeqCst), 31);
    wait::until("the database to be reached again", || {
        c.nodes.iter().all(|node| node.cli(&["exchanges", "--limit", "1"]).status.success()).then_some(())
    });
    assert_eq!(c.ledger(), 31 * cost(1, 50));
    assert_eq!(c.standing(0, &id), (31 * cost(1, 50), 0));
}

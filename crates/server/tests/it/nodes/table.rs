//! The table of faults: three nodes under load, one fault after the other, and the ledger held against what the provider has
//! served. How long each took to heal is printed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatehouse_testkit::http;
use gatehouse_testkit::provider::{Act, Seen};
use gatehouse_testkit::valkey::Wire;
use gatehouse_testkit::wait;

use super::{Cluster, cluster};
use crate::budgets::{cost, usd, worst};
use crate::world::{ask, echo};

/// Clients of each node.
const CLIENTS: usize = 2;

/// What the provider has served, by the request's identifier that it gave.
type Served = Arc<Mutex<BTreeSet<String>>>;

/// Answers after a moment, so that something is always under way, with an identifier of its own.
fn numbering(served: &Served) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    let (served, count) = (Arc::clone(served), AtomicU64::new(0));
    move |seen| {
        let id = format!("req_{:06}", count.fetch_add(1, Ordering::SeqCst));
        served.lock().unwrap().insert(id.clone());
        let named = |act| match act {
            Act::Send(bytes) => {
                Act::Send(String::from_utf8(bytes).unwrap().replace("req_up_1", &id).into_bytes())
            }
            other @ (Act::Pause(_) | Act::Hold | Act::Close | Act::Hang) => other,
        };
        std::iter::once(Act::Pause(Duration::from_millis(30)))
            .chain(echo(1, 50)(seen).into_iter().map(named))
            .collect()
    }
}

/// What clients see, by whether their budget is closed or open while nodes cannot count together.
#[derive(Default)]
struct Told {
    passed: AtomicUsize,
    refused: AtomicUsize,
}

struct Load {
    stop: AtomicBool,
    /// Where the nodes are: a node that is started again is elsewhere.
    urls: Mutex<Vec<String>>,
    keys: [String; 2],
    seen: [Told; 2],
    /// What clients have got whole.
    got: Mutex<BTreeSet<String>>,
}

impl Load {
    /// One client of a node: it goes on whatever it is told.
    fn client(&self, node: usize, body: &[u8]) {
        for turn in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let url = self.urls.lock().unwrap()[node].clone();
            let bearer = format!("Bearer {}", self.keys[turn % 2]);
            let seen = &self.seen[turn % 2];
            match http::try_once(&url, "POST", "/v1/messages", &[("authorization", &bearer)], body) {
                Some(reply) if reply.status == 200 => {
                    let id = reply.header("request-id").unwrap().to_owned();
                    assert!(self.got.lock().unwrap().insert(id), "no reply comes twice");
                    seen.passed.fetch_add(1, Ordering::Relaxed);
                }
                Some(reply) => {
                    assert_eq!(reply.status, 429, "{}", reply.text());
                    seen.refused.fetch_add(1, Ordering::Relaxed);
                }
                None => {}
            }
        }
    }

    /// Waits until so many more have passed whose budget is closed (0) or open (1).
    fn passed(&self, which: usize, more: usize) {
        let before = self.seen[which].passed.load(Ordering::Relaxed);
        wait::until("more to be served", || {
            (self.seen[which].passed.load(Ordering::Relaxed) >= before + more).then_some(())
        });
    }

    /// Waits until somebody is refused whose budget is closed.
    fn refused(&self) {
        let before = self.seen[0].refused.load(Ordering::Relaxed);
        wait::until("a closed budget to refuse", || {
            (self.seen[0].refused.load(Ordering::Relaxed) > before).then_some(())
        });
    }
}

/// Waits for as long as an outage is to last at least; a longer one than the suite has time for can be had.
#[expect(clippy::disallowed_methods, reason = "how long an outage lasts comes from the environment")]
fn outage() {
    let seconds =
        std::env::var("GATEHOUSE_TEST_OUTAGE_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for _ in 0..seconds {
        let began = Instant::now();
        wait::until("an outage to last", || (began.elapsed() >= Duration::from_secs(1)).then_some(()));
    }
}

/// One fault: it is made, lasts until the load has felt it, and is mended. Prints how long nodes took to serve all again.
#[expect(clippy::print_stderr, reason = "the table is for people")]
fn fault(
    c: &mut Cluster,
    load: &Load,
    name: &str,
    make: impl Fn(&mut Cluster),
    feel: impl Fn(&Load),
    mend: impl Fn(&mut Cluster),
) {
    load.passed(0, 20);
    make(c);
    feel(load);
    outage();
    mend(c);
    let began = Instant::now();
    *load.urls.lock().unwrap() = c.nodes.iter().map(|node| node.gateway.clone()).collect();
    for node in &c.nodes {
        for key in &load.keys {
            wait::until("a node to serve again", || {
                (node.post(key, &ask(false)).status == 200).then_some(())
            });
        }
    }
    eprintln!("{name}: healed after {} ms", began.elapsed().as_millis());
}

fn all_faults(c: &mut Cluster, load: &Load) {
    fault(
        c,
        load,
        "a node is killed",
        |c| c.nodes[1].kill(),
        |load| load.passed(0, 40),
        |c| c.nodes[1].restart(),
    );
    fault(c, load, "Valkey is emptied", |c| c.valkey.flush(), |load| load.passed(0, 40), |_| ());
    let felt = |load: &Load| {
        load.refused();
        // The other budget says that it is open.
        load.passed(1, 40);
    };
    fault(c, load, "Valkey stops and comes back empty", |c| c.valkey.stop(), felt, |c| c.valkey.restart());
    fault(c, load, "Valkey is silent", |c| c.valkey.signal("-STOP"), felt, |c| c.valkey.signal("-CONT"));
    fault(c, load, "a node is cut off from Valkey", |c| c.counters[2].cut(), felt, |c| c.counters[2].mend());
    let on = |load: &Load| load.passed(0, 40);
    fault(
        c,
        load,
        "a node is cut off from PostgreSQL",
        |c| c.databases[0].cut(),
        on,
        |c| c.databases[0].mend(),
    );
    fault(
        c,
        load,
        "PostgreSQL is away",
        |c| c.databases.iter().for_each(Wire::cut),
        on,
        |c| c.databases.iter().for_each(Wire::mend),
    );
}

#[test]
fn three_nodes_under_load_lose_nothing_and_double_nothing_whatever_fails() {
    let served = Served::default();
    let Some(mut c) = cluster(3, "", numbering(&served)) else { return };
    let body = ask(false);
    let (_, other) = c.nodes[0].key("other@example.com", &[]);
    let plenty = 1_000_000 * cost(1, 50);
    let closed = c.budget(plenty, &["--user", "dev@example.com", "--period", "total"]);
    let open = c.budget(plenty, &["--user", "other@example.com", "--period", "total", "--when-away", "open"]);
    let load = Load {
        stop: AtomicBool::new(false),
        urls: Mutex::new(c.nodes.iter().map(|node| node.gateway.clone()).collect()),
        keys: [c.key.clone(), other],
        seen: Default::default(),
        got: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for client in 0..CLIENTS * 3 {
            let (load, body) = (&load, &body);
            scope.spawn(move || load.client(client % 3, body));
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| all_faults(&mut c, &load)));
        load.stop.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|why| std::panic::resume_unwind(why));
    });
    wait::until("the database to be reached", || {
        c.nodes.iter().all(|node| node.cli(&["exchanges", "--limit", "1"]).status.success()).then_some(())
    });
    books_agree(&c, &load, &served.lock().unwrap());
    for (id, user) in [(&closed, "dev@example.com"), (&open, "other@example.com")] {
        agrees(&c, id, user);
    }
    // The limit holds to the last cent, after all of it.
    let spent = c.standing(0, &closed).0;
    let limit = spent + 10 * cost(1, 50) + worst(&body);
    c.nodes[0].json(&["budget", "set", &closed, "--limit", &usd(limit)]);
    c.in_force();
    let passed = (0..10_000).take_while(|call| c.nodes[call % 3].post(&c.key, &body).status == 200).count();
    assert_eq!(passed, 11);
}

/// Every reply that the provider has given is in the ledger once. Those under way on the node that was killed are there too:
/// as interrupted, at their estimated cost.
fn books_agree(c: &Cluster, load: &Load, served: &BTreeSet<String>) {
    let all = c.exchanges();
    let of = |ended: &str| all.iter().filter(move |e| e["ended"] == ended).count();
    let (interrupted, refused) = (of("interrupted"), of("refused"));
    let ids: Vec<&str> =
        all.iter().filter_map(|e| e["request_id"].as_str()).filter(|id| served.contains(*id)).collect();
    let known: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(known.len(), ids.len(), "one is in the ledger twice");
    assert_eq!(all.len(), ids.len() + interrupted + refused, "there is something that nobody has served");
    assert!(interrupted <= CLIENTS, "{interrupted} were interrupted, of {CLIENTS} under way");
    let missing = served.difference(&known).count();
    assert!(missing <= interrupted, "{missing} were served and are missing, {interrupted} interrupted");
    let lost =
        load.got.lock().unwrap().iter().filter(|id| served.contains(*id) && !known.contains(*id)).count();
    assert_eq!(lost, 0, "a client has got a reply that is not in the ledger");
}

/// All nodes say of a budget what the ledger has.
fn agrees(c: &Cluster, id: &str, user: &str) {
    let sum: i64 =
        c.exchanges().iter().filter(|e| e["user"] == user).map(|e| e["cost_nanos"].as_i64().unwrap()).sum();
    for node in 0..3 {
        wait::until("all nodes to agree with the ledger", || {
            (c.try_standing(node, id) == Some((sum, 0))).then_some(())
        });
    }
}

//! Three nodes under load, one fault after the other, and the ledger held against what the provider has served. How long each
//! took to heal is printed.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatehouse_testkit::provider::{Act, Seen};
use gatehouse_testkit::{http, wait};

use super::Cluster;
use crate::budgets::{cost, usd, worst};
use crate::world::{ask, echo};

/// Clients of each node.
const CLIENTS: usize = 2;
/// The longest that healing may take: more than is promised, since the machine may be slow.
const HEALED: Duration = Duration::from_mins(3);

/// What the provider has served, by the request's identifier that it gave.
pub type Served = Arc<Mutex<BTreeSet<String>>>;

/// Answers after a moment, so that something is always under way, with an identifier of its own.
pub fn numbering(served: &Served) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
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

/// Clients that go on whatever they are told.
pub struct Load {
    stop: AtomicBool,
    /// They wait, so that what is recorded can catch up on a machine that is slow.
    rest: AtomicBool,
    /// Where the nodes are: a node that is started again is elsewhere.
    urls: Mutex<Vec<String>>,
    keys: [String; 2],
    seen: [Told; 2],
    /// What clients have got whole.
    got: Mutex<BTreeSet<String>>,
}

impl Load {
    /// One client of a node.
    fn client(&self, node: usize, body: &[u8]) {
        for turn in 0.. {
            let stopped = || self.stop.load(Ordering::Relaxed);
            wait::within(HEALED * 3, "the rest to be over", || {
                (stopped() || !self.rest.load(Ordering::Relaxed)).then_some(())
            });
            if stopped() {
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
    pub fn passed(&self, which: usize, more: usize) {
        let before = self.seen[which].passed.load(Ordering::Relaxed);
        wait::until("more to be served", || {
            (self.seen[which].passed.load(Ordering::Relaxed) >= before + more).then_some(())
        });
    }

    /// Waits until somebody is refused whose budget is closed.
    pub fn refused(&self) {
        let before = self.seen[0].refused.load(Ordering::Relaxed);
        wait::until("a closed budget to refuse", || {
            (self.seen[0].refused.load(Ordering::Relaxed) > before).then_some(())
        });
    }
}

/// One fault: it is made, lasts until the load has felt it, and is mended. Prints how long nodes took to serve all again, and to
/// have everything in the database that waited in their journals.
#[expect(clippy::print_stderr, reason = "the table is for people")]
pub fn fault(
    c: &mut Cluster,
    load: &Load,
    name: &str,
    make: impl FnOnce(&mut Cluster),
    feel: impl FnOnce(&Load),
    mend: impl FnOnce(&mut Cluster),
) {
    load.passed(0, 20);
    make(c);
    feel(load);
    mend(c);
    let began = Instant::now();
    *load.urls.lock().unwrap() = c.nodes.iter().map(|node| node.gateway.clone()).collect();
    for node in &c.nodes {
        for key in &load.keys {
            wait::within(HEALED, "a node to serve again", || {
                (node.post(key, &ask(false)).status == 200).then_some(())
            });
        }
    }
    let serving = began.elapsed().as_millis();
    load.rest.store(true, Ordering::Relaxed);
    for node in &c.nodes {
        wait::within(HEALED, "a node to bring in what it has", || {
            // It answers once everything that had ended is in the database.
            node.cli(&["exchanges", "--limit", "1"]).status.success().then_some(())
        });
    }
    load.rest.store(false, Ordering::Relaxed);
    eprintln!("{name}: all is served after {serving} ms, recorded after {} ms", began.elapsed().as_millis());
}

/// Makes faults under load, and then looks through the books. Nodes are killed so often in it.
pub fn under_load(c: &mut Cluster, served: &Served, killed: usize, faults: impl FnOnce(&mut Cluster, &Load)) {
    let body = ask(false);
    let (_, other) = c.nodes[0].key("other@example.com", &[]);
    let plenty = 1_000_000 * cost(1, 50);
    let closed = c.budget(plenty, &["--user", "dev@example.com", "--period", "total"]);
    let open = c.budget(plenty, &["--user", "other@example.com", "--period", "total", "--when-away", "open"]);
    let load = Load {
        stop: AtomicBool::new(false),
        rest: AtomicBool::new(false),
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
        let done = catch_unwind(AssertUnwindSafe(|| faults(c, &load)));
        load.stop.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|why| resume_unwind(why));
    });
    wait::within(HEALED, "the database to be reached", || {
        c.nodes.iter().all(|node| node.cli(&["exchanges", "--limit", "1"]).status.success()).then_some(())
    });
    books_agree(c, &load, &served.lock().unwrap(), killed);
    for (id, user) in [(&closed, "dev@example.com"), (&open, "other@example.com")] {
        agrees(c, id, user);
    }
    // The limit holds to the last cent, after all of it.
    let spent = c.standing(0, &closed).0;
    let limit = spent + 10 * cost(1, 50) + worst(&body);
    c.nodes[0].json(&["budget", "set", &closed, "--limit", &usd(limit)]);
    c.in_force();
    let passed = (0..10_000).take_while(|call| c.nodes[call % 3].post(&c.key, &body).status == 200).count();
    assert_eq!(passed, 11);
}

/// Every reply that the provider has given is in the ledger once. Those under way on a node that was killed are there too:
/// as interrupted, at their estimated cost.
fn books_agree(c: &Cluster, load: &Load, served: &BTreeSet<String>, killed: usize) {
    let all = c.exchanges();
    let of = |ended: &str| all.iter().filter(move |e| e["ended"] == ended).count();
    let (interrupted, refused) = (of("interrupted"), of("refused"));
    let ids: Vec<&str> =
        all.iter().filter_map(|e| e["request_id"].as_str()).filter(|id| served.contains(*id)).collect();
    let known: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(known.len(), ids.len(), "one is in the ledger twice");
    assert_eq!(all.len(), ids.len() + interrupted + refused, "there is something that nobody has served");
    assert!(interrupted <= CLIENTS * killed, "{interrupted} were interrupted, of {CLIENTS} under way");
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

//! PostgreSQL itself fails: it is stopped for a while; it dies and a standby takes over, and the address that nodes know leads
//! there, as a virtual address does.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use gatehouse_testkit::postgres::server::Server;
use gatehouse_testkit::valkey::Valkey;
use gatehouse_testkit::wire::Wire;
use gatehouse_testkit::{folder, wait};

use super::load::{Load, Served, fault, numbering, under_load};
use super::{Cluster, cluster_on};
use crate::world::ask;

/// Rules are evaluated often, by the node that has the lease for that.
const CONFIG: &str = "[alerts]\nevaluate_seconds = 1\n";
const DATABASE: &str = "nodes";
/// What a node that died in the middle of a job, or hung there, held of a lease is over by then.
const LEASE: Duration = Duration::from_mins(2);

/// How the old primary's end shows at the nodes.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// Connections are closed.
    Told,
    /// Nothing is heard any more.
    Silent,
}

fn on(load: &Load) {
    load.passed(0, 40);
}

/// Waits for as long as PostgreSQL is to be stopped at least, in seconds; a longer time than most runs have can be had.
#[expect(clippy::disallowed_methods, reason = "how long an outage lasts comes from the environment")]
fn outage() -> u64 {
    std::env::var("GATEHOUSE_TEST_OUTAGE_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// PostgreSQL is stopped, and starts again.
fn stopped(c: &mut Cluster, load: &Load, server: &RefCell<Server>) {
    let (seconds, name) = (outage(), format!("PostgreSQL is stopped for {} s", outage()));
    let feel = |load: &Load| {
        let began = Instant::now();
        on(load);
        wait::within(Duration::from_secs(seconds + 30), "the outage to last", || {
            (began.elapsed() >= Duration::from_secs(seconds)).then_some(())
        });
        on(load);
    };
    fault(c, load, &name, |_| server.borrow_mut().stop(), feel, |_| server.borrow_mut().restart());
}

/// The primary is killed, its standby is promoted, and the nodes' address leads there.
fn fails_over(c: &mut Cluster, load: &Load, server: &RefCell<Server>, end: End) {
    let standby = server.borrow().standby();
    let lead = |c: &Cluster| c.databases.iter().for_each(|wire| wire.lead(&standby.address));
    let make = |c: &mut Cluster| {
        if end == End::Silent {
            c.databases.iter().for_each(Wire::silence);
            server.borrow_mut().kill();
            return;
        }
        server.borrow_mut().kill();
        // The address may lead there too early: nodes must not take what a standby says for the newest.
        lead(c);
        for node in &c.nodes {
            wait::until("a node to find a standby", || {
                node.log().contains("the server is a standby").then_some(())
            });
            assert!(!node.cli(&["exchanges", "--limit", "1"]).status.success(), "it reads from a standby");
        }
    };
    let mend = |c: &mut Cluster| {
        standby.promote();
        lead(c);
    };
    let name = match end {
        End::Told => "PostgreSQL fails over to a standby",
        End::Silent => "PostgreSQL fails over to a standby, old connections hang",
    };
    fault(c, load, name, make, on, mend);
    server.replace(standby);
    works(c, &server.borrow());
}

/// What nodes do by the database works again: changes reach the others, leases are taken, nodes say that they are there.
fn works(c: &Cluster, server: &Server) {
    let body = ask(false);
    let (id, key) = c.nodes[0].key("third@example.com", &[]);
    wait::until("a new key to be known", || (c.nodes[1].post(&key, &body).status == 200).then_some(()));
    c.nodes[2].json(&["key", "revoke", &id]);
    wait::until("a revoked key to be refused", || (c.nodes[1].post(&key, &body).status == 401).then_some(()));
    let until = || server.sql(DATABASE, "SELECT max(until_at) FROM leases WHERE name = 'alerts'");
    let before = until();
    wait::within(LEASE, "a lease to be taken", || (until() != before).then_some(()));
    wait::within(LEASE, "all nodes to be seen", || {
        let status = c.nodes[0].json(&["status"]);
        status["nodes"].as_array().unwrap().iter().all(|node| node["state"] == "running").then_some(())
    });
}

#[test]
fn three_nodes_under_load_outlive_postgresql() {
    let (Some(server), Some(valkey)) = (Server::start(&[]), Valkey::start()) else { return };
    let served = Served::default();
    let url = server.database(DATABASE);
    let mut c = cluster_on(&url, valkey, None, 3, CONFIG, numbering(&served));
    let server = RefCell::new(server);
    under_load(&mut c, &served, 0, |c, load| {
        stopped(c, load, &server);
        fails_over(c, load, &server, End::Told);
        fails_over(c, load, &server, End::Silent);
    });
    let folder = folder();
    let file = folder.path().join("audit");
    for act in ["export", "verify"] {
        let done = c.nodes[1].cli(&["audit", act, file.to_str().unwrap()]);
        assert!(done.status.success(), "{act}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

//! The network between one node and what all share is cut: packets vanish on the line, and nobody hears that anything has ended.

use gatehouse_testkit::network::{self, NEAR, Network};
use gatehouse_testkit::postgres::server::Server;
use gatehouse_testkit::valkey::Valkey;
use gatehouse_testkit::wait;

use super::load::{Load, Served, fault, numbering, under_load};
use super::{Cluster, cluster_on};

#[test]
fn a_node_whose_packets_vanish_loses_nothing_and_doubles_nothing() {
    let test = concat!(module_path!(), "::a_node_whose_packets_vanish_loses_nothing_and_doubles_nothing");
    if !network::alone(test) {
        return;
    }
    let line = Network::start();
    let (Some(database), Some(valkey)) = (Server::start(&[NEAR]), Valkey::start_at(&[NEAR])) else { return };
    let (stores, counters) = (database.port, valkey.port);
    let served = Served::default();
    let url = database.database("nodes");
    let mut c = cluster_on(&url, valkey, Some(&line), 3, "", numbering(&served));
    under_load(&mut c, &served, 0, |c, load| {
        let on = |load: &Load| load.passed(0, 40);
        let felt = |load: &Load| {
            load.refused();
            // The other budget says that it is open.
            load.passed(1, 40);
        };
        let vanish = |ports: Vec<u16>| {
            let line = &line;
            move |c: &mut Cluster| {
                line.silence(&ports);
                if ports.contains(&stores) {
                    wait::until("the node to miss its database", || {
                        (!c.nodes[2].cli(&["exchanges", "--limit", "1"]).status.success()).then_some(())
                    });
                }
            }
        };
        let mend = |_: &mut Cluster| line.mend();
        fault(c, load, "packets between a node and PostgreSQL vanish", vanish(vec![stores]), on, mend);
        fault(c, load, "packets between a node and Valkey vanish", vanish(vec![counters]), felt, mend);
        fault(c, load, "packets between a node and both vanish", vanish(vec![stores, counters]), felt, mend);
    });
}

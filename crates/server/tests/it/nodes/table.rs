//! The table of faults: what nodes, Valkey and wires do. PostgreSQL's own are in `failover.rs`, networks in `cut.rs`.

use gatehouse_testkit::wire::Wire;

use super::load::{Load, Served, fault, numbering, under_load};
use super::{Cluster, cluster};

fn all_faults(c: &mut Cluster, load: &Load) {
    let on = |load: &Load| load.passed(0, 40);
    let felt = |load: &Load| {
        load.refused();
        // The other budget says that it is open.
        load.passed(1, 40);
    };
    fault(c, load, "a node is killed", |c| c.nodes[1].kill(), on, |c| c.nodes[1].restart());
    fault(c, load, "Valkey is emptied", |c| c.valkey.flush(), on, |_| ());
    fault(c, load, "Valkey stops and comes back empty", |c| c.valkey.stop(), felt, |c| c.valkey.restart());
    fault(c, load, "Valkey is silent", |c| c.valkey.signal("-STOP"), felt, |c| c.valkey.signal("-CONT"));
    fault(c, load, "a node is cut off from Valkey", |c| c.counters[2].cut(), felt, |c| c.counters[2].mend());
    let (cut, mend) = (|c: &mut Cluster| c.databases[0].cut(), |c: &mut Cluster| c.databases[0].mend());
    fault(c, load, "a node is cut off from PostgreSQL", cut, on, mend);
    let cut = |c: &mut Cluster| c.databases.iter().for_each(Wire::cut);
    let mend = |c: &mut Cluster| c.databases.iter().for_each(Wire::mend);
    fault(c, load, "all nodes are cut off from PostgreSQL", cut, on, mend);
    let both_away = |c: &mut Cluster| {
        cut(c);
        c.valkey.stop();
    };
    let both_back = |c: &mut Cluster| {
        c.valkey.restart();
        mend(c);
    };
    fault(c, load, "PostgreSQL and Valkey are away at once", both_away, felt, both_back);
}

#[test]
fn three_nodes_under_load_lose_nothing_and_double_nothing_whatever_fails() {
    let served = Served::default();
    let Some(mut c) = cluster(3, "", numbering(&served)) else { return };
    under_load(&mut c, &served, 1, all_faults);
}

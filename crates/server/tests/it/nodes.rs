//! Several nodes on one PostgreSQL and one Valkey behave as one.

use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::network::{NEAR, Network};
use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
use gatehouse_testkit::valkey::Valkey;
use gatehouse_testkit::wire::Wire;
use gatehouse_testkit::{folder, postgres, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::budgets::usd;

mod cut;
mod failover;
mod faults;
mod inventory;
mod load;
mod race;
mod table;

/// Nodes that share everything but their data directories.
pub struct Cluster {
    pub provider: FakeProvider,
    pub valkey: Valkey,
    /// Between each node and Valkey, but for one that is in a network of its own.
    pub counters: Vec<Wire>,
    /// Between each node and PostgreSQL, but for one that is in a network of its own.
    pub databases: Vec<Wire>,
    /// From a network of its own to the provider.
    _provider: Option<Wire>,
    pub nodes: Vec<Gatehouse>,
    pub key: String,
    pub key_id: String,
    _master_key: TempDir,
}

/// So many nodes in front of a provider that answers by this script; `None` where PostgreSQL or Valkey is not at hand.
pub fn cluster(
    count: usize,
    config: &str,
    script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
) -> Option<Cluster> {
    let (url, valkey) = (postgres::fresh()?, Valkey::start()?);
    Some(cluster_on(&url, valkey, None, count, config, script))
}

/// As [`cluster`], on this database and Valkey; where there is a network, the last node is in it.
pub fn cluster_on(
    url: &str,
    valkey: Valkey,
    network: Option<&Network>,
    count: usize,
    config: &str,
    script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
) -> Cluster {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (server, name) = rest.rsplit_once('/').unwrap();
    let (user, address) = server.rsplit_once('@').unwrap_or(("postgres", server));
    let provider = FakeProvider::start(script);
    let master_key = folder();
    // Not what a machine under load may need, but what the decision needs, is tested.
    let patience = if config.contains("patience_ms") { "" } else { "patience_ms = 10000\n" };
    let secrets =
        format!("[secrets]\nmaster_key = \"file:{}\"", master_key.path().join("master.key").display());
    let start = |provider: &str, store: &str, counters: &str| {
        Builder::new(env!("CARGO_BIN_EXE_gatehouse"), provider)
            .store(&format!("{scheme}://{user}@{store}/{name}"))
            .config(&secrets)
            .config(&format!("[counters]\nurl = \"redis://{counters}\"\n{patience}{config}"))
    };
    let (mut counters, mut databases, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in usize::from(network.is_some())..count {
        let (to_valkey, to_database) = (Wire::to(&valkey.address), Wire::to(address));
        nodes.push(start(&provider.url, &to_database.address, &to_valkey.address).start());
        counters.push(to_valkey);
        databases.push(to_database);
    }
    let to_provider = network.map(|_| Wire::between(NEAR, provider.url.trim_start_matches("http://")));
    if let (Some(network), Some(to_provider)) = (network, &to_provider) {
        // Its connections to PostgreSQL and Valkey are the real ones, on the line.
        let at = |address: &str| format!("{NEAR}:{}", address.rsplit_once(':').unwrap().1);
        let provider = format!("http://{}", to_provider.address);
        nodes.push(start(&provider, &at(address), &at(&valkey.address)).beyond(network).start());
    }
    let (key_id, key) = nodes[0].key("dev@example.com", &[]);
    let cluster = Cluster {
        provider,
        valkey,
        counters,
        databases,
        _provider: to_provider,
        nodes,
        key,
        key_id,
        _master_key: master_key,
    };
    cluster.in_force();
    cluster
}

impl Cluster {
    /// Waits until all nodes decide by the newest policy and count together.
    pub fn in_force(&self) {
        for node in &self.nodes {
            wait::until("the policy to be in force on all nodes", || {
                let status = node.json(&["status"]);
                let same = status["snapshot_version"] == status["policy_version"];
                (same && status["counters"]["state"] == "reached").then_some(())
            });
        }
    }

    /// Makes a budget that all nodes know.
    pub fn budget(&self, limit: i64, more: &[&str]) -> String {
        let made = self.nodes[0].json(&[&["budget", "add", &usd(limit)], more].concat());
        self.in_force();
        made["id"].as_str().unwrap().to_owned()
    }

    /// What a node knows to be spent and held of a budget, once it knows it.
    pub fn standing(&self, node: usize, id: &str) -> (i64, i64) {
        wait::until("the budget to be counted", || self.try_standing(node, id))
    }

    pub fn try_standing(&self, node: usize, id: &str) -> Option<(i64, i64)> {
        let shown = self.nodes[node].json(&["budget", "show", id]);
        Some((shown["spent_nanos"].as_i64()?, shown["held_nanos"].as_i64()?))
    }

    /// All exchanges of all nodes, once every node has brought in what it has.
    pub fn exchanges(&self) -> Vec<Value> {
        for node in &self.nodes {
            node.exchanges();
        }
        self.nodes[0].exchanges()
    }

    /// What all exchanges cost together.
    pub fn ledger(&self) -> i64 {
        self.exchanges().iter().map(|e| e["cost_nanos"].as_i64().unwrap()).sum()
    }
}

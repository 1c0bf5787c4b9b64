//! Several nodes on one PostgreSQL and one Valkey behave as one.

use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
use gatehouse_testkit::valkey::{Valkey, Wire};
use gatehouse_testkit::{folder, postgres, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::budgets::usd;

mod faults;
mod inventory;
mod race;
mod table;

/// Nodes that share everything but their data directories.
pub struct Cluster {
    pub provider: FakeProvider,
    pub valkey: Valkey,
    /// Between each node and Valkey.
    pub counters: Vec<Wire>,
    /// Between each node and PostgreSQL.
    pub databases: Vec<Wire>,
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
    let (scheme, rest) = url.split_once("://").unwrap();
    let (server, name) = rest.rsplit_once('/').unwrap();
    let (user, address) = server.rsplit_once('@').unwrap_or(("postgres", server));
    let provider = FakeProvider::start(script);
    let master_key = folder();
    // Not what a machine under load may need, but what the decision needs, is tested.
    let patience = if config.contains("patience_ms") { "" } else { "patience_ms = 10000\n" };
    let secrets =
        format!("[secrets]\nmaster_key = \"file:{}\"", master_key.path().join("master.key").display());
    let (mut counters, mut databases, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let (to_valkey, to_database) = (Wire::to(&valkey.address), Wire::to(address));
        let start = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url)
            .store(&format!("{scheme}://{user}@{}/{name}", to_database.address))
            .config(&secrets)
            .config(&format!("[counters]\nurl = \"redis://{}\"\n{patience}{config}", to_valkey.address));
        counters.push(to_valkey);
        databases.push(to_database);
        nodes.push(start.start());
    }
    let (key_id, key) = nodes[0].key("dev@example.com", &[]);
    let cluster =
        Cluster { provider, valkey, counters, databases, nodes, key, key_id, _master_key: master_key };
    cluster.in_force();
    Some(cluster)
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

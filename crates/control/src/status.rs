//! The state of this node.

use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::node::Node;
use serde::Serialize;
use utoipa::ToSchema;

use crate::act::ActError;
use crate::app::App;

/// Whether requests will be served.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether they will.
    pub ready: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that is looked at. Not all of them keep requests from being served.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Check {
    /// Its name, such as `ledger`.
    pub name: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How far the ledger is behind the journal.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct LedgerState {
    /// Whether new exchanges are taken.
    pub accepting: bool,
    /// Whether the database did not take entries at the last attempt.
    pub failing: bool,
    /// Entries that are durable on disk and not yet in the database.
    pub lag_entries: u64,
    /// About how many bytes of the journal these are.
    pub lag_bytes: u64,
    /// Seconds since everything durable was in the database; 0 when it is.
    pub lag_seconds: u64,
    /// Records of refused requests that were counted only, for want of room, since the start.
    pub shed: u64,
}

/// How this node counts budgets and limits.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CountersState {
    /// `memory`: for itself. `reached`: together with other nodes. `away`: together, and what they share cannot be reached.
    pub state: &'static str,
    /// How many nodes count together, this one included; 1 for `memory`.
    pub nodes: u64,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A node that uses this database.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NodeState {
    /// Its identifier.
    pub id: String,
    /// The version of the program it runs.
    pub version: String,
    /// When it last started (RFC 3339).
    pub since: String,
    /// When it last said that it is there (RFC 3339); every ten seconds.
    pub seen_at: String,
    /// `running`, `stopped` in good order, or `silent`.
    pub state: &'static str,
    /// Whether it serves requests, as it last said.
    pub ready: bool,
    /// How it counts, as it last said: `memory`, `reached` or `away`.
    pub counters: String,
    /// The version of the policy that it decides by, as it last said.
    pub policy_version: u64,
}

/// The state of this node.
#[derive(Debug, Serialize, ToSchema)]
pub struct Status {
    /// Version of the running program.
    pub version: &'static str,
    /// This node's identifier.
    pub node: String,
    /// The organization of this deployment.
    pub organization: String,
    /// The engine of the database: `sqlite` or `postgres`.
    pub store: &'static str,
    /// When the program started (RFC 3339).
    pub started_at: String,
    /// Whether requests will be served.
    pub ready: bool,
    /// Version of the policy snapshot that this node decides by.
    pub snapshot_version: u64,
    /// Version of the policy in the database; equal to `snapshot_version` within seconds of a change.
    pub policy_version: u64,
    /// Seconds since this node last knew that the policy it decides by is the newest; a few at most.
    pub policy_age_seconds: u64,
    /// How far the ledger is behind.
    pub ledger: LedgerState,
    /// How it counts.
    pub counters: CountersState,
    /// The nodes that use this database and were seen within a week, this one included.
    pub nodes: Vec<NodeState>,
}

/// A node that was not heard of for so long does not run, or cannot say so.
const SILENT_MS: i64 = 30_000;
/// For so long a node is listed after it was last seen.
const LISTED_MS: i64 = 7 * DAY_MS;

/// Looks at this node.
///
/// # Errors
/// The database does not answer.
pub async fn status(app: &App) -> Result<Status, ActError> {
    let now = app.now();
    let listed = app.store.nodes(now.plus_millis(-LISTED_MS)).await?;
    let nodes: Vec<NodeState> = listed.into_iter().map(|node| shown(node, now)).collect();
    let mut counters = (app.house.counters)();
    let others =
        nodes.iter().filter(|node| node.state == "running" && node.id != app.node.to_string()).count();
    if counters.state == "memory" && others > 0 {
        counters.problem = Some(format!(
            "{others} other node(s) run: hard budgets and limits are per node until `counters.url` names what they share"
        ));
    }
    Ok(Status {
        version: app.version,
        node: app.node.to_string(),
        organization: app.org.to_string(),
        store: app.store.engine_name(),
        started_at: app.started_at.to_string(),
        ready: (app.house.readiness)().ready,
        snapshot_version: (app.house.snapshot_version)(),
        policy_version: app.store.policy_version(app.org).await?,
        policy_age_seconds: (app.house.policy_age)().as_secs(),
        ledger: (app.house.ledger)(),
        counters,
        nodes,
    })
}

fn shown(node: Node, now: UnixMillis) -> NodeState {
    let silent = node.seen_at.plus_millis(SILENT_MS) < now;
    let state = match node.stopped_at {
        Some(_) => "stopped",
        None if silent => "silent",
        None => "running",
    };
    NodeState {
        id: node.id.to_string(),
        version: node.version,
        since: node.started_at.to_string(),
        seen_at: node.seen_at.to_string(),
        state,
        ready: node.tells.ready && state == "running",
        counters: node.tells.counters,
        policy_version: node.tells.policy_version,
    }
}

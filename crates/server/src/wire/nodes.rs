//! What this node tells of itself, and what it knows of the others.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gatehouse_store::node::Tells;
use gatehouse_store::{StoreError, in_time};

use super::live::{Beginnings, Live};
use crate::clock;
use crate::config::{Counters, WhenOthers};

/// How long the database may take.
const READ: Duration = Duration::from_secs(5);
/// A node that was not heard of for so long does not run any more.
const AWAY_MS: i64 = 60_000;

/// What this node tells.
pub(super) fn tells(live: &Live) -> Tells {
    Tells {
        ready: live.ready.load(Ordering::Acquire),
        counters: counters(live).to_owned(),
        policy_version: live.policy.load().version(),
    }
}

/// How this node counts: `memory`, or `reached` or `away`.
pub(super) fn counters(live: &Live) -> &'static str {
    match live.counters.together().map(|together| together.seen().0) {
        None => "memory",
        Some(true) => "reached",
        Some(false) => "away",
    }
}

/// Looks whether other nodes use the database of a node that counts for itself.
///
/// # Errors
/// A sentence, where they do and it is configured not to start then.
pub(super) async fn alone(parts: &Beginnings) -> Result<(), Vec<String>> {
    let Counters::Alone(when_others) = &parts.config.counters else { return Ok(()) };
    let since = clock::now().plus_millis(-AWAY_MS);
    let nodes = in_time(READ, parts.store.nodes(since)).await.map_err(|e: StoreError| vec![e.to_string()])?;
    let others = nodes.iter().filter(|node| node.id != parts.node && node.stopped_at.is_none()).count();
    if others == 0 {
        return Ok(());
    }
    let told = format!(
        "{others} other node(s) use this database, and this one counts in memory: hard budgets and limits are per node. \
         Set `counters.url` to a Valkey or Redis server that all nodes share"
    );
    match when_others {
        WhenOthers::Refuse => Err(vec![format!("counters.when_others: {told}")]),
        WhenOthers::Warn => {
            tracing::error!(others, "{told}");
            Ok(())
        }
    }
}

/// Notes that this node stops in good order.
pub(super) async fn stopped(live: &Live) {
    if let Err(error) = in_time(READ, live.store.note_stopped(live.node, clock::now())).await {
        tracing::warn!(%error, "the other nodes were not told that this one stops");
    }
}

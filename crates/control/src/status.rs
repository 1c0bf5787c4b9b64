//! The state of this node.

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
}

/// Looks at this node.
///
/// # Errors
/// The database does not answer.
pub async fn status(app: &App) -> Result<Status, ActError> {
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
    })
}

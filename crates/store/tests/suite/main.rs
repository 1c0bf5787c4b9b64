//! The store's tests: one suite, run on both engines.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is the message; not every function here is a test"
)]

mod engines;
mod opening;
mod migrations;
mod directory;
mod keys;
mod sessions;
mod identities;
mod factors;
mod provisioning;
mod paging;
mod rotation;
mod audit;
mod backups;
mod budgets;
mod limits;
mod retention;
mod proxy;
mod chained;
mod ledger;
mod recall;
mod usage;
mod reports;
mod snapshots;
mod settings;
mod rollout;
mod phases;
mod alerts;
mod ownership;
mod silence;
mod telemetry;
mod analytics;
mod log_forward;

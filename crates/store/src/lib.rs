//! The only SQL: SQLite and PostgreSQL, migrations, the journal and the ledger.
//!
//! [`Store`] is the database. Every function that changes something takes an audit [`Draft`] and writes it in the same
//! transaction: what could not be recorded was not done. The draft's time is the time of the change. Every function on
//! tenant data takes the tenant first; the few that do not are for jobs and say so.
//!
//! Statements are written once, with `$1` placeholders, and run on both engines; what differs is in `dialect.rs`; how PostgreSQL is
//! connected to, in `postgres.rs`.
//!
//! **Order of locks.** On PostgreSQL rows are locked until the transaction ends. To keep two transactions from waiting for
//! each other, each changes first the rows of nouns, then the policy version, and appends to the audit log last.
//!
//! [`Draft`]: gatehouse_domain::audit::Draft

mod dialect;
mod engine;
mod error;
mod filter;
mod page;
mod place;
mod postgres;
mod span;
mod stored;
mod sum;
mod token;
pub mod data_dir;
pub mod migration;
pub mod org;
pub mod team;
pub mod user;
pub mod project;
pub mod key;
pub mod admin_token;
pub mod session;
pub mod device;
pub mod login;
pub mod identity;
pub mod password;
pub mod factor;
pub mod local_sign_in;
pub mod account;
pub mod group;
pub mod provisioning_token;
pub mod sync_run;
pub mod lease;
pub mod secret;
pub mod rotation;
pub mod node;
pub mod policy;
pub mod access;
pub mod proxy;
pub mod tunnel;
pub mod budget;
pub mod limit;
pub mod raise;
pub mod retention;
pub mod role;
pub mod settings;
pub mod ownership;
pub mod readiness;
pub mod plan;
pub mod log_forward;
mod maintenance;
pub mod rollout;
pub mod feedback;
pub mod notification;
pub mod alert;
pub mod audit;
pub mod backup;
pub mod journal;
pub mod ledger;
pub mod pool;
pub mod telemetry;
pub mod analytics;
pub mod mode;
pub mod passage;
pub mod report;
pub mod snapshot;

pub use engine::{OpenError, Store, StoreConfig, Tx, in_time};
pub use error::StoreError;
pub use page::{Listed, MAX_LIMIT, Page};
pub use place::Place;

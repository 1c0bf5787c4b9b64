//! Nouns and decisions of Gatehouse.
//!
//! Everything here is a plain value or a pure function: no I/O, no clock, no async runtime, no HTTP, no SQL.
//! Time and randomness come in as arguments, so every decision can be tested with a table.

pub mod id;
pub mod time;
pub mod zone;
pub mod money;
pub mod usage;
pub mod price;
pub mod key;
pub mod token;
pub mod model;
pub mod name;
pub mod network;
pub mod budget;
pub mod limit;
pub mod policy;
pub mod access;
pub mod data_class;
pub mod data_protection;
pub mod proxy;
pub mod egress;
pub mod exchange;
pub mod readiness;
pub mod role;
pub mod audit;
pub mod directory;
pub mod session;
pub mod source;
pub mod settings;
pub mod ownership;
pub mod assessment;
pub mod plan;
pub mod log_forward;
pub mod maintenance;
pub mod routing;
pub mod quota;
pub mod telemetry;
pub mod analytics;
pub mod trace;
pub mod mode;
pub mod metrics;
pub mod feedback;
pub mod rollout;
pub mod report;
pub mod scale;
pub mod alert;

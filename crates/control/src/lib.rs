//! The management plane.
//!
//! `<noun>.rs` holds what can be done with a noun; `api/<noun>.rs` is its thin HTTP face under `/api/v1`. Every act
//! that changes something is audited in the transaction that changes it, and every handler names the permission it
//! needs in its signature ([`api::Admin`]).

pub mod app;
pub mod act;
pub mod period;
pub mod attempts;
pub mod bootstrap;
pub mod secret;
pub mod keys;
pub mod rotation;
pub mod status;
pub mod user;
pub mod team;
pub mod project;
pub mod access;
mod holder;
pub mod budget;
pub mod limit;
pub mod raise;
pub mod retention;
pub mod proxy;
pub mod inspection;
pub mod role;
pub mod scope;
pub mod key;
pub mod admin_token;
pub mod provisioning_token;
pub mod group;
pub mod scim;
pub mod directory;
pub mod usage;
pub mod telemetry;
pub mod analytics;
pub mod mode;
pub mod exchange;
pub mod audit;
pub mod backup;
pub mod config;
pub mod provider;
pub mod route;
pub mod session;
pub mod factor;
pub mod portal;
pub mod settings;
pub mod ownership;
pub mod readiness;
pub mod plan;
pub mod log_forward;
pub mod maintenance;
pub mod metrics;
pub mod feedback;
pub mod rollout;
pub mod pdf;
pub mod report;
pub mod alert;
pub mod spend_limit;
pub mod api;

pub use api::{openapi, probe_router, router};
pub use app::App;

//! The management API from the outside: requests into the router, a real database behind it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod house;
mod roles;
mod scopes;
mod scim;
mod directory;
mod directories;
mod keys;
mod tokens;
mod usage;
mod snapshots;
mod reports;
mod organizations;
mod hostile;
mod secrets;
mod start;
mod assessment;
mod audit;
mod budgets;
mod config;
mod sign_in;
mod jobs;
mod alerts;
mod settings;
mod rollout;
mod schemas;
mod ownership;
mod document;

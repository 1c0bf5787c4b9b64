//! The end-to-end tests: the real binary, a scripted provider, bytes on loopback.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]
#![expect(clippy::panic, reason = "a failed test panics")]
#![expect(unreachable_pub, reason = "what one file of a test program offers the others")]
#![expect(clippy::too_many_lines, reason = "a table of cases is read as one")]

mod world;
mod messages;
mod refusals;
mod bad_input;
mod upstream;
mod metering;
mod bytes;
mod revocation;
mod sign_in;
mod directory;
mod scim;
mod lifecycle;
mod durability;
mod audit;
mod backups;
mod readiness;
mod alerts;
mod access;
mod budgets;
mod nodes;
mod limits;
mod reports;
mod documents;
mod provider_reports;
mod analytics;
mod assess;
mod plan;
mod log_forward;
mod maintenance;
mod admin;
mod listeners;
mod network;
mod settings;
mod code;
mod clouds;
mod proxy;
mod egress;
mod routing;
mod telemetry;
mod rollout;
mod ingress;
mod conformance;
mod data_protection;

//! The forward proxy, end to end: real connections, a name server of our own, destinations on loopback.

pub(crate) mod world;
mod tunnel;
mod identity;
mod refusals;
mod plain;
mod endings;
mod inspection;
mod ways;

//! The end-to-end tests: the real binary, a scripted provider, bytes on loopback.

mod world;
mod messages;
mod refusals;
mod bad_input;
mod metering;
mod bytes;
mod revocation;
mod lifecycle;
mod durability;
mod audit;

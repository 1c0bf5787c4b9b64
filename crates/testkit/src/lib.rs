//! Fakes and builders for tests: a provider that does what a script says, down to the byte; a client that says what it
//! is told and reports what it saw; the real binary in a directory of its own. All on loopback, all blocking.
//!
//! It fails by panicking, with what it saw: it runs in tests only.
#![expect(clippy::panic, reason = "a failed test panics")]
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

pub mod wait;
pub mod http;
pub mod provider;
pub mod issuer;
pub mod browser;
pub mod authenticator;
pub mod sse;
pub mod gatehouse;
pub mod postgres;
pub mod squid;
pub mod valkey;
pub mod wire;
pub mod network;
pub mod leak;
pub mod bot;
pub mod mail;
pub mod pdf;

/// A folder that is removed in the end.
///
/// # Panics
/// When none can be made.
pub fn folder() -> tempfile::TempDir {
    tempfile::TempDir::new().unwrap()
}

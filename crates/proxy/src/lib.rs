//! The forward proxy.
//!
//! One port takes TLS or plain connections, `CONNECT` or whole addresses. A connection goes through the stages of
//! `handle.rs`: read the head, find out who asks, decide (a pure function of the domain), look the name up once, decide
//! again about every address it has, connect to a checked address, see that the client greets the very host it asked for,
//! carry bytes. Whatever ends a tunnel, it leaves one record.
//!
//! Where the operator says so, TLS ends here and the requests within go to the data path ([`inspection`]).
//!
//! What reads bytes from outside ([`head`], [`hello`], [`body`], [`dns`]) opens no socket and is fuzzed.

pub mod head;
pub mod hello;
pub mod body;
pub mod dns;
pub mod settings;
pub mod authority;
pub mod inspection;
mod credential;
mod identify;
mod resolve;
mod answers;
mod refuse;
mod tunnels;
mod traffic;
mod carry;
mod splice;
mod plain;
mod record;
mod handle;
mod serve;
mod metric;

pub use answers::answers;
pub use record::{NoRoom, Records};
pub use resolve::Resolver;
pub use serve::{CatchUp, Parts, Proxy, Rehashed, start};

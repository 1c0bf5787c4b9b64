//! The way out: how Gatehouse itself reaches other machines.
//!
//! Whatever is sent to a provider, to a service that gives credentials, to an identity provider or a collector, and whatever the
//! forward proxy opens, begins as a [`Link`] of [`Egress`]: a connection to a checked address, or one through a parent proxy.
//! Which of both is decided when a connection is opened, by the settings of that moment; what is open stays as it is. TLS to
//! the destination goes on top ([`tls`]).

pub mod tls;
mod dial;
mod link;
mod ask;
mod parent;
mod way;

pub use ask::NotThrough;
pub use dial::dial;
pub use link::Link;
pub use parent::{Parent, ParentSpec};
pub use way::{Egress, NotOpened, ParentState, Settings};

//! Looking into a tunnel: what leaves the proxy for the data path, and why it may not come to that.
//!
//! TLS with the client ends here. What is within is handed over as a stream of bytes, with who it is from and where it is to
//! go; whoever takes it speaks HTTP with the client, and TLS with the destination, whose certificate it verifies.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use gatehouse_domain::policy::Grant;
use tokio::io::DuplexStream;

use crate::authority::NoLeaf;

/// A tunnel that is looked into, as it is handed over.
pub struct Within {
    /// What its client was let in by.
    pub grant: Grant,
    /// The client's address.
    pub client: IpAddr,
    /// The host that it is for: the client asked for it, and greeted it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The addresses that may be connected to, checked; none where only a parent proxy knows any.
    pub addresses: Vec<IpAddr>,
    /// To be counted up with every request, for the tunnel's record.
    pub requests: Arc<AtomicU32>,
    /// What the client says, and is told. When it ends, so does the tunnel.
    pub stream: DuplexStream,
}

/// There is no room for another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSeat;

/// Takes over what is within a tunnel.
pub type Enter = Box<dyn Fn(Within) -> Result<(), NoSeat> + Send + Sync>;

/// Why a tunnel that is to be looked into is refused. None is let through unseen instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotInspected {
    /// Whoever opened it was let in by nothing that its requests could be booked on.
    #[error("what is inspected is booked on a key or a sign-in: show a key for the proxy or a token")]
    Nobody,
    /// There is no authority.
    #[error("its inspection authority is not set up yet")]
    NoAuthority,
    /// The authority has no certificate for the host.
    #[error("{0}")]
    NoLeaf(#[from] NoLeaf),
}

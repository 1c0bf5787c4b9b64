//! What the operator decides. Swapped whole on reload.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_domain::network::{Network, Proxies};
use gatehouse_domain::proxy::{Gate, Inspection};
use rustls::ServerConfig;

/// All settings of the proxy.
#[derive(Clone)]
pub struct Settings {
    /// Ports, and the names of our own gateway.
    pub gate: Gate,
    /// Where connections to our own gateway's names go.
    pub gateway: SocketAddr,
    /// Who is meant by a network: the e-mail address of a person. The first that holds the client's address counts.
    pub sources: Vec<(Network, String)>,
    /// What TLS connections to the proxy are answered with; none are without it.
    pub tls: Option<Arc<ServerConfig>>,
    /// Proxies in front whose connections begin with a preamble of the PROXY protocol.
    pub preamble: Option<Proxies>,
    /// From which of our own addresses our gateway expects such a preamble, so that it hears of the client. None where the
    /// gateway's names lead elsewhere.
    pub announces: Option<Proxies>,
    /// What a tunnel may carry that does not name its host in TLS.
    pub unnamed: Unnamed,
    /// What a person is told to turn to when something is refused; may be empty.
    pub contact: String,
    /// Which destinations are looked into; none unless some are named.
    pub inspection: Inspection,
    /// Bounds.
    pub limits: Limits,
}

/// What a tunnel may carry that does not name its host in TLS. A greeting of another host is never let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// Nothing.
    Refuse,
    /// TLS that names no host.
    Tls,
    /// Anything.
    Anything,
}

/// Bounds of the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; beyond it a new one is closed at once.
    pub max_connections: usize,
    /// Open connections from one address; likewise.
    pub max_connections_per_address: usize,
    /// Open tunnels; beyond it a new one is refused with 429.
    pub max_tunnels: usize,
    /// Open tunnels of one person; likewise.
    pub max_tunnels_per_user: usize,
    /// Refusals of strangers from one address in a minute that leave a record. Beyond it wrong credentials get 429, and what
    /// strangers do is only counted.
    pub max_strangers: u32,
    /// Time for TLS and a head, from when the connection is ready for it.
    pub head: Duration,
    /// Time for the client's greeting once a tunnel is open.
    pub hello: Duration,
    /// Time for looking a name up.
    pub resolve: Duration,
    /// Time for connecting, all addresses together.
    pub connect: Duration,
    /// Longest time in which nothing moves.
    pub idle: Duration,
    /// Longest time that a tunnel is open.
    pub longest: Duration,
}

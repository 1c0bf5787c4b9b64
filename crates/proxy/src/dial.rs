//! Connecting to checked addresses, and to nothing else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gatehouse_domain::proxy::Answer;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Connects to the first of these addresses that answers, within a time for all of them.
pub(crate) async fn dial(addresses: &[IpAddr], port: u16, limit: Duration) -> Option<(TcpStream, IpAddr)> {
    let end = Instant::now() + limit;
    for (index, address) in addresses.iter().enumerate() {
        // One that is silent leaves as much time to each of the others.
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(1).max(1);
        let until = Instant::now() + share;
        if let Ok(Ok(stream)) = timeout_at(until, TcpStream::connect(SocketAddr::new(*address, port))).await {
            // A tunnel carries small messages that wait for each other; if it cannot be set they are slower.
            drop(stream.set_nodelay(true));
            return Some((stream, *address));
        }
    }
    None
}

/// The addresses of a host as the decision takes them.
pub fn answers(addresses: &[IpAddr], port: u16, own: &[SocketAddr]) -> Vec<Answer> {
    let of = |address: IpAddr| Answer { address, own: is_own(address.to_canonical(), port, own) };
    addresses.iter().copied().map(of).collect()
}

/// Whether a listener of ours is at this address: one of its ports, on an address of this machine.
fn is_own(address: IpAddr, port: u16, own: &[SocketAddr]) -> bool {
    own.iter().any(|listener| listener.port() == port)
        && (own.iter().any(|listener| listener.ip() == address) || is_of_this_machine(address))
}

/// Only an address of this machine can be bound to.
fn is_of_this_machine(address: IpAddr) -> bool {
    address.is_loopback() || std::net::UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

//! The addresses of a host, and which of them are our own.

use std::net::{IpAddr, SocketAddr};

use gatehouse_domain::proxy::Answer;

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

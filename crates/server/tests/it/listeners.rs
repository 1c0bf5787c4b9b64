//! How our listeners take connections: TLS, client certificates, the PROXY protocol.

pub mod client;
mod tls;
mod certificates;
mod preamble;

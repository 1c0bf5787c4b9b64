//! Connecting to checked addresses, and to nothing else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Connects to the first of these addresses that answers, within a time for all of them.
///
/// # Errors
/// Why the last of them did not answer.
pub async fn dial(addresses: &[IpAddr], port: u16, limit: Duration) -> io::Result<(TcpStream, IpAddr)> {
    let end = Instant::now() + limit;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for (index, address) in addresses.iter().enumerate() {
        // One that is silent leaves as much time to each of the others.
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(1).max(1);
        let until = Instant::now() + share;
        match timeout_at(until, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => {
                // Small messages wait for each other; if it cannot be set they are slower.
                drop(stream.set_nodelay(true));
                return Ok((stream, *address));
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "it does not answer in time"),
        }
    }
    Err(last)
}

//! Names to addresses, once for each connection: what was looked up is what is checked, and what is checked is connected to.
//!
//! Either the system looks names up, or the name servers that the operator wrote down do. Answers are kept as long as the
//! server says, at most five minutes (the system does not say: 30 s), that there is none for at most ten seconds, and at most
//! [`KEPT`] of both; a failure is not kept.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

use crate::dns::{Kind, Reply, question, reply};

/// Most kept answers; beyond it those that ran out are let go, and if that is not enough, all.
const KEPT: usize = 4096;
/// Longest that an answer is kept.
const LONGEST: Duration = Duration::from_mins(5);
/// How long an answer of the system is kept.
const OF_SYSTEM: Duration = Duration::from_secs(30);
/// Longest that it is kept that there is none.
const LONGEST_NONE: Duration = Duration::from_secs(10);
/// How long one question to one server may take. Each server is asked twice.
const QUESTION: Duration = Duration::from_millis(1500);
/// Most addresses of a name that are looked at; a name with more is refused.
const MAX_ADDRESSES: usize = 64;

/// Looks names up.
#[derive(Clone, Default)]
pub struct Resolver(Arc<Inner>);

#[derive(Default)]
struct Inner {
    servers: Vec<SocketAddr>,
    kept: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    addresses: Vec<IpAddr>,
    until: Instant,
}

impl Resolver {
    /// Asks these servers in their order, or the system if there are none.
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self(Arc::new(Inner { servers, kept: Mutex::default() }))
    }

    /// All addresses of a name; `None` when it cannot be looked up now. A name without an address has an empty list.
    pub async fn addresses(&self, name: &str, limit: Duration) -> Option<Vec<IpAddr>> {
        if let Some(kept) = self.0.kept(name) {
            return Some(kept);
        }
        let (addresses, holds) = timeout(limit, self.0.look_up(name)).await.ok()??;
        if addresses.len() > MAX_ADDRESSES {
            return None;
        }
        let longest = if addresses.is_empty() { LONGEST_NONE } else { LONGEST };
        self.0.keep(name, &addresses, holds.min(longest));
        Some(addresses)
    }
}

impl Inner {
    fn kept(&self, name: &str) -> Option<Vec<IpAddr>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).filter(|kept| kept.until > Instant::now()).map(|kept| kept.addresses.clone())
    }

    fn keep(&self, name: &str, addresses: &[IpAddr], holds: Duration) {
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.retain(|_, kept| kept.until > now);
        }
        if kept.len() >= KEPT {
            kept.clear();
        }
        if holds.is_zero() {
            kept.remove(name);
        } else {
            kept.insert(name.to_owned(), Kept { addresses: addresses.to_vec(), until: now + holds });
        }
    }

    async fn look_up(&self, name: &str) -> Option<(Vec<IpAddr>, Duration)> {
        if self.servers.is_empty() {
            return of_system(name).await;
        }
        let (v4, v6) = tokio::join!(self.ask(name, Kind::A), self.ask(name, Kind::Aaaa));
        // Both must be known, so that none goes unchecked.
        let ((mut addresses, first), (more, second)) = (v4?, v6?);
        let holds = if addresses.is_empty() == more.is_empty() {
            first.min(second)
        } else if addresses.is_empty() {
            second
        } else {
            first
        };
        addresses.extend(more);
        Some((addresses, holds))
    }

    async fn ask(&self, name: &str, kind: Kind) -> Option<(Vec<IpAddr>, Duration)> {
        for server in self.servers.iter().cycle().take(2 * self.servers.len()) {
            let by_udp = timeout(QUESTION, over_udp(*server, name, kind)).await;
            let answer = match by_udp {
                Ok(Ok(Reply::Cut)) => timeout(QUESTION, over_tcp(*server, name, kind)).await,
                answer => answer,
            };
            if let Ok(Ok(Reply::Addresses(addresses, seconds))) = answer {
                return Some((addresses, Duration::from_secs(seconds.into())));
            }
        }
        None
    }
}

async fn of_system(name: &str) -> Option<(Vec<IpAddr>, Duration)> {
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|address| address.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Some((addresses, OF_SYSTEM))
        }
        // The system does not tell apart that there is none from that it cannot say.
        Err(_) => None,
    }
}

/// Asks from a port of its own each time, which together with the number makes answers hard to forge.
async fn over_udp(server: SocketAddr, name: &str, kind: Kind) -> io::Result<Reply> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let id = rand::random();
    socket.send(&question(id, name, kind)).await?;
    let mut buffer = [0; 1500];
    loop {
        let count = socket.recv(&mut buffer).await?;
        if let Some(reply) = reply(&buffer[..count], id, name, kind) {
            return Ok(reply);
        }
    }
}

async fn over_tcp(server: SocketAddr, name: &str, kind: Kind) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(server).await?;
    let id = rand::random();
    let question = question(id, name, kind);
    let length = u16::try_from(question.len()).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes()[..], &question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(match reply(&message, id, name, kind) {
        Some(Reply::Cut) | None => Reply::Failed,
        Some(reply) => reply,
    })
}

//! What is in force for one listener, and taking a connection in under it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gatehouse_domain::network::Proxies;
use metrics::counter;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificate;
use crate::preamble::{self, Preamble};
use crate::stream::Stream;

/// How long a client that was refused may take to read that, ...
const LINGER: Duration = Duration::from_secs(1);
/// ... and how much of what it still sends is read away meanwhile, in bytes.
const LINGER_BYTES: u64 = 16 * 1024;

/// What a client certificate says of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Person {
    /// Nothing: it lets the connection in.
    #[default]
    Any,
    /// It must be of the very person whose credential a request carries.
    Holder,
}

/// What is in force for a listener.
#[derive(Clone, Default)]
pub struct Rules {
    /// What TLS is answered with; without it, the listener speaks in the clear.
    pub tls: Option<Arc<ServerConfig>>,
    /// Proxies whose connections begin with a preamble of the PROXY protocol, without exception. What others send is theirs.
    pub preamble: Option<Proxies>,
    /// What a client certificate says of who asks.
    pub person: Person,
}

/// A listener's rules, which a reload replaces.
pub struct Entrance {
    name: &'static str,
    rules: ArcSwap<Rules>,
}

/// What a verified client certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certified {
    /// For whom it is: an e-mail address in lower case.
    For(String),
    /// Nobody, or several.
    Unclear,
}

/// A connection that was taken in.
pub struct Arrived {
    /// Its bytes.
    pub stream: Stream,
    /// The client's address: the connection's, or what a proxy said.
    pub address: IpAddr,
    /// What the client certificate says, if one was shown.
    pub certificate: Option<Certified>,
}

/// Why a connection was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// A proxy did not say for whom it connects as it must.
    Preamble,
    /// There was no agreement on TLS: the client speaks something else, or what it shows is not accepted.
    Tls,
}

impl Turned {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Preamble => "preamble",
            Self::Tls => "tls",
        }
    }

    /// Counts it for the listener of this name.
    pub fn counted(self, listener: &'static str) -> Self {
        counter!("gatehouse_listener_turned_away_total", "listener" => listener, "why" => self.as_str())
            .increment(1);
        self
    }
}

impl fmt::Display for Turned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Entrance {
    /// The entrance of the listener of this name.
    pub fn new(name: &'static str, rules: Rules) -> Self {
        Self { name, rules: ArcSwap::from_pointee(rules) }
    }

    /// Puts other rules in force for connections to come.
    pub fn replace(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// What is in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Takes a connection in. Waits for the client without an end: whoever calls sets one.
    ///
    /// # Errors
    /// Why it is turned away; it is counted.
    pub async fn take(&self, mut socket: TcpStream, peer: IpAddr) -> Result<Arrived, Turned> {
        let rules = self.rules();
        let announced = announced(&mut socket, peer, rules.preamble.as_ref()).await;
        let address = announced.map_err(|why| why.counted(self.name))?;
        let Some(tls) = &rules.tls else {
            return Ok(Arrived { stream: Stream::Plain(socket), address, certificate: None });
        };
        // In a box: a connection without TLS does not carry it.
        let stream = Box::pin(greeted(socket, Arc::clone(tls), self.name)).await?;
        let certificate = shown(&stream);
        Ok(Arrived { stream: Stream::Tls(Box::new(stream)), address, certificate })
    }
}

/// Whose a connection is: reads the preamble where there must be one.
///
/// # Errors
/// There is none.
pub async fn announced(
    socket: &mut TcpStream,
    peer: IpAddr,
    proxies: Option<&Proxies>,
) -> Result<IpAddr, Turned> {
    let peer = peer.to_canonical();
    if !proxies.is_some_and(|proxies| proxies.believes(peer)) {
        return Ok(peer);
    }
    match preamble::read(socket).await {
        Ok(Preamble::For(client)) => Ok(client.ip()),
        Ok(Preamble::Unsaid) => Ok(peer),
        Err(_) => Err(Turned::Preamble),
    }
}

/// Speaks TLS with a client, on the listener of this name. Who is refused is told why: what it still sends is read away for a
/// moment, since a connection that is closed over unread bytes is reset.
///
/// # Errors
/// There is no agreement; it is counted.
pub async fn greeted(
    socket: TcpStream,
    tls: Arc<ServerConfig>,
    listener: &'static str,
) -> Result<TlsStream<TcpStream>, Turned> {
    match TlsAcceptor::from(tls).accept(socket).into_fallible().await {
        Ok(stream) => Ok(stream),
        Err((_, mut socket)) => {
            let why = Turned::Tls.counted(listener);
            let away = async {
                socket.shutdown().await?;
                tokio::io::copy(&mut socket.take(LINGER_BYTES), &mut tokio::io::sink()).await
            };
            // It is over either way.
            drop(timeout(LINGER, away).await);
            Err(why)
        }
    }
}

/// What the certificate says that a client has shown.
pub fn shown(stream: &TlsStream<TcpStream>) -> Option<Certified> {
    let leaf = stream.get_ref().1.peer_certificates()?.first()?;
    Some(certificate::email(leaf).map_or(Certified::Unclear, Certified::For))
}

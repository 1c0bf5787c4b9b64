//! The client's side of a connection, and carrying bytes between it and a destination.

use std::io;

use gatehouse_domain::proxy::Close;
use gatehouse_egress::Link;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};
use tokio_rustls::server::TlsStream;

use crate::splice::{Broken, Pipes, pump};
use crate::traffic::{Traffic, Way};

/// Smallest and largest buffer where bytes cannot stay within the kernel.
const SMALL: usize = 4 * 1024;
const LARGE: usize = 64 * 1024;
/// How long a client that was refused may take to read that.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what it still sends is read away meanwhile.
const LINGER_BYTES: usize = 256 * 1024;

/// A client's connection.
pub(crate) enum Client {
    /// As it came.
    Plain(TcpStream),
    /// Within TLS that ends here.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Client {
    /// Reads what is there behind what was read before; nothing at the end.
    pub(crate) async fn read_more(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let mut piece = [0; 4096];
        let count = match self {
            Self::Plain(stream) => stream.read(&mut piece).await?,
            Self::Tls(stream) => stream.read(&mut piece).await?,
        };
        into.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    /// Writes all of it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Ends the connection so that the client can read what was written last: what it still sends is read away for a moment,
    /// since a connection that is closed over unread bytes is reset.
    pub(crate) async fn leave(mut self) {
        let away = async {
            match &mut self {
                Self::Plain(stream) => stream.shutdown().await?,
                Self::Tls(stream) => stream.shutdown().await?,
            }
            let mut read = Vec::new();
            while read.len() < LINGER_BYTES && self.read_more(&mut read).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        // It is over either way.
        drop(timeout(LINGER, away).await);
    }
}

/// Both directions of a connection.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

impl Client {
    /// The connection whichever kind it is.
    pub(crate) fn into_duplex(self) -> Box<dyn Duplex> {
        match self {
            Self::Plain(stream) => Box::new(stream),
            Self::Tls(stream) => stream,
        }
    }
}

/// Carries bytes both ways until both sides are done, beginning with what the client has sent already.
pub(crate) async fn carry(
    client: Client,
    mut server: Link,
    sent: &[u8],
    pipes: &Pipes,
    traffic: &Traffic,
) -> Close {
    if server.write_all(sent).await.is_err() || server.flush().await.is_err() {
        return Close::ServerGone;
    }
    traffic.add(Way::Up, sent.len());
    let both = match (client, server) {
        (Client::Plain(client), Link::Plain(server)) => {
            let up =
                async { pump(pipes, &client, &server, Way::Up, traffic).await.map_err(|b| gone(b, Way::Up)) };
            let down = async {
                pump(pipes, &server, &client, Way::Down, traffic).await.map_err(|b| gone(b, Way::Down))
            };
            tokio::try_join!(up, down)
        }
        (Client::Tls(client), Link::Plain(server)) => {
            let (mut from_client, mut to_client) = tokio::io::split(client);
            let (mut from_server, mut to_server) = server.into_split();
            tokio::try_join!(
                copy(&mut from_client, &mut to_server, Way::Up, traffic),
                copy(&mut from_server, &mut to_client, Way::Down, traffic)
            )
        }
        // TLS to a parent proxy.
        (client, server @ Link::Tls(_)) => {
            let (mut from_client, mut to_client) = tokio::io::split(client.into_duplex());
            let (mut from_server, mut to_server) = tokio::io::split(server);
            tokio::try_join!(
                copy(&mut from_client, &mut to_server, Way::Up, traffic),
                copy(&mut from_server, &mut to_client, Way::Down, traffic)
            )
        }
    };
    both.map_or_else(|why| why, |_| Close::Done)
}

/// Carries bytes both ways between a client and who answers it, until one of them is done. What was answered last gets to the
/// client, also if what it still sends is not wanted any more.
pub(crate) async fn carry_answers(client: impl Duplex, answering: impl Duplex, traffic: &Traffic) -> Close {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_answering, mut to_answering) = tokio::io::split(answering);
    let ended = {
        let up = copy(&mut from_client, &mut to_answering, Way::Up, traffic);
        let down = copy(&mut from_answering, &mut to_client, Way::Down, traffic);
        tokio::pin!(up, down);
        tokio::select! {
            ended = &mut down => ended,
            // A client that broke off gets no answer; one that is done, or is not heard any more, does.
            Err(why @ Close::ClientGone) = &mut up => Err(why),
        }
    };
    if let Err(why) = ended {
        return why;
    }
    let mut rest = [0; 4096];
    let away = async {
        let mut count = 0;
        while count < LINGER_BYTES {
            match from_client.read(&mut rest).await {
                Ok(0) | Err(_) => return,
                Ok(more) => count += more,
            }
        }
    };
    // It is over either way.
    drop(timeout(LINGER, away).await);
    Close::Done
}

/// Who is gone when one end broke.
pub(crate) const fn gone(broken: Broken, way: Way) -> Close {
    match (broken, way) {
        (Broken::From, Way::Up) | (Broken::To, Way::Down) => Close::ClientGone,
        (Broken::To, Way::Up) | (Broken::From, Way::Down) => Close::ServerGone,
    }
}

/// Copies until there is no more, then says so. The buffer grows with what comes, and shrinks again.
pub(crate) async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    way: Way,
    traffic: &Traffic,
) -> Result<(), Close> {
    let mut buffer = vec![0; SMALL];
    loop {
        let count = from.read(&mut buffer).await.map_err(|_| gone(Broken::From, way))?;
        if count == 0 {
            break;
        }
        to.write_all(&buffer[..count]).await.map_err(|_| gone(Broken::To, way))?;
        to.flush().await.map_err(|_| gone(Broken::To, way))?;
        traffic.add(way, count);
        if count == buffer.len() && count < LARGE {
            buffer = vec![0; LARGE.min(count * 4)];
        } else if count < buffer.len() / 16 {
            buffer = vec![0; SMALL];
        }
    }
    // Whoever is gone need not be told that nothing more comes.
    drop(to.shutdown().await);
    Ok(())
}

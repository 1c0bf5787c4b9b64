//! Connections to providers, polled by the task that uses them.
//!
//! hyper-util's pooled client runs every connection in a task of its own and hands body pieces over a channel between
//! tasks; each event then costs two wake-ups. Here the request's own task polls the connection and takes all that is
//! ready at once (see `docs/decisions`).

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use gatehouse_domain::egress::Origin;
use gatehouse_egress::tls::server_name;
use gatehouse_egress::{Link, NotOpened};
use http_body::{Body, Frame, SizeHint};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::inspect::Reservation;
use crate::refusal::Refusal;
use crate::settings::Provider;

/// A connection to a provider.
pub(crate) struct Upstream {
    pub(crate) sender: SendRequest<Upload>,
    connection: Connection<TokioIo<Wire>, Upload>,
    provider: Arc<Provider>,
    closed: bool,
    _count: Count,
}

impl Upstream {
    /// Lets the connection do what it can: write the request, read what has arrived.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.closed && Pin::new(&mut self.connection).poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// The provider's name.
    pub(crate) fn provider(&self) -> &str {
        &self.provider.name
    }

    /// Whether another request may be sent.
    fn is_reusable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.drive(&mut cx);
        !self.closed && matches!(self.sender.poll_ready(&mut cx), Poll::Ready(Ok(())))
    }
}

/// Counts a provider's connections on this worker.
struct Count(Rc<Cell<usize>>);

impl Count {
    fn new(of: &Rc<Cell<usize>>) -> Self {
        of.set(of.get() + 1);
        Self(Rc::clone(of))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// A worker's idle connections.
#[derive(Default)]
pub(crate) struct Pool {
    providers: RefCell<Vec<Idle>>,
}

struct Idle {
    provider: Arc<Provider>,
    connections: Vec<(Instant, Box<Upstream>)>,
    open: Rc<Cell<usize>>,
}

impl Pool {
    /// The provider's idle connections, and how many it has open. A provider changed by a reload is a new one.
    fn with<T>(&self, provider: &Arc<Provider>, act: impl FnOnce(&mut Idle) -> T) -> T {
        let mut providers = self.providers.borrow_mut();
        let at = providers.iter().position(|idle| Arc::ptr_eq(&idle.provider, provider));
        let at = at.unwrap_or_else(|| {
            providers.push(Idle {
                provider: Arc::clone(provider),
                connections: Vec::new(),
                open: Rc::default(),
            });
            providers.len() - 1
        });
        act(&mut providers[at])
    }

    /// An idle connection that is still good.
    pub(crate) fn take(&self, provider: &Arc<Provider>) -> Option<Box<Upstream>> {
        loop {
            let (_, mut upstream) = self.with(provider, |idle| idle.connections.pop())?;
            if upstream.is_reusable() {
                return Some(upstream);
            }
        }
    }

    /// A new connection.
    pub(crate) async fn connect(&self, provider: &Arc<Provider>) -> Result<Box<Upstream>, Refusal> {
        let open = self.with(provider, |idle| Rc::clone(&idle.open));
        if open.get() >= provider.max_connections {
            return Err(Refusal::Overloaded("connections to the model provider"));
        }
        let count = Count::new(&open);
        let wire = match tokio::time::timeout(provider.connect, dial(provider)).await {
            Ok(Ok(wire)) => wire,
            Ok(Err(error)) => return Err(unreachable(provider, &error)),
            Err(_) => {
                tracing::warn!(provider = %provider.name, "connecting to the provider took too long");
                return Err(Refusal::Unreachable);
            }
        };
        let (sender, connection) =
            Builder::new().handshake(TokioIo::new(wire)).await.map_err(|_| Refusal::Unreachable)?;
        let provider = Arc::clone(provider);
        Ok(Box::new(Upstream { sender, connection, provider, closed: false, _count: count }))
    }

    /// Takes a connection back whose reply has been read to its end.
    pub(crate) fn put(&self, mut upstream: Box<Upstream>) {
        if upstream.is_reusable() {
            let provider = Arc::clone(&upstream.provider);
            self.with(&provider, |idle| idle.connections.push((Instant::now(), upstream)));
        }
    }

    /// Closes all idle connections to a provider that nobody asks any more.
    pub(crate) fn forget(&self, provider: &Arc<Provider>) {
        self.providers.borrow_mut().retain(|idle| !Arc::ptr_eq(&idle.provider, provider));
    }

    /// Closes connections that have been idle for too long, and forgets providers without any.
    pub(crate) fn sweep(&self) {
        self.providers.borrow_mut().retain_mut(|idle| {
            let limit = idle.provider.pool_idle;
            idle.connections.retain(|(since, _)| since.elapsed() < limit);
            idle.open.get() > 0
        });
    }
}

/// Connects to a provider, TLS included, and hangs up: costs it nothing, and says whether it can be reached.
pub(crate) async fn reaches(provider: &Provider) -> bool {
    matches!(tokio::time::timeout(provider.connect, dial(provider)).await, Ok(Ok(_)))
}

/// Why there is no connection, told in the log as well.
pub(crate) fn unreachable(provider: &Provider, error: &NotDialed) -> Refusal {
    tracing::warn!(provider = %provider.name, %error, "connecting to the provider failed");
    error.refusal(provider)
}

/// Connects to a provider, TLS included. The way is chosen here, once for a connection: directly, or through a parent proxy.
pub(crate) async fn dial(provider: &Provider) -> Result<Wire, NotDialed> {
    let (egress, place) = (&provider.egress, &provider.place);
    let link = match &provider.addresses {
        None => egress.open(place, Origin::Configured, provider.connect).await?,
        Some(checked) => egress.tunnel(place, checked, provider.connect).await?.0,
    };
    let Some(tls) = &provider.tls else {
        return Ok(match link {
            Link::Plain(tcp) => Wire::Plain(tcp),
            link @ Link::Tls(_) => Wire::Through(Box::new(link)),
        });
    };
    let name = server_name(&place.host);
    let name = name.ok_or_else(|| io::Error::other("its host is no name for a certificate"))?;
    let connector = TlsConnector::from(Arc::clone(tls));
    Ok(match link {
        Link::Plain(tcp) => Wire::Tls(Box::new(connector.connect(name, tcp).await?)),
        link @ Link::Tls(_) => Wire::Through(Box::new(connector.connect(name, link).await?)),
    })
}

/// Why a provider was not connected to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDialed {
    /// No way led there.
    #[error(transparent)]
    Way(#[from] NotOpened),
    /// No TLS with it.
    #[error("there is no TLS with it: {0}")]
    Tls(#[from] io::Error),
}

impl NotDialed {
    /// As the client is told.
    fn refusal(&self, provider: &Provider) -> Refusal {
        match self {
            Self::Way(NotOpened::NoParent { .. }) => Refusal::NoWayOut,
            Self::Tls(error) if is_distrust(error) => Refusal::Untrusted(provider.place.host.to_string()),
            Self::Way(
                NotOpened::Lookup(..)
                | NotOpened::Closed { .. }
                | NotOpened::Unreachable(..)
                | NotOpened::Late(_),
            )
            | Self::Tls(_) => Refusal::Unreachable,
        }
    }
}

/// Whether the certificate that was shown does not hold.
fn is_distrust(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

/// Bytes in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// Bytes to and from a provider.
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Through TLS to a parent proxy.
    Through(Box<dyn Duplex>),
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
            Self::Through(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_write(cx, buf),
            Self::Through(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Through(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
            Self::Through(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
            Self::Through(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
            Self::Through(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

/// A request's body on its way up: the very bytes that came.
pub(crate) struct Upload {
    pieces: std::vec::IntoIter<Bytes>,
    left: u64,
    /// None where the body is kept for another attempt: then it is held there.
    _reservation: Option<Reservation>,
}

impl Upload {
    pub(crate) fn new(pieces: Vec<Bytes>, bytes: u64, reservation: Option<Reservation>) -> Self {
        Self { pieces: pieces.into_iter(), left: bytes, _reservation: reservation }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = self.pieces.next();
        self.left -= next.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

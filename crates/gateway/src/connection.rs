//! One client connection: its bytes, and how long it may take for what.
//!
//! hyper has a timer for request heads only, and one that also ends idle connections. Here a connection notes which
//! phase it is in and since when, and the worker's sweep (once a second) cuts those that overstay. That costs two
//! stores per phase instead of a timer per read.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use gatehouse_listener::{Certified, Stream};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::task::AbortHandle;

use crate::framing::Framing;
use crate::guest::Inside;
use crate::settings::Limits;

/// What a connection is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a request's head.
    Head,
    /// The request is being served.
    Serving,
    /// A refusal has been sent, and what the client was still sending is read away, so that it gets to see the refusal
    /// instead of a reset connection (RFC 9112, section 9.6).
    Lingering,
}

/// Longest time that is spent lingering, in seconds.
const LINGER: u32 = 5;
/// Most bytes that are read away while lingering: more than any body that is accepted.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// Why a connection was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overstay {
    /// It rested too long between requests: no fault.
    Idle,
    /// A request's head took too long.
    Head,
    /// The client did not read its reply.
    Stalled,
}

/// What is known of a connection, shared by its bytes, its requests and the sweep.
pub(crate) struct Connection {
    /// The client's address.
    peer: Cell<IpAddr>,
    /// The guest whose connection it is.
    pub(crate) guest: Option<Box<Inside>>,
    /// What the client certificate says, if one was shown.
    certificate: RefCell<Option<Certified>>,
    phase: Cell<Phase>,
    /// Second (of the worker's clock) in which the phase began.
    since: Cell<u32>,
    /// Second in which a write first found no room; 0 when there is none waiting.
    stalled: Cell<u32>,
    /// Bytes written that have not been flushed.
    unflushed: Cell<bool>,
    /// What may still be read away before the connection is closed; 0 if it may be closed at once.
    linger: Cell<usize>,
    framing: RefCell<Framing>,
    /// Why the sweep cut it.
    pub(crate) overstayed: Cell<Option<Overstay>>,
    waker: RefCell<Option<Waker>>,
    pub(crate) abort: RefCell<Option<AbortHandle>>,
}

impl Connection {
    pub(crate) fn new(peer: IpAddr, guest: Option<Box<Inside>>, tick: u32) -> Rc<Self> {
        Rc::new(Self {
            peer: Cell::new(peer),
            guest,
            certificate: RefCell::default(),
            phase: Cell::new(Phase::Idle),
            since: Cell::new(tick),
            stalled: Cell::new(0),
            unflushed: Cell::new(false),
            linger: Cell::new(0),
            framing: RefCell::default(),
            overstayed: Cell::new(None),
            waker: RefCell::new(None),
            abort: RefCell::new(None),
        })
    }

    /// The client's address.
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer.get()
    }

    /// Whose it is, once that is known.
    pub(crate) fn is_of(&self, peer: IpAddr, certificate: Option<Certified>) {
        self.peer.set(peer);
        *self.certificate.borrow_mut() = certificate;
    }

    /// What the client certificate says, if one was shown.
    pub(crate) fn certificate(&self) -> Option<Certified> {
        self.certificate.borrow().clone()
    }

    pub(crate) fn enter(&self, phase: Phase, tick: u32) {
        self.phase.set(phase);
        self.since.set(tick);
    }

    /// Before this connection is closed, what the client is still sending is read away.
    pub(crate) fn linger(&self) {
        self.linger.set(LINGER_BYTES);
    }

    /// Whether nothing is under way on it.
    pub(crate) fn is_resting(&self) -> bool {
        self.phase.get() != Phase::Serving && self.stalled.get() == 0 && !self.unflushed.get()
    }

    /// Notes bytes of the client: the first ones after a rest begin a head.
    fn arrived(&self, bytes: &[u8], tick: u32) {
        match self.phase.get() {
            Phase::Idle => {
                self.enter(Phase::Head, tick);
                self.framing.borrow_mut().restart();
                self.framing.borrow_mut().feed(bytes);
            }
            Phase::Head => self.framing.borrow_mut().feed(bytes),
            Phase::Serving | Phase::Lingering => {}
        }
    }

    /// Whether the head framed its body in two ways.
    pub(crate) fn is_framed_twice(&self) -> bool {
        self.framing.borrow().is_ambiguous()
    }

    /// Whether the connection has overstayed at this second.
    pub(crate) fn overstay(&self, tick: u32, limits: &Limits) -> Option<Overstay> {
        let over =
            |since: u32, limit: std::time::Duration| u64::from(tick.saturating_sub(since)) > limit.as_secs();
        if self.stalled.get() != 0 && over(self.stalled.get(), limits.write_stall) {
            return Some(Overstay::Stalled);
        }
        match self.phase.get() {
            Phase::Idle if over(self.since.get(), limits.idle) => Some(Overstay::Idle),
            Phase::Head if over(self.since.get(), limits.head) => Some(Overstay::Head),
            Phase::Lingering if tick.saturating_sub(self.since.get()) > LINGER => Some(Overstay::Idle),
            Phase::Idle | Phase::Head | Phase::Serving | Phase::Lingering => None,
        }
    }

    /// Lets the connection's task run again, to see that the worker is draining.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Ends the connection's task; what it was serving is dropped, and so recorded.
    pub(crate) fn cut(&self, why: Option<Overstay>) {
        self.overstayed.set(why);
        if let Some(abort) = &*self.abort.borrow() {
            abort.abort();
        }
    }
}

/// Where the worker's clock is read.
pub(crate) trait Tick {
    /// Seconds since the worker started, at least 1.
    fn tick(&self) -> u32;
    /// The answer to a head that hyper refused before our service saw it, and a record of it.
    fn refuse_head(&self, connection: &Connection, status: &[u8]) -> Bytes;
}

/// What a connection's bytes come and go by.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// Whether what was written may wait within it for the client to read.
    fn holds_back(&self) -> bool;
}

impl Wire for Stream {
    fn holds_back(&self) -> bool {
        self.is_tls()
    }
}

impl Wire for DuplexStream {
    fn holds_back(&self) -> bool {
        false
    }
}

/// A client's socket that keeps [`Connection`] up to date.
pub(crate) struct Watched<S, W> {
    io: S,
    connection: Rc<Connection>,
    worker: Rc<W>,
    /// Our own answer in place of hyper's bare one.
    instead: Option<Bytes>,
}

impl<S: Wire, W: Tick> Watched<S, W> {
    pub(crate) fn new(io: S, connection: Rc<Connection>, worker: Rc<W>) -> Self {
        Self { io, connection, worker, instead: None }
    }

    /// Notes whether a write went through.
    fn wrote<T>(&self, result: Poll<T>) -> Poll<T> {
        self.connection.unflushed.set(true);
        if result.is_ready() {
            self.connection.stalled.set(0);
        } else if self.connection.stalled.get() == 0 {
            self.connection.stalled.set(self.worker.tick());
        }
        result
    }

    /// Reads away what the client is still sending, as far as the connection may linger for that.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 8 * 1024];
        loop {
            let mut bytes = ReadBuf::new(&mut space);
            if ready!(Pin::new(&mut self.io).poll_read(cx, &mut bytes)).is_err() || bytes.filled().is_empty()
            {
                return Poll::Ready(());
            }
            let left = self.connection.linger.get().saturating_sub(bytes.filled().len());
            self.connection.linger.set(left);
            if left == 0 {
                return Poll::Ready(());
            }
        }
    }

    fn replace(&mut self, head: &[u8]) {
        self.instead = Some(self.worker.refuse_head(&self.connection, head.get(9..12).unwrap_or(b"400")));
    }

    /// Sends what stands in place of hyper's answer.
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(bytes) = &mut self.instead {
            if bytes.is_empty() {
                self.instead = None;
                break;
            }
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let _ = bytes.split_to(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Wire, W: Tick> AsyncRead for Watched<S, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        let fresh = &buf.filled()[before..];
        if !fresh.is_empty() {
            self.connection.arrived(fresh, self.worker.tick());
        }
        result
    }
}

impl<S: Wire, W: Tick> AsyncWrite for Watched<S, W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if is_bare_error(buf) {
            self.replace(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(head) = bufs.first().filter(|head| is_bare_error(head)) {
            let head = head.to_vec();
            self.replace(&head);
            return Poll::Ready(Ok(bufs.iter().map(|b| b.len()).sum()));
        }
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if self.io.holds_back() {
            // What TLS has taken of a reply waits there for the client. (A socket has nothing to flush.)
            ready!(self.wrote(flushed))?;
        } else {
            ready!(flushed)?;
        }
        self.connection.unflushed.set(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        if self.connection.linger.get() == 0 {
            return Pin::new(&mut self.io).poll_shutdown(cx);
        }
        if self.connection.phase.get() != Phase::Lingering {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.connection.enter(Phase::Lingering, self.worker.tick());
        }
        self.poll_linger(cx).map(Ok)
    }
}

/// Whether these bytes are hyper's own answer to a head that it could not parse: ours all carry a request id.
fn is_bare_error(head: &[u8]) -> bool {
    head.starts_with(b"HTTP/1.1 4") && memchr::memmem::find(head, b"request-id: ").is_none()
}

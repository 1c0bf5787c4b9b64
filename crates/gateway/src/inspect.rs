//! Receiving a request's body: bounded, within a budget shared by all, checked as it arrives, and kept as it came (P3).

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use gatehouse_providers::cloud::Form;
use gatehouse_providers::json::{RequestFacts, RequestScan};
use http::{HeaderMap, header};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::connection::Tick as _;
use crate::refusal::Refusal;
use crate::worker::{Active, Worker};

/// How many bytes of request bodies all connections hold together.
#[derive(Default)]
pub(crate) struct Budget {
    held: AtomicU64,
}

impl Budget {
    /// Begins to take from the budget.
    pub(crate) fn begin(self: &Arc<Self>) -> Reservation {
        Reservation { budget: Arc::clone(self), bytes: 0 }
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

/// Bytes taken from the budget; given back when dropped.
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Reservation {
    /// Takes what has arrived, not what was announced: an announcement costs its sender nothing. Says whether that is
    /// within the limit.
    pub(crate) fn grow(&mut self, bytes: u64, limit: u64) -> bool {
        self.bytes += bytes;
        self.budget.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= limit
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A request's body as it came, piece by piece.
pub(crate) struct Received {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) bytes: u64,
    pub(crate) facts: RequestFacts,
    /// In which form it came.
    pub(crate) form: Form,
    /// The model as the client wrote it, where its form has names of its own.
    pub(crate) named: Option<String>,
    pub(crate) reservation: Reservation,
}

/// Pieces smaller than this are joined: each piece costs some bytes beside its own, and a body may come byte by byte.
const SMALL: usize = 4096;
/// How large joined pieces grow.
const JOINED: usize = 64 * 1024;

/// Pieces of a body, the small ones joined.
#[derive(Default)]
struct Pieces {
    all: Vec<Bytes>,
    joining: Vec<u8>,
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        if piece.len() >= SMALL {
            self.end_joining();
            self.all.push(piece);
            return;
        }
        self.joining.extend_from_slice(&piece);
        if self.joining.len() >= JOINED {
            self.end_joining();
        }
    }

    fn end_joining(&mut self) {
        if !self.joining.is_empty() {
            self.all.push(std::mem::take(&mut self.joining).into());
        }
    }

    fn end(mut self) -> Vec<Bytes> {
        self.end_joining();
        self.all
    }
}

/// Reads and checks the whole body. On refusal the rest of the body is handed back.
pub(crate) async fn receive(
    worker: &Rc<Worker>,
    headers: &HeaderMap,
    active: &Active,
    mut body: Incoming,
) -> Result<Received, (Refusal, Option<Incoming>)> {
    let settings = worker.shared.settings.load_full();
    let limits = &settings.limits;
    if let Err(refusal) = check_announced(headers, limits.max_body) {
        return Err((refusal, Some(body)));
    }
    let mut reservation = worker.shared.budget.begin();
    let mut scan = RequestScan::new();
    let mut pieces = Pieces::default();
    let mut bytes = 0_u64;
    let begun = worker.tick();
    loop {
        if u64::from(worker.tick().saturating_sub(begun)) > limits.body.as_secs() {
            return Err((Refusal::BodyTooSlow, Some(body)));
        }
        let piece = match next(worker, active, &mut body, limits.body_idle).await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(refusal) => return Err((refusal, None)),
        };
        bytes += piece.len() as u64;
        if bytes > limits.max_body {
            return Err((Refusal::BodyTooLarge(limits.max_body), Some(body)));
        }
        if !reservation.grow(piece.len() as u64, limits.body_budget) {
            return Err((Refusal::Overloaded("request bodies held at once"), Some(body)));
        }
        if let Err(why) = scan.feed(&piece) {
            return Err((Refusal::BadBody(why.into()), Some(body)));
        }
        pieces.push(piece);
    }
    match scan.finish() {
        Ok(facts) => {
            let (pieces, form, named) = (pieces.end(), Form::Messages, None);
            Ok(Received { pieces, bytes, facts, form, named, reservation })
        }
        Err(why) => Err((Refusal::BadBody(why), None)),
    }
}

/// Whether what the head announces can be taken.
fn check_announced(headers: &HeaderMap, limit: u64) -> Result<(), Refusal> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|v| v != "identity") {
        return Err(Refusal::EncodedBody);
    }
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(()) };
    let length: u64 = value.to_str().ok().and_then(|v| v.parse().ok()).ok_or(Refusal::MalformedHead)?;
    if length > limit { Err(Refusal::BodyTooLarge(limit)) } else { Ok(()) }
}

/// The body's next piece; the worker's sweep wakes us to see whether it is overdue.
async fn next(
    worker: &Worker,
    active: &Active,
    body: &mut Incoming,
    idle: Duration,
) -> Result<Option<Bytes>, Refusal> {
    poll_fn(|cx: &mut Context<'_>| {
        if let Some(cut) = active.poll_cut(cx) {
            return Poll::Ready(Err(cut.refusal()));
        }
        loop {
            let frame = match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Refusal::BodyCut)),
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Pending if active.silent(worker.tick()) > idle => {
                    return Poll::Ready(Err(Refusal::BodyTooSlow));
                }
                Poll::Pending => return Poll::Pending,
            };
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                active.touch(worker.tick());
                return Poll::Ready(Ok(Some(data)));
            }
        }
    })
    .await
}

/// Reads away what has arrived of a refused request's body; says whether that was all of it.
pub(crate) fn read_away(body: &mut Incoming) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut *body).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(None) => return true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => return false,
        }
    }
}

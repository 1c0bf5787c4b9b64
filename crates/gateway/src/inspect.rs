//! Receiving a request's body: bounded, within a budget shared by all, checked as it arrives, and kept as it came (P3).

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
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
    /// Takes bytes from the budget, unless that would exceed the limit.
    fn take(self: &Arc<Self>, bytes: u64, limit: u64) -> Option<Reservation> {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let reservation = Reservation { budget: Arc::clone(self), bytes };
        (before.saturating_add(bytes) <= limit).then_some(reservation)
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
    fn grow(&mut self, bytes: u64, limit: u64) -> bool {
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
    pub(crate) reservation: Reservation,
}

/// Reads and checks the whole body. On refusal the rest of the body is handed back, to be read away.
pub(crate) async fn receive(
    worker: &Rc<Worker>,
    headers: &HeaderMap,
    active: &Active,
    mut body: Incoming,
) -> Result<Received, (Refusal, Option<Incoming>)> {
    let settings = worker.shared.settings.load_full();
    let limits = &settings.limits;
    let announced = match announced(headers, limits.max_body) {
        Ok(announced) => announced,
        Err(refusal) => return Err((refusal, Some(body))),
    };
    let budget = &worker.shared.budget;
    let Some(mut reservation) = budget.take(announced.unwrap_or(0), limits.body_budget) else {
        return Err((Refusal::Overloaded("request bodies held at once"), Some(body)));
    };
    let mut scan = RequestScan::new();
    let mut pieces = Vec::with_capacity(4);
    let mut bytes = 0_u64;
    loop {
        let piece = match next(worker, active, &mut body, limits.body_idle).await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(refusal) => return Err((refusal, None)),
        };
        bytes += piece.len() as u64;
        if bytes > limits.max_body {
            return Err((Refusal::BodyTooLarge(limits.max_body), Some(body)));
        }
        if announced.is_none() && !reservation.grow(piece.len() as u64, limits.body_budget) {
            return Err((Refusal::Overloaded("request bodies held at once"), Some(body)));
        }
        if let Err(why) = scan.feed(&piece) {
            return Err((Refusal::BadBody(why.into()), Some(body)));
        }
        pieces.push(piece);
    }
    match scan.finish() {
        Ok(facts) => Ok(Received { pieces, bytes, facts, reservation }),
        Err(why) => Err((Refusal::BadBody(why), None)),
    }
}

/// The length the head announces, if it does.
fn announced(headers: &HeaderMap, limit: u64) -> Result<Option<u64>, Refusal> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|v| v != "identity") {
        return Err(Refusal::EncodedBody);
    }
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length: u64 = value.to_str().ok().and_then(|v| v.parse().ok()).ok_or(Refusal::MalformedHead)?;
    if length > limit { Err(Refusal::BodyTooLarge(limit)) } else { Ok(Some(length)) }
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

/// Most bytes of a refused request's body that are read away, so that the client gets to see our answer instead of a
/// reset connection (RFC 9112, section 9.6).
const READ_AWAY: u64 = 33 * 1024 * 1024;
/// Longest time that is spent on that.
const READ_AWAY_TIME: Duration = Duration::from_secs(5);

/// Reads the rest of a refused request's body away, within bounds.
pub(crate) async fn read_away(mut body: Incoming) {
    let mut seen = 0_u64;
    let all = async {
        while seen < READ_AWAY {
            match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                Some(Ok(frame)) => seen += frame.data_ref().map_or(0, |data| data.len() as u64),
                Some(Err(_)) | None => break,
            }
        }
    };
    // Either way the answer goes out next; a client that is still sending then sees its connection closed.
    let _ = tokio::time::timeout(READ_AWAY_TIME, all).await;
}

//! A relayed reply: whole events as they come, and the end only once its record is durable (promise P1).

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use gatehouse_domain::exchange::Ended;

use crate::connection::Tick as _;
use crate::flow::Step;
use crate::held::Held;
use crate::ledger::Ticket;
use crate::refusal::Refusal;
use crate::reply::CutOff;
use crate::worker::{Cut, Worker};

const PING: &[u8] = b"event: ping\ndata: {\"type\": \"ping\"}\n\n";

/// A relayed reply.
pub(crate) struct Relay {
    worker: Rc<Worker>,
    held: Held,
    state: State,
    /// Of a plain reply, the piece before the newest: which piece is the last is known only at the end.
    behind: Bytes,
    /// How the exchange counts if the reply is relayed whole.
    whole: Ended,
    is_stream: bool,
    length: Option<u64>,
    begun: bool,
    /// Second of our last own `ping`.
    pinged: u32,
}

enum State {
    Flowing,
    /// The exchange is closed; these bytes wait for its record to be durable.
    Committing {
        ticket: Ticket,
        bytes: Bytes,
        cut_off: bool,
    },
    /// The reply ends here without its end.
    Cutting,
    Done,
}

impl Relay {
    pub(crate) fn new(worker: &Rc<Worker>, mut held: Held, whole: Ended) -> Self {
        let (is_stream, length) = (held.flow().is_stream(), held.flow().length());
        Self {
            worker: Rc::clone(worker),
            held,
            state: State::Flowing,
            behind: Bytes::new(),
            whole,
            is_stream,
            length,
            begun: false,
            pinged: 0,
        }
    }

    /// Whether all has been handed on.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The reply's length, where the upstream announced it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next bytes for the client.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        loop {
            match &mut self.state {
                State::Flowing => {
                    if let Some(bytes) = ready!(self.poll_flowing(cx)) {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                State::Committing { ticket, bytes, cut_off } => {
                    ready!(self.worker.poll_durable(*ticket, cx));
                    let (bytes, cut_off) = (std::mem::take(bytes), *cut_off);
                    self.held.finish();
                    if cut_off {
                        // What has been handed on, the head at least, is written before the connection is cut.
                        self.state = State::Cutting;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    self.state = State::Done;
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                State::Cutting => {
                    self.state = State::Done;
                    return Poll::Ready(Some(Err(CutOff)));
                }
                State::Done => return Poll::Ready(None),
            }
        }
    }

    /// The whole of a plain reply that comes in one piece, once its record is durable: then head and body can leave in one
    /// write. Nothing if there is more to it.
    pub(crate) fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match &mut self.state {
                State::Flowing if self.is_stream || !self.behind.is_empty() => return Poll::Ready(None),
                // The first piece is kept behind, so none comes out.
                State::Flowing => _ = ready!(self.poll_flowing(cx)),
                State::Committing { ticket, bytes, cut_off: false } => {
                    ready!(self.worker.poll_durable(*ticket, cx));
                    let bytes = std::mem::take(bytes);
                    self.state = State::Done;
                    self.held.finish();
                    return Poll::Ready(Some(bytes));
                }
                State::Committing { .. } | State::Cutting | State::Done => return Poll::Ready(None),
            }
        }
    }

    /// One step while the upstream is sending; `None` when there is nothing to hand on from it.
    fn poll_flowing(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(cut) = self.held.flow().poll_cut(cx) {
            self.end_by_cut(cut);
            return Poll::Ready(None);
        }
        let Poll::Ready(step) = self.held.flow().poll_step(cx) else {
            return self.ping();
        };
        self.note_first_byte();
        let bytes = match step {
            Step::Bytes(bytes) if self.is_stream => Some(bytes),
            Step::Bytes(bytes) => Some(std::mem::replace(&mut self.behind, bytes)).filter(|b| !b.is_empty()),
            Step::Last(bytes) => {
                let ticket = self.held.flow().settle(self.whole);
                let bytes = joined(std::mem::take(&mut self.behind), bytes);
                self.state = State::Committing { ticket, bytes, cut_off: false };
                None
            }
            Step::Broken(bytes, why) => {
                self.held.flow().broke_off();
                self.end_broken(bytes, &Refusal::UpstreamBroken, why, Ended::UpstreamFailed);
                None
            }
        };
        Poll::Ready(bytes)
    }

    fn ping(&mut self) -> Poll<Option<Bytes>> {
        let after = self.worker.shared.settings.load().limits.ping;
        let tick = self.worker.tick();
        if !self.held.flow().wants_ping(after) || u64::from(tick - self.pinged) < after.as_secs() {
            return Poll::Pending;
        }
        self.pinged = tick;
        Poll::Ready(Some(Bytes::from_static(PING)))
    }

    fn note_first_byte(&mut self) {
        if !self.begun {
            self.begun = true;
            let open = &mut self.held.flow().open;
            let elapsed = open.elapsed_ms();
            open.record().first_byte_ms = Some(elapsed);
        }
    }

    fn end_by_cut(&mut self, cut: Cut) {
        let refusal = cut.refusal();
        let code = refusal.code();
        self.end_broken(Bytes::new(), &refusal, code, cut.ended());
    }

    /// Ends a reply that cannot be completed: a stream by an error event, which the client understands; a plain
    /// reply, or one that breaks within a long event, by cutting the connection.
    fn end_broken(&mut self, bytes: Bytes, refusal: &Refusal, why: &str, ended: Ended) {
        let flow = self.held.flow();
        let event = refusal.event(flow.open.request_id());
        flow.open.record().reason = Some(why.to_owned());
        // Within an event no other can be begun: nobody would see it.
        let can_tell = flow.is_between_events();
        let ticket = flow.settle(ended);
        let bytes = if can_tell { joined(bytes, event) } else { Bytes::new() };
        self.state = State::Committing { ticket, bytes, cut_off: !can_tell };
    }
}

fn joined(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() {
        return second;
    }
    if second.is_empty() {
        return first;
    }
    let mut all = BytesMut::with_capacity(first.len() + second.len());
    all.extend_from_slice(&first);
    all.extend_from_slice(&second);
    all.freeze()
}

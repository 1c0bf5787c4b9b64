//! A request on its way through the upstream and back: what is polled, gathered and metered.

mod begin;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gatehouse_domain::exchange::{Ended, Kind};
use gatehouse_providers::anthropic::{BodyMeter, Fed, Outcome, StreamMeter};
use gatehouse_providers::cloud::{Answer, Events, first_party};
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use begin::Learner;

use crate::connection::Tick as _;
use crate::gather::Gathered;
use crate::health::Permit;
use crate::ledger::Ticket;
use crate::open::Open;
use crate::quota::Pass;
use crate::settings::Provider;
use crate::upstream::{Upload, Upstream};
use crate::worker::{Active, Cut, Worker};

/// Most bytes that are handed on as one piece.
const PIECE: usize = 64 * 1024;
/// Most bytes of an unfinished event that are kept back; more than that is handed on as it comes.
const MAX_PARTIAL: usize = 1024 * 1024;
/// Most bytes that may come between the event that says why the model stopped and the end of the stream; with more the
/// stream counts as broken.
const MAX_ENDING: usize = 256 * 1024;

type Head = Pin<Box<dyn Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>>>>;

/// A request on its way.
pub(crate) struct Flow {
    pub(crate) worker: Rc<Worker>,
    pub(crate) open: Open,
    active: Rc<Active>,
    upstream: Box<Upstream>,
    head: Option<Head>,
    body: Option<Incoming>,
    meter: Meter,
    /// Of a cloud: in which form it answers.
    answer: Option<Answer>,
    /// Turns a cloud's frames into events.
    frames: Option<Box<Events>>,
    first_byte: Duration,
    idle: Duration,
    /// Bytes of an event whose end has not arrived.
    partial: BytesMut,
    /// An event larger than [`MAX_PARTIAL`] is being handed on in parts: nothing may be put between them.
    in_parts: bool,
    /// The stream's last events. A client may take a reply as complete once it knows why the model stopped, so they are
    /// kept back until the record is durable (promise P1).
    ending: Option<BytesMut>,
    /// A step that was taken to see whether the reply begins, and has not been handed on.
    kept: Option<Step>,
    /// Remembers who signed.
    learner: Option<Box<Learner>>,
    /// Where several providers could answer: says how this one does, and that it is busy.
    pub(crate) permit: Option<Box<Permit>>,
    /// Where only this one could: that it is counted, where its quota is scarce.
    pub(crate) pass: Option<Pass>,
}

/// What looks at a reply's bytes.
enum Meter {
    /// Nothing to count: `count_tokens`.
    None,
    /// A stream of events.
    Stream(Box<StreamMeter>),
    /// One JSON document: a message, or an error.
    Body(Box<BodyMeter>),
}

/// Why there is no head of a reply.
pub(crate) enum NoHead {
    /// The connection was already dead when we took it; the request comes back unsent.
    Unsent(Box<Request<Upload>>),
    /// It broke after the request was, or may have been, sent.
    Broken(hyper::Error),
    /// It took too long.
    Timeout,
    /// We are to stop.
    Cut(Cut),
}

/// One step of a reply.
pub(crate) enum Step {
    /// Bytes to hand on; more may follow.
    Bytes(Bytes),
    /// The last bytes: the reply is complete.
    Last(Bytes),
    /// The upstream broke off after these bytes.
    Broken(Bytes, &'static str),
}

/// What a piece did to a reply.
#[derive(PartialEq, Eq)]
enum Taken {
    More,
    Complete,
    /// The upstream does not come to an end.
    Endless,
}

impl Flow {
    /// Sends a request on a connection.
    pub(crate) fn send(
        worker: &Rc<Worker>,
        open: Open,
        active: Rc<Active>,
        provider: &Provider,
        mut upstream: Box<Upstream>,
        (request, answer): (Request<Upload>, Option<Answer>),
    ) -> Self {
        let head = Box::pin(upstream.sender.try_send_request(request));
        active.touch(worker.tick());
        Self {
            worker: Rc::clone(worker),
            open,
            active,
            upstream,
            head: Some(head),
            body: None,
            meter: Meter::None,
            answer,
            frames: None,
            first_byte: provider.first_byte,
            idle: provider.stream_idle,
            partial: BytesMut::new(),
            in_parts: false,
            ending: None,
            kept: None,
            learner: None,
            permit: None,
            pass: None,
        }
    }

    /// Waits no longer than this for the reply's head.
    pub(crate) fn within(mut self, first_byte: Duration) -> Self {
        self.first_byte = first_byte;
        self
    }

    /// Waits for the reply's head. Must not be called again once it has answered.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, NoHead>> {
        if let Some(cut) = self.active.poll_cut(cx) {
            return Poll::Ready(Err(NoHead::Cut(cut)));
        }
        self.upstream.drive(cx);
        let head = self.head.as_mut().expect("polled only until the head has arrived");
        let Poll::Ready(answer) = head.as_mut().poll(cx) else {
            if self.active.silent(self.worker.tick()) > self.first_byte {
                return Poll::Ready(Err(NoHead::Timeout));
            }
            return Poll::Pending;
        };
        self.head = None;
        match answer {
            Ok(response) => {
                self.active.touch(self.worker.tick());
                let (parts, body) = response.into_parts();
                self.body = Some(body);
                Poll::Ready(Ok(Response::from_parts(parts, ())))
            }
            Err(mut failed) => Poll::Ready(Err(match failed.take_message() {
                Some(request) => NoHead::Unsent(Box::new(request)),
                None => NoHead::Broken(failed.into_error()),
            })),
        }
    }

    /// Chooses the meter by what the head says.
    pub(crate) fn expect(&mut self, response: &Response<()>) {
        let is_framed =
            self.answer == Some(Answer::Frames) && is_of(response, b"application/vnd.amazon.eventstream");
        if is_framed && response.status().is_success() {
            self.frames = Some(Box::default());
        }
        let is_stream = is_framed || is_of(response, b"text/event-stream");
        self.meter = if response.status().is_success() && is_stream {
            Meter::Stream(Box::default())
        } else if !response.status().is_success() || self.open.record().kind == Kind::Messages {
            Meter::Body(Box::default())
        } else {
            Meter::None
        };
    }

    /// In which form the reply comes; none where it comes from Anthropic's API.
    pub(crate) const fn answer(&self) -> Option<Answer> {
        self.answer
    }

    /// Whether the reply comes as frames, whose events are handed on.
    pub(crate) const fn is_framed(&self) -> bool {
        self.frames.is_some()
    }

    /// The provider's name.
    pub(crate) fn provider(&self) -> Rc<str> {
        Rc::from(self.upstream.provider())
    }

    /// Whether the reply is a stream of events.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.meter, Meter::Stream(_))
    }

    /// The reply's length, where the upstream announced it. A stream has none: pings of our own may come in between.
    pub(crate) fn length(&self) -> Option<u64> {
        let left = self.body.as_ref().filter(|_| !self.is_stream()).and_then(|body| body.size_hint().exact());
        left.map(|left| left + self.kept.as_ref().map_or(0, Step::len))
    }

    /// Whether the reply's head is all there is of it.
    pub(crate) fn is_bodyless(&self) -> bool {
        self.kept.is_none() && self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    /// Whether something can be put in at this place of a stream without tearing an event in two.
    pub(crate) fn is_between_events(&self) -> bool {
        self.is_stream() && !self.in_parts
    }

    /// Whether a `ping` of our own may and should be put in now.
    pub(crate) fn wants_ping(&self, after: Duration) -> bool {
        self.is_between_events() && self.active.silent(self.worker.tick()) >= after
    }

    pub(crate) fn poll_cut(&self, cx: &Context<'_>) -> Option<Cut> {
        self.active.poll_cut(cx)
    }

    /// All that is ready of the reply, as one piece of whole events.
    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        match self.kept.take() {
            Some(step) => Poll::Ready(step),
            None => self.poll_next(cx),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let mut out = Gathered::default();
        loop {
            self.upstream.drive(cx);
            let Some(body) = &mut self.body else { return Poll::Ready(Step::Last(self.all(out))) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    match self.take(data, &mut out) {
                        Taken::Complete => return Poll::Ready(Step::Last(self.all(out))),
                        Taken::Endless => {
                            return Poll::Ready(Step::Broken(self.all(out), "upstream_endless"));
                        }
                        Taken::More if self.is_garbled() => {
                            return Poll::Ready(Step::Broken(self.all(out), "upstream_garbled"));
                        }
                        Taken::More => {}
                    }
                    if out.len() >= PIECE {
                        return Poll::Ready(Step::Bytes(out.take()));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(self.end_of_body(out)),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Step::Broken(self.all(out), "upstream_cut")),
                Poll::Pending if out.len() > 0 => return Poll::Ready(Step::Bytes(out.take())),
                Poll::Pending if self.active.silent(self.worker.tick()) > self.idle => {
                    return Poll::Ready(Step::Broken(self.all(out), "upstream_silent"));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// What was gathered, and what was kept back for the end.
    fn all(&mut self, mut out: Gathered) -> Bytes {
        if let Some(ending) = self.ending.take() {
            out.push(ending.freeze());
        }
        out.take()
    }

    /// Meters a piece and gathers what of it may go out.
    fn take(&mut self, data: Bytes, out: &mut Gathered) -> Taken {
        self.active.touch(self.worker.tick());
        let data = match &mut self.frames {
            None => data,
            Some(frames) => frames.feed(&data),
        };
        self.open.record().bytes_out += data.len() as u64;
        if let Some(learner) = &mut self.learner {
            learner.feed(&data, &self.worker.shared.routes);
        }
        match &mut self.meter {
            Meter::None => {}
            Meter::Body(meter) => meter.feed(&data),
            Meter::Stream(meter) => {
                let fed = meter.feed(&data);
                return self.take_events(data, fed, out);
            }
        }
        out.push(data);
        if self.body.as_ref().is_some_and(Incoming::is_end_stream) { Taken::Complete } else { Taken::More }
    }

    fn is_garbled(&self) -> bool {
        self.frames.as_ref().is_some_and(|frames| frames.is_garbled())
    }

    /// Gathers whole events only, and keeps back those that end the reply.
    fn take_events(&mut self, mut events: Bytes, fed: Fed, out: &mut Gathered) -> Taken {
        let rest = events.split_off(fed.complete_to);
        if !events.is_empty() {
            self.in_parts = false;
            let begun = self.partial.split().freeze();
            let last = match (fed.final_from, &self.ending) {
                (_, Some(_)) => Some(0),
                (from, None) => from,
            };
            let last = last.map(|from| events.split_off(from));
            match last {
                // The final event began in an earlier piece.
                Some(last) if events.is_empty() => self.keep(&[begun, last]),
                Some(last) => {
                    out.push_some(begun);
                    out.push(events);
                    self.keep(&[last]);
                }
                None => {
                    out.push_some(begun);
                    out.push(events);
                }
            }
        }
        self.partial.extend_from_slice(&rest);
        if self.partial.len() > MAX_PARTIAL && self.ending.is_none() {
            self.in_parts = true;
            out.push(self.partial.split().freeze());
        }
        let kept = self.ending.as_ref().map_or(0, |ending| ending.len() + self.partial.len());
        match fed.ended {
            true => Taken::Complete,
            false if kept > MAX_ENDING => Taken::Endless,
            false => Taken::More,
        }
    }

    fn keep(&mut self, pieces: &[Bytes]) {
        let ending = self.ending.get_or_insert_default();
        for piece in pieces {
            ending.extend_from_slice(piece);
        }
    }

    fn end_of_body(&mut self, out: Gathered) -> Step {
        self.body = None;
        match &self.meter {
            // What is left of an event is not handed on: half an event is none.
            Meter::Stream(_) => Step::Broken(self.all(out), "upstream_cut"),
            // Without a length, the end of the connection is the end of the reply, or of the upstream.
            Meter::Body(meter) if meter.is_cut_short() && self.open.is_success() => {
                Step::Broken(self.all(out), "upstream_cut")
            }
            Meter::Body(_) | Meter::None => Step::Last(self.all(out)),
        }
    }

    /// Settles usage and closes the exchange.
    pub(crate) fn settle(&mut self, ended: Ended) -> Ticket {
        if self.open.is_closed() {
            return Ticket(0);
        }
        let outcome = match std::mem::replace(&mut self.meter, Meter::None) {
            Meter::None => None,
            Meter::Stream(meter) => Some(meter.outcome()),
            Meter::Body(meter) => Some(meter.outcome()),
        };
        let ended = if let Some(outcome) = outcome {
            self.note_outcome(outcome, ended)
        } else {
            if self.open.record().kind != Kind::Messages {
                self.open.nothing_consumed();
            }
            ended
        };
        self.open.close(ended)
    }

    fn note_outcome(&mut self, outcome: Outcome, ended: Ended) -> Ended {
        if ended == Ended::UpstreamError || (outcome.error.is_some() && !outcome.usage_seen) {
            // The provider said that it did nothing.
            self.open.nothing_consumed();
        } else if outcome.usage_seen {
            self.open.metered(outcome.usage, outcome.estimated);
        }
        let served = match self.answer {
            None => outcome.model,
            // Prices know no cloud's names.
            Some(_) => outcome.model.map(|model| first_party(&model).into_owned()),
        };
        if let Some(noted) = &mut self.open.noted {
            (noted.stop_reason, noted.reply_id) = (outcome.stop_reason, outcome.id);
        }
        let record = self.open.record();
        record.served_model = served;
        if record.reason.is_none() {
            record.reason = outcome.error;
        }
        if ended != Ended::Completed {
            return ended;
        }
        if record.kind == Kind::Messages && outcome.garbage {
            // A page of some box in between, say.
            record.reason = Some("not_a_message".to_owned());
        }
        if record.reason.is_some() { Ended::UpstreamFailed } else { ended }
    }

    /// Reads the reply to its end, for its usage only.
    pub(crate) async fn read_on(mut self: Box<Self>, limit: Duration) {
        let rest = std::future::poll_fn(|cx| {
            loop {
                if self.active.poll_cut(cx).is_some() {
                    return Poll::Ready(());
                }
                if self.head.is_some() {
                    match ready!(self.poll_head(cx)) {
                        Ok(response) => self.expect(&response),
                        Err(_) => return Poll::Ready(()),
                    }
                }
                match ready!(self.poll_step(cx)) {
                    Step::Bytes(_) => {}
                    Step::Last(_) | Step::Broken(..) => return Poll::Ready(()),
                }
            }
        });
        // Over the limit it counts as cancelled: what was seen so far is settled as an estimate.
        let _ = tokio::time::timeout(limit, rest).await;
        self.settle(Ended::ClientGone);
    }

    /// Gives the connection back for the next request, if the reply has been read to its end.
    pub(crate) fn give_back(mut self: Box<Self>) {
        let mut cx = Context::from_waker(Waker::noop());
        self.upstream.drive(&mut cx);
        let at_end = match &mut self.body {
            None => true,
            Some(body) => {
                body.is_end_stream() || matches!(Pin::new(body).poll_frame(&mut cx), Poll::Ready(None))
            }
        };
        self.body = None;
        if at_end {
            let worker = self.worker;
            worker.pool.put(self.upstream);
        }
    }
}

/// Whether a reply's type is this one.
fn is_of(response: &Response<()>, wanted: &[u8]) -> bool {
    response
        .headers()
        .get(http::header::CONTENT_TYPE)
        .and_then(|kind| kind.as_bytes().get(..wanted.len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(wanted))
}

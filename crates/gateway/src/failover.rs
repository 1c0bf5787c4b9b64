//! Sending a request, and asking another provider when one fails: only before the first byte of content (promise P10).
//!
//! With one provider it is one attempt. With several, a reply counts as begun when its message has begun (`message_start`,
//! or the first bytes of a document): until then nothing has gone to the client, and another provider can take over.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatehouse_domain::exchange::{Attempt, Ended, Kind};
use gatehouse_domain::routing::{Fault, backoff_ms, fingerprint};
use gatehouse_providers::json::with_model;
use http::request::Parts;
use http::{Response, header};
use rand::RngExt as _;

use crate::admit::{self, Admitted};
use crate::cloud::fetch_credential;
use crate::handle::{Answered, Granted};
use crate::health::Permit;
use crate::held::Held;
use crate::inspect::Received;
use crate::learn;
use crate::open::Open;
use crate::queue;
use crate::refusal::Refusal;
use crate::refused::Refused;
use crate::route::{Plan, Routed, Way};
use crate::send::{Failed, Outgoing, Translated, send, translate};
use crate::settings::Provider;
use crate::single::{Sent, once_more, only};
use crate::worker::{Active, Worker};

/// Sends the request until a provider answers.
pub(crate) async fn forward(worker: &Rc<Worker>, admitted: Admitted) -> Result<Answered, Box<Refused>> {
    let (Routed { mut granted, way }, standing) = admitted.into_parts();
    let provider = match way {
        Way::One(provider) => provider,
        Way::Many(plan) => {
            let (held, head) = Box::pin(travel(worker, granted, plan)).await?;
            return Ok(Answered { held, head, standing });
        }
    };
    let mut pass = None;
    if !provider.quota.is_idle() && granted.open.record().kind == Kind::Messages {
        let entered = Box::pin(queue::enter(worker, &mut granted.open, &granted.active, &provider)).await;
        pass = match entered {
            Ok(pass) => pass,
            Err((why, ended)) => return Err(Refused::failed(granted.open, why, ended)),
        };
    }
    let sent = match only(worker, granted, &provider).await {
        Ok(sent) => sent,
        Err((open, why)) => return Err(Refused::new(*open, why, None)),
    };
    match sent {
        Ok((mut held, head)) => {
            provider.health.count(&provider.name, Fault::of_status(head.status().as_u16()));
            queue::listen(worker, &provider, &mut held.flow().open, &head, pass.as_ref());
            held.flow().pass = pass;
            Ok(Answered { held, head, standing })
        }
        Err(failed) => {
            provider.health.count(&provider.name, failed.fault);
            let Failed { open, why, ended, .. } = *failed;
            Err(Refused::failed(open, why, ended))
        }
    }
}

/// Writes down that a provider is about to be asked. Of several intents of an exchange the last one counts.
pub(crate) fn intends(worker: &Worker, open: &mut Open) -> bool {
    let intent = open.intent().expect("only an identified request gets here");
    let is_written = worker.shared.ledger.open(&intent).is_ok();
    if !is_written {
        open.nothing_consumed();
    }
    is_written
}

/// A request on its way from provider to provider.
pub(crate) struct Trip {
    worker: Rc<Worker>,
    pub(crate) plan: Box<Plan>,
    head: Parts,
    pub(crate) active: Rc<Active>,
    body: Received,
    pub(crate) kind: Kind,
    /// Whose it is, and with what weight it waits.
    pub(crate) who: (u128, u32),
    /// How often each candidate was asked.
    asked: Vec<Cell<u32>>,
    round: Cell<u32>,
    /// Further attempts there may be.
    pub(crate) left: Cell<u32>,
    began: Instant,
}

/// Asked so often that it is not to be asked any more.
const NEVER: u32 = u32::MAX;

/// An attempt that failed.
pub(crate) enum Failure {
    /// There is a reply, which goes to the client if nobody else can answer.
    Reply(Held, Response<()>, Fault),
    /// There is none.
    Nothing(Box<Failed>),
}

pub(crate) type Reply = (Held, Response<()>);

/// Sends the request to one candidate after the other.
async fn travel(worker: &Rc<Worker>, granted: Granted, plan: Box<Plan>) -> Result<Reply, Box<Refused>> {
    let Granted { mut open, head, active, body, .. } = granted;
    worker.shared.routes.request(&plan.routing.failover);
    let trip = Trip {
        worker: Rc::clone(worker),
        asked: vec![Cell::new(0); plan.candidates.len()],
        left: Cell::new(plan.routing.failover.attempts.saturating_sub(1)),
        kind: open.record().kind,
        who: queue::who(&plan.routing.queuing, open.record().principal.as_ref()),
        round: Cell::new(1),
        began: Instant::now(),
        plan,
        head,
        active,
        body,
    };
    let (mut at, mut permit) = match trip.first(&mut open).await {
        Ok(first) => first,
        Err((why, ended)) => return Err(Refused::failed(open, why, ended)),
    };
    let mut may_hedge = trip.plan.routing.failover.hedge_after_ms > 0 && trip.plan.candidates.len() > 1;
    loop {
        let outcome;
        (at, outcome) = if std::mem::take(&mut may_hedge) && intends(worker, &mut open) {
            Box::pin(trip.hedged(open, at, permit)).await
        } else {
            (at, trip.attempt(open, at, permit).await)
        };
        let failure = match outcome {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        let Some(fault) = failure.fault() else { return failure.finish(0) };
        match trip.next(false).await {
            Ok(next) => {
                open = failure.into_open();
                let provider = trip.plan.candidates[at].provider.name.to_string();
                let ended_ms = open.elapsed_ms();
                open.begin_anew(Attempt { provider, fault, ended_ms });
                (at, permit) = next;
            }
            Err(soonest) => return failure.finish(soonest),
        }
    }
}

impl Trip {
    /// The next candidate, once it may be asked; else in how many milliseconds one may be.
    pub(crate) async fn next(&self, is_first: bool) -> Result<(usize, Permit), u64> {
        let routing = Arc::clone(&self.plan.routing);
        let failover = &routing.failover;
        let deadline = Duration::from_millis(failover.deadline_ms);
        loop {
            if !is_first && (self.left.get() == 0 || self.began.elapsed() >= deadline) {
                return Err(self.soonest());
            }
            if let Some(found) = self.pick(is_first) {
                self.left.set(self.left.get() - u32::from(!is_first));
                return Ok(found);
            }
            let soonest = self.soonest();
            if self.round.get() >= failover.rounds || self.asked.iter().all(|asked| asked.get() == NEVER) {
                return Err(soonest);
            }
            let (base, max) = (failover.backoff_base_ms, failover.backoff_max_ms);
            let wait = backoff_ms(self.round.get(), base, max, soonest, rand::rng().random());
            self.round.set(self.round.get() + 1);
            let wait = Duration::from_millis(wait);
            if wait > Duration::from_millis(max) || self.began.elapsed() + wait >= deadline {
                return Err(soonest);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// A candidate that has not been asked in this round and may be asked now.
    pub(crate) fn pick(&self, is_first: bool) -> Option<(usize, Permit)> {
        let failover = &self.plan.routing.failover;
        for (at, candidate) in self.plan.candidates.iter().enumerate() {
            if self.asked[at].get() >= self.round.get() || !candidate.provider.standing(failover).is_usable()
            {
                continue;
            }
            let Ok(pass) = self.try_pass(at) else { continue };
            if !is_first && !self.worker.shared.routes.take_retry() {
                self.left.set(0);
                return None;
            }
            if let Ok(permit) = Permit::begin(&candidate.provider, failover, pass) {
                return Some((at, permit));
            }
        }
        None
    }

    /// In how many milliseconds one of them may be asked again.
    fn soonest(&self) -> u64 {
        let failover = &self.plan.routing.failover;
        let open = self.plan.candidates.iter().zip(&self.asked).filter(|(_, asked)| asked.get() != NEVER);
        open.map(|(candidate, _)| candidate.provider.standing(failover).wait_ms()).min().unwrap_or(0)
    }

    pub(crate) async fn attempt(
        &self,
        mut open: Open,
        at: usize,
        mut permit: Permit,
    ) -> Result<Reply, Box<Failure>> {
        self.asked[at].set(self.asked[at].get() + 1);
        let candidate = &self.plan.candidates[at];
        let (provider, model) = (Arc::clone(&candidate.provider), Arc::clone(&candidate.model));
        fetch_credential(&self.worker, &provider, &mut open).await;
        let translated = match self.prepared(&provider, &model, &mut open).await {
            Ok(translated) => translated,
            Err(why) => {
                self.asked[at].set(NEVER);
                permit.failed(Fault::NotSent, None);
                return Err(nothing(open, why, Some(Fault::NotSent)));
            }
        };
        if !intends(&self.worker, &mut open) {
            return Err(nothing(open, Refusal::LedgerFull, None));
        }
        let deadline = Duration::from_millis(self.plan.routing.failover.deadline_ms);
        let left = deadline.saturating_sub(self.began.elapsed());
        let sent =
            send(&self.worker, open, &self.active, &provider, translated, provider.first_byte.min(left))
                .await;
        let sent = self.without_unknown(at, sent).await?;
        let (mut held, head) = match sent {
            Ok(reply) => reply,
            Err(failed) => {
                self.note(at, &mut permit, failed.fault, None);
                return Err(Box::new(Failure::Nothing(failed)));
            }
        };
        self.listen(at, &head, &permit);
        if self.plan.learns {
            held.flow().learn(fingerprint(&provider.family));
        }
        let fault = begins(&self.worker, &mut held, &head, self.kind).await;
        self.note(at, &mut permit, fault, Some(&head));
        let Some(fault) = fault else {
            if let Some(session) = self.plan.session.filter(|_| head.status().is_success()) {
                let switched = self.worker.shared.routes.is_with(session, fingerprint(&provider.name));
                held.flow().open.record().switched = switched;
            }
            held.flow().permit = Some(Box::new(permit));
            return Ok((held, head));
        };
        Err(Box::new(Failure::Reply(held, head, fault)))
    }

    /// Sends the request to the same provider once more, if that has said what it does not know of it.
    async fn without_unknown(&self, at: usize, sent: Sent) -> Result<Sent, Box<Failure>> {
        let Ok((mut held, head)) = sent else { return Ok(sent) };
        let candidate = &self.plan.candidates[at];
        let (provider, request) = (&candidate.provider, (&self.head.headers, &self.body.pieces[..]));
        if !learn::is_worth_another(&self.worker, &mut held, &head, provider, request).await {
            return Ok(Ok((held, head)));
        }
        let mut open = once_more(provider, held);
        let translated = match self.prepared(provider, &candidate.model, &mut open).await {
            Ok(translated) => translated,
            Err(why) => return Err(nothing(open, why, None)),
        };
        if !intends(&self.worker, &mut open) {
            return Err(nothing(open, Refusal::LedgerFull, None));
        }
        let deadline = Duration::from_millis(self.plan.routing.failover.deadline_ms);
        let patience = provider.first_byte.min(deadline.saturating_sub(self.began.elapsed()));
        Ok(send(&self.worker, open, &self.active, provider, translated, patience).await)
    }

    /// The request as this provider takes it. The body is shared with the attempts before and after.
    async fn prepared(
        &self,
        provider: &Arc<Provider>,
        model: &str,
        open: &mut Open,
    ) -> Result<Translated, Refusal> {
        open.redirect(&provider.name, model).await.map_err(admit::refusal)?;
        let mut body = Outgoing::of(&self.body);
        if *model != *self.plan.candidates[0].model {
            // The client's own name is the other model's.
            body.named = None;
            if body.form.kind().is_some() {
                return translate(provider, &self.head, open, body);
            }
            let pieces = with_model(body.pieces, model);
            body.pieces = pieces.ok_or_else(|| Refusal::Unsupported("model".to_owned()))?;
            body.bytes = body.pieces.iter().map(|piece| piece.len() as u64).sum();
        }
        translate(provider, &self.head, open, body)
    }

    /// Notes how an attempt went.
    fn note(&self, at: usize, permit: &mut Permit, fault: Option<Fault>, head: Option<&Response<()>>) {
        let provider = &self.plan.candidates[at].provider;
        match fault {
            None if head.is_some() => permit.answered(),
            // We cut it: that says nothing of the provider.
            None => return,
            Some(fault) => {
                if fault == Fault::RateLimited && self.is_heeded(head) {
                    permit.limited();
                } else {
                    permit.failed(fault, head.and_then(retry_after_ms));
                }
                if !fault.may_pass() {
                    self.asked[at].set(NEVER);
                }
            }
        }
        provider.health.count(&provider.name, fault);
    }
}

impl Failure {
    /// What went wrong with the provider; none where nobody else is to be asked.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Reply(_, _, fault) => Some(*fault),
            Self::Nothing(failed) => failed.fault,
        }
    }

    fn into_open(self) -> Open {
        match self {
            Self::Reply(held, ..) => held.into_flow().open,
            Self::Nothing(failed) => failed.open,
        }
    }

    /// Nobody else can answer: the client gets what there is.
    fn finish(self, soonest: u64) -> Result<Reply, Box<Refused>> {
        let (mut held, head, fault) = match self {
            Self::Reply(held, head, fault) => (held, head, fault),
            Self::Nothing(failed) => {
                let Failed { open, why, ended, .. } = *failed;
                return Err(Refused::failed(open, why, ended));
            }
        };
        let is_success = head.status().is_success();
        let why = if fault == Fault::Credential && !held.flow().open.record().attempts.is_empty() {
            // A client that is told that a credential is bad asks its user to sign in.
            unavailable(soonest)
        } else if is_success && fault == Fault::Broken {
            // Nothing of it has gone out, so a status says it better than an event would.
            Refusal::UpstreamBroken
        } else if is_success && fault == Fault::Timeout {
            Refusal::UpstreamTimeout
        } else if is_success && fault == Fault::Garbage {
            Refusal::UpstreamOdd
        } else {
            return Ok((held, head));
        };
        Err(Refused::failed(held.into_flow().open, why, Ended::UpstreamFailed))
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "it is an error, which must be small")]
pub(crate) fn nothing(open: Open, why: Refusal, fault: Option<Fault>) -> Box<Failure> {
    Box::new(Failure::Nothing(Box::new(Failed { open, why, ended: Ended::Refused, fault })))
}

/// What keeps a reply from counting as begun: its status, or that no message begins. If nothing comes for as long as a
/// `ping` is due, it counts as begun.
async fn begins(worker: &Worker, held: &mut Held, head: &Response<()>, kind: Kind) -> Option<Fault> {
    if !head.status().is_success() {
        return Fault::of_status(head.status().as_u16());
    }
    let flow = held.flow();
    let text = head.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let is_document = text.get(..16).is_some_and(|text| text.eq_ignore_ascii_case(b"application/json"));
    if kind == Kind::Messages && !flow.is_stream() && !is_document {
        return Some(Fault::Garbage);
    }
    if flow.is_bodyless() {
        return Some(Fault::Garbage);
    }
    let patience = worker.shared.settings.load().limits.ping;
    let begun = tokio::time::timeout(patience, std::future::poll_fn(|cx| flow.poll_begin(cx))).await;
    begun.unwrap_or(None)
}

fn retry_after_ms(head: &Response<()>) -> Option<u64> {
    let seconds = head.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok()?;
    Some(seconds.saturating_mul(1000))
}

pub(crate) fn unavailable(soonest_ms: u64) -> Refusal {
    // A client gives up at once when it is told more than a minute.
    Refusal::Unavailable(u16::try_from(soonest_ms.div_ceil(1000).clamp(1, 60)).unwrap_or(60))
}

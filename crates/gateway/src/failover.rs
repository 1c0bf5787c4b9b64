//! Sending a request, and asking another provider when one fails: only before the first byte of content (promise P10).
//!
//! With one provider it is one attempt. With several, a reply counts as begun when its message has begun (`message_start`,
//! or the first bytes of a document): until then nothing has gone to the client, and another provider can take over.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatehouse_domain::exchange::{Attempt, Ended, Kind};
use gatehouse_domain::routing::{Fault, backoff_ms, fingerprint};
use gatehouse_providers::json::with_model;
use http::request::Parts;
use http::{Response, header};
use rand::RngExt as _;

use crate::admit::{Admitted, Spent};
use crate::handle::{Answered, Granted};
use crate::health::Permit;
use crate::held::Held;
use crate::inspect::Received;
use crate::open::Open;
use crate::refusal::Refusal;
use crate::refused::Refused;
use crate::route::{Plan, Routed, Way};
use crate::send::{Failed, Outgoing, Translated, send, translate};
use crate::settings::Provider;
use crate::worker::{Active, Worker};

/// Sends the request until a provider answers.
pub(crate) async fn forward(worker: &Rc<Worker>, admitted: Admitted) -> Result<Answered, Box<Refused>> {
    let (Routed { granted, way }, standing) = admitted.into_parts();
    let provider = match way {
        Way::One(provider) => provider,
        Way::Many(plan) => {
            let (held, head) = Box::pin(travel(worker, granted, plan)).await?;
            return Ok(Answered { held, head, standing });
        }
    };
    let Granted { mut open, head, active, body, .. } = granted;
    let Received { pieces, bytes, reservation, form, named, .. } = body;
    let body = Outgoing { pieces, bytes, reservation: Some(reservation), form, named };
    let translated = match translate(&provider, &head, &mut open, body) {
        Ok(translated) => translated,
        Err(why) => return Err(Refused::new(open, why, None)),
    };
    if !intends(worker, &mut open) {
        return Err(Refused::new(open, Refusal::LedgerFull, None));
    }
    match send(worker, open, &active, &provider, translated, provider.first_byte).await {
        Ok((held, head)) => {
            provider.health.count(&provider.name, Fault::of_status(head.status().as_u16()));
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
fn intends(worker: &Worker, open: &mut Open) -> bool {
    let intent = open.intent().expect("only an identified request gets here");
    let is_written = worker.shared.ledger.open(&intent).is_ok();
    if !is_written {
        open.nothing_consumed();
    }
    is_written
}

/// A request on its way from provider to provider.
struct Trip {
    worker: Rc<Worker>,
    plan: Box<Plan>,
    head: Parts,
    active: Rc<Active>,
    body: Received,
    kind: Kind,
    /// How often each candidate was asked.
    asked: Vec<u32>,
    round: u32,
    /// Further attempts there may be.
    left: u32,
    began: Instant,
}

/// Asked so often that it is not to be asked any more.
const NEVER: u32 = u32::MAX;

/// An attempt that failed.
enum Failure {
    /// There is a reply, which goes to the client if nobody else can answer.
    Reply(Held, Response<()>, Fault),
    /// There is none.
    Nothing(Box<Failed>),
}

type Reply = (Held, Response<()>);

/// Sends the request to one candidate after the other.
async fn travel(worker: &Rc<Worker>, granted: Granted, plan: Box<Plan>) -> Result<Reply, Box<Refused>> {
    let Granted { mut open, head, active, body, .. } = granted;
    worker.shared.routes.request(&plan.routing.failover);
    let mut trip = Trip {
        worker: Rc::clone(worker),
        asked: vec![0; plan.candidates.len()],
        left: plan.routing.failover.attempts.saturating_sub(1),
        kind: open.record().kind,
        round: 1,
        began: Instant::now(),
        plan,
        head,
        active,
        body,
    };
    let (mut at, mut permit) = match trip.next(true).await {
        Ok(next) => next,
        Err(soonest) => return Err(Refused::new(open, unavailable(soonest), None)),
    };
    loop {
        let failure = match trip.attempt(open, at, permit).await {
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
    async fn next(&mut self, is_first: bool) -> Result<(usize, Permit), u64> {
        let routing = Arc::clone(&self.plan.routing);
        let failover = &routing.failover;
        let deadline = Duration::from_millis(failover.deadline_ms);
        loop {
            if !is_first && (self.left == 0 || self.began.elapsed() >= deadline) {
                return Err(self.soonest());
            }
            if let Some(found) = self.pick(is_first) {
                self.left -= u32::from(!is_first);
                return Ok(found);
            }
            let soonest = self.soonest();
            if self.round >= failover.rounds || self.asked.iter().all(|asked| *asked == NEVER) {
                return Err(soonest);
            }
            let (base, max) = (failover.backoff_base_ms, failover.backoff_max_ms);
            let wait = backoff_ms(self.round, base, max, soonest, rand::rng().random());
            self.round += 1;
            let wait = Duration::from_millis(wait);
            if wait > Duration::from_millis(max) || self.began.elapsed() + wait >= deadline {
                return Err(soonest);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// A candidate that has not been asked in this round and may be asked now.
    fn pick(&mut self, is_first: bool) -> Option<(usize, Permit)> {
        let failover = &self.plan.routing.failover;
        for (at, candidate) in self.plan.candidates.iter().enumerate() {
            if self.asked[at] >= self.round || !candidate.provider.standing(failover).is_usable() {
                continue;
            }
            if !is_first && !self.worker.shared.routes.take_retry() {
                self.left = 0;
                return None;
            }
            if let Ok(permit) = Permit::begin(&candidate.provider, failover) {
                return Some((at, permit));
            }
        }
        None
    }

    /// In how many milliseconds one of them may be asked again.
    fn soonest(&self) -> u64 {
        let failover = &self.plan.routing.failover;
        let open = self.plan.candidates.iter().zip(&self.asked).filter(|(_, asked)| **asked != NEVER);
        open.map(|(candidate, _)| candidate.provider.standing(failover).wait_ms()).min().unwrap_or(0)
    }

    async fn attempt(
        &mut self,
        mut open: Open,
        at: usize,
        mut permit: Permit,
    ) -> Result<Reply, Box<Failure>> {
        self.asked[at] += 1;
        let candidate = &self.plan.candidates[at];
        let (provider, model) = (Arc::clone(&candidate.provider), Arc::clone(&candidate.model));
        let translated = match self.prepared(&provider, &model, &mut open) {
            Ok(translated) => translated,
            Err(why) => {
                self.asked[at] = NEVER;
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
        let (mut held, head) = match sent {
            Ok(reply) => reply,
            Err(failed) => {
                self.note(at, &mut permit, failed.fault, None);
                return Err(Box::new(Failure::Nothing(failed)));
            }
        };
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

    /// The request as this provider takes it. The body is shared with the attempts before and after.
    fn prepared(
        &self,
        provider: &Arc<Provider>,
        model: &str,
        open: &mut Open,
    ) -> Result<Translated, Refusal> {
        open.redirect(&provider.name, model)
            .map_err(|why| Refusal::Budget(Box::new(Spent { why: *why, now: Worker::now() })))?;
        let mut body = Outgoing {
            pieces: self.body.pieces.clone(),
            bytes: self.body.bytes,
            reservation: None,
            form: self.body.form,
            named: self.body.named.clone(),
        };
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
    fn note(&mut self, at: usize, permit: &mut Permit, fault: Option<Fault>, head: Option<&Response<()>>) {
        let provider = &self.plan.candidates[at].provider;
        match fault {
            None if head.is_some() => permit.answered(),
            // We cut it: that says nothing of the provider.
            None => return,
            Some(fault) => {
                permit.failed(fault, head.and_then(retry_after_ms));
                if !fault.may_pass() {
                    self.asked[at] = NEVER;
                }
            }
        }
        provider.health.count(&provider.name, fault);
    }
}

impl Failure {
    /// What went wrong with the provider; none where nobody else is to be asked.
    fn fault(&self) -> Option<Fault> {
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
fn nothing(open: Open, why: Refusal, fault: Option<Fault>) -> Box<Failure> {
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

fn unavailable(soonest_ms: u64) -> Refusal {
    // A client gives up at once when it is told more than a minute.
    Refusal::Unavailable(u16::try_from(soonest_ms.div_ceil(1000).clamp(1, 60)).unwrap_or(60))
}

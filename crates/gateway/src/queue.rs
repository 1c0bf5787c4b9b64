//! Waiting for a provider whose quota is used up: in a bounded line, for a bounded time, in an order that is fair to users.
//!
//! Nothing has gone to the client by then, and nothing is locked meanwhile. What is held of budgets stays held. Whoever leaves,
//! however that happens, is out of the line at once.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use gatehouse_domain::exchange::{Ended, Kind, Principal};
use gatehouse_domain::quota::{Queuing, Ticket};
use gatehouse_domain::routing::Fault;
use http::Response;
use metrics::{counter, histogram};
use tokio::time::Instant;

use crate::failover::{Trip, unavailable};
use crate::health::{Permit, Standing};
use crate::open::Open;
use crate::quota::{Asker, Pass, hear};
use crate::refusal::Refusal;
use crate::settings::Provider;
use crate::worker::{Active, Worker};

/// Whoever waits looks at least so often whether a quota is whole again.
const LOOK: Duration = Duration::from_millis(250);
/// No oftener than this.
const NO_OFTENER: Duration = Duration::from_millis(10);

/// Why a request has no turn.
pub(crate) type Blocked = (Refusal, Ended);

/// A place in the line; given up when dropped.
struct Place<'a> {
    provider: &'a Provider,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.provider.leave(self.ticket);
    }
}

/// Who asks, and what weight they have.
pub(crate) fn who(queuing: &Queuing, principal: Option<&Principal>) -> (u128, u32) {
    principal.map_or((0, 1), |principal| (principal.user.bits(), queuing.weight(principal)))
}

/// A pass for the only provider that can answer.
pub(crate) async fn enter(
    worker: &Worker,
    open: &mut Open,
    active: &Active,
    provider: &Arc<Provider>,
) -> Result<Option<Pass>, Blocked> {
    let routing = Arc::clone(&worker.shared.settings.load().routing);
    let record = open.record();
    let (user, weight) = who(&routing.queuing, record.principal.as_ref());
    let model = record.model.clone().unwrap_or_default();
    let queuing = &routing.queuing;
    let asker = Asker { provider, model: &model, user, weight, queuing, adaptive: false };
    match asker.try_pass() {
        Ok(pass) => Ok(pass),
        Err(soonest) => turn(&asker, soonest, open, active).await.map(Some),
    }
}

/// Notes what the reply of the only provider tells of its limits.
pub(crate) fn listen(
    worker: &Worker,
    provider: &Arc<Provider>,
    open: &mut Open,
    head: &Response<()>,
    pass: Option<&Pass>,
) {
    let record = open.record();
    if record.kind == Kind::Messages {
        let settings = worker.shared.settings.load();
        let routing = &settings.routing;
        let model = record.model.as_deref().unwrap_or_default();
        hear((provider, model), head, pass, (&routing.queuing, &routing.failover));
    }
}

/// Waits for a turn, if it may come in time.
async fn turn(asker: &Asker<'_>, soonest: u64, open: &mut Open, active: &Active) -> Result<Pass, Blocked> {
    let longest = asker.queuing.wait_ms;
    if !asker.queuing.is_on() || soonest > longest {
        return Err(refused(asker, "too_long", soonest));
    }
    let (ticket, mut granted) = asker.line_up().map_err(|why| refused(asker, why, asker.soonest()))?;
    let place = Place { provider: asker.provider, ticket };
    let began = Instant::now();
    let deadline = began + Duration::from_millis(longest);
    let pass = loop {
        let quota = &asker.provider.quota;
        let next = Duration::from_millis(quota.next_at().saturating_sub(quota.now()));
        let look = (Instant::now() + next.clamp(NO_OFTENER, LOOK)).min(deadline);
        let cut = std::future::poll_fn(|cx| active.poll_cut(cx).map_or(Poll::Pending, Poll::Ready));
        tokio::select! {
            biased;
            // Without one, somebody with fewer requests took its place.
            granted = &mut granted => break granted.map_err(|_| "full"),
            cut = cut => return Err((cut.refusal(), cut.ended())),
            () = tokio::time::sleep_until(look) => {}
        }
        if Instant::now() >= deadline {
            // A turn that has come in this very moment is one.
            drop(place);
            break granted.try_recv().map_err(|_| "timeout");
        }
        asker.look_for_turns();
    };
    let pass = pass.map_err(|why| refused(asker, why, asker.soonest()))?;
    open.waited(began.elapsed());
    let name = asker.provider.name.to_string();
    histogram!("gatehouse_queue_wait_seconds", "provider" => name).record(began.elapsed().as_secs_f64());
    Ok(pass)
}

fn refused(asker: &Asker<'_>, why: &'static str, soonest: u64) -> Blocked {
    let name = asker.provider.name.to_string();
    counter!("gatehouse_queue_refused_total", "provider" => name, "why" => why).increment(1);
    let seconds = u16::try_from(soonest.div_ceil(1000).max(1)).unwrap_or(u16::MAX);
    (Refusal::Crowded(seconds), Ended::Refused)
}

impl Trip {
    /// Who asks at a candidate.
    pub(crate) fn asker(&self, at: usize) -> Asker<'_> {
        let (candidate, routing) = (&self.plan.candidates[at], &self.plan.routing);
        Asker {
            provider: &candidate.provider,
            model: &candidate.model,
            user: self.who.0,
            weight: self.who.1,
            queuing: &routing.queuing,
            adaptive: routing.failover.adaptive,
        }
    }

    /// A pass for a candidate, if it has room now.
    pub(crate) fn try_pass(&self, at: usize) -> Result<Option<Pass>, u64> {
        if self.kind == Kind::Messages { self.asker(at).try_pass() } else { Ok(None) }
    }

    /// The first candidate to be asked: one that has room, or else the one whose turn may come soonest, once it comes.
    pub(crate) async fn first(&self, open: &mut Open) -> Result<(usize, Permit), Blocked> {
        if let Some(found) = self.pick(true) {
            return Ok(found);
        }
        if let Some((soonest, at)) = self.soonest_turn() {
            let asker = self.asker(at);
            let pass = Box::pin(turn(&asker, soonest, open, &self.active)).await?;
            if let Ok(permit) = Permit::begin(asker.provider, &self.plan.routing.failover, Some(pass)) {
                return Ok((at, permit));
            }
        }
        self.next(true).await.map_err(|soonest| (unavailable(soonest), Ended::Refused))
    }

    /// Of those that are held up by their quota only, the one whose turn may come soonest.
    fn soonest_turn(&self) -> Option<(u64, usize)> {
        if self.kind != Kind::Messages {
            return None;
        }
        let routing = &self.plan.routing;
        let is_held_up = |at: &usize| {
            let standing = self.plan.candidates[*at].provider.standing(&routing.failover);
            standing.is_usable() || (standing == Standing::Full && routing.queuing.is_on())
        };
        let all = (0..self.plan.candidates.len()).filter(is_held_up);
        let all = all.filter_map(|at| {
            Some(self.asker(at)).filter(Asker::is_counted).map(|asker| (asker.soonest(), at))
        });
        all.min()
    }

    /// Notes what a candidate's reply tells of its limits.
    pub(crate) fn listen(&self, at: usize, head: &Response<()>, permit: &Permit) {
        if self.kind == Kind::Messages {
            let (candidate, routing) = (&self.plan.candidates[at], &self.plan.routing);
            let bounds = (&routing.queuing, &routing.failover);
            hear((&candidate.provider, &candidate.model), head, permit.pass(), bounds);
        }
    }

    /// Whether this provider's refusal for want of quota is heeded by those who wait, so that it is not to be left alone as a whole.
    pub(crate) fn is_heeded(&self, head: Option<&Response<()>>) -> bool {
        self.plan.routing.queuing.is_on()
            && self.kind == Kind::Messages
            && head.and_then(|head| Fault::of_status(head.status().as_u16())) == Some(Fault::RateLimited)
    }
}

//! Budgets counted together with other nodes. A request is decided here, by what was granted to this node; only where that is
//! not enough it waits, for a bounded time, for what a link to the other nodes brings.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gatehouse_domain::budget::share::{
    Answer, Ask, Lapsed, Outcome, Pool, Reach, Shares, Stale, Telling, Waiting,
};
use gatehouse_domain::budget::{Admission, Budget, Budgets, Charge, Exceeded, Hold, Standing};
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::id::BudgetId;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;
use tokio::sync::{Notify, watch};

use super::Reserved;
use crate::ledger::Ticket;
use crate::worker::Worker;

/// After so long without an answer, what was granted to this node counts no more. Others count on that: it is half of the
/// time after which they take this node for away.
pub const LEASE: Duration = Duration::from_secs(4);

/// Budgets counted together with other nodes.
pub struct Together {
    busy: AtomicBool,
    shares: Mutex<Shares>,
    link: Mutex<Link>,
    /// Wakes the link.
    asked: Notify,
    /// Wakes those who wait for it.
    answered: watch::Sender<()>,
    patience: Duration,
}

#[derive(Default)]
struct Link {
    /// Whether the last call succeeded.
    up: bool,
    /// When the last call that succeeded was begun.
    heard: Option<Instant>,
    nodes: u64,
}

/// What an exchange is charged by, for as long as a request waits.
struct Charged {
    principal: Principal,
    model: String,
    provider: String,
    at: UnixMillis,
}

impl Charged {
    fn charge(&self) -> Charge<'_> {
        Charge { principal: &self.principal, model: &self.model, provider: &self.provider, at: self.at }
    }
}

/// A request's place in the queues; it leaves them whatever ends its waiting.
struct Queued {
    of: Arc<Together>,
    waiting: Waiting,
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.of.shares().leave(&mut self.waiting);
    }
}

impl Together {
    /// Counters whose requests wait this long at most.
    pub fn new(patience: Duration) -> Self {
        Self {
            busy: AtomicBool::new(false),
            shares: Mutex::default(),
            link: Mutex::default(),
            asked: Notify::new(),
            answered: watch::Sender::new(()),
            patience,
        }
    }

    /// Whoever holds it does nothing else.
    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self) -> Reach {
        let heard = self.link().heard.is_some_and(|at| at.elapsed() < LEASE);
        if heard { Reach::Reached } else { Reach::Lapsed }
    }

    /// See [`Shares::install`]. `newest` is asked after it is certain that later ends are noted.
    pub fn install(&self, budgets: &Arc<Budgets>, newest: impl FnOnce() -> u64) {
        if !budgets.is_empty() {
            self.busy.store(true, Ordering::SeqCst);
        }
        // While nobody settles: an end that was not noted, since its budget was unknown, is not beyond it.
        let mut shares = self.shares();
        shares.install(budgets, newest());
        drop(shares);
        if budgets.is_empty() {
            self.busy.store(false, Ordering::SeqCst);
        }
        self.asked.notify_one();
    }

    /// Whether there is no budget at all.
    pub fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::SeqCst)
    }

    /// Reserves; see [`super::Counters::reserve`].
    pub(super) fn reserve(self: &Arc<Self>, charge: &Charge<'_>, worst: Nanos, now: UnixMillis) -> Reserved {
        let reach = self.reach();
        let mut waiting = Waiting::default();
        let outcome = self.shares().reserve(charge, worst, now, reach, &mut waiting);
        match outcome {
            Outcome::Admitted(admission) => Reserved::Now(Ok(admission)),
            Outcome::Refused(why) => Reserved::Now(Err(why)),
            Outcome::Wait => {
                let queued = Queued { of: Arc::clone(self), waiting };
                let charged = Charged {
                    principal: *charge.principal,
                    model: charge.model.to_owned(),
                    provider: charge.provider.to_owned(),
                    at: charge.at,
                };
                Reserved::Later(Box::pin(wait(queued, charged, worst)))
            }
        }
    }

    /// Settles; see [`super::Counters::settle`].
    pub(super) fn settle(&self, hold: Option<Hold>, charge: &Charge<'_>, cost: Nanos, ticket: Ticket) {
        self.shares().settle(hold, charge, cost, ticket.0);
    }

    /// See [`Shares::standing`].
    pub fn standing(&self, id: BudgetId, at: UnixMillis) -> Option<Standing> {
        self.shares().standing(id, at)
    }

    /// See [`Shares::standings`].
    pub fn standings(&self, principal: &Principal, at: UnixMillis) -> Vec<Standing> {
        self.shares().standings(principal, at)
    }

    /// Whether the other nodes can be reached, and how many nodes there are, this one included.
    pub fn seen(&self) -> (bool, u64) {
        let heard = self.reach() == Reach::Reached;
        let link = self.link();
        (link.up && heard, link.nodes)
    }

    /// For the link: waits until somebody needs it.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// For the link: something is to be done.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// For the link: a call that was begun at this time has succeeded, and so many nodes are there.
    pub fn heard(&self, begun: Instant, nodes: u64) {
        *self.link() = Link { up: true, heard: Some(begun), nodes };
    }

    /// For the link: a call has failed.
    pub fn cut(&self) {
        self.link().up = false;
        self.turn();
    }

    /// For the link: those who wait look again.
    pub fn turn(&self) {
        self.answered.send_replace(());
    }

    /// For the link: see [`Shares::asks`].
    pub fn asks(&self, hot: &[Pool], now: UnixMillis, stored: u64, telling: Telling) -> Vec<Ask> {
        let lapsed = if self.reach() == Reach::Lapsed { Lapsed::Yes } else { Lapsed::No };
        self.shares().asks(hot, now, stored, lapsed, telling)
    }

    /// For the link: see [`Shares::join`].
    ///
    /// # Errors
    /// The pool has to be built anew.
    pub fn join(&self, pool: Pool, base: &str, spent: i128, through: u64) -> Result<Option<Ask>, Stale> {
        let mut shares = self.shares();
        shares.join(pool, base, spent, through)?;
        Ok(shares.again(pool))
    }

    /// For the link: see [`Shares::answered`].
    pub fn answered(&self, ask: &Ask, answer: &Answer) {
        self.shares().answered(ask, answer);
    }

    /// For the link: whether somebody waits.
    pub fn is_awaited(&self) -> bool {
        self.shares().is_awaited()
    }

    /// For the link: a budget.
    pub fn budget(&self, id: BudgetId) -> Option<Arc<Budget>> {
        self.shares().budget(id)
    }

    /// No more requests: what was granted and is not used is given back with the next word.
    pub fn close(&self) {
        self.shares().close();
        self.asked.notify_one();
    }

    /// Whether everything was told.
    pub fn is_told(&self) -> bool {
        self.shares().is_told()
    }
}

async fn wait(mut queued: Queued, charged: Charged, worst: Nanos) -> Result<Admission, Box<Exceeded>> {
    let of = Arc::clone(&queued.of);
    let mut answered = of.answered.subscribe();
    let patience = tokio::time::sleep(of.patience);
    tokio::pin!(patience);
    of.asked.notify_one();
    loop {
        let late = tokio::select! {
            _ = answered.changed() => false,
            () = &mut patience => true,
        };
        let reach = of.reach();
        let reach = if late && reach == Reach::Reached { Reach::Late } else { reach };
        let outcome =
            of.shares().reserve(&charged.charge(), worst, Worker::now(), reach, &mut queued.waiting);
        match outcome {
            Outcome::Admitted(admission) => return Ok(admission),
            Outcome::Refused(why) => return Err(why),
            Outcome::Wait => {}
        }
    }
}

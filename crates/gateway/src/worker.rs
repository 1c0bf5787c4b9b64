//! A worker: one thread, one current-thread runtime, its own upstream connections. Nothing in here is locked.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use gatehouse_domain::exchange::{Ended, Kind};
use gatehouse_domain::id::ExchangeId;
use gatehouse_domain::policy::{Grant, Snapshot};
use gatehouse_domain::time::UnixMillis;
use rand::RngExt as _;
use slab::Slab;
use tokio::sync::Notify;

use gatehouse_listener::Entrance;

use crate::connection::{Connection, Tick};
use crate::counters::Counters;
use crate::inspect::Budget;
use crate::ledger::{Ledger, Ticket};
use crate::limits::Limiter;
use crate::observe::Meters;
use crate::open::Open;
use crate::reception::Reception;
use crate::refusal::Refusal;
use crate::routes::Routes;
use crate::settings::Settings;
use crate::upstream::Pool;
use crate::witness::Witness;

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) policy: Arc<ArcSwap<Snapshot>>,
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) reception: Reception,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) counters: Arc<dyn Counters>,
    pub(crate) limits: Arc<Limiter>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) witness: Arc<dyn Witness>,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) in_flight: AtomicUsize,
    pub(crate) connections: AtomicUsize,
    pub(crate) meters: Meters,
    /// No new connections; those that are idle close.
    pub(crate) draining: AtomicBool,
    /// What is still under way is cut.
    pub(crate) stopping: AtomicBool,
    /// Wakes the accept loops when draining begins.
    pub(crate) drain: Notify,
}

/// One worker's own state.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    began: Instant,
    tick: Cell<u32>,
    pub(crate) active: RefCell<Slab<Rc<Active>>>,
    pub(crate) connections: RefCell<Slab<Rc<Connection>>>,
    pub(crate) pool: Pool,
    commits: RefCell<VecDeque<(Ticket, Waker)>>,
    pub(crate) committed: Arc<Notify>,
}

/// Why an exchange under way is to end now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Its key or session is no longer good.
    Revoked,
    /// The node stops and its drain time is over.
    Stopping,
}

impl Cut {
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::Revoked => Refusal::Revoked,
            Self::Stopping => Refusal::Stopping,
        }
    }

    pub(crate) fn ended(self) -> Ended {
        match self {
            Self::Revoked => Ended::Revoked,
            Self::Stopping => Ended::Interrupted,
        }
    }
}

/// An exchange under way that was let in, as the sweep sees it.
pub(crate) struct Active {
    grant: Grant,
    cut: Cell<Option<Cut>>,
    /// Second in which something last arrived from the upstream or went to the client.
    last: Cell<u32>,
    waker: RefCell<Option<Waker>>,
}

impl Active {
    pub(crate) fn new(grant: Grant, tick: u32) -> Rc<Self> {
        Rc::new(Self { grant, cut: Cell::new(None), last: Cell::new(tick), waker: RefCell::new(None) })
    }

    /// Whether the exchange is to end; otherwise the task is woken when it is, and once a second while it is silent.
    pub(crate) fn poll_cut(&self, cx: &Context<'_>) -> Option<Cut> {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.cut.get()
    }

    pub(crate) fn touch(&self, tick: u32) {
        self.last.set(tick);
    }

    /// Seconds since something last moved.
    pub(crate) fn silent(&self, tick: u32) -> Duration {
        Duration::from_secs(tick.saturating_sub(self.last.get()).into())
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Rc<Self> {
        let committed = Arc::new(Notify::new());
        let wake = Arc::clone(&committed);
        shared.ledger.on_durable(Box::new(move || wake.notify_one()));
        Rc::new(Self {
            shared,
            began: Instant::now(),
            tick: Cell::new(1),
            active: RefCell::new(Slab::new()),
            connections: RefCell::new(Slab::new()),
            pool: Pool::default(),
            commits: RefCell::new(VecDeque::new()),
            committed,
        })
    }

    /// UTC milliseconds by the wall clock.
    pub(crate) fn now() -> UnixMillis {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// A fresh exchange identifier.
    pub(crate) fn exchange_id(now: UnixMillis) -> ExchangeId {
        ExchangeId::new(now, rand::rng().random())
    }

    /// Ready when the ledger has made this ticket durable.
    pub(crate) fn poll_durable(&self, ticket: Ticket, cx: &Context<'_>) -> Poll<()> {
        if self.shared.ledger.durable() >= ticket {
            return Poll::Ready(());
        }
        let mut commits = self.commits.borrow_mut();
        let known = commits.iter().rev().any(|(t, waker)| *t == ticket && waker.will_wake(cx.waker()));
        if !known {
            commits.push_back((ticket, cx.waker().clone()));
        }
        drop(commits);
        // The flush may have ended between the first look and the registration.
        if self.shared.ledger.durable() >= ticket { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Wakes those whose entries have become durable.
    pub(crate) async fn announce_commits(self: Rc<Self>) {
        loop {
            self.committed.notified().await;
            let durable = self.shared.ledger.durable();
            self.commits.borrow_mut().retain(|(ticket, waker)| {
                let waiting = *ticket > durable;
                if !waiting {
                    waker.wake_by_ref();
                }
                waiting
            });
        }
    }

    /// Once a second: cuts connections that overstay and exchanges whose key or session is no longer good, wakes silent ones.
    pub(crate) async fn sweep(self: Rc<Self>) {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let seconds = u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX);
            self.tick.set(seconds.saturating_add(1));
            self.sweep_connections();
            self.sweep_active();
            self.pool.sweep();
            let shared = &self.shared;
            let (in_flight, connections) =
                (shared.in_flight.load(Ordering::Relaxed), shared.connections.load(Ordering::Relaxed));
            shared.meters.note_load(in_flight, connections, shared.budget.held());
        }
    }

    pub(crate) fn sweep_connections(&self) {
        let settings = self.shared.settings.load();
        let draining = self.shared.draining.load(Ordering::Relaxed);
        for (_, connection) in self.connections.borrow().iter() {
            if let Some(why) = connection.overstay(self.tick.get(), &settings.limits) {
                connection.cut(Some(why));
            } else if draining && connection.is_resting() {
                connection.cut(None);
            } else if draining {
                connection.wake();
            }
        }
    }

    fn sweep_active(&self) {
        let policy = self.shared.policy.load();
        let stopping = self.shared.stopping.load(Ordering::Relaxed);
        let now = Self::now();
        for (_, active) in self.active.borrow().iter() {
            if active.cut.get().is_none() {
                if stopping {
                    active.cut.set(Some(Cut::Stopping));
                } else if policy.still_good(&active.grant, now).is_err() {
                    active.cut.set(Some(Cut::Revoked));
                }
            }
            if (active.cut.get().is_some() || active.last.get() < self.tick.get())
                && let Some(waker) = &*active.waker.borrow()
            {
                waker.wake_by_ref();
            }
        }
    }
}

impl Tick for Worker {
    fn tick(&self) -> u32 {
        self.tick.get()
    }

    fn refuse_head(&self, connection: &Connection, status: &[u8]) -> Bytes {
        let refusal =
            if status == b"431" || status == b"414" { Refusal::HeadTooLarge } else { Refusal::MalformedHead };
        let mut open = Open::unwatched(&self.shared, connection.peer(), Kind::Other);
        let response = refusal.response(open.request_id());
        open.refused(&refusal);
        open.close(Ended::Refused);
        crate::reply::raw(&response)
    }
}

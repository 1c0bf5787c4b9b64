//! The task that brings exchanges from the journal into the database.
//!
//! It reads the journal's files, so it may fall behind, or wait for a database that is away, without growing memory.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatehouse_domain::budget::Budget;
use gatehouse_domain::exchange::Exchange;
use gatehouse_domain::id::{NodeId, OrgId};
use gatehouse_domain::time::UnixMillis;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::alike::Alike;
use super::bring::Brought;
use super::place::Place;
use super::spent::Spent;
use crate::engine::{Store, in_time};
use crate::error::StoreError;
use crate::journal::{Journal, Position, Tail};
use crate::pool::Base;

/// Most exchanges of a transaction.
const BATCH: usize = 512;
/// How long entries may gather before they are brought in, unless somebody waits for them.
const GATHER: Duration = Duration::from_millis(80);
/// How long the batch under way may take at the end.
const LAST_BATCH: Duration = Duration::from_secs(1);
/// How long a batch, or the question where to go on, may take: more than any of its statements may take in the database,
/// so that only a connection that has gone silent is given up by it.
const ATTEMPT: Duration = Duration::from_secs(70);
/// The longest pause between two attempts when the database is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The ledger of this node: its task, and what it tells.
pub struct Ledger {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    store: Store,
    journal: Arc<Journal>,
    org: OrgId,
    node: NodeId,
    /// The newest entry that is in the database.
    brought: AtomicU64,
    /// The journal's place that the database holds.
    stored: Mutex<Position>,
    /// When everything durable was in the database last.
    caught_up: Mutex<Instant>,
    /// The last attempt failed.
    failing: AtomicBool,
    stop: AtomicBool,
    /// There is something to do.
    work: Notify,
    /// Somebody waits: do not gather.
    urgent: Notify,
    /// Something has been brought in.
    done: Notify,
}

/// How far the database is behind the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Entries (intents included) that are durable on disk and not in the database.
    pub entries: u64,
    /// About how many bytes of the journal these are.
    pub bytes: u64,
    /// Seconds since everything durable was in the database; 0 when it is.
    pub seconds: u64,
    /// The journal's place that the database holds; all zero when it is not known yet.
    pub stored: Position,
    /// Whether the database did not take them at the last attempt.
    pub failing: bool,
}

/// Everything that had ended at the time of the call is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed;

/// The database did not take everything in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger did not catch up in time")]
pub struct NotFlushed;

impl Ledger {
    /// Starts the task. `org` is whom exchanges without a principal belong to.
    pub fn start(store: Store, journal: Arc<Journal>, org: OrgId, node: NodeId) -> Self {
        let shared = Arc::new(Shared {
            store,
            journal,
            org,
            node,
            brought: AtomicU64::new(0),
            stored: Mutex::default(),
            caught_up: Mutex::new(Instant::now()),
            failing: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            work: Notify::new(),
            urgent: Notify::new(),
            done: Notify::new(),
        });
        let weak = Arc::downgrade(&shared);
        shared.journal.on_durable(Box::new(move || {
            if let Some(shared) = weak.upgrade() {
                shared.work.notify_one();
            }
        }));
        let task = tokio::spawn(run(Arc::clone(&shared)));
        Self { shared, task: Mutex::new(Some(task)) }
    }

    /// Waits until everything that has ended by now is in the database.
    ///
    /// # Errors
    /// It takes longer than this.
    pub async fn flush(&self, limit: Duration) -> Result<Flushed, NotFlushed> {
        let target = self.shared.journal.newest().0;
        let deadline = Instant::now() + limit;
        loop {
            let done = self.shared.done.notified();
            if self.shared.brought.load(Ordering::Acquire) >= target {
                return Ok(Flushed);
            }
            self.shared.hurry();
            if tokio::time::timeout_at(deadline, done).await.is_err() {
                return Err(NotFlushed);
            }
        }
    }

    /// What was spent of a budget in its period of this time, and up to which ticket of this node's exchanges. To be asked
    /// after [`Ledger::flush`]: what had ended before that is in it.
    ///
    /// # Errors
    /// The database.
    pub async fn spent_of(&self, budget: &Budget, at: UnixMillis) -> Result<Spent, StoreError> {
        let Shared { store, org, node, journal, .. } = &*self.shared;
        let run = journal.runs().last().copied().unwrap_or_default();
        store.spent_of(*org, budget, at, *node, run).await
    }

    /// The same of each of these budgets, in their order.
    ///
    /// # Errors
    /// The database.
    pub async fn spent_of_alike(&self, alike: &Alike, at: UnixMillis) -> Result<Vec<Spent>, StoreError> {
        let Shared { store, org, node, journal, .. } = &*self.shared;
        let run = journal.runs().last().copied().unwrap_or_default();
        store.spent_of_alike(*org, alike, at, *node, run).await
    }

    /// What was spent of a budget on all nodes; see [`Store::spent_by_all`].
    ///
    /// # Errors
    /// The database.
    pub async fn spent_by_all(&self, budget: &Budget, at: UnixMillis) -> Result<Base, StoreError> {
        self.shared.store.spent_by_all(self.shared.org, budget, at).await
    }

    /// How far the database is behind.
    pub fn lag(&self) -> Lag {
        let durable = self.shared.journal.durable().0;
        let brought = self.shared.brought.load(Ordering::Acquire);
        let stored = *lock(&self.shared.stored);
        let entries = if brought == 0 { 0 } else { durable.saturating_sub(brought) };
        let (bytes, seconds) = match entries {
            0 => (0, 0),
            _ => (self.shared.journal.bytes_after(stored), lock(&self.shared.caught_up).elapsed().as_secs()),
        };
        Lag { entries, bytes, seconds, stored, failing: self.shared.failing.load(Ordering::Relaxed) }
    }

    /// Brings in what is there, up to this time, and ends. What is left comes in at the next start.
    pub async fn stop(&self, limit: Duration) {
        let _ = self.flush(limit).await;
        self.shared.stop.store(true, Ordering::Release);
        self.shared.hurry();
        let Some(mut task) = lock(&self.task).take() else { return };
        if timeout(LAST_BATCH, &mut task).await.is_err() {
            // The database does not answer; its transaction is undone and the batch comes in at the next start.
            task.abort();
            let _ = task.await;
        }
    }
}

impl Shared {
    /// Wakes the task, whatever it waits for.
    fn hurry(&self) {
        self.urgent.notify_one();
        self.work.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(shared: Arc<Shared>) {
    let shared = &*shared;
    let mut pause = Pause::default();
    let Some((mut place, mut tail)) = begin(shared, &mut pause).await else { return };
    let mut exchanges = Vec::new();
    while !shared.stop.load(Ordering::Acquire) {
        shared.work.notified().await;
        // Entries may gather, unless somebody waits.
        let _ = timeout(GATHER, shared.urgent.notified()).await;
        while !shared.stop.load(Ordering::Acquire) {
            // What is durable before the reading begins is certainly read if there was room for more.
            let durable = shared.journal.durable().0;
            exchanges.clear();
            let read = tail.read(BATCH, &mut exchanges);
            let to = tail.position();
            match bring_until_in(shared, &mut place, &exchanges, to, &mut pause).await {
                Turn::In => {}
                Turn::Stopped => return,
                Turn::Moved => {
                    let Some(again) = begin(shared, &mut pause).await else { return };
                    (place, tail) = again;
                    // What was in may have to come in once more.
                    shared.brought.store(tail.position().seq, Ordering::Release);
                    tell_moved(&place, to);
                    continue;
                }
            }
            if let Err(error) = read {
                arrived(shared, tail.position().seq);
                pause.after(shared, &error, "reading the journal").await;
                continue;
            }
            if exchanges.len() < BATCH {
                *lock(&shared.caught_up) = Instant::now();
                arrived(shared, tail.position().seq.max(durable));
                break;
            }
            arrived(shared, tail.position().seq);
        }
        exchanges.shrink_to(64);
    }
}

/// Finds out up to where the journal is in the database.
async fn begin(shared: &Shared, pause: &mut Pause) -> Option<(Place, Tail)> {
    loop {
        if shared.stop.load(Ordering::Acquire) {
            return None;
        }
        let journal = &shared.journal;
        let claim = Place::claim(&shared.store, shared.node, journal.runs(), journal.earlier());
        match in_time(ATTEMPT, claim).await {
            Ok(place) => match shared.journal.tail(place.held()) {
                Ok(tail) => {
                    pause.over(shared);
                    store(shared, tail.position());
                    // What earlier runs left is brought in without waiting for something new.
                    shared.work.notify_one();
                    return Some((place, tail));
                }
                Err(error) => pause.after(shared, &error, "reading the journal").await,
            },
            Err(error) => pause.after(shared, &error, "asking the database for the ledger's place").await,
        }
    }
}

/// How a batch fared.
enum Turn {
    /// It is in the database.
    In,
    /// The ledger is to stop before.
    Stopped,
    /// The database holds another place of the journal than was left there.
    Moved,
}

/// Tries until the batch is in the database.
async fn bring_until_in(
    shared: &Shared,
    place: &mut Place,
    exchanges: &[Exchange],
    to: Position,
    pause: &mut Pause,
) -> Turn {
    while !exchanges.is_empty() {
        match in_time(ATTEMPT, place.bring_in(&shared.store, shared.org, exchanges, to)).await {
            Ok(Brought::New(_)) => {
                pause.over(shared);
                store(shared, to);
                return Turn::In;
            }
            Ok(Brought::Moved) => return Turn::Moved,
            Err(error) if shared.stop.load(Ordering::Acquire) => {
                tracing::warn!(%error, "the ledger stops before everything is in the database; the rest follows at the next start");
                return Turn::Stopped;
            }
            Err(error) => pause.after(shared, &error, "writing the ledger to the database").await,
        }
    }
    Turn::In
}

/// Says why the ledger goes on somewhere else than it was.
fn tell_moved(place: &Place, tried: Position) {
    match place.held() {
        // The batch is in after all: the database took it, and its answer was lost.
        Some(held) if held == tried => {}
        Some(held) => tracing::warn!(
            position_seq = held.seq,
            "the database holds another place of the journal than this node left there, as after a backup was put \
             back; what comes after it is brought in again"
        ),
        None => tracing::error!(
            "the journal's place in the database is gone: either the database was put back, or the data directory was \
             copied and the copy is running as the same node. Everything the journal keeps is compared with the \
             database, and nothing is counted twice; of a copy, remove `node.id` and `journal` before it starts"
        ),
    }
}

/// The database holds this place: the journal may forget what is before it.
fn store(shared: &Shared, to: Position) {
    *lock(&shared.stored) = to;
    shared.journal.passed(to);
}

/// Every exchange up to this entry is in the database.
fn arrived(shared: &Shared, seq: u64) {
    shared.brought.fetch_max(seq, Ordering::AcqRel);
    shared.done.notify_waiters();
}

/// Pauses between attempts: longer and longer, up to [`LONGEST_PAUSE`].
#[derive(Default)]
struct Pause {
    attempts: u32,
}

impl Pause {
    async fn after(&mut self, shared: &Shared, error: &(dyn std::error::Error + Send + Sync), doing: &str) {
        if self.attempts == 0 {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "{doing} failed; what is recorded waits in the journal. Trying again");
        }
        shared.failing.store(true, Ordering::Relaxed);
        let longest = Duration::from_millis(100 << self.attempts.min(6)).min(LONGEST_PAUSE);
        self.attempts = self.attempts.saturating_add(1);
        // Nodes that lost the same database do not all come back at the same moment.
        let jitter = u64::from(std::process::id()) % 100;
        let stop = async {
            while !shared.stop.load(Ordering::Acquire) {
                shared.urgent.notified().await;
            }
        };
        let pause = longest / 2 + longest * u32::try_from(jitter).unwrap_or(0) / 200;
        let _ = timeout(pause, stop).await;
        // A wake-up that came meanwhile was for the task as well.
        shared.work.notify_one();
    }

    fn over(&mut self, shared: &Shared) {
        if self.attempts > 0 {
            tracing::info!("the database takes the ledger again");
            self.attempts = 0;
            shared.failing.store(false, Ordering::Relaxed);
        }
    }
}

//! The task that brings exchanges from the journal into the database.
//!
//! It reads the journal's files, so it may fall behind, or wait for a database that is away, without growing memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gatehouse_domain::exchange::Exchange;
use gatehouse_domain::id::{NodeId, OrgId};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::bring;
use crate::engine::Store;
use crate::journal::{Journal, Position, Tail};

/// Most exchanges of a transaction.
const BATCH: usize = 512;
/// How long entries may gather before they are brought in, unless somebody waits for them.
const GATHER: Duration = Duration::from_millis(80);
/// The longest pause between two attempts when the database is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The ledger of this node: its task, and what it tells.
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    journal: Arc<Journal>,
    org: OrgId,
    node: NodeId,
    /// The newest entry that is in the database.
    brought: AtomicU64,
    /// The last attempt failed.
    failing: AtomicBool,
    /// Somebody waits: do not gather.
    urgent: AtomicBool,
    stop: AtomicBool,
    /// There is something to do.
    work: Notify,
    /// Something has been brought in.
    done: Notify,
    /// The task has ended.
    ended: Notify,
}

/// How far the database is behind the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Entries (intents included) that are durable on disk and not in the database.
    pub entries: u64,
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
            failing: AtomicBool::new(false),
            urgent: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            work: Notify::new(),
            done: Notify::new(),
            ended: Notify::new(),
        });
        let weak = Arc::downgrade(&shared);
        shared.journal.on_durable(Box::new(move || {
            if let Some(shared) = weak.upgrade() {
                shared.work.notify_one();
            }
        }));
        tokio::spawn(run(Arc::clone(&shared)));
        Self { shared }
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
            self.shared.urgent.store(true, Ordering::Release);
            self.shared.work.notify_one();
            if tokio::time::timeout_at(deadline, done).await.is_err() {
                return Err(NotFlushed);
            }
        }
    }

    /// How far the database is behind.
    pub fn lag(&self) -> Lag {
        let durable = self.shared.journal.durable().0;
        let brought = self.shared.brought.load(Ordering::Acquire);
        let entries = if brought == 0 { 0 } else { durable.saturating_sub(brought) };
        Lag { entries, failing: self.shared.failing.load(Ordering::Relaxed) }
    }

    /// Brings in what is there, up to this time, and ends. What is left comes in at the next start.
    pub async fn stop(&self, limit: Duration) {
        let _ = self.flush(limit).await;
        self.shared.stop.store(true, Ordering::Release);
        self.shared.work.notify_one();
        // Dropping the handle would only detach the task: it ends by itself at the next look.
        let _ = timeout(Duration::from_secs(1), self.shared.ended.notified()).await;
    }
}

async fn run(shared: Arc<Shared>) {
    work(&shared).await;
    shared.ended.notify_one();
}

async fn work(shared: &Shared) {
    let mut pause = Pause::default();
    let Some(mut tail) = begin(shared, &mut pause).await else { return };
    while !shared.stop.load(Ordering::Acquire) {
        // A wake-up may be lost between two processes' worth of care; a look once a second costs nothing.
        let _ = timeout(Duration::from_secs(1), shared.work.notified()).await;
        gather(shared).await;
        while !shared.stop.load(Ordering::Acquire) {
            // What is durable before the reading begins is certainly read if there was room for more.
            let durable = shared.journal.durable().0;
            let mut exchanges = Vec::new();
            if let Err(error) = tail.read(BATCH, &mut exchanges) {
                pause.after(shared, &error, "reading the journal").await;
            }
            if !bring_until_in(shared, &exchanges, tail.position(), &mut pause).await {
                return;
            }
            let at_end = exchanges.len() < BATCH;
            arrived(shared, tail.position(), if at_end { durable } else { 0 });
            if at_end {
                break;
            }
        }
    }
}

/// Finds out up to where the journal is in the database.
async fn begin(shared: &Shared, pause: &mut Pause) -> Option<Tail> {
    loop {
        if shared.stop.load(Ordering::Acquire) {
            return None;
        }
        match bring::position(&shared.store, shared.node).await {
            Ok(position) => match shared.journal.tail(position) {
                Ok(tail) => return Some(tail),
                Err(error) => pause.after(shared, &error, "reading the journal").await,
            },
            Err(error) => pause.after(shared, &error, "asking the database for the ledger's place").await,
        }
    }
}

/// Lets entries gather, unless somebody waits.
async fn gather(shared: &Shared) {
    let deadline = Instant::now() + GATHER;
    while !shared.urgent.swap(false, Ordering::AcqRel) && !shared.stop.load(Ordering::Acquire) {
        if tokio::time::timeout_at(deadline, shared.work.notified()).await.is_err() {
            return;
        }
    }
}

/// Tries until the batch is in the database; `false` when the ledger is to stop before.
async fn bring_until_in(shared: &Shared, exchanges: &[Exchange], to: Position, pause: &mut Pause) -> bool {
    while !exchanges.is_empty() {
        let brought = bring::bring_in(&shared.store, shared.org, shared.node, exchanges, to).await;
        match brought {
            Ok(_) => {
                pause.over(shared);
                return true;
            }
            Err(error) if shared.stop.load(Ordering::Acquire) => {
                tracing::warn!(%error, "the ledger stops before everything is in the database; the rest follows at the next start");
                return false;
            }
            Err(error) => pause.after(shared, &error, "writing the ledger to the database").await,
        }
    }
    true
}

/// Everything up to a place is in the database, and so is everything up to this entry.
fn arrived(shared: &Shared, to: Position, seq: u64) {
    let before = shared.brought.fetch_max(to.seq.max(seq), Ordering::AcqRel);
    if to.seq > before {
        shared.journal.passed(to);
    }
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
                shared.work.notified().await;
            }
        };
        let pause = longest / 2 + longest * u32::try_from(jitter).unwrap_or(0) / 200;
        let _ = timeout(pause, stop).await;
    }

    fn over(&mut self, shared: &Shared) {
        if self.attempts > 0 {
            tracing::info!("the database takes the ledger again");
            self.attempts = 0;
            shared.failing.store(false, Ordering::Relaxed);
        }
    }
}

//! The link to the pools that nodes count budgets in together: tells them this node's shares, brings their answers, and
//! builds pools that are missing.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gatehouse_domain::budget::share::{Ask, Pool, Telling};
use gatehouse_domain::id::NodeId;
use gatehouse_gateway::counters::Together;
use gatehouse_gateway::limits::Limiter;
use gatehouse_store::pool::{Connected, PoolError, Pools, Told};
use gatehouse_store::{Store, StoreError, in_time};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::job::Trouble;
use super::ledger::Books;
use crate::clock;

/// How often the other nodes are looked at when nobody waits.
const TICK: Duration = Duration::from_millis(50);
/// How often it is looked again while somebody waits.
const AGAIN: Duration = Duration::from_millis(5);
/// How often what nobody waits for is told.
const NEWS: Duration = Duration::from_millis(500);
/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_millis(200);
/// How long the database may take for the sum of a budget.
const READ: Duration = Duration::from_secs(10);
/// How long the ledger may take to bring in what there is before a sum is read.
const FLUSH: Duration = Duration::from_secs(2);
/// How long an end is noted after the database has it: other nodes' pools are built from sums that were read so long ago.
const NOTED: Duration = Duration::from_secs(20);
/// So many sums are read at a time.
const READERS: usize = 4;
/// Shares told at a time.
const TOLD_AT_ONCE: usize = 64;
/// Limits told in one call.
const RATES_AT_ONCE: usize = 500;
/// Asks of one pool in a row: joining it, asking it, and once more where it was built anew meanwhile.
const TRIES: usize = 4;
/// A node that the database has not heard of for so long is not waited for.
const AWAY_MS: i64 = 25_000;

/// The link.
#[derive(Clone)]
pub(super) struct Link(Arc<Parts>);

struct Parts {
    pools: Pools,
    together: Arc<Together>,
    limits: Arc<Limiter>,
    books: Arc<Books>,
    store: Store,
    node: NodeId,
    /// Whether what an earlier run had was given up.
    cleared: AtomicBool,
    building: Mutex<HashSet<Pool>>,
    readers: Semaphore,
    trouble: Mutex<Trouble>,
}

impl Link {
    /// A link of this node.
    pub(super) fn new(
        pools: Pools,
        together: Arc<Together>,
        books: Arc<Books>,
        store: Store,
        node: NodeId,
    ) -> Self {
        Self(Arc::new(Parts {
            pools,
            together,
            limits: Arc::default(),
            books,
            store,
            node,
            cleared: AtomicBool::new(false),
            building: Mutex::default(),
            readers: Semaphore::new(READERS),
            trouble: Mutex::default(),
        }))
    }

    /// The same, telling what is taken of these limits too. To be called before the link is shared.
    pub(super) fn with_limits(mut self, limits: &Arc<Limiter>) -> Self {
        if let Some(parts) = Arc::get_mut(&mut self.0) {
            parts.limits = Arc::clone(limits);
        }
        self
    }

    /// Keeps the link, for ever.
    pub(super) async fn run(self) {
        loop {
            let Err(error) = self.session().await;
            self.0.together.cut();
            self.0.limits.deaf();
            let failed: Result<(), PoolError> = Err(error);
            self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).note(COUNTING, failed);
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn session(&self) -> Result<Infallible, PoolError> {
        let parts = &self.0;
        let mut to = parts.pools.connect().await?;
        if !parts.cleared.load(Ordering::Acquire) {
            let given_up = parts.pools.clear(&mut to).await?;
            tracing::debug!(pools = given_up, "what an earlier run of this node had is counted anew");
            parts.cleared.store(true, Ordering::Release);
        }
        let (mut told, mut stored): (Option<Instant>, Stored) = (None, Stored::default());
        loop {
            let begun = Instant::now();
            let beat = parts.pools.beat(&mut to).await?;
            parts.together.heard(begun, beat.nodes);
            parts.trouble.lock().unwrap_or_else(PoisonError::into_inner).note::<PoolError>(COUNTING, Ok(()));
            let telling =
                if told.is_none_or(|at| at.elapsed() >= NEWS) { Telling::All } else { Telling::Urgent };
            if telling == Telling::All {
                told = Some(begun);
            }
            let stored = stored.since_long(begun, parts.books.lag().stored.seq);
            for pool in &beat.hot {
                if parts.together.budget(pool.budget).is_none() {
                    parts.pools.excuse(&mut to, *pool).await?;
                }
            }
            let asks = parts.together.asks(&beat.hot, clock::now(), stored, telling);
            self.tell(&to, asks).await?;
            parts.together.turn();
            if !parts.limits.is_idle() {
                self.tell_rates(&mut to).await?;
            }
            let pause = if parts.together.is_awaited() { AGAIN } else { TICK };
            if pause == AGAIN {
                tokio::time::sleep(pause).await;
            } else {
                drop(tokio::time::timeout(pause, parts.together.asked()).await);
            }
        }
    }

    /// Tells the others what was taken of limits here, and hears what they took.
    async fn tell_rates(&self, to: &mut Connected) -> Result<(), PoolError> {
        let parts = &self.0;
        let active = parts.pools.active(to).await?;
        let words = parts.limits.words(&active);
        for words in words.chunks(RATES_AT_ONCE) {
            for (limit, others) in parts.pools.rates(to, words).await? {
                parts.limits.heard(limit, others);
            }
        }
        Ok(())
    }

    async fn tell(&self, to: &Connected, asks: Vec<Ask>) -> Result<(), PoolError> {
        let mut turns = JoinSet::new();
        for ask in asks {
            if turns.len() >= TOLD_AT_ONCE
                && let Some(done) = turns.join_next().await
            {
                flat(done)?;
            }
            let (link, to) = (self.clone(), to.clone());
            turns.spawn(async move { link.tell_one(to, ask).await });
        }
        while let Some(done) = turns.join_next().await {
            flat(done)?;
        }
        Ok(())
    }

    async fn tell_one(&self, mut to: Connected, mut ask: Ask) -> Result<(), PoolError> {
        let parts = &self.0;
        for _ in 0..TRIES {
            match parts.pools.tell(&mut to, &ask).await? {
                Told::Is(answer) => {
                    parts.together.answered(&ask, &answer);
                    return Ok(());
                }
                Told::Other { base, spent, through } => {
                    match parts.together.join(ask.pool, &base, spent, through) {
                        Ok(Some(next)) => ask = next,
                        Ok(None) => return Ok(()),
                        Err(why) => {
                            tracing::debug!(budget.id = %ask.pool.budget, %why, "a pool is built anew");
                            parts.pools.remove(&mut to, ask.pool, &base).await?;
                            self.build(&to, ask.pool);
                            return Ok(());
                        }
                    }
                }
                Told::Lost => {
                    tracing::warn!(budget.id = %ask.pool.budget, "a node is gone that had a share: its pool is built anew");
                    parts.pools.remove(&mut to, ask.pool, &ask.base).await?;
                    self.build(&to, ask.pool);
                    return Ok(());
                }
                Told::Late => return Ok(()),
                Told::Missing => {
                    self.build(&to, ask.pool);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Builds a pool, beside everything else: the database may be slow, and the pools must hear of this node.
    fn build(&self, to: &Connected, pool: Pool) {
        let building = |link: &Self, act: &dyn Fn(&mut HashSet<Pool>) -> bool| {
            act(&mut link.0.building.lock().unwrap_or_else(PoisonError::into_inner))
        };
        if !building(self, &|pools| pools.insert(pool)) {
            return;
        }
        let (link, mut to) = (self.clone(), to.clone());
        tokio::spawn(async move {
            if let Err(error) = link.try_build(&mut to, pool).await {
                tracing::warn!(budget.id = %pool.budget, error, "what was spent of a budget could not be read for all nodes");
            }
            building(&link, &|pools| pools.remove(&pool));
            link.0.together.ask();
        });
    }

    async fn try_build(&self, to: &mut Connected, pool: Pool) -> Result<(), String> {
        let parts = &self.0;
        let Some(budget) = parts.together.budget(pool.budget) else { return Ok(()) };
        let Ok(_turn) = parts.readers.acquire().await else { return Ok(()) };
        let told = |error: StoreError| error.to_string();
        // The sum is to reach as far as it can: this node's notes may begin with what is being brought in.
        parts.books.flush(FLUSH).await;
        let base = in_time(READ, parts.books.spent_by_all(&budget, pool.start)).await.map_err(told)?;
        let nodes =
            in_time(READ, parts.store.nodes(clock::now().plus_millis(-AWAY_MS))).await.map_err(told)?;
        let others: Vec<NodeId> =
            nodes.iter().filter(|n| n.id != parts.node && n.stopped_at.is_none()).map(|n| n.id).collect();
        let name = format!("{:032x}", clock::random_bits());
        parts.pools.build(to, pool, &name, &base, &others).await.map_err(|error| error.to_string())
    }

    /// Waits, for a bounded time, until the pools have answered once.
    pub(super) async fn first(&self, limit: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < limit && !self.0.together.seen().0 {
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Gives everything back, for at most this time.
    pub(super) async fn last(&self, limit: Duration) {
        let begun = Instant::now();
        self.0.together.close();
        while begun.elapsed() < limit && self.0.together.seen().0 && !self.0.together.is_told() {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Up to where the database had this node's journal, and when.
#[derive(Default)]
struct Stored {
    seen: VecDeque<(Instant, u64)>,
    long: u64,
}

impl Stored {
    /// Takes over where it is now; gives where it was [`NOTED`] ago.
    fn since_long(&mut self, now: Instant, stored: u64) -> u64 {
        if self.seen.back().is_none_or(|(at, _)| now.duration_since(*at) >= NEWS) {
            self.seen.push_back((now, stored));
        }
        while let Some((at, stored)) = self.seen.front().copied()
            && now.duration_since(at) >= NOTED
        {
            self.long = stored;
            self.seen.pop_front();
        }
        self.long
    }
}

const COUNTING: &str = "counting budgets together with the other nodes";

fn flat(done: Result<Result<(), PoolError>, tokio::task::JoinError>) -> Result<(), PoolError> {
    done.unwrap_or(Err(PoolError::Odd("a fault of this server")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes forgot what ended as soon as the database had it: under load every new pool was too old for some of them.
    #[test]
    fn what_the_database_has_is_noted_for_a_while() {
        let (mut stored, began) = (Stored::default(), Instant::now());
        let moment = Duration::from_millis(1);
        assert_eq!(stored.since_long(began, 5), 0);
        assert_eq!(stored.since_long(began + NOTED.saturating_sub(moment), 9), 0);
        assert_eq!(stored.since_long(began + NOTED, 9), 5);
        assert_eq!(stored.since_long(began + NOTED * 2, 12), 9);
    }
}

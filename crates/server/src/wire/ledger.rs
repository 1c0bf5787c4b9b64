//! The journal as the data path sees it, and the ledger behind it as the rest of the process does.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gatehouse_domain::budget::Budget;
use gatehouse_domain::exchange::{Cost, Exchange, Intent};
use gatehouse_domain::price::PriceTable;
use gatehouse_domain::time::UnixMillis;
use gatehouse_gateway::ledger::{Ledger, LedgerFull, Ticket};
use gatehouse_store::StoreError;
use gatehouse_store::journal::{Journal, Options, Stats};
use gatehouse_store::ledger::{Alike, Lag, Ledger as StoreLedger, Spent};
use gatehouse_store::pool::Base;

use super::failed;
use super::foundation::Foundation;
use crate::cli::Failure;
use crate::config::Config;

/// The journal behind the data path's [`Ledger`].
pub(super) struct JournalLedger {
    journal: Arc<Journal>,
    ended: Arc<AtomicU64>,
}

impl Ledger for JournalLedger {
    fn open(&self, intent: &Intent) -> Result<(), LedgerFull> {
        self.journal.open(intent).map_err(|_| LedgerFull)
    }

    fn ready(&self) -> Result<(), LedgerFull> {
        self.journal.ready().map_err(|_| LedgerFull)
    }

    fn close(&self, exchange: &Exchange) -> Ticket {
        let ticket = self.journal.close(exchange).0;
        self.ended.fetch_max(ticket, Ordering::SeqCst);
        Ticket(ticket)
    }

    fn durable(&self) -> Ticket {
        Ticket(self.journal.durable().0)
    }

    fn on_durable(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.journal.on_durable(wake);
    }
}

/// Records that are not durable may take this much memory.
const UNSAVED: usize = 8 * 1024 * 1024;

/// At the end, how long the ledger's task may take for what it has begun.
const LAST: Duration = Duration::from_secs(5);

/// Journal and ledger together.
pub(super) struct Books {
    journal: Arc<Journal>,
    ledger: StoreLedger,
    /// The ticket of the last exchange of this run that has ended.
    ended: Arc<AtomicU64>,
}

impl Books {
    /// Opens the journal, records what the last run left open, and begins to bring entries into the database.
    pub(super) fn open(
        config: &Config,
        prices: &PriceTable,
        ground: &Foundation,
        data_dir: &Path,
    ) -> Result<Self, Failure> {
        let mut options = Options::new(data_dir.join("journal"));
        options.segment_bytes = config.journal.segment;
        options.max_bytes = config.journal.max;
        options.max_unsaved_bytes = UNSAVED;
        let price =
            |intent: &Intent| prices.price(&intent.model, &intent.estimated_usage(), intent.started_at).cost;
        let (journal, recovered) =
            Journal::start(&options, &price as &dyn Fn(&Intent) -> Cost).map_err(failed)?;
        tracing::debug!(
            entries = recovered.entries,
            interrupted = recovered.interrupted,
            "the journal is open"
        );
        let journal = Arc::new(journal);
        let ledger = StoreLedger::start(ground.store.clone(), Arc::clone(&journal), ground.org, ground.node);
        Ok(Self { journal, ledger, ended: Arc::default() })
    }

    /// The journal as the data path takes it.
    pub(super) fn for_data_path(&self) -> Arc<dyn Ledger> {
        Arc::new(JournalLedger { journal: Arc::clone(&self.journal), ended: Arc::clone(&self.ended) })
    }

    /// Waits until everything that has ended is in the database; says whether it got there in time.
    pub(super) async fn flush(&self, limit: Duration) -> bool {
        self.ledger.flush(limit).await.is_ok()
    }

    /// What was spent of budgets; see [`StoreLedger::spent_of_alike`].
    pub(super) async fn spent_of(&self, alike: &Alike, at: UnixMillis) -> Result<Vec<Spent>, StoreError> {
        self.ledger.spent_of_alike(alike, at).await
    }

    /// What was spent of a budget on all nodes; see [`StoreLedger::spent_by_all`].
    pub(super) async fn spent_by_all(&self, budget: &Budget, at: UnixMillis) -> Result<Base, StoreError> {
        self.ledger.spent_by_all(budget, at).await
    }

    /// The ticket of the last exchange of this run that has ended; 0 before there is one. The database reaches it; a request
    /// that has only begun does not move its place.
    pub(super) fn newest(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }

    /// The number of this run of the journal.
    pub(super) fn run(&self) -> u64 {
        self.journal.runs().last().copied().unwrap_or_default()
    }

    /// How far the database is behind.
    pub(super) fn lag(&self) -> Lag {
        self.ledger.lag()
    }

    /// How the journal is doing.
    pub(super) fn journal(&self) -> Stats {
        self.journal.stats()
    }

    /// Why no new exchange is taken, if none is.
    pub(super) fn refusing(&self) -> Option<String> {
        self.journal.ready().err().map(|why| why.to_string())
    }

    /// Ends the task that writes to the database.
    pub(super) async fn close(&self) {
        self.ledger.stop(LAST).await;
    }
}

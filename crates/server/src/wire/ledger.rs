//! The journal as the data path sees it, and the ledger behind it as the rest of the process does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_domain::exchange::{Cost, Exchange, Intent};
use gatehouse_domain::price::PriceTable;
use gatehouse_gateway::ledger::{Ledger, LedgerFull, Ticket};
use gatehouse_store::journal::{Journal, Options};

use super::failed;
use super::foundation::Foundation;
use crate::cli::Failure;
use crate::config::Config;

/// The journal behind the data path's [`Ledger`].
pub(super) struct JournalLedger(pub(super) Arc<Journal>);

impl Ledger for JournalLedger {
    fn open(&self, intent: &Intent) -> Result<(), LedgerFull> {
        self.0.open(intent).map_err(|_| LedgerFull)
    }

    fn ready(&self) -> Result<(), LedgerFull> {
        self.0.ready().map_err(|_| LedgerFull)
    }

    fn close(&self, exchange: &Exchange) -> Ticket {
        Ticket(self.0.close(exchange).0)
    }

    fn durable(&self) -> Ticket {
        Ticket(self.0.durable().0)
    }

    fn on_durable(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.0.on_durable(wake);
    }
}

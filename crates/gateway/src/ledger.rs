//! What the data path needs of a ledger. The ledger itself (a journal on disk) lives where the disk may be touched.

use gatehouse_domain::exchange::{Exchange, Intent};

/// A place in the ledger. Tickets count up; an entry is durable once [`Ledger::durable`] has reached its ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// The ledger cannot take new exchanges now (disk full, journal at its limit, database too far behind).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger cannot take new exchanges now")]
pub struct LedgerFull;

/// Where exchanges are recorded. All calls return at once; none waits for a disk flush.
pub trait Ledger: Send + Sync {
    /// Writes down that a request is about to be sent upstream. When this returns, the intent survives the
    /// death of this process (it is in the operating system's hands, though not necessarily on the disk).
    fn open(&self, intent: &Intent) -> Result<(), LedgerFull>;

    /// Whether a new exchange may begin at all.
    fn ready(&self) -> Result<(), LedgerFull>;

    /// Writes down an exchange. Never refuses: room for the entries of open exchanges is kept.
    /// The entry is durable once [`Ledger::durable`] reaches the ticket.
    fn close(&self, exchange: &Exchange) -> Ticket;

    /// Up to which ticket entries are durable.
    fn durable(&self) -> Ticket;

    /// Registers a wake-up that is called, from another thread, whenever [`Ledger::durable`] has advanced.
    fn on_durable(&self, wake: Box<dyn Fn() + Send + Sync>);
}

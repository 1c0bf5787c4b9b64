//! What the data path needs of budgets: to hold the most that a request may cost, and to charge what it did cost.

mod together;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatehouse_domain::budget::{Admission, Book, Budget, Budgets, Charge, Exceeded, Hold, Standing};
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::id::BudgetId;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;

use crate::ledger::Ticket;

pub use together::{LEASE, Together};

/// Whether a request was let through, and what is held for it.
type Decided = Result<Admission, Box<Exceeded>>;

/// What came of reserving.
pub enum Reserved {
    /// It is decided.
    Now(Decided),
    /// Other nodes have to be asked; it takes no longer than the counters' patience. Whoever drops it reserves nothing.
    Later(Pin<Box<dyn Future<Output = Decided> + Send>>),
}

/// Where budgets are counted. All calls return at once.
pub trait Counters: Send + Sync {
    /// Whether there is no budget at all, so that nothing has to be asked.
    fn is_idle(&self) -> bool;

    /// Holds the most that a request may cost in all budgets that apply, or in none.
    fn reserve(&self, charge: &Charge<'_>, worst: Nanos, now: UnixMillis) -> Reserved;

    /// Ends a hold and charges what the exchange cost. To be called after the exchange was written to the ledger, with the
    /// ticket it got there.
    fn settle(&self, hold: Option<Hold>, charge: &Charge<'_>, cost: Nanos, ticket: Ticket);
}

/// Budgets counted in this process's memory: exact as long as this is the only node.
#[derive(Default)]
pub struct Memory {
    busy: AtomicBool,
    book: Mutex<Book>,
}

impl Memory {
    /// The account. Whoever holds it does nothing else: a request's share takes a microsecond.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Book::install`].
    pub fn install(&self, budgets: &Arc<Budgets>) {
        // Before: an exchange that ends now must find the account if it is to be in it.
        if !budgets.is_empty() {
            self.busy.store(true, Ordering::SeqCst);
        }
        let mut book = self.book();
        book.install(budgets);
        if budgets.is_empty() {
            self.busy.store(false, Ordering::SeqCst);
        }
    }

    /// See [`Book::uncounted`].
    pub fn uncounted(&self) -> Vec<Arc<Budget>> {
        self.book().uncounted()
    }

    /// See [`Book::count`].
    pub fn count(&self, id: BudgetId, at: UnixMillis, spent: Nanos, through: u64) -> bool {
        self.book().count(id, at, spent, through)
    }

    /// See [`Book::standing`].
    pub fn standing(&self, id: BudgetId, at: UnixMillis) -> Option<Standing> {
        self.book().standing(id, at)
    }

    /// See [`Book::standings`].
    pub fn standings(&self, principal: &Principal, at: UnixMillis) -> Vec<Standing> {
        self.book().standings(principal, at)
    }
}

/// Budgets counted alone or together with other nodes.
pub enum Tally {
    /// In this process's memory.
    Alone(Memory),
    /// With other nodes.
    Together(Arc<Together>),
}

impl Tally {
    /// Takes these budgets instead of those before. `newest` tells the ticket of the last end so far.
    pub fn install(&self, budgets: &Arc<Budgets>, newest: impl FnOnce() -> u64) {
        match self {
            Self::Alone(memory) => memory.install(budgets),
            Self::Together(together) => together.install(budgets, newest),
        }
    }

    /// How a budget stands; `None` while that is not known.
    pub fn standing(&self, id: BudgetId, at: UnixMillis) -> Option<Standing> {
        match self {
            Self::Alone(memory) => memory.standing(id, at),
            Self::Together(together) => together.standing(id, at),
        }
    }

    /// How the budgets stand that count exchanges of this principal.
    pub fn standings(&self, principal: &Principal, at: UnixMillis) -> Vec<Standing> {
        match self {
            Self::Alone(memory) => memory.standings(principal, at),
            Self::Together(together) => together.standings(principal, at),
        }
    }

    /// The counters of a node that counts alone.
    pub const fn alone(&self) -> Option<&Memory> {
        match self {
            Self::Alone(memory) => Some(memory),
            Self::Together(_) => None,
        }
    }

    /// The counters of a node that counts with others.
    pub const fn together(&self) -> Option<&Arc<Together>> {
        match self {
            Self::Alone(_) => None,
            Self::Together(together) => Some(together),
        }
    }
}

impl Counters for Tally {
    fn is_idle(&self) -> bool {
        match self {
            Self::Alone(memory) => memory.is_idle(),
            Self::Together(together) => together.is_idle(),
        }
    }

    fn reserve(&self, charge: &Charge<'_>, worst: Nanos, now: UnixMillis) -> Reserved {
        match self {
            Self::Alone(memory) => memory.reserve(charge, worst, now),
            Self::Together(together) => together.reserve(charge, worst, now),
        }
    }

    fn settle(&self, hold: Option<Hold>, charge: &Charge<'_>, cost: Nanos, ticket: Ticket) {
        match self {
            Self::Alone(memory) => memory.settle(hold, charge, cost, ticket),
            Self::Together(together) => together.settle(hold, charge, cost, ticket),
        }
    }
}

impl Counters for Memory {
    fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::SeqCst)
    }

    fn reserve(&self, charge: &Charge<'_>, worst: Nanos, now: UnixMillis) -> Reserved {
        Reserved::Now(self.book().reserve(charge, worst, now))
    }

    fn settle(&self, hold: Option<Hold>, charge: &Charge<'_>, cost: Nanos, ticket: Ticket) {
        self.book().settle(hold, charge, cost, ticket.0);
    }
}

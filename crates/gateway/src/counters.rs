//! What the data path needs of budgets: to hold the most that a request may cost, and to charge what it did cost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatehouse_domain::budget::{Admission, Book, Budget, Budgets, Charge, Exceeded, Hold, Standing};
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::id::BudgetId;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;

use crate::ledger::Ticket;

/// Where budgets are counted. All calls return at once.
pub trait Counters: Send + Sync {
    /// Whether there is no budget at all, so that nothing has to be asked.
    fn is_idle(&self) -> bool;

    /// Holds the most that a request may cost in all budgets that apply, or in none.
    ///
    /// # Errors
    /// A hard budget has no room for it.
    fn reserve(&self, charge: &Charge<'_>, worst: Nanos, now: UnixMillis)
    -> Result<Admission, Box<Exceeded>>;

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

impl Counters for Memory {
    fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::SeqCst)
    }

    fn reserve(
        &self,
        charge: &Charge<'_>,
        worst: Nanos,
        now: UnixMillis,
    ) -> Result<Admission, Box<Exceeded>> {
        self.book().reserve(charge, worst, now)
    }

    fn settle(&self, hold: Option<Hold>, charge: &Charge<'_>, cost: Nanos, ticket: Ticket) {
        self.book().settle(hold, charge, cost, ticket.0);
    }
}

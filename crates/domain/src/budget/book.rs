//! The account of all budgets: what was spent and what requests under way may still cost.
//!
//! An exchange counts in the period in which it began, as it does in the ledger. Sums are integers too wide to overflow.
//!
//! **How an account begins.** A budget that is new to the book is *counted* first: what was spent before comes from the
//! ledger's database. Exchanges go on meanwhile, so a sum could miss some and count others twice. Each end of an exchange
//! has a ticket, a number that counts up, and the database tells a sum together with the ticket up to which it holds all
//! of this node's exchanges. So the book notes every end with its ticket from the moment it watches the budget; the
//! database is asked after everything that had ended before is in it; and to its sum is added exactly what was noted with
//! a later ticket. An end that is noted later still, with an earlier ticket, is in the sum and counts no more.
//!
//! **When the clock jumps.** The sum of a period that the book has not seen begin is known to the ledger only. A time that
//! lies in such a period (the clock was put back, or is where it was wrongly before) makes the budget one to be counted
//! again, and it decides nothing until that is done. A period that begins after all that were seen begins with nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Budget, Budgets, Mode};
use crate::exchange::Principal;
use crate::id::BudgetId;
use crate::money::Nanos;
use crate::time::{HOUR_MS, UnixMillis};

/// After this time a hold that nobody settled counts no more, in milliseconds: far longer than any reply takes.
pub const HOLD_MS: i64 = 6 * HOUR_MS;
/// Most ends of exchanges that are noted while a budget is being counted; beyond it the counting begins anew.
pub const MAX_WAITING: usize = 100_000;
/// Periods of a budget that are kept: the current one and the one before, in which some exchanges began.
const KEPT: usize = 2;
/// Most periods of a budget that are kept while something is held in them; more of them take a clock that jumps about.
const MAX_KEPT: usize = 16;

/// What an exchange is charged by.
#[derive(Debug, Clone, Copy)]
pub struct Charge<'a> {
    /// Whose it is.
    pub principal: &'a Principal,
    /// The model asked for.
    pub model: &'a str,
    /// The provider it goes to.
    pub provider: &'a str,
    /// When it began.
    pub at: UnixMillis,
}

/// Money held back for a request under way. Not for copying: it is settled once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is held is held until it is settled"]
pub struct Hold(pub(super) u64);

/// How a budget stands in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The budget.
    pub budget: Arc<Budget>,
    /// What was spent.
    pub spent: Nanos,
    /// What requests under way may still cost.
    pub held: Nanos,
    /// What may be spent now, raises included.
    pub limit: Nanos,
    /// Up to where requests are let through: the limit and the grace.
    pub ceiling: Nanos,
    /// When the period is over.
    pub resets_at: Option<UnixMillis>,
}

impl Standing {
    /// What was spent, in ten-thousandths of the limit, rounded down. A limit of zero is used up.
    pub fn used(&self) -> u64 {
        let (spent, limit) = (i128::from(self.spent.0), i128::from(self.limit.0));
        if limit <= 0 { 10_000 } else { u64::try_from(spent * 10_000 / limit).unwrap_or(0) }
    }

    /// The highest soft threshold that is reached, in percent.
    pub fn threshold(&self) -> Option<u8> {
        let used = self.used();
        self.budget.thresholds.iter().rev().copied().find(|percent| used >= u64::from(*percent) * 100)
    }

    /// Whether a request that may cost this much is within.
    pub fn has_room(&self, worst: Nanos) -> bool {
        i128::from(self.spent.0) + i128::from(self.held.0) + i128::from(worst.0) <= i128::from(self.ceiling.0)
    }
}

/// A request was let through.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the hold is held until it is settled"]
pub struct Admission {
    /// What is held for it; none where no budget applies.
    pub hold: Option<Hold>,
    /// The hard budget that is used up most, before this request.
    pub fullest: Option<Standing>,
}

/// A request would go beyond a hard budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the budget {} is used up", .standing.budget.id)]
pub struct Exceeded {
    /// Of the budgets that have no room, the one that begins anew last.
    pub standing: Standing,
    /// The most that the request may cost.
    pub worst: Nanos,
    /// What is behind it.
    pub cause: Cause,
}

/// What is behind a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There is no room.
    Spent,
    /// Whether there is room cannot be found out: what nodes count together is out of reach.
    Away,
}

/// The account.
#[derive(Debug, Default)]
pub struct Book {
    budgets: Arc<Budgets>,
    watched: HashMap<BudgetId, Watched>,
    holds: HashMap<u64, Held>,
    last: u64,
    /// The latest time that was seen: at which a request began, or a budget was counted.
    latest: UnixMillis,
}

#[derive(Debug)]
struct Watched {
    budget: Arc<Budget>,
    known: Known,
    /// Tells this watching from an earlier one of the same budget.
    serial: u64,
    /// By the start of the period, ascending.
    accounts: Vec<Account>,
    /// The start of the latest period that was seen.
    latest: Option<UnixMillis>,
}

/// Whether what was spent is known.
#[derive(Debug)]
enum Known {
    /// Not yet. Ends since the budget is watched: ticket, start of the period, cost.
    Counting { ended: Vec<(u64, UnixMillis, Nanos)>, overflowed: bool },
    /// It is; ends up to this ticket were in the ledger's sum of the period with this start.
    After { through: u64, period: UnixMillis },
}

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    start: UnixMillis,
    spent: i128,
    held: i128,
    /// Whether what was spent is all that was spent.
    known: bool,
}

#[derive(Debug)]
struct Held {
    amount: Nanos,
    until: UnixMillis,
    of: Vec<(BudgetId, u64, UnixMillis)>,
}

impl Known {
    const fn nothing() -> Self {
        Self::Counting { ended: Vec::new(), overflowed: false }
    }
}

impl Watched {
    const fn is_counting(&self) -> bool {
        matches!(self.known, Known::Counting { .. })
    }

    /// The account of the period with this start, made if that is the latest ever. `None` where what was spent in it is not
    /// known; while the budget is counted it is made nevertheless, for what is held.
    fn account(&mut self, start: UnixMillis) -> Option<&mut Account> {
        let counting = self.is_counting();
        match self.accounts.binary_search_by_key(&start, |account| account.start) {
            Ok(found) => return Some(&mut self.accounts[found]).filter(|account| account.known || counting),
            Err(place) => {
                let known = self.latest.is_some_and(|latest| start > latest);
                if !known && !counting {
                    return None;
                }
                self.accounts.insert(place, Account { start, known, ..Account::default() });
                self.latest = self.latest.max(Some(start));
            }
        }
        if self.accounts.len() > KEPT {
            let free = self.accounts.iter().position(|account| account.start != start && account.held == 0);
            let most = (self.accounts.len() > MAX_KEPT).then(|| usize::from(self.accounts[0].start == start));
            if let Some(over) = free.or(most) {
                self.accounts.remove(over);
            }
        }
        self.accounts.iter_mut().find(|account| account.start == start)
    }

    /// Forgets what was spent, so that it is counted again. What is held stays.
    fn count_again(&mut self) {
        self.known = Known::nothing();
        self.accounts.retain(|account| account.held != 0);
        for account in &mut self.accounts {
            (account.spent, account.known) = (0, false);
        }
    }

    fn standing(&self, at: UnixMillis) -> Option<Standing> {
        if self.is_counting() {
            return None;
        }
        let (start, resets_at) = self.budget.bounds(at);
        let found = match self.accounts.iter().find(|account| account.start == start) {
            Some(account) if account.known => *account,
            None if self.latest.is_some_and(|latest| start > latest) => Account::default(),
            Some(_) | None => return None,
        };
        let told = |amount: i128| Nanos(i64::try_from(amount).unwrap_or(i64::MAX));
        Some(Standing {
            budget: Arc::clone(&self.budget),
            spent: told(found.spent),
            held: told(found.held),
            limit: self.budget.limit_at(at),
            ceiling: self.budget.ceiling_at(at),
            resets_at,
        })
    }
}

impl Book {
    /// Takes these budgets instead of those before. Those that count what they counted keep their account; the others are
    /// to be counted ([`Book::uncounted`]) and decide nothing before.
    pub fn install(&mut self, budgets: &Arc<Budgets>) {
        let mut before = std::mem::take(&mut self.watched);
        for budget in budgets.iter() {
            let kept = before.remove(&budget.id).filter(|old| old.budget.counts_as(budget));
            let watched = if let Some(old) = kept {
                Watched { budget: Arc::clone(budget), ..old }
            } else {
                self.last += 1;
                Watched {
                    budget: Arc::clone(budget),
                    known: Known::nothing(),
                    serial: self.last,
                    accounts: Vec::new(),
                    latest: (self.latest > UnixMillis(0)).then(|| budget.start(self.latest)),
                }
            };
            self.watched.insert(budget.id, watched);
        }
        self.budgets = Arc::clone(budgets);
    }

    /// The budgets that are not counted yet.
    pub fn uncounted(&self) -> Vec<Arc<Budget>> {
        let waiting = self.watched.values().filter(|watched| watched.is_counting());
        waiting.map(|watched| Arc::clone(&watched.budget)).collect()
    }

    /// Says what the ledger has for a budget in the period of this time, with all exchanges of this node up to a ticket.
    /// To be read after [`Book::install`] and after everything that had ended by then is in the ledger. False when the
    /// counting has to begin anew, since too much has ended meanwhile.
    pub fn count(&mut self, id: BudgetId, at: UnixMillis, spent: Nanos, through: u64) -> bool {
        self.latest = self.latest.max(at);
        let Some(watched) = self.watched.get_mut(&id) else { return true };
        let ended = match &mut watched.known {
            Known::After { .. } => return true,
            Known::Counting { overflowed: true, .. } => {
                watched.known = Known::nothing();
                return false;
            }
            Known::Counting { ended, .. } => std::mem::take(ended),
        };
        let period = watched.budget.start(at);
        if let Some(account) = watched.account(period) {
            account.spent = i128::from(spent.0);
            account.known = true;
        }
        watched.known = Known::After { through, period };
        // The sum is of one period only: what ended in a later one is in no sum.
        let left = ended.into_iter().filter(|(ticket, start, _)| *ticket > through || *start != period);
        for (_, start, cost) in left {
            if let Some(account) = watched.account(start) {
                account.spent += i128::from(cost.0);
            }
        }
        true
    }

    /// Holds the most that a request may cost in all budgets that apply, or in none of them.
    ///
    /// # Errors
    /// A hard budget has no room.
    pub fn reserve(
        &mut self,
        charge: &Charge<'_>,
        worst: Nanos,
        now: UnixMillis,
    ) -> Result<Admission, Box<Exceeded>> {
        let worst = Nanos(worst.0.max(0));
        self.latest = self.latest.max(charge.at);
        let fullest = match self.look(charge, worst) {
            Ok(fullest) => fullest,
            // What nobody will settle any more must not refuse anybody.
            Err(_) if self.expire(now) > 0 => self.look(charge, worst)?,
            Err(why) => return Err(why),
        };
        let mut of = Vec::new();
        for budget in self.budgets.applying(charge.principal, charge.model, charge.provider) {
            let start = budget.start(charge.at);
            let Some(watched) = self.watched.get_mut(&budget.id) else { continue };
            if watched.account(start).is_none() {
                watched.count_again();
            }
            let serial = watched.serial;
            if let Some(account) = watched.account(start) {
                account.held += i128::from(worst.0);
                of.push((budget.id, serial, start));
            }
        }
        if of.is_empty() {
            return Ok(Admission { hold: None, fullest });
        }
        self.last += 1;
        self.holds.insert(self.last, Held { amount: worst, until: now.plus_millis(HOLD_MS), of });
        Ok(Admission { hold: Some(Hold(self.last)), fullest })
    }

    /// The hard budget that is used up most, if all have room.
    fn look(&self, charge: &Charge<'_>, worst: Nanos) -> Result<Option<Standing>, Box<Exceeded>> {
        let (mut fullest, mut exceeded): (Option<Standing>, Option<Standing>) = (None, None);
        for budget in self.budgets.applying(charge.principal, charge.model, charge.provider) {
            if budget.mode == Mode::Shadow {
                continue;
            }
            let Some(standing) = self.watched.get(&budget.id).and_then(|watched| watched.standing(charge.at))
            else {
                continue;
            };
            let later = |at: Option<UnixMillis>| at.map_or(i64::MAX, |at| at.0);
            if !standing.has_room(worst) {
                if exceeded.as_ref().is_none_or(|other| later(standing.resets_at) > later(other.resets_at)) {
                    exceeded = Some(standing);
                }
            } else if fullest.as_ref().is_none_or(|other| standing.used() > other.used()) {
                fullest = Some(standing);
            }
        }
        match exceeded {
            None => Ok(fullest),
            Some(standing) => Err(Box::new(Exceeded { standing, worst, cause: Cause::Spent })),
        }
    }

    /// Ends a hold and charges what the exchange cost. `ticket` is its end's place in the ledger. An exchange without a
    /// hold is charged too: a budget may have been made while it was under way.
    #[expect(clippy::needless_pass_by_value, reason = "a hold is settled once")]
    pub fn settle(&mut self, hold: Option<Hold>, charge: &Charge<'_>, cost: Nanos, ticket: u64) {
        if let Some(Hold(number)) = hold {
            self.release(number);
        }
        self.latest = self.latest.max(charge.at);
        if cost.0 <= 0 {
            return;
        }
        for budget in self.budgets.applying(charge.principal, charge.model, charge.provider) {
            let Some(watched) = self.watched.get_mut(&budget.id) else { continue };
            let start = budget.start(charge.at);
            match &mut watched.known {
                Known::Counting { ended, overflowed } => {
                    *overflowed = *overflowed || ended.len() >= MAX_WAITING;
                    if *overflowed {
                        ended.clear();
                    } else {
                        ended.push((ticket, start, cost));
                    }
                }
                Known::After { through, period } if ticket <= *through && start == *period => {}
                Known::After { .. } => {
                    if let Some(account) = watched.account(start) {
                        account.spent += i128::from(cost.0);
                    }
                }
            }
        }
    }

    /// Ends what is held; nothing if that was done before.
    fn release(&mut self, number: u64) {
        let Some(held) = self.holds.remove(&number) else { return };
        for (id, serial, start) in held.of {
            let Some(watched) = self.watched.get_mut(&id).filter(|watched| watched.serial == serial) else {
                continue;
            };
            if let Some(account) = watched.accounts.iter_mut().find(|account| account.start == start) {
                account.held -= i128::from(held.amount.0);
            }
        }
    }

    /// Ends the holds that are over; gives how many.
    pub fn expire(&mut self, now: UnixMillis) -> usize {
        let over: Vec<u64> =
            self.holds.iter().filter(|(_, held)| held.until <= now).map(|(number, _)| *number).collect();
        for number in &over {
            self.release(*number);
        }
        over.len()
    }

    /// How a budget stands; `None` if it is not counted yet, or unknown.
    pub fn standing(&self, id: BudgetId, at: UnixMillis) -> Option<Standing> {
        self.watched.get(&id)?.standing(at)
    }

    /// How the budgets stand that count exchanges of this principal.
    pub fn standings(&self, principal: &Principal, at: UnixMillis) -> Vec<Standing> {
        let known = |budget: &Arc<Budget>| self.watched.get(&budget.id)?.standing(at);
        self.budgets.of(principal).filter_map(known).collect()
    }
}

//! This node's shares of budgets that several nodes spend from.
//!
//! Nodes spend from one *pool* per budget and period, which is kept where all of them reach it. A pool knows what was spent
//! before it was built (its *base*, from the ledger's database) and how much each node may have spent or hold by now: what it
//! *granted* to that node, counted up from the base. The sum of base and grants never exceeds the limit, so a node that stays
//! within its grant needs to ask nobody, and all of them together never spend more than there is.
//!
//! What a node tells a pool are sums since the base and no differences, so that a message may be lost or come twice. A node
//! lowers its own idea of its grant before it offers something back, and raises it only by an answer: it never believes to
//! have more than the pool has noted for it.
//!
//! A pool may be lost. Whoever misses it builds it anew from the database, with the number of the last end of each node that
//! the sum has. Each node notes its ends until they are in the database, so that it can say what ended after that number:
//! nothing is missed, nothing counted twice. A node whose notes do not reach back so far has it built once more.

mod word;
mod telling;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::book::{Admission, Cause, Charge, Exceeded, HOLD_MS, Hold, MAX_WAITING, Standing};
use super::{Budget, Budgets, Mode, WhenAway};
use crate::exchange::Principal;
use crate::id::BudgetId;
use crate::money::Nanos;
use crate::time::UnixMillis;

pub use word::{Answer, Ask, Lapsed, Pool, Stale, Telling, Verdict};

/// A share may keep this many times the worst case that last asked, beyond what is held, where the pool has plenty.
const SLACK: i128 = 8;

/// Whether the pools can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// They can, or could a moment ago: what was granted counts, and it is worth waiting for more.
    Reached,
    /// They could a moment ago, and did not answer before the request's patience was over.
    Late,
    /// They could not for so long that what was granted counts no more.
    Lapsed,
}

/// What came of asking for room.
#[derive(Debug)]
pub enum Outcome {
    /// The request was let through.
    Admitted(Admission),
    /// It was not.
    Refused(Box<Exceeded>),
    /// A pool has to be asked first.
    Wait,
}

/// A request that waits for pools: its numbers in their queues. To be given back with [`Shares::leave`].
#[derive(Debug, Default)]
pub struct Waiting(Vec<(Pool, u64)>);

/// The shares of a node.
#[derive(Debug, Default)]
pub struct Shares {
    budgets: Arc<Budgets>,
    /// Up to which ticket ends were not noted, by budget.
    watched: HashMap<BudgetId, u64>,
    by_pool: HashMap<Pool, Share>,
    holds: HashMap<u64, Held>,
    last: u64,
    /// How often all news were told.
    round: u64,
}

#[derive(Debug)]
struct Held {
    amount: i128,
    until: UnixMillis,
    of: Vec<Pool>,
}

#[derive(Debug, Default)]
struct Share {
    base: String,
    /// Ends up to this ticket are in the base.
    through: u64,
    base_spent: i128,
    used: i128,
    held: i128,
    granted: i128,
    others_spent: i128,
    others_held: i128,
    /// Ends that may not be in the database yet: ticket and cost.
    ended: Vec<(u64, i128)>,
    /// Ends up to this ticket may be missing there.
    from: u64,
    waiting: BTreeMap<u64, i128>,
    asked: u64,
    denied: u64,
    recall: Option<(u64, u64)>,
    slack: i128,
    /// Up to where the budget let requests through when it was looked at last; 0 before.
    ceiling: i128,
    /// Whether something changed that the pool was not told.
    news: bool,
    /// In which round the pool was last talked to.
    told: u64,
}

impl Share {
    const fn spent(&self) -> i128 {
        self.base_spent + self.others_spent + self.used
    }

    const fn free(&self) -> i128 {
        self.granted - self.used - self.held
    }

    fn is_joined(&self) -> bool {
        !self.base.is_empty()
    }

    /// Takes note of the budget's ceiling. When it falls, as at the end of a raise, what was granted under the higher one is
    /// given up, as far as it is neither spent nor held.
    fn falls_to(&mut self, ceiling: i128) {
        if ceiling < self.ceiling {
            self.granted = self.granted.min(self.used + self.held);
            self.news = true;
        }
        self.ceiling = ceiling;
    }

    fn standing(&self, budget: &Arc<Budget>, at: UnixMillis) -> Standing {
        let told = |amount: i128| Nanos(i64::try_from(amount).unwrap_or(i64::MAX));
        Standing {
            budget: Arc::clone(budget),
            spent: told(self.spent()),
            held: told(self.others_held + self.held),
            limit: budget.limit_at(at),
            ceiling: budget.ceiling_at(at),
            resets_at: budget.bounds(at).1,
        }
    }
}

impl Shares {
    /// Takes these budgets instead of those before. `newest` is the ticket of the last end so far: read after the caller
    /// has made sure that every later end comes to [`Shares::settle`].
    pub fn install(&mut self, budgets: &Arc<Budgets>, newest: u64) {
        let mut before = std::mem::take(&mut self.watched);
        for budget in budgets.iter() {
            let since = before.remove(&budget.id).unwrap_or(newest);
            self.watched.insert(budget.id, since);
        }
        self.by_pool.retain(|pool, _| self.watched.contains_key(&pool.budget));
        self.budgets = Arc::clone(budgets);
    }

    fn share(&mut self, budget: &Budget, start: UnixMillis) -> &mut Share {
        let from = self.watched.get(&budget.id).copied().unwrap_or(u64::MAX);
        let pool = Pool { budget: budget.id, start };
        self.by_pool.entry(pool).or_insert_with(|| Share { from, ..Share::default() })
    }

    /// Holds the most that a request may cost in all budgets that apply, or in none of them; or says that pools have to
    /// answer first, and lets the request wait for them.
    pub fn reserve(
        &mut self,
        charge: &Charge<'_>,
        worst: Nanos,
        now: UnixMillis,
        reach: Reach,
        waiting: &mut Waiting,
    ) -> Outcome {
        let worst = Nanos(worst.0.max(0));
        let budgets = Arc::clone(&self.budgets);
        let (mut fullest, mut exceeded): (Option<Standing>, Option<Exceeded>) = (None, None);
        let mut wait = false;
        for budget in budgets.applying(charge.principal, charge.model, charge.provider) {
            if budget.mode == Mode::Shadow {
                continue;
            }
            let pool = Pool { budget: budget.id, start: budget.start(charge.at) };
            let share = self.share(budget, pool.start);
            let standing = share.standing(budget, charge.at);
            let ceiling = i128::from(standing.ceiling.0);
            share.falls_to(ceiling);
            let way = (reach, budget.when_away);
            match admits(share, ceiling, i128::from(worst.0), way, waiting.number(pool)) {
                Ok(true) if fullest.as_ref().is_none_or(|other| standing.used() > other.used()) => {
                    fullest = Some(standing);
                }
                Ok(true) => {}
                Ok(false) => wait = true,
                Err(cause) => {
                    let found = Exceeded { standing, worst, cause };
                    let (new, old) = (rank(&found), exceeded.as_ref().map(rank));
                    exceeded = if old.is_none_or(|old| new > old) { Some(found) } else { exceeded };
                }
            }
        }
        if let Some(why) = exceeded {
            return Outcome::Refused(Box::new(why));
        }
        if wait {
            self.queue(&budgets, charge, i128::from(worst.0), waiting);
            return Outcome::Wait;
        }
        Outcome::Admitted(Admission { hold: self.hold(&budgets, charge, worst, now), fullest })
    }

    fn hold(
        &mut self,
        budgets: &Budgets,
        charge: &Charge<'_>,
        worst: Nanos,
        now: UnixMillis,
    ) -> Option<Hold> {
        let (amount, mut of) = (i128::from(worst.0), Vec::new());
        for budget in budgets.applying(charge.principal, charge.model, charge.provider) {
            let start = budget.start(charge.at);
            let share = self.share(budget, start);
            share.held += amount;
            share.news = true;
            of.push(Pool { budget: budget.id, start });
        }
        if of.is_empty() {
            return None;
        }
        self.last += 1;
        self.holds.insert(self.last, Held { amount, until: now.plus_millis(HOLD_MS), of });
        Some(Hold(self.last))
    }

    /// Lets a request wait in every pool whose grant is too small for it.
    fn queue(&mut self, budgets: &Budgets, charge: &Charge<'_>, worst: i128, waiting: &mut Waiting) {
        for budget in budgets.applying(charge.principal, charge.model, charge.provider) {
            if budget.mode == Mode::Shadow {
                continue;
            }
            let pool = Pool { budget: budget.id, start: budget.start(charge.at) };
            let share = self.share(budget, pool.start);
            if share.is_joined() && share.free() >= worst || waiting.number(pool).is_some() {
                continue;
            }
            share.asked += 1;
            share.waiting.insert(share.asked, worst);
            share.slack = worst * SLACK;
            waiting.0.push((pool, share.asked));
        }
    }

    /// A request waits no longer.
    pub fn leave(&mut self, waiting: &mut Waiting) {
        for (pool, number) in waiting.0.drain(..) {
            if let Some(share) = self.by_pool.get_mut(&pool) {
                share.waiting.remove(&number);
            }
        }
    }

    /// Ends a hold and charges what the exchange cost; see [`super::Book::settle`].
    #[expect(clippy::needless_pass_by_value, reason = "a hold is settled once")]
    pub fn settle(&mut self, hold: Option<Hold>, charge: &Charge<'_>, cost: Nanos, ticket: u64) {
        if let Some(Hold(number)) = hold {
            self.release(number);
        }
        if cost.0 <= 0 {
            return;
        }
        let (budgets, cost) = (Arc::clone(&self.budgets), i128::from(cost.0));
        for budget in budgets.applying(charge.principal, charge.model, charge.provider) {
            let share = self.share(budget, budget.start(charge.at));
            share.news = true;
            if share.is_joined() && ticket > share.through {
                share.used += cost;
            }
            if share.ended.len() >= MAX_WAITING {
                // The sum stays; a pool that is built anew later is built once more.
                share.from = share.ended.iter().fold(share.from, |from, (ended, _)| from.max(*ended));
                share.ended.clear();
            }
            share.ended.push((ticket, cost));
        }
    }

    fn release(&mut self, number: u64) {
        let Some(held) = self.holds.remove(&number) else { return };
        for pool in held.of {
            if let Some(share) = self.by_pool.get_mut(&pool) {
                share.held -= held.amount;
                share.news = true;
            }
        }
    }

    /// Ends the holds that are over.
    fn expire(&mut self, now: UnixMillis) {
        let over = self.holds.iter().filter(|(_, held)| held.until <= now).map(|(number, _)| *number);
        for number in over.collect::<Vec<u64>>() {
            self.release(number);
        }
    }

    /// The budget of this identifier.
    pub fn budget(&self, id: BudgetId) -> Option<Arc<Budget>> {
        self.budgets.iter().find(|budget| budget.id == id).cloned()
    }

    /// How a budget stands, as far as this node knows; `None` if it is unknown.
    pub fn standing(&self, id: BudgetId, at: UnixMillis) -> Option<Standing> {
        let budget = self.budgets.iter().find(|budget| budget.id == id)?;
        let pool = Pool { budget: id, start: budget.start(at) };
        let share = self.by_pool.get(&pool).filter(|share| share.is_joined())?;
        Some(share.standing(budget, at))
    }

    /// How the budgets stand that count exchanges of this principal.
    pub fn standings(&self, principal: &Principal, at: UnixMillis) -> Vec<Standing> {
        self.budgets.of(principal).filter_map(|budget| self.standing(budget.id, at)).collect()
    }
}

impl Waiting {
    fn number(&self, pool: Pool) -> Option<u64> {
        self.0.iter().find(|(of, _)| *of == pool).map(|(_, number)| *number)
    }
}

/// Whether a share lets this through; false when its pool has to be asked.
fn admits(
    share: &Share,
    ceiling: i128,
    worst: i128,
    (reach, when_away): (Reach, WhenAway),
    number: Option<u64>,
) -> Result<bool, Cause> {
    if share.is_joined() && share.free() >= worst && reach != Reach::Lapsed {
        return Ok(true);
    }
    // What was spent never becomes less.
    if share.is_joined() && share.spent() + worst > ceiling {
        return Err(Cause::Spent);
    }
    match (reach, when_away) {
        (Reach::Reached, _) if number.is_some_and(|number| number <= share.denied) => Err(Cause::Spent),
        (Reach::Reached, _) => Ok(false),
        (_, WhenAway::Closed) => Err(Cause::Away),
        (_, WhenAway::Open) if share.spent() + share.others_held + share.held + worst <= ceiling => Ok(true),
        (_, WhenAway::Open) => Err(Cause::Spent),
    }
}

/// Of several refusals, the greatest is told.
fn rank(why: &Exceeded) -> (bool, i64) {
    (why.cause == Cause::Spent, why.standing.resets_at.map_or(i64::MAX, |at| at.0))
}

#[cfg(test)]
mod tests;

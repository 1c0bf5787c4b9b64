//! A node's side of the talk with the pools: what they are told and asked, and what becomes of their answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::word::{Answer, Ask, Lapsed, Pool, Stale, Telling, Verdict};
use super::{Share, Shares};
use crate::budget::Budget;
use crate::id::BudgetId;
use crate::time::{DAY_MS, UnixMillis};

/// So many pools that nobody has needed yet are got to know at a time, and so many quiet ones are looked at again.
const AT_ONCE: usize = 50;
/// After so many rounds in which all news were told a pool is looked at again: others may have spent from it.
const QUIET: u64 = 4;

impl Shares {
    /// What the pools are to be told and asked now. `hot` are those in which somebody waits for others, and `all` says
    /// that news are told also where nobody waits for them. Ends up to `stored` are in the database. With `lapsed`, what
    /// was granted counts no more.
    pub fn asks(
        &mut self,
        hot: &[Pool],
        now: UnixMillis,
        stored: u64,
        lapsed: Lapsed,
        all: Telling,
    ) -> Vec<Ask> {
        if all == Telling::All {
            self.expire(now);
            self.forget(now);
            self.get_to_know(now);
            self.round += 1;
        }
        let quiet = if all == Telling::All { self.quiet() } else { HashSet::new() };
        for pool in hot {
            if let Some(budget) = self.budgets.clone().iter().find(|budget| budget.id == pool.budget) {
                self.share(budget, pool.start);
            }
        }
        let ceilings: HashMap<BudgetId, i128> =
            self.budgets.iter().map(|budget| (budget.id, i128::from(budget.ceiling_at(now).0))).collect();
        let (mut asks, round) = (Vec::new(), self.round);
        for (pool, share) in &mut self.by_pool {
            let Some(ceiling) = ceilings.get(&pool.budget).copied() else { continue };
            share.falls_to(ceiling);
            share.prune(stored);
            if lapsed == Lapsed::Yes {
                share.granted = share.granted.min(share.used + share.held);
            }
            let hot = hot.contains(pool);
            let excess = share.free() > share.slack.saturating_mul(2);
            let tells = share.news && (all == Telling::All || excess);
            if hot || tells || !share.waiting.is_empty() || quiet.contains(pool) {
                share.told = round;
                asks.push(share.ask(*pool, hot));
            }
        }
        asks
    }

    /// Forgets periods that are long over.
    fn forget(&mut self, now: UnixMillis) {
        let budgets: HashMap<BudgetId, &Arc<Budget>> =
            self.budgets.iter().map(|budget| (budget.id, budget)).collect();
        let watched = &mut self.watched;
        self.by_pool.retain(|pool, share| {
            let Some(budget) = budgets.get(&pool.budget) else { return false };
            let over = budget.bounds(pool.start).1.is_some_and(|end| end.plus_millis(DAY_MS) < now);
            let kept = !over || share.held > 0 || !share.waiting.is_empty();
            if !kept && let Some(since) = watched.get_mut(&pool.budget) {
                *since = share.ended.iter().fold(share.from, |from, (ended, _)| from.max(*ended)).max(*since);
            }
            kept
        });
    }

    /// Joins a pool's base: what was spent before it, and this node's last end that is in it.
    ///
    /// # Errors
    /// The pool has to be built anew.
    pub fn join(&mut self, pool: Pool, base: &str, spent: i128, through: u64) -> Result<(), Stale> {
        let Some(share) = self.by_pool.get_mut(&pool) else { return Ok(()) };
        if through < share.from {
            return Err(Stale);
        }
        let free = if share.is_joined() { share.free().max(0) } else { 0 };
        base.clone_into(&mut share.base);
        share.through = through;
        share.base_spent = spent;
        share.used = share.ended.iter().filter(|(ticket, _)| *ticket > through).map(|(_, cost)| cost).sum();
        share.granted = share.used + share.held + free;
        (share.others_spent, share.others_held) = (0, 0);
        share.recall = None;
        Ok(())
    }

    /// Takes over a pool's answer to what was asked.
    pub fn answered(&mut self, ask: &Ask, answer: &Answer) {
        let Some(share) = self.by_pool.get_mut(&ask.pool).filter(|share| share.base == ask.base) else {
            return;
        };
        share.granted = answer.granted;
        share.others_spent = answer.others_spent;
        share.others_held = answer.others_held;
        match answer.verdict {
            Verdict::Granted => share.recall = None,
            // It waits for nodes to tell their shares first.
            Verdict::Recalled(0) => {}
            Verdict::Recalled(number) => {
                share.recall.get_or_insert((number, ask.asks));
            }
            Verdict::Full => {
                let covered = share.recall.take().map_or(ask.asks, |(_, asks)| asks);
                share.denied = share.denied.max(covered);
            }
        }
    }

    /// The next ask of a pool after [`Shares::join`], or after it has answered while somebody still waits.
    pub fn again(&mut self, pool: Pool) -> Option<Ask> {
        Some(self.by_pool.get_mut(&pool)?.ask(pool, false))
    }

    /// Whether somebody waits for a pool.
    pub fn is_awaited(&self) -> bool {
        self.by_pool.values().any(|share| !share.waiting.is_empty())
    }

    /// Gives back what is neither spent nor held, with the next words.
    pub fn close(&mut self) {
        for share in self.by_pool.values_mut() {
            share.news = share.news || share.free() > 0;
            share.slack = 0;
        }
    }

    /// Whether the pools know everything.
    pub fn is_told(&self) -> bool {
        self.by_pool.values().all(|share| !share.news)
    }

    /// Pools that were not talked to for a while, some at a time: a node that spends nothing hears of others, too.
    fn quiet(&self) -> HashSet<Pool> {
        let since = |share: &Share| self.round.saturating_sub(share.told);
        let joined = self.by_pool.iter().filter(|(_, share)| share.is_joined() && since(share) >= QUIET);
        let mut quiet: Vec<(u64, Pool)> = joined.map(|(pool, share)| (share.told, *pool)).collect();
        quiet.sort_unstable();
        quiet.into_iter().take(AT_ONCE).map(|(_, pool)| pool).collect()
    }

    /// Has pools asked for that are not known yet, some at a time.
    fn get_to_know(&mut self, now: UnixMillis) {
        let budgets = Arc::clone(&self.budgets);
        let unknown = |shares: &HashMap<Pool, Share>, budget: &Budget| {
            let pool = Pool { budget: budget.id, start: budget.start(now) };
            shares.get(&pool).is_none_or(|share| !share.is_joined())
        };
        let some: Vec<&Arc<Budget>> =
            budgets.iter().filter(|budget| unknown(&self.by_pool, budget)).take(AT_ONCE).collect();
        for budget in some {
            self.share(budget, budget.start(now)).news = true;
        }
    }
}

impl Share {
    fn prune(&mut self, stored: u64) {
        let from = &mut self.from;
        self.ended.retain(|(ticket, _)| {
            if *ticket <= stored {
                *from = (*from).max(*ticket);
            }
            *ticket > stored
        });
    }

    fn ask(&mut self, pool: Pool, hot: bool) -> Ask {
        let yields = hot || !self.waiting.is_empty();
        let keep = if yields { 0 } else { self.free().clamp(0, self.slack) };
        // Before it is said: what is offered back must not be used meanwhile.
        self.granted = self.used + self.held + keep;
        self.news = false;
        Ask {
            pool,
            base: self.base.clone(),
            limit: self.ceiling,
            used: self.used,
            held: self.held,
            need: self.waiting.values().copied().min().unwrap_or(0),
            wanted: self.waiting.values().sum(),
            slack: if hot { 0 } else { self.slack },
            keep,
            yields,
            recall: self.recall.map_or(0, |(number, _)| number),
            asks: self.asked,
        }
    }
}

//! Whose turn it is: start-time fair queuing over users with weights.

use std::collections::{HashMap, VecDeque};

/// What a request costs a user of weight 1 in virtual time. One of weight `w` pays the `w`-th part.
const PRICE: u128 = 1 << 40;
/// Users without a waiting request whose debts are remembered.
const MOST_REMEMBERED: usize = 4096;

/// Requests that wait, and the order in which users take turns.
///
/// Each user has a line of its own and a start in virtual time; whoever's is least has the next turn, which moves it on by
/// the price of one turn divided by the weight. Somebody who comes begins at the time of the last turn, so that nobody saves up turns. While
/// a user of weight `w` waits for its `k`-th turn, another one of weight `v` gets at most `k * v / w + 1`, rounded up.
#[derive(Debug)]
pub struct Fair<T> {
    /// Of each user that waits; never empty.
    pub(super) lines: HashMap<u128, Line<T>>,
    /// Of users that do not wait and had a turn lately: where they would start.
    pub(super) debts: HashMap<u128, u128>,
    /// The start of the last turn.
    now: u128,
    numbers: u64,
    waiting: usize,
}

#[derive(Debug)]
pub(super) struct Line<T> {
    start: u128,
    price: u128,
    waiting: VecDeque<(u64, T)>,
}

/// The place of a request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    user: u128,
    number: u64,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { lines: HashMap::new(), debts: HashMap::new(), now: 0, numbers: 0, waiting: 0 }
    }
}

impl<T> Fair<T> {
    /// How many wait.
    pub const fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nobody waits.
    pub const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// How many of this user wait.
    pub fn len_of(&self, user: u128) -> usize {
        self.lines.get(&user).map_or(0, |line| line.waiting.len())
    }

    /// How many users wait.
    pub fn users(&self) -> usize {
        self.lines.len()
    }

    /// Lets a request of this user wait behind those that wait already.
    pub fn push(&mut self, user: u128, weight: u32, what: T) -> Ticket {
        let (now, number) = (self.now, self.numbers);
        self.numbers += 1;
        let debts = &mut self.debts;
        let line = self.lines.entry(user).or_insert_with(|| Line {
            start: debts.remove(&user).unwrap_or(now).max(now),
            price: PRICE,
            waiting: VecDeque::new(),
        });
        line.price = PRICE / u128::from(weight.max(1));
        line.waiting.push_back((number, what));
        self.waiting += 1;
        Ticket { user, number }
    }

    /// Takes a request out that waits no longer; nothing if it has had its turn.
    pub fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let line = self.lines.get_mut(&ticket.user)?;
        let at = line.waiting.binary_search_by_key(&ticket.number, |(number, _)| *number).ok()?;
        let (_, what) = line.waiting.remove(at)?;
        self.left(ticket.user);
        Some(what)
    }

    /// The next one of those that may go: of each user the one that came first, of all users the one whose turn it is.
    pub fn pop(&mut self, mut may_go: impl FnMut(&T) -> bool) -> Option<T> {
        let mut best: Option<(u128, u64, u128, usize)> = None;
        for (user, line) in &self.lines {
            // Whoever would come later anyway need not be looked at.
            if best.is_some_and(|(start, ..)| start < line.start) {
                continue;
            }
            let Some(at) = line.waiting.iter().position(|(_, what)| may_go(what)) else { continue };
            let number = line.waiting[at].0;
            if best.is_none_or(|(start, other, ..)| (line.start, number) < (start, other)) {
                best = Some((line.start, number, *user, at));
            }
        }
        let (start, _, user, at) = best?;
        self.now = self.now.max(start);
        let line = self.lines.get_mut(&user)?;
        // Who could not go for long has no turns saved up.
        line.start = self.now + line.price;
        let (_, what) = line.waiting.remove(at)?;
        self.left(user);
        Some(what)
    }

    /// Takes out the request that came last of the user who waits with the most, by weight, so that there is room for another
    /// user's; nothing if that one would wait with as many.
    pub fn pop_last(&mut self, user: u128, weight: u32) -> Option<T> {
        let own = (self.len_of(user) as u128 + 1) * (PRICE / u128::from(weight.max(1)));
        let longest = self.lines.iter().map(|(of, line)| (line.waiting.len() as u128 * line.price, *of));
        let (most, of) = longest.max()?;
        if of == user || most <= own {
            return None;
        }
        let (_, what) = self.lines.get_mut(&of)?.waiting.pop_back()?;
        self.left(of);
        Some(what)
    }

    /// How many of those that count would have their turn before a new request of this user.
    pub fn ahead(&self, user: u128, weight: u32, mut counts: impl FnMut(&T) -> bool) -> u64 {
        let price = PRICE / u128::from(weight.max(1));
        let start = match self.lines.get(&user) {
            None => self.debts.get(&user).map_or(self.now, |start| self.now.max(*start)),
            Some(line) => line.start + price * line.waiting.len() as u128,
        };
        let mut ahead = 0;
        for line in self.lines.values() {
            let mut turn = line.start;
            for (_, what) in line.waiting.iter().take_while(|_| {
                let is_before = turn <= start;
                turn += line.price;
                is_before
            }) {
                ahead += u64::from(counts(what));
            }
        }
        ahead
    }

    /// One of this user waits no longer. When nobody does, all begins anew.
    fn left(&mut self, user: u128) {
        self.waiting -= 1;
        if self.waiting == 0 {
            self.lines.clear();
            self.debts.clear();
            self.now = 0;
            return;
        }
        let Some(line) = self.lines.get(&user).filter(|line| line.waiting.is_empty()) else { return };
        if line.start > self.now {
            self.debts.insert(user, line.start);
        }
        self.lines.remove(&user);
        if self.debts.len() > MOST_REMEMBERED {
            let now = self.now;
            self.debts.retain(|_, start| *start > now);
            if self.debts.len() > MOST_REMEMBERED / 2 {
                self.debts.clear();
            }
        }
    }
}

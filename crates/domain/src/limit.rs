//! Limits on rates: how much may be asked in a minute, or at the same time, by whom.
//!
//! A limit per minute is a token bucket: it holds at most a minute's amount, is filled evenly, and what is taken out of it may
//! leave it in debt, since what a reply costs is known only in the end. A request takes itself and its estimated input at
//! admission; in the end, the estimate is replaced by the input that the provider counted (what was read from its cache does
//! not count, as with the provider's own limits), and the output is taken. A request whose input is estimated at more than a
//! bucket holds passes when the bucket is full.

use std::collections::HashMap;
use std::sync::Arc;

use crate::budget::Holder;
use crate::exchange::Principal;
use crate::id::LimitId;
use crate::model::ModelScope;
use crate::time::UnixMillis;

/// Most limits of an organization.
pub const MAX_LIMITS: usize = 10_000;
/// The highest amount of a limit.
pub const MAX_AMOUNT: u64 = 1_000_000_000_000;
/// A minute, in milliseconds.
const MINUTE: i128 = 60_000;
/// A bucket is never deeper in debt than so many minutes' amounts.
const DEBT: i128 = 10;
/// After how long without a request a bucket is forgotten, in milliseconds; it is full again unless it was in debt.
const FORGOTTEN: u64 = 20 * 60_000;
/// How soon to try again where too much is under way, in milliseconds: nobody knows when a reply ends.
const AGAIN: u64 = 2_000;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Requests in a minute.
    Requests,
    /// Input tokens in a minute, those read from the provider's cache excluded.
    InputTokens,
    /// Output tokens in a minute.
    OutputTokens,
    /// Requests at the same time.
    Concurrency,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Requests, Self::InputTokens, Self::OutputTokens, Self::Concurrency];

    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Concurrency => "concurrency",
        }
    }

    /// The measure of this name.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.as_str() == text)
    }

    /// In words, after a number.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Requests => "requests per minute",
            Self::InputTokens => "input tokens per minute",
            Self::OutputTokens => "output tokens per minute",
            Self::Concurrency => "requests at the same time",
        }
    }
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Its identifier.
    pub id: LimitId,
    /// Whose requests it counts, together.
    pub holder: Holder,
    /// With which models.
    pub models: ModelScope,
    /// What it limits.
    pub measure: Measure,
    /// How much, at least 1.
    pub amount: u64,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// All limits of an organization.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    all: Vec<Arc<Limit>>,
    by_holder: HashMap<Holder, Vec<usize>>,
}

impl Limits {
    /// These limits.
    pub fn new(limits: impl IntoIterator<Item = Limit>) -> Self {
        let all: Vec<_> = limits.into_iter().map(Arc::new).collect();
        let mut by_holder: HashMap<Holder, Vec<usize>> = HashMap::new();
        for (index, limit) in all.iter().enumerate() {
            by_holder.entry(limit.holder).or_default().push(index);
        }
        Self { all, by_holder }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those that count requests of this principal, with this model or with whatever model.
    pub fn applying<'a>(
        &'a self,
        principal: &'a Principal,
        model: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Limit>> {
        Holder::of(principal)
            .filter_map(|holder| self.by_holder.get(&holder))
            .flatten()
            .map(|index| &self.all[*index])
            .filter(move |limit| model.is_none_or(|model| limit.models.allows(model)))
    }
}

/// How a limit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// The limit.
    pub limit: Arc<Limit>,
    /// What is left of it now.
    pub remaining: u64,
    /// When it will be whole again, in milliseconds; unknown for [`Measure::Concurrency`], and told as 0.
    pub whole_in: u64,
}

/// A request is beyond a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the limit {} is reached", .level.limit.id)]
pub struct Limited {
    /// Of the limits that have no room, the one that has room last.
    pub level: Level,
    /// When it will have room, in milliseconds.
    pub wait: u64,
}

/// What a request has taken out of buckets. Not for copying: it is settled once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is under way is so until it is settled"]
pub struct Taken(Vec<(LimitId, u64)>);

/// What a request has used in the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Input tokens, those read from the provider's cache excluded.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
}

/// What this node tells other nodes of a limit: sums since the node has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The limit.
    pub limit: LimitId,
    /// What was taken here; may become less when an estimate was too high.
    pub taken: i64,
    /// Requests under way here.
    pub under_way: u64,
    /// Whether somebody used it here lately.
    pub lately: bool,
    /// What is missing in the bucket, as far as this node knows.
    pub missing: i64,
}

/// What the other nodes tell of a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Others {
    /// What they have taken together, as a sum that counts up.
    pub taken: i64,
    /// What is under way there together.
    pub under_way: u64,
    /// The most that is missing in the bucket, as one of them knows.
    pub missing: i64,
}

/// The buckets of a node. Time is a clock of the caller's that never goes back, in milliseconds.
#[derive(Debug, Default)]
pub struct Buckets {
    limits: Arc<Limits>,
    buckets: HashMap<LimitId, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    limit: Arc<Limit>,
    /// What is in it, times [`MINUTE`].
    level: i128,
    at: u64,
    touched: u64,
    /// When somebody used it here; 0 before that.
    used: u64,
    taken: i64,
    under_way: u64,
    others_taken: Option<i64>,
    others_under_way: u64,
}

impl Bucket {
    fn new(limit: &Arc<Limit>, now: u64) -> Self {
        Self {
            level: i128::from(limit.amount) * MINUTE,
            limit: Arc::clone(limit),
            at: now,
            touched: now,
            used: 0,
            taken: 0,
            under_way: 0,
            others_taken: None,
            others_under_way: 0,
        }
    }

    fn fill(&mut self, now: u64) {
        let amount = i128::from(self.limit.amount);
        let passed = i128::from(now.saturating_sub(self.at));
        self.level = (self.level + amount * passed).clamp(-amount * MINUTE * DEBT, amount * MINUTE);
        self.at = self.at.max(now);
    }

    /// Takes out, or puts back where it is negative.
    fn take(&mut self, units: i64) {
        self.level -= i128::from(units) * MINUTE;
        self.taken = self.taken.saturating_add(units);
    }

    /// What is missing in it, rounded up.
    fn missing(&self) -> i64 {
        let missing = i128::from(self.limit.amount) * MINUTE - self.level;
        i64::try_from((missing + MINUTE - 1) / MINUTE).unwrap_or(i64::MAX)
    }

    fn all_under_way(&self) -> u64 {
        self.under_way.saturating_add(self.others_under_way)
    }

    /// How long until so much is in it, in milliseconds; `None` when it is there.
    fn wait(&self, units: u64) -> Option<u64> {
        let missing = i128::from(units) * MINUTE - self.level;
        let wait = (missing + i128::from(self.limit.amount) - 1) / i128::from(self.limit.amount);
        (missing > 0).then(|| u64::try_from(wait).unwrap_or(u64::MAX))
    }

    fn level(&self) -> Level {
        let (remaining, whole_in) = match self.limit.measure {
            Measure::Concurrency => (self.limit.amount.saturating_sub(self.all_under_way()), 0),
            Measure::Requests | Measure::InputTokens | Measure::OutputTokens => (
                u64::try_from(self.level.max(0) / MINUTE).unwrap_or(0),
                self.wait(self.limit.amount).unwrap_or(0),
            ),
        };
        Level { limit: Arc::clone(&self.limit), remaining, whole_in }
    }

    /// When there is room for a request with so much input; `None` if now.
    fn room(&self, input: u64) -> Option<u64> {
        match self.limit.measure {
            Measure::InputTokens => self.wait(input.min(self.limit.amount)),
            // How much output it will be, nobody knows: it is enough that the ones before left something.
            Measure::Requests | Measure::OutputTokens => self.wait(1),
            Measure::Concurrency => (self.all_under_way() >= self.limit.amount).then_some(AGAIN),
        }
    }
}

impl Buckets {
    /// Takes these limits instead of those before. A bucket whose limit only changed its amount keeps what was taken.
    pub fn install(&mut self, limits: &Arc<Limits>) {
        let known: HashMap<LimitId, &Arc<Limit>> = limits.all.iter().map(|limit| (limit.id, limit)).collect();
        self.buckets.retain(|id, bucket| {
            let Some(limit) = known.get(id) else { return false };
            // What is missing stays missing.
            bucket.level += (i128::from(limit.amount) - i128::from(bucket.limit.amount)) * MINUTE;
            bucket.limit = Arc::clone(limit);
            true
        });
        self.limits = Arc::clone(limits);
    }

    fn bucket(&mut self, limit: &Arc<Limit>, now: u64) -> &mut Bucket {
        let bucket = self.buckets.entry(limit.id).or_insert_with(|| Bucket::new(limit, now));
        bucket.fill(now);
        bucket
    }

    /// Takes a request with so much input, as estimated, out of all buckets that apply, or out of none.
    ///
    /// # Errors
    /// A limit has no room for it.
    pub fn take(
        &mut self,
        principal: &Principal,
        model: &str,
        input: u64,
        now: u64,
    ) -> Result<Option<Taken>, Box<Limited>> {
        let limits = Arc::clone(&self.limits);
        let mut beyond: Option<Limited> = None;
        for limit in limits.applying(principal, Some(model)) {
            let bucket = self.bucket(limit, now);
            if let Some(wait) = bucket.room(input)
                && beyond.as_ref().is_none_or(|other| wait > other.wait)
            {
                beyond = Some(Limited { level: bucket.level(), wait });
            }
        }
        if let Some(beyond) = beyond {
            return Err(Box::new(beyond));
        }
        let mut taken = Vec::new();
        for limit in limits.applying(principal, Some(model)) {
            let bucket = self.bucket(limit, now);
            let units = match limit.measure {
                Measure::Requests => 1,
                Measure::InputTokens => input.min(limit.amount),
                Measure::OutputTokens | Measure::Concurrency => 0,
            };
            bucket.take(i64::try_from(units).unwrap_or(i64::MAX));
            bucket.under_way += 1;
            (bucket.touched, bucket.used) = (now, now.max(1));
            taken.push((limit.id, units));
        }
        Ok((!taken.is_empty()).then_some(Taken(taken)))
    }

    /// Ends what was taken: the estimate is replaced by what was used. `None` used is a request that nobody worked for; it
    /// still counts as a request.
    pub fn settle(&mut self, taken: Taken, used: Option<Used>, now: u64) {
        let used = used.unwrap_or_default();
        for (id, units) in taken.0 {
            let Some(bucket) = self.buckets.get_mut(&id) else { continue };
            bucket.fill(now);
            bucket.under_way = bucket.under_way.saturating_sub(1);
            (bucket.touched, bucket.used) = (now, now.max(1));
            let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            match bucket.limit.measure {
                Measure::InputTokens => bucket.take(signed(used.input) - signed(units)),
                Measure::OutputTokens => bucket.take(signed(used.output)),
                Measure::Requests | Measure::Concurrency => {}
            }
        }
    }

    /// How the limits stand that count requests of this principal.
    pub fn levels(&mut self, principal: &Principal, model: Option<&str>, now: u64) -> Vec<Level> {
        let limits = Arc::clone(&self.limits);
        limits.applying(principal, model).map(|limit| self.bucket(limit, now).level()).collect()
    }

    /// What other nodes are to be told: of every bucket that somebody has used lately, here or, as `active` says, there.
    pub fn words(&mut self, active: &[LimitId], now: u64) -> Vec<Word> {
        let limits = Arc::clone(&self.limits);
        for limit in active.iter().filter_map(|id| limits.all.iter().find(|limit| limit.id == *id)) {
            self.bucket(limit, now).touched = now;
        }
        self.buckets
            .retain(|_, bucket| bucket.under_way > 0 || now.saturating_sub(bucket.touched) < FORGOTTEN);
        let word = |(id, bucket): (&LimitId, &Bucket)| Word {
            limit: *id,
            taken: bucket.taken,
            under_way: bucket.under_way,
            missing: bucket.missing(),
            lately: bucket.used > 0 && (bucket.under_way > 0 || now.saturating_sub(bucket.used) < 60_000),
        };
        self.buckets.iter().map(word).collect()
    }

    /// Takes over what other nodes tell. With the first word of a bucket, what is missing there is missing here too; from then
    /// on, what they take. A sum that is less than before, since a node has gone, only says from where to count on.
    pub fn heard(&mut self, limit: LimitId, others: Others, now: u64) {
        let Some(bucket) = self.buckets.get_mut(&limit) else { return };
        bucket.fill(now);
        let more = match bucket.others_taken {
            Some(before) => others.taken.saturating_sub(before),
            None => others.missing,
        };
        bucket.level -= i128::from(more.max(0)) * MINUTE;
        bucket.others_taken = Some(others.taken);
        bucket.others_under_way = others.under_way;
    }

    /// The other nodes cannot be heard: this one counts for itself.
    pub fn deaf(&mut self) {
        for bucket in self.buckets.values_mut() {
            bucket.others_under_way = 0;
        }
    }
}

#[cfg(test)]
mod tests;

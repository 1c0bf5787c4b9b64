//! One model of a provider, as far as its quota is known.

use super::{Heard, Measure, Told};

/// After a refusal it is tried with one request, and with twice as many in each further step of so many milliseconds.
const STEP: u64 = 1000;
/// After so many steps there is no such bound any more.
const STEPS: u64 = 6;
/// The longest in which a provider's limit is taken to become whole again, in milliseconds: they are limits per minute.
const LONGEST: u64 = 120_000;

/// What is known of a provider's quota for one model.
///
/// What is left of a limit is taken to be filled up evenly until it is whole, as the provider says it is. A request is taken to
/// need one of the requests, and of tokens a second's worth: what it will really need, and what of it is read from caches, nobody
/// knows before. So requests are held back only when hardly anything is left; where that was too much, the provider refuses, and
/// then it is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lane {
    told: [Option<Level>; Measure::ALL.len()],
    closed_until: u64,
    /// Requests that went since it was refused; none where it never was, or long ago.
    tried: Option<u64>,
    /// Requests that went in all.
    sent: u64,
}

/// A limit as it was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Level {
    told: Told,
    at: u64,
    /// Requests that had gone by then, of [`Lane::sent`].
    sent: u64,
}

impl Level {
    /// What one request is taken to need.
    fn need(self, measure: Measure) -> u64 {
        match measure {
            Measure::Requests => 1,
            Measure::Tokens | Measure::InputTokens | Measure::OutputTokens => (self.told.limit / 60).max(1),
        }
    }

    const fn whole_at(self) -> u64 {
        self.at.saturating_add(self.told.whole_in)
    }

    /// What is left of it by now, what went since aside.
    fn left(self, now: u64) -> u64 {
        if now >= self.whole_at() {
            return self.told.limit;
        }
        let missing = u128::from(self.told.limit - self.told.remaining);
        let filled = missing * u128::from(now.saturating_sub(self.at)) / u128::from(self.told.whole_in);
        self.told.remaining.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX)).min(self.told.limit)
    }

    /// In how many milliseconds so much is left of it; at the latest when it is whole.
    fn wait(self, wanted: u128, now: u64) -> u64 {
        if now >= self.whole_at() || wanted <= u128::from(self.left(now)) {
            return 0;
        }
        let missing = u128::from(self.told.limit - self.told.remaining).max(1);
        let more = wanted.saturating_sub(u128::from(self.told.remaining));
        let after = (more * u128::from(self.told.whole_in)).div_ceil(missing);
        let at = self.at.saturating_add(u64::try_from(after).unwrap_or(u64::MAX));
        at.saturating_sub(now).clamp(1, self.whole_at() - now)
    }
}

impl Lane {
    /// Takes over what a reply tells; `sent` is what [`Self::begin`] gave its request. A refusal that does not say for how long
    /// counts for `unsaid` milliseconds, and none for more than `most`.
    pub fn hear(&mut self, heard: &Heard, sent: Option<u64>, (unsaid, most): (u64, u64), now: u64) {
        // The provider has counted the requests before it; those after it, it may not have.
        let sent = sent.unwrap_or(self.sent).min(self.sent);
        for (known, told) in self.told.iter_mut().zip(heard.told) {
            if let Some(mut told) = told {
                told.whole_in = told.whole_in.min(LONGEST);
                *known = Some(Level { told, at: now, sent });
            }
        }
        if let Some(asked) = heard.refused {
            self.closed_until = self.closed_until.max(now.saturating_add(asked.unwrap_or(unsaid).min(most)));
            self.tried = Some(0);
        }
    }

    /// A request goes. Gives its number.
    pub fn begin(&mut self) -> u64 {
        self.sent += 1;
        self.tried = self.tried.map(|tried| tried + 1);
        self.sent
    }

    /// Whether it may have to be waited for, so that what goes is to be counted.
    pub fn is_tight(&self, now: u64) -> bool {
        let is_low = |level: &Level| {
            now < level.whole_at() && level.told.remaining <= (level.told.limit / 10).saturating_add(16)
        };
        self.is_tried(now) || self.told.iter().flatten().any(is_low)
    }

    const fn is_tried(&self, now: u64) -> bool {
        self.tried.is_some() && now < self.closed_until.saturating_add(STEP * STEPS)
    }

    /// In how many milliseconds a request may go when so many go before it; 0 if now.
    pub fn wait(&self, ahead: u64, now: u64) -> u64 {
        let tried = match self.tried {
            Some(tried) if self.is_tried(now) => {
                let nth = tried.saturating_add(ahead).saturating_add(1).min(1 << STEPS);
                let steps = u64::from(nth.next_power_of_two().ilog2());
                let at = self.closed_until.saturating_add(STEP * steps);
                at.saturating_sub(now)
            }
            Some(_) | None => 0,
        };
        let levels = Measure::ALL.into_iter().zip(self.told).filter_map(|(measure, level)| {
            let level = level?;
            let requests = u128::from(self.sent - level.sent) + u128::from(ahead) + 1;
            Some(level.wait(requests * u128::from(level.need(measure)), now))
        });
        levels.fold(tried, u64::max)
    }

    /// For how many milliseconds more it is left alone after a refusal; 0 if it is not.
    pub const fn closed_for(&self, now: u64) -> u64 {
        self.closed_until.saturating_sub(now)
    }

    /// What is known of each limit, with what is left of it by now and in how many milliseconds it is whole again.
    pub fn levels(&self, now: u64) -> impl Iterator<Item = (Measure, Told)> + '_ {
        Measure::ALL.into_iter().zip(&self.told).filter_map(move |(measure, level)| {
            let level = (*level)?;
            let whole_in = level.whole_at().saturating_sub(now);
            Some((measure, Told { limit: level.told.limit, remaining: level.left(now), whole_in }))
        })
    }
}

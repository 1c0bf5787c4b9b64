//! How a provider fares: its breaker, its cooldown, whether it can be reached, how busy and how quick it is.
//!
//! Only requests for which several providers could answer are guided by it. What is locked is locked for a few comparisons,
//! and never while anything is waited for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use gatehouse_domain::routing::{Breaker, Failover, Fault, Gate, Limit};
use metrics::{Counter, counter};

use crate::quota::Pass;
use crate::settings::Provider;
use crate::upstream::reaches;

/// How a provider fares.
pub struct Health {
    born: Instant,
    busy: AtomicU64,
    state: Mutex<State>,
    /// Attempts by their end: one for each fault, and the good ones last.
    counters: OnceLock<[Counter; Fault::ALL.len() + 1]>,
}

#[derive(Default)]
struct State {
    breaker: Breaker,
    cool_until: u64,
    unreachable: bool,
    latency_us: u64,
    limit: Limit,
}

/// Whether a provider may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Usable,
    /// As a probe: its breaker was open.
    Probe,
    /// Its breaker is open for so many milliseconds more, or until the probe under way has ended (0).
    Open(u64),
    /// It asked to be left alone for so many milliseconds more.
    Cooling(u64),
    /// It could not be connected to when it was tried last.
    Unreachable,
    /// As many requests as it answers well are under way.
    Full,
    /// There is nothing to show it.
    NoCredential,
}

impl Standing {
    /// Whether it may be asked.
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Usable | Self::Probe)
    }

    /// In how many milliseconds it may be otherwise, as far as that is known.
    pub const fn wait_ms(self) -> u64 {
        match self {
            Self::Usable | Self::Probe => 0,
            Self::Open(ms) | Self::Cooling(ms) => ms,
            Self::Unreachable | Self::Full | Self::NoCredential => 1000,
        }
    }

    /// In words.
    pub fn sentence(self) -> String {
        match self {
            Self::Usable => "ok".to_owned(),
            Self::Probe => "ok: the next request is a probe".to_owned(),
            Self::Open(0) => "breaker open: a probe is under way".to_owned(),
            Self::Open(ms) => format!("breaker open for {} s", ms.div_ceil(1000)),
            Self::Cooling(ms) => format!("cooling down for {} s", ms.div_ceil(1000)),
            Self::Unreachable => "cannot be connected to".to_owned(),
            Self::Full => "at its limit of requests under way".to_owned(),
            Self::NoCredential => "no valid credential".to_owned(),
        }
    }
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            born: Instant::now(),
            busy: AtomicU64::new(0),
            state: Mutex::default(),
            counters: OnceLock::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests under way of those that are guided by it.
    pub fn busy(&self) -> u64 {
        self.busy.load(Ordering::Relaxed)
    }

    /// Requests at once that it answers well, as found by how it answers.
    pub(crate) fn allowed(&self) -> u64 {
        self.state().limit.requests()
    }

    /// Typical time to a reply's beginning in microseconds; 0 while it is not known.
    pub fn latency_us(&self) -> u64 {
        self.state().latency_us
    }

    /// Counts an attempt by its end.
    pub(crate) fn count(&self, provider: &str, fault: Option<Fault>) {
        let counters = self.counters.get_or_init(|| {
            let all = Fault::ALL.map(Some);
            std::array::from_fn(|n| {
                let outcome = all.get(n).copied().flatten().map_or("answered", Fault::as_str);
                counter!("gatehouse_attempts_total", "provider" => provider.to_owned(), "outcome" => outcome)
            })
        });
        let at = fault.and_then(|fault| Fault::ALL.iter().position(|one| *one == fault));
        counters[at.unwrap_or(Fault::ALL.len())].increment(1);
    }
}

impl Provider {
    /// Whether it may be asked now.
    pub fn standing(&self, failover: &Failover) -> Standing {
        let health = &self.health;
        let (now, busy) = (health.now(), health.busy());
        let state = health.state();
        let usable = match state.breaker.look(now) {
            Gate::Open(ms) => return Standing::Open(ms),
            Gate::Closed => Standing::Usable,
            Gate::Probe => Standing::Probe,
        };
        if !self.has_credential() {
            Standing::NoCredential
        } else if state.cool_until > now {
            Standing::Cooling(state.cool_until - now)
        } else if state.unreachable {
            Standing::Unreachable
        } else if failover.adaptive && busy >= state.limit.requests() {
            Standing::Full
        } else {
            usable
        }
    }

    /// Forgets that it could not be connected to, since it is not tried any more.
    pub fn assume_reachable(&self) {
        self.health.state().unreachable = false;
    }

    /// Tries whether it can be connected to, which costs it nothing, and notes it.
    pub async fn check(&self) -> bool {
        let reached = reaches(self).await;
        let before = std::mem::replace(&mut self.health.state().unreachable, !reached);
        if before == reached {
            let name = &self.name;
            if reached {
                tracing::info!(provider = %name, "the provider can be connected to again");
            } else {
                tracing::warn!(provider = %name, "the provider cannot be connected to; others take its place");
            }
        }
        reached
    }
}

/// An attempt at a provider that is under way, or a reply of its. When it is dropped, the provider is less busy.
pub(crate) struct Permit {
    pub(crate) provider: Arc<Provider>,
    failover: Failover,
    is_probe: bool,
    is_told: bool,
    began: Instant,
    /// Where it is counted; dropped last, so that the next one finds the provider less busy.
    pass: Option<Pass>,
}

impl Permit {
    /// Begins an attempt, if the provider may be asked.
    pub(crate) fn begin(
        provider: &Arc<Provider>,
        failover: &Failover,
        pass: Option<Pass>,
    ) -> Result<Self, Standing> {
        let standing = provider.standing(failover);
        if !standing.is_usable() {
            return Err(standing);
        }
        let health = &provider.health;
        let is_probe = match health.state().breaker.begin(health.now()) {
            Gate::Closed => false,
            Gate::Probe => true,
            Gate::Open(ms) => return Err(Standing::Open(ms)),
        };
        health.busy.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            provider: Arc::clone(provider),
            failover: failover.clone(),
            is_probe,
            is_told: false,
            began: Instant::now(),
            pass,
        })
    }

    /// Where it is counted, if it is.
    pub(crate) const fn pass(&self) -> Option<&Pass> {
        self.pass.as_ref()
    }

    /// The provider answered.
    pub(crate) fn answered(&mut self) {
        let health = &self.provider.health;
        let took = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        let busy = health.busy();
        let mut state = health.state();
        state.breaker.succeeded(std::mem::take(&mut self.is_probe), &self.failover.breaker);
        state.latency_us = if state.latency_us == 0 { took } else { state.latency_us / 8 * 7 + took / 8 };
        state.limit.good(busy);
        self.is_told = true;
    }

    /// It refused for want of quota, which those that wait for it heed: it is not left alone as a whole.
    pub(crate) fn limited(&mut self) {
        let mut state = self.provider.health.state();
        state.breaker.unknown(std::mem::take(&mut self.is_probe));
        state.limit.overloaded();
        self.is_told = true;
    }

    /// It did not, or its reply broke off. `after` is how long it asked to be left alone, in milliseconds.
    pub(crate) fn failed(&mut self, fault: Fault, after: Option<u64>) {
        let (health, failover) = (&self.provider.health, &self.failover);
        let now = health.now();
        let mut state = health.state();
        let was_probe = std::mem::take(&mut self.is_probe);
        self.is_told = true;
        if fault.is_illness() {
            if state.breaker.failed(now, was_probe, &failover.breaker) {
                tracing::warn!(provider = %self.provider.name, fault = fault.as_str(), "the provider fails; it is left alone for a while");
            }
        } else {
            state.breaker.unknown(was_probe);
        }
        if matches!(fault, Fault::RateLimited | Fault::Overloaded | Fault::Timeout) {
            state.limit.overloaded();
        }
        let is_asking = matches!(fault, Fault::RateLimited | Fault::Credential);
        let asked = after.filter(|_| is_asking || fault == Fault::Overloaded);
        let asked = asked.map(|ms| ms.min(failover.cooldown_max_ms));
        if let Some(ms) = asked.or(is_asking.then_some(failover.cooldown_ms)) {
            state.cool_until = state.cool_until.max(now.saturating_add(ms));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let health = &self.provider.health;
        health.busy.fetch_sub(1, Ordering::Relaxed);
        if !self.is_told {
            health.state().breaker.unknown(self.is_probe);
        }
    }
}

//! A circuit breaker: a provider that fails again and again is left alone for a while, then tried with single requests.

/// When a breaker opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// It opens after so many failures in a row; at least 1.
    pub failures: u32,
    /// It stays open for so long, in milliseconds.
    pub open_ms: u64,
    /// Then it closes after so many good probes in a row; at least 1.
    pub probes: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { failures: 10, open_ms: 10_000, probes: 2 }
    }
}

/// Whether a breaker lets a request through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It does.
    Closed,
    /// It does, as a probe: one at a time.
    Probe,
    /// Not for so many milliseconds. A probe that is under way leaves 0.
    Open(u64),
}

/// A circuit breaker. Times are milliseconds of any clock that does not go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker(State);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: u64 },
    HalfOpen { good: u32, probing: bool },
}

impl Default for Breaker {
    fn default() -> Self {
        Self(State::Closed { failures: 0 })
    }
}

impl Breaker {
    /// What would be let through now.
    pub const fn look(&self, now: u64) -> Gate {
        match self.0 {
            State::Closed { .. } => Gate::Closed,
            State::Open { until } if now < until => Gate::Open(until - now),
            State::Open { .. } | State::HalfOpen { probing: false, .. } => Gate::Probe,
            State::HalfOpen { probing: true, .. } => Gate::Open(0),
        }
    }

    /// Begins a request, if it is let through. Each that was begun is to be ended by one of the three below.
    pub fn begin(&mut self, now: u64) -> Gate {
        let gate = self.look(now);
        if gate == Gate::Probe {
            let good = if let State::HalfOpen { good, .. } = self.0 { good } else { 0 };
            self.0 = State::HalfOpen { good, probing: true };
        }
        gate
    }

    /// A request was answered. Those that began before the breaker opened do not close it.
    pub fn succeeded(&mut self, was_probe: bool, limits: &Thresholds) {
        match &mut self.0 {
            State::Closed { failures } => *failures = 0,
            State::HalfOpen { good, probing } if was_probe => {
                (*good, *probing) = (*good + 1, false);
                if *good >= limits.probes {
                    self.0 = State::Closed { failures: 0 };
                }
            }
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    /// A request failed. Says whether this opened the breaker.
    pub fn failed(&mut self, now: u64, was_probe: bool, limits: &Thresholds) -> bool {
        match &mut self.0 {
            State::Closed { failures } => {
                *failures += 1;
                if *failures < limits.failures {
                    return false;
                }
            }
            State::HalfOpen { .. } if was_probe => {}
            State::Open { .. } | State::HalfOpen { .. } => return false,
        }
        self.0 = State::Open { until: now.saturating_add(limits.open_ms) };
        true
    }

    /// A request ended without saying anything of the provider, since its client left for one.
    pub fn unknown(&mut self, was_probe: bool) {
        if let State::HalfOpen { probing, .. } = &mut self.0
            && was_probe
        {
            *probing = false;
        }
    }
}

//! A document from elsewhere, kept current: when it is fetched again, and how long an old one serves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatehouse_domain::time::{DAY_MS, HOUR_MS, UnixMillis};

/// How long a document serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Up to this age it is used without asking, in milliseconds.
    pub(crate) fresh_for: i64,
    /// Up to this age it is used when it cannot be fetched again.
    pub(crate) keep_for: i64,
    /// The least time between two attempts.
    pub(crate) gap: i64,
    /// The least time between two attempts while an old one serves, so that an outage does not delay many requests.
    pub(crate) patience: i64,
}

impl Timing {
    /// Of an issuer's keys.
    pub(crate) const KEYS: Self =
        Self { fresh_for: 10 * 60_000, keep_for: DAY_MS, gap: 10_000, patience: 60_000 };
    /// Of an issuer's metadata.
    pub(crate) const METADATA: Self =
        Self { fresh_for: HOUR_MS, keep_for: DAY_MS, gap: 10_000, patience: 60_000 };
}

/// A document kept current. At most one fetch runs at a time.
///
/// All times are wall-clock. If the clock is set back, what lies in the future counts as long ago: the document is
/// fetched once more than needed, and nothing waits for the clock to catch up.
#[derive(Debug)]
pub(crate) struct Fresh<T> {
    timing: Timing,
    state: Mutex<State<T>>,
    /// Held by whoever fetches.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State<T> {
    value: Option<(Current<T>, UnixMillis)>,
    attempted: Option<UnixMillis>,
}

/// A document, and which fetch brought it.
#[derive(Debug)]
pub(crate) struct Current<T> {
    pub(crate) value: Arc<T>,
    pub(crate) generation: u64,
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), generation: self.generation }
    }
}

/// Milliseconds that have passed since a time.
fn age(since: UnixMillis, now: UnixMillis) -> i64 {
    let age = now.0.saturating_sub(since.0);
    if age < 0 { i64::MAX } else { age }
}

impl<T> Fresh<T> {
    pub(crate) fn new(timing: Timing) -> Self {
        let state = Mutex::new(State { value: None, attempted: None });
        Self { timing, state, fetching: tokio::sync::Mutex::new(()) }
    }

    /// The document as it is known, however old.
    pub(crate) fn known(&self) -> Option<Arc<T>> {
        self.state().value.as_ref().map(|(current, _)| Arc::clone(&current.value))
    }

    /// The document, fetched if it is time. `None` if there is none and the last attempt is too recent for another.
    pub(crate) async fn get<E, L>(
        &self,
        now: UnixMillis,
        load: impl FnOnce() -> L,
    ) -> Option<Result<Current<T>, E>>
    where
        L: Future<Output = Result<T, E>>,
    {
        let usable = self.usable(now);
        if let Some((current, age)) = usable {
            if age <= self.timing.fresh_for || !self.may_attempt(now, self.timing.patience) {
                return Some(Ok(current));
            }
            // One request fetches, all others go on with what there is.
            let Ok(_fetching) = self.fetching.try_lock() else { return Some(Ok(current)) };
            return Some(Ok(self.attempt(now, load).await.unwrap_or(current)));
        }
        let _fetching = self.fetching.lock().await;
        if let Some((current, _)) = self.usable(now) {
            return Some(Ok(current));
        }
        if !self.may_attempt(now, self.timing.gap) {
            return None;
        }
        Some(self.attempt(now, load).await)
    }

    /// A document from a later fetch than this one, fetched if that is allowed; `None` if there is none.
    pub(crate) async fn newer_than<E, L>(
        &self,
        generation: u64,
        now: UnixMillis,
        load: impl FnOnce() -> L,
    ) -> Option<Current<T>>
    where
        L: Future<Output = Result<T, E>>,
    {
        let _fetching = self.fetching.lock().await;
        if let Some((current, _)) = self.usable(now)
            && current.generation > generation
        {
            return Some(current);
        }
        if !self.may_attempt(now, self.timing.gap) {
            return None;
        }
        self.attempt(now, load).await.ok()
    }

    async fn attempt<E, L>(&self, now: UnixMillis, load: impl FnOnce() -> L) -> Result<Current<T>, E>
    where
        L: Future<Output = Result<T, E>>,
    {
        // Noted before the fetch: one that is abandoned has reached the issuer all the same.
        self.state().attempted = Some(now);
        let value = Arc::new(load().await?);
        let mut state = self.state();
        let generation = state.value.as_ref().map_or(1, |(before, _)| before.generation + 1);
        let current = Current { value, generation };
        state.value = Some((current.clone(), now));
        Ok(current)
    }

    fn usable(&self, now: UnixMillis) -> Option<(Current<T>, i64)> {
        let state = self.state();
        let (current, fetched) = state.value.as_ref()?;
        let age = age(*fetched, now);
        // After the clock was set back the age is unknown; the document is due, but good.
        let keep = age <= self.timing.keep_for || *fetched > now;
        keep.then(|| (current.clone(), age))
    }

    fn may_attempt(&self, now: UnixMillis, gap: i64) -> bool {
        self.state().attempted.is_none_or(|at| age(at, now) >= gap)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it is held; a poisoned state is whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

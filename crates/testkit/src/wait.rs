//! Waiting for a thing itself, with a limit.

use std::time::{Duration, Instant};

/// Longest time that anything in a test is waited for.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Waits until `look` finds something.
///
/// # Panics
/// After [`LIMIT`], naming what was waited for.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, what, look)
}

/// As [`until`], for what may rightly take longer.
///
/// # Panics
/// After this time, naming what was waited for.
#[expect(clippy::disallowed_methods, reason = "the one place that polls, for what offers nothing to wait on")]
pub fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

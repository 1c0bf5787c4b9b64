//! What moves through a tunnel.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client.
    Up,
    /// To the client.
    Down,
}

/// Bytes so far, and when something last moved.
pub(crate) struct Traffic {
    began: Instant,
    up: AtomicU64,
    down: AtomicU64,
    /// Milliseconds after the beginning.
    moved: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { began: Instant::now(), up: 0.into(), down: 0.into(), moved: 0.into() }
    }
}

impl Traffic {
    /// Counts bytes that were handed on.
    pub(crate) fn add(&self, way: Way, bytes: usize) {
        let counter = match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    /// From the client, and to it.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }

    /// How long nothing has moved.
    pub(crate) fn still(&self) -> Duration {
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(moved)
    }

    /// Ends when nothing has moved for so long.
    pub(crate) async fn idle(&self, limit: Duration) {
        loop {
            let moved = self.began + Duration::from_millis(self.moved.load(Ordering::Relaxed));
            let end = moved + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

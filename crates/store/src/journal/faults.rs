//! Faults of a disk, made on purpose by tests.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many of the next operations fail, by kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    creates: AtomicU32,
    writes: AtomicU32,
    syncs: AtomicU32,
}

impl Faults {
    /// Lets the next `n` makings of a segment fail as on a full disk.
    pub(super) fn fail_creates(&self, n: u32) {
        self.0.creates.store(n, Ordering::SeqCst);
    }

    /// Lets the next `n` writes fail.
    pub(super) fn fail_writes(&self, n: u32) {
        self.0.writes.store(n, Ordering::SeqCst);
    }

    /// Lets the next `n` flushes fail.
    pub(super) fn fail_syncs(&self, n: u32) {
        self.0.syncs.store(n, Ordering::SeqCst);
    }

    pub(super) fn on_create(&self) -> io::Result<()> {
        spend(&self.0.creates, io::ErrorKind::StorageFull)
    }

    pub(super) fn on_write(&self) -> io::Result<()> {
        spend(&self.0.writes, io::ErrorKind::Other)
    }

    pub(super) fn on_sync(&self) -> io::Result<()> {
        spend(&self.0.syncs, io::ErrorKind::Other)
    }
}

fn spend(left: &AtomicU32, kind: io::ErrorKind) -> io::Result<()> {
    match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
        Ok(_) => Err(io::Error::new(kind, "a fault made by a test")),
        Err(_) => Ok(()),
    }
}

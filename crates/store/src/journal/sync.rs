//! The thread that flushes: once for all entries that wait (group commit).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tracing::{error, info};

use super::append::{Pending, WriteError, shrink};
use super::segment::Disk;
use super::{Inner, Position, lock};

/// How long to wait before a failing disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A flush for at least this many ends is a busy one.
const BUSY: usize = 8;
/// How long after the beginning of a busy flush the next one begins, at the earliest.
const GATHER: Duration = Duration::from_millis(2);

/// When the next flush may begin. A flush costs the same for one end as for fifty, so under load it is worth a moment's
/// wait to have more of them share it; an end that comes alone never waits.
#[derive(Debug, Default)]
struct Pace(Option<Instant>);

impl Pace {
    fn flushing(&mut self, ends: usize) {
        self.0 = (ends >= BUSY).then(|| Instant::now() + GATHER);
    }

    /// How long to wait for more ends. Not at all when no exchange is under way that could end.
    fn hold(&self, pending: &Pending) -> Option<Duration> {
        let until = self.0.filter(|_| !pending.stop && !pending.open.is_empty())?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// Flushes whenever somebody waits, until the journal is closed and everything is durable.
pub(super) fn run(inner: &Inner) {
    let mut syncing = Vec::new();
    let mut pace = Pace::default();
    while wait(inner, &pace) {
        let remedied = match commit(inner, &mut syncing, &mut pace) {
            Ok(()) => true,
            Err(WriteError::NoSegment) => wait_for_segment(inner),
            Err(WriteError::Io(e)) => rescue(inner, &mut syncing, &e),
        };
        if !remedied {
            let lost = inner.pending().unsaved;
            error!(
                unsaved_bytes = lost,
                "the journal is closed although its disk did not take the last entries"
            );
            return;
        }
    }
}

/// Sleeps until there is something to flush. Returns false when there is nothing left and never will be.
fn wait(inner: &Inner, pace: &Pace) -> bool {
    loop {
        let hold = {
            let mut pending = inner.pending();
            let waited_for = pending.wanted > inner.durable.load(Ordering::Acquire);
            let hold = pace.hold(&pending).filter(|_| waited_for && !pending.broken && !pending.half_full());
            if hold.is_none() && (waited_for || pending.broken || pending.half_full()) {
                pending.idle = false;
                return true;
            }
            if hold.is_none() && pending.stop {
                return pending.unsaved > 0;
            }
            pending.idle = hold.is_none();
            hold
        };
        match hold {
            Some(time) => thread::park_timeout(time),
            None => thread::park(),
        }
    }
}

/// Writes all that is pending and flushes it.
fn commit(inner: &Inner, syncing: &mut Vec<u8>, pace: &mut Pace) -> Result<(), WriteError> {
    let mut files = inner.files();
    if files.failed {
        return Err(WriteError::Io(std::io::Error::other("an intent could not be written")));
    }
    {
        let mut pending = inner.pending();
        files.take(&mut pending);
        pace.flushing(std::mem::take(&mut pending.ends));
    }
    let written = files.write();
    if !matches!(written, Ok(false)) {
        inner.recount(&files);
        inner.wake_keep();
    }
    if let Err(WriteError::Io(_)) = written {
        return written.map(drop);
    }
    let filled = std::mem::take(&mut files.filled);
    let (disk, position) = (Arc::clone(&files.current.disk), files.position());
    files.hand_over(syncing);
    drop(files);
    flush(&filled, &disk)?;
    advance(inner, position, syncing);
    written.map(drop)
}

fn flush(filled: &[Arc<Disk>], current: &Disk) -> std::io::Result<()> {
    filled.iter().try_for_each(|disk| disk.sync())?;
    current.sync()
}

/// Tells everybody that the entries handed over are durable.
fn advance(inner: &Inner, position: Position, syncing: &mut Vec<u8>) {
    {
        let mut pending = inner.pending();
        pending.unsaved = pending.unsaved.saturating_sub(syncing.len());
        inner.set_gate(&pending);
    }
    syncing.clear();
    shrink(syncing);
    *lock(&inner.durable_at) = position;
    inner.durable.store(position.seq, Ordering::Release);
    inner.commits.fetch_add(1, Ordering::Relaxed);
    let wakes = inner.wakes.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    wakes.iter().for_each(|wake| wake());
}

/// Waits until the keep thread has made room. Returns false when the journal is being closed without any.
fn wait_for_segment(inner: &Inner) -> bool {
    error!("the journal has no segment to go on in; the ends of open exchanges wait in memory");
    while inner.files().spare.is_none() {
        if inner.pending().stop {
            return inner.make_spare().is_ok();
        }
        inner.wake_keep();
        // Whoever makes a segment wakes this thread.
        thread::park_timeout(RETRY);
    }
    info!("the journal has found room and goes on");
    true
}

/// Writes everything that is not durable again, to a fresh segment; again every second until it works.
fn rescue(inner: &Inner, syncing: &mut Vec<u8>, why: &std::io::Error) -> bool {
    error!(error = %why, "the journal's disk failed; new exchanges are refused until a fresh segment can be written");
    inner.break_gate();
    let mut given_up: Option<u64> = None;
    let mut told = false;
    loop {
        let before = inner.files().current.number;
        match rescue_once(inner, syncing) {
            Ok(()) => {
                info!("the journal's disk works again; all entries are durable");
                return true;
            }
            Err(e) if !told => {
                error!(error = %e, "the journal's disk still fails; trying again every second");
                told = true;
            }
            Err(_) => {}
        }
        // A segment that an attempt began holds nothing that the next one's does not: only one is left lying. An attempt
        // that began none leaves the current one as it was, and that may be the one that holds acknowledged entries.
        let tried = inner.files().current.number;
        if tried != before
            && let Some(old) = given_up.replace(tried)
        {
            let _ = inner.folder.remove(old);
        }
        if inner.pending().stop {
            return false;
        }
        pause(inner);
    }
}

/// Waits for [`RETRY`], whoever wakes this thread meanwhile, or until the journal is closed.
fn pause(inner: &Inner) {
    let until = Instant::now() + RETRY;
    while !inner.pending().stop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

fn rescue_once(inner: &Inner, syncing: &mut Vec<u8>) -> Result<(), WriteError> {
    if inner.files().spare.is_none() {
        inner.make_spare()?;
    }
    let mut files = inner.files();
    files.take(&mut inner.pending());
    match files.write_again(syncing, inner.durable.load(Ordering::Acquire)) {
        // More than a segment holds: what has been written counts, the rest follows as ever.
        Err(WriteError::NoSegment) if files.written > 0 => {}
        again => again?,
    }
    let (disk, position) = (Arc::clone(&files.current.disk), files.position());
    let filled = std::mem::take(&mut files.filled);
    files.hand_over(syncing);
    flush(&filled, &disk)?;
    files.failed = false;
    {
        let mut pending = inner.pending();
        pending.broken = false;
        pending.room = files.room(&pending);
        inner.set_gate(&pending);
    }
    drop(files);
    advance(inner, position, syncing);
    inner.wake_keep();
    Ok(())
}

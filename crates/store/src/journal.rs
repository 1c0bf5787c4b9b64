//! The journal: every intent and every finished exchange, on this node's disk before anybody relies on it (promise P1).
//!
//! Entries are appended to preallocated segment files. [`Journal::open`] hands an intent to the operating system before
//! it returns, so that killing the process forgets nothing an upstream has seen. [`Journal::close`] only copies into
//! memory; a thread of its own writes and flushes for all that wait (group commit) and then moves [`Journal::durable`].
//! The ledger follows behind by reading the files ([`Journal::tail`]), so a database that is away costs disk, not memory.
//!
//! # Bounds, and what happens there
//! * **Disk**: `max_bytes` for all segments. Once no further segment may or can be made, [`Journal::open`] and
//!   [`Journal::ready`] refuse as soon as the room left is what the open exchanges need for their ends: those can
//!   always be written, also on a full disk. Records of requests that never went upstream are then counted
//!   ([`Stats::shed`]), not kept. Room comes back by itself when the ledger has caught up or the disk has space.
//! * **Memory**: `max_unsaved_bytes` of entries that are not durable. Beyond it new exchanges are refused likewise.
//! * **Entry**: 8 KiB. Longer texts are cut, and advisors beyond the 16th are added up.
//! * **Open exchanges**: about one for every 2 KiB of a segment, 8,192 with the default size.
//!
//! # When the disk fails
//! After a failed write or flush a file is not trusted any more: what is not durable is written again to a fresh
//! segment. If that fails too, new exchanges are refused and it is tried again every second until it works. Nobody is
//! told that an entry is durable before a flush of a file that holds it has succeeded.
//!
//! One process owns the folder; the lock on the data directory sees to that.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::{self, JoinHandle, Thread};
use std::{fmt, io};

use gatehouse_domain::exchange::{Cost, Exchange, Intent};

mod frame;
mod segment;
mod scan;
mod append;
mod replay;
mod sync;
mod keep;
mod tail;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;

pub use replay::Recovered;
pub use tail::{Tail, TailError};

use append::{Files, Pending, WriteError};
use frame::{FrameKind, Payload};
use segment::Folder;

/// Where the journal lives and how large it may get.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder, made when it is not there.
    pub folder: PathBuf,
    /// Bytes of a segment, at least 64 KiB.
    pub segment_bytes: u64,
    /// Bytes of all segments together; at least three segments are allowed whatever it says.
    pub max_bytes: u64,
    /// Bytes of entries in memory that are not durable.
    pub max_unsaved_bytes: usize,
    /// How many segments that the ledger has passed are kept, for a database restored from a slightly older copy.
    pub keep_passed: usize,
}

impl Options {
    /// The defaults: segments of 16 MiB, 1 GiB in all, 8 MiB in memory, one passed segment kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            segment_bytes: 16 << 20,
            max_bytes: 1 << 30,
            max_unsaved_bytes: 8 << 20,
            keep_passed: 1,
        }
    }
}

/// A place in the journal: where an entry ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// The segment's number.
    pub segment: u64,
    /// Bytes from the segment's beginning.
    pub offset: u64,
    /// The entry's number. Numbers go up by one from entry to entry over all segments and runs; a journal whose
    /// folder was empty begins at the clock's microseconds, so that it never repeats those of one that was deleted.
    pub seq: u64,
}

/// A promise: the entry is durable once [`Journal::durable`] has reached it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Why the journal takes no new exchange now. It takes the ends of open ones all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusing {
    /// The room left is kept for the ends of open exchanges.
    #[error("the journal has no room for new exchanges (disk full, or the database too far behind)")]
    NoRoom,
    /// The disk does not take what is written.
    #[error("the journal cannot be written to its disk")]
    Broken,
    /// The disk is slower than what comes in.
    #[error("the journal waits for its disk")]
    Behind,
}

/// Why the journal could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder cannot be made, read or written.
    #[error("cannot start the journal in `{folder}`: {source}")]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another release wrote entries that this one cannot read. They are left as they are.
    #[error("cannot read the journal in `{folder}`: {what}; start the release that wrote it")]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Which form was found and which is known.
        what: String,
    },
}

/// How the journal is doing, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Why new exchanges are refused, if they are.
    pub refusing: Option<Refusing>,
    /// Entries in memory that are not durable, in bytes.
    pub unsaved_bytes: usize,
    /// Room left in made segments, in bytes; negative when the ends of open exchanges have overdrawn it.
    pub room_bytes: i64,
    /// Exchanges begun and not ended.
    pub open: usize,
    /// Records of refused requests that were counted only, since the start.
    pub shed: u64,
    /// Flushes since the start.
    pub commits: u64,
    /// The newest durable entry.
    pub durable: Position,
}

type Wake = Box<dyn Fn() + Send + Sync>;

/// The journal. Dropping it flushes what is pending and ends its two threads.
pub struct Journal {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

impl Journal {
    /// Reads what earlier runs left, gives every intent without an end its record (interrupted, priced by `price`),
    /// makes that durable, and begins.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or holds entries of another release.
    pub fn start(
        options: &Options,
        price: &dyn Fn(&Intent) -> Cost,
    ) -> Result<(Self, Recovered), StartError> {
        let (inner, recovered) = replay::start(options, price)?;
        let inner = Arc::new(inner);
        let keep = inner.spawn("journal-keep", keep::run)?;
        let sync = inner.spawn("journal-sync", sync::run)?;
        inner.threads.get_or_init(|| (sync.thread().clone(), keep.thread().clone()));
        Ok((Self { inner, threads: vec![sync, keep] }, recovered))
    }

    /// Writes down that a request is about to be sent upstream. When this returns, the intent survives the death of
    /// this process; it reaches the disk with the next flush, or when the operating system sees fit.
    ///
    /// # Errors
    /// When no new exchange may begin. The caller then ends the exchange by [`Journal::close`] as any other.
    pub fn open(&self, intent: &Intent) -> Result<(), Refusing> {
        self.ready()?;
        let payload = Payload::intent(intent);
        let mut files = self.inner.files();
        let mut pending = self.inner.pending();
        let refusing = if files.failed { Some(Refusing::Broken) } else { pending.refusing() };
        if let Some(why) = refusing {
            return Err(why);
        }
        pending.push(FrameKind::Intent, payload.bytes());
        pending.open.insert(intent.id, files.current.number);
        files.take(&mut pending);
        self.inner.set_gate(&pending);
        let flush = pending.half_full() && std::mem::take(&mut pending.idle);
        drop(pending);
        if flush {
            self.inner.wake_sync();
        }
        match files.write() {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.inner.recount(&files);
                self.inner.wake_keep();
                Ok(())
            }
            Err(WriteError::NoSegment) => {
                self.inner.recount(&files);
                self.inner.wake_keep();
                Err(Refusing::NoRoom)
            }
            Err(WriteError::Io(_)) => {
                self.inner.break_gate();
                drop(files);
                self.inner.wake_sync();
                Err(Refusing::Broken)
            }
        }
    }

    /// Whether a new exchange may begin at all. Costs one atomic load.
    ///
    /// # Errors
    /// Says why not.
    pub fn ready(&self) -> Result<(), Refusing> {
        gate_to(self.inner.gate.load(Ordering::Relaxed)).map_or(Ok(()), Err)
    }

    /// Writes down how an exchange ended. Never refuses and never waits for the disk. The record of an exchange that
    /// was not opened is only counted when there is room for open ones alone; its ticket is then already reached.
    pub fn close(&self, exchange: &Exchange) -> Ticket {
        let payload = Payload::exchange(exchange);
        let mut pending = self.inner.pending();
        let was_open = pending.open.remove(&exchange.id).is_some();
        if !was_open && pending.must_shed() {
            pending.shed += 1;
            return self.durable();
        }
        let seq = pending.push(FrameKind::Exchange, payload.bytes());
        pending.wanted = seq;
        pending.ends += 1;
        let sleeping = std::mem::take(&mut pending.idle);
        self.inner.set_gate(&pending);
        drop(pending);
        if sleeping {
            self.inner.wake_sync();
        }
        Ticket(seq)
    }

    /// Up to which ticket entries are durable.
    pub fn durable(&self) -> Ticket {
        Ticket(self.inner.durable.load(Ordering::Acquire))
    }

    /// The newest entry whose durability somebody may wait for: the end of the newest exchange.
    pub fn newest(&self) -> Ticket {
        Ticket(self.inner.pending().wanted.max(self.inner.found_seq))
    }

    /// Registers a wake-up, called from the sync thread once per flush after [`Journal::durable`] has advanced.
    /// It must not block. Wake-ups are never unregistered.
    pub fn on_durable(&self, wake: Wake) {
        self.inner.wakes.write().unwrap_or_else(PoisonError::into_inner).push(wake);
    }

    /// Begins to read finished exchanges from disk, those after `after`, oldest first. `None`, or a place that this
    /// journal never reached, begins at the oldest entry kept.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn tail(&self, after: Option<Position>) -> Result<Tail, TailError> {
        Tail::new(Arc::clone(&self.inner), after)
    }

    /// The newest entry that earlier runs left; 0 if there is none. A later one of theirs is of another copy of the folder.
    pub fn earlier(&self) -> u64 {
        self.inner.earlier_seq
    }

    /// The numbers of the runs that wrote what the journal keeps, oldest first; the last one is this run's. No two runs
    /// have the same, not even those of two copies of the folder.
    pub fn runs(&self) -> &[u64] {
        &self.inner.runs
    }

    /// Lets segments before this place be used again.
    pub fn passed(&self, position: Position) {
        let before = self.inner.passed.swap(position.segment, Ordering::AcqRel);
        if before != position.segment {
            self.inner.wake_keep();
        }
    }

    /// About how many bytes lie between a place and the newest durable entry.
    pub fn bytes_after(&self, place: Position) -> u64 {
        let durable = self.inner.durable_at();
        let segments = durable.segment.saturating_sub(place.segment);
        (segments * self.inner.folder.segment_bytes() + durable.offset).saturating_sub(place.offset)
    }

    /// How the journal is doing.
    pub fn stats(&self) -> Stats {
        let durable = *lock(&self.inner.durable_at);
        let pending = self.inner.pending();
        Stats {
            refusing: pending.refusing(),
            unsaved_bytes: pending.unsaved,
            room_bytes: pending.room,
            open: pending.open.len(),
            shed: pending.shed,
            commits: self.inner.commits.load(Ordering::Relaxed),
            durable,
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.inner.pending().stop = true;
        self.inner.wake_sync();
        self.inner.wake_keep();
        for thread in self.threads.drain(..) {
            // A panic in the thread has been reported by its hook; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("stats", &self.stats()).finish()
    }
}

/// What the journal's owner, its threads and its readers share.
pub(crate) struct Inner {
    folder: Folder,
    options: Options,
    files: Mutex<Files>,
    pending: Mutex<Pending>,
    /// [`Pending::refusing`], readable without a lock.
    gate: AtomicU8,
    /// The newest durable entry.
    durable: AtomicU64,
    /// Where it ends.
    durable_at: Mutex<Position>,
    /// The newest entry found at the start, the ends of what was found open included.
    found_seq: u64,
    /// The newest entry that earlier runs left.
    earlier_seq: u64,
    /// The epochs found at the start, and this run's.
    runs: Vec<u64>,
    /// The segment that the ledger has come to.
    passed: AtomicU64,
    commits: AtomicU64,
    /// Held while segments are made and let go.
    making: Mutex<keep::Freeing>,
    wakes: RwLock<Vec<Wake>>,
    /// The sync and the keep thread.
    threads: OnceLock<(Thread, Thread)>,
}

impl Inner {
    fn files(&self) -> MutexGuard<'_, Files> {
        lock(&self.files)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    fn durable_at(&self) -> Position {
        *lock(&self.durable_at)
    }

    fn set_gate(&self, pending: &Pending) {
        let gate = gate_from(pending.refusing());
        if self.gate.load(Ordering::Relaxed) != gate {
            self.gate.store(gate, Ordering::Relaxed);
        }
    }

    fn break_gate(&self) {
        let mut pending = self.pending();
        pending.broken = true;
        self.set_gate(&pending);
    }

    /// Counts the room anew after a segment was begun or made.
    fn recount(&self, files: &Files) {
        let mut pending = self.pending();
        pending.room = files.room(&pending);
        self.set_gate(&pending);
    }

    fn spawn(self: &Arc<Self>, name: &str, run: fn(&Self)) -> Result<JoinHandle<()>, StartError> {
        let inner = Arc::clone(self);
        let spawned = thread::Builder::new().name(name.to_owned()).stack_size(256 * 1024);
        spawned
            .spawn(move || run(&inner))
            .map_err(|source| StartError::Io { folder: self.options.folder.clone(), source })
    }

    fn wake_sync(&self) {
        if let Some((sync, _)) = self.threads.get() {
            sync.unpark();
        }
    }

    fn wake_keep(&self) {
        if let Some((_, keep)) = self.threads.get() {
            keep.unpark();
        }
    }
}

/// What a panic elsewhere may have left behind a lock is still whole: every change under it is a few plain writes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn gate_from(refusing: Option<Refusing>) -> u8 {
    match refusing {
        None => 0,
        Some(Refusing::NoRoom) => 1,
        Some(Refusing::Broken) => 2,
        Some(Refusing::Behind) => 3,
    }
}

const fn gate_to(gate: u8) -> Option<Refusing> {
    match gate {
        1 => Some(Refusing::NoRoom),
        2 => Some(Refusing::Broken),
        3 => Some(Refusing::Behind),
        _ => None,
    }
}

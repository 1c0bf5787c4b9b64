//! The thread that makes segments ahead of time and lets passed ones be used again.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tracing::{error, info, warn};

use gatehouse_domain::id::ExchangeId;

use super::frame::{self, FrameKind};
use super::scan::{Beginning, Scanner};
use super::segment::Segment;
use super::{Inner, append::WriteError};

const RETRY: Duration = Duration::from_secs(1);
/// How long to wait for copies of intents to become durable.
const SOON: Duration = Duration::from_millis(50);

/// What remains to be done after a round.
enum Next {
    /// Nothing until somebody wakes the thread.
    Rest,
    /// Look again after this time.
    After(Duration),
}

/// Works until the journal is closed.
pub(super) fn run(inner: &Inner) {
    let mut keeper = Keeper { failing: false };
    while !inner.pending().stop {
        match keeper.round(inner) {
            Next::Rest => thread::park(),
            Next::After(time) => thread::park_timeout(time),
        }
    }
}

struct Keeper {
    /// The last attempt to make a segment failed, and that has been told.
    failing: bool,
}

impl Keeper {
    fn round(&mut self, inner: &Inner) -> Next {
        let made = inner.make_spare();
        let next = match made {
            Ok(()) if self.failing => {
                info!("the journal has room again");
                self.failing = false;
                Next::Rest
            }
            Ok(()) => Next::Rest,
            Err(e) => {
                if !self.failing {
                    error!(error = %e, "cannot make room for the journal; new exchanges are refused once it is used up");
                    self.failing = true;
                }
                Next::After(RETRY)
            }
        };
        match self.free(inner) {
            Ok(true) => next,
            Ok(false) => Next::After(SOON),
            Err(e) => {
                warn!(error = %e, "cannot recycle a segment of the journal");
                Next::After(RETRY)
            }
        }
    }

    /// Removes passed segments that are not needed and copies intents that hold one back. Says whether all is done.
    fn free(&mut self, inner: &Inner) -> io::Result<bool> {
        let passed = inner.passed_segments()?;
        let Some(last) = passed.last() else { return Ok(true) };
        let held = inner.pending().open.values().any(|segment| segment <= last);
        if held {
            for number in &passed {
                Self::copy_intents(inner, *number)?;
            }
        }
        if inner.durable.load(Ordering::Acquire) < inner.copied.load(Ordering::Acquire) {
            return Ok(false);
        }
        if inner.files().spare.is_none() {
            return Ok(false);
        }
        for number in inner.free_segments()? {
            inner.folder.remove(number)?;
        }
        Ok(true)
    }

    /// Appends the segment's intents that are still open once more, so that the segment is not needed for them.
    fn copy_intents(inner: &Inner, number: u64) -> io::Result<()> {
        let (mut scanner, beginning) = Scanner::open(inner.folder.read(number)?, number, u64::MAX)?;
        let mut found: HashMap<ExchangeId, Vec<u8>> = HashMap::new();
        if beginning == Beginning::Begun {
            let open: Vec<ExchangeId> = inner.pending().open.keys().copied().collect();
            let open: std::collections::HashSet<_> = open.into_iter().collect();
            while let Some(entry) = scanner.next()? {
                if entry.kind == FrameKind::Intent
                    && let Ok(id) = frame::read_id(entry.version, entry.payload)
                    && open.contains(&id)
                {
                    found.insert(id, entry.payload.to_vec());
                }
            }
        }
        for (id, payload) in found {
            Self::copy(inner, number, id, &payload);
        }
        Ok(())
    }

    fn copy(inner: &Inner, from: u64, id: ExchangeId, payload: &[u8]) {
        let mut files = inner.files();
        let mut pending = inner.pending();
        let room = pending.refusing().is_none() && !files.failed;
        // Under the lock that ending an exchange takes: a copy is never written behind the end.
        let Some(place) = pending.open.get_mut(&id).filter(|place| **place <= from && room) else { return };
        *place = files.current.number;
        let seq = pending.push(FrameKind::Intent, payload);
        pending.wanted = pending.wanted.max(seq);
        pending.idle = false;
        files.take(&mut pending);
        drop(pending);
        inner.copied.fetch_max(seq, Ordering::AcqRel);
        match files.write() {
            Ok(_) | Err(WriteError::NoSegment) => inner.recount(&files),
            Err(WriteError::Io(_)) => inner.break_gate(),
        }
        drop(files);
        inner.wake_sync();
    }
}

/// Why no segment could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSpare {
    /// The journal has its full size.
    #[error("the journal has reached its limit of {0} bytes; the database is too far behind")]
    Limit(u64),
    /// The file system refused.
    #[error("cannot make a segment: {0}")]
    Io(#[from] io::Error),
}

impl From<NoSpare> for WriteError {
    fn from(e: NoSpare) -> Self {
        match e {
            NoSpare::Io(e) => Self::Io(e),
            NoSpare::Limit(_) => Self::NoSegment,
        }
    }
}

impl Inner {
    /// Sees to it that there is a segment to go on in: a passed one under a new number, or a new one.
    pub(super) fn make_spare(&self) -> Result<(), NoSpare> {
        let _one_at_a_time = super::lock(&self.making);
        let current = {
            let files = self.files();
            if files.spare.is_some() {
                return Ok(());
            }
            files.current.number
        };
        let all = self.folder.list()?;
        let number = all.last().map_or(current, |last| last.0.max(current)) + 1;
        let size = self.folder.segment_bytes();
        let free = self.free_segments()?.into_iter().find(|n| all.contains(&(*n, size)));
        let total: u64 = all.iter().map(|segment| segment.1).sum();
        let disk = match free {
            Some(old) => self.folder.recycle(old, number)?,
            None if total + size <= self.options.max_bytes.max(3 * size) => self.folder.create(number)?,
            None => return Err(NoSpare::Limit(self.options.max_bytes)),
        };
        let mut files = self.files();
        files.spare = Some(Segment::new(number, disk, size, 0));
        self.recount(&files);
        drop(files);
        self.wake_sync();
        Ok(())
    }

    /// Segments that the ledger has passed and that are not kept for an older copy of the database, oldest first.
    fn passed_segments(&self) -> io::Result<Vec<u64>> {
        let current = self.files().current.number;
        let end = self.passed.load(Ordering::Acquire).min(current);
        let mut passed: Vec<u64> = self.folder.list()?.into_iter().map(|s| s.0).filter(|n| *n < end).collect();
        passed.truncate(passed.len().saturating_sub(self.options.keep_passed));
        Ok(passed)
    }

    /// Of those, the ones older than every open exchange's intent.
    fn free_segments(&self) -> io::Result<Vec<u64>> {
        let mut passed = self.passed_segments()?;
        let copied = self.copied.load(Ordering::Acquire);
        if let Some(oldest) = self.pending().open.values().min().copied() {
            passed.retain(|number| *number < oldest);
        }
        if self.durable.load(Ordering::Acquire) < copied {
            passed.clear();
        }
        Ok(passed)
    }
}

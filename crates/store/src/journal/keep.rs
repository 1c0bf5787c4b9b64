//! The thread that makes segments ahead of time and lets passed ones be used again.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tracing::{error, info, warn};

use gatehouse_domain::id::ExchangeId;

use super::append::{RESERVE, WriteError};
use super::frame::{self, FrameKind};
use super::scan::{Beginning, Scanner};
use super::segment::Segment;
use super::{Inner, lock};

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
    let mut failing = false;
    while !inner.pending().stop {
        match round(inner, &mut failing) {
            Next::Rest => thread::park(),
            Next::After(time) => thread::park_timeout(time),
        }
    }
}

/// Which segments no open exchange needs any more.
#[derive(Debug, Default)]
pub(super) struct Freeing {
    /// Segments before this one hold no intent whose end is not durable elsewhere.
    before: u64,
    /// Once this entry is durable, the same holds for segments before the second number.
    then: Option<(u64, u64)>,
}

/// How far the freeing of segments has come.
enum Freed {
    /// What can be freed is free.
    Done,
    /// Something must become durable first.
    Soon,
    /// An exchange that is open still needs an old segment, and its intent could not be copied.
    Held,
}

fn round(inner: &Inner, failing: &mut bool) -> Next {
    let made = inner.make_spare();
    if let Err(e) = &made
        && !std::mem::replace(failing, true)
    {
        error!(error = %e, "cannot make room for the journal; new exchanges are refused once what it has is used up");
    }
    if made.is_ok() && std::mem::take(failing) {
        info!("the journal has room again");
    }
    match inner.free() {
        Ok(Freed::Done) if made.is_ok() => Next::Rest,
        Ok(Freed::Done | Freed::Held) => Next::After(RETRY),
        Ok(Freed::Soon) => Next::After(SOON),
        Err(e) => {
            warn!(error = %e, "cannot free a segment of the journal");
            Next::After(RETRY)
        }
    }
}

impl Inner {
    /// Copies intents that hold a passed segment back, then removes all passed segments but one, which will be used
    /// again: giving a written file a new name is cheaper than writing a new one full of zeros.
    fn free(&self) -> io::Result<Freed> {
        let mut freeing = lock(&self.making);
        let passed = self.passed_segments()?;
        let Some((last, older)) = passed.split_last() else { return Ok(Freed::Done) };
        let mut marked = false;
        if let Some((seq, before)) = freeing.then
            && self.durable.load(Ordering::Acquire) >= seq
        {
            freeing.before = freeing.before.max(before);
            freeing.then = None;
            marked = true;
        }
        if *last >= freeing.before {
            if freeing.then.is_none() {
                self.copy_held(&passed)?;
                freeing.then = Some(self.mark());
            }
            return Ok(if marked { Freed::Held } else { Freed::Soon });
        }
        if self.files().spare.is_none() {
            return Ok(Freed::Soon);
        }
        for number in older {
            self.folder.remove(*number)?;
        }
        Ok(Freed::Done)
    }

    /// The newest entry, flushed soon, and the oldest segment that an exchange open now needs.
    fn mark(&self) -> (u64, u64) {
        let files = self.files();
        let mut pending = self.pending();
        let seq = pending.next_seq - 1;
        pending.wanted = pending.wanted.max(seq);
        pending.idle = false;
        let oldest = pending.open.values().min().copied().unwrap_or(files.current.number);
        drop((pending, files));
        self.wake_sync();
        (seq, oldest)
    }

    fn copy_held(&self, passed: &[u64]) -> io::Result<()> {
        for number in passed {
            let held: HashSet<ExchangeId> = {
                let pending = self.pending();
                pending.open.iter().filter(|(_, place)| *place <= number).map(|(id, _)| *id).collect()
            };
            if !held.is_empty() {
                self.copy_intents(*number, &held)?;
            }
        }
        Ok(())
    }

    /// Appends the segment's intents that are still open once more, so that the segment is not needed for them.
    fn copy_intents(&self, number: u64, held: &HashSet<ExchangeId>) -> io::Result<()> {
        let (mut scanner, beginning) = Scanner::open(self.folder.read(number)?, number, u64::MAX)?;
        if beginning != Beginning::Begun {
            return Ok(());
        }
        while let Some(entry) = scanner.next()? {
            if entry.kind == FrameKind::Intent
                && let Ok(id) = frame::read_id(entry.version, entry.payload)
                && held.contains(&id)
            {
                self.copy(number, id, entry.payload);
            }
        }
        Ok(())
    }

    fn copy(&self, from: u64, id: ExchangeId, payload: &[u8]) {
        let mut files = self.files();
        let mut pending = self.pending();
        // Also while new exchanges are refused: a copy takes little room and gives a whole segment back.
        let may = !pending.broken && !files.failed && pending.room > RESERVE;
        // Under the lock that ending an exchange takes: a copy is never written behind the end.
        let Some(place) = pending.open.get_mut(&id).filter(|place| may && **place <= from) else { return };
        *place = files.current.number;
        pending.push(FrameKind::Intent, payload);
        files.take(&mut pending);
        drop(pending);
        match files.write() {
            Ok(_) | Err(WriteError::NoSegment) => self.recount(&files),
            Err(WriteError::Io(_)) => self.break_gate(),
        }
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
        let freeing = lock(&self.making);
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
        let passed = self.passed_segments()?;
        let free = passed.into_iter().find(|n| *n < freeing.before && all.contains(&(*n, size)));
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
        let mut passed: Vec<u64> =
            self.folder.list()?.into_iter().map(|s| s.0).filter(|n| *n < end).collect();
        passed.truncate(passed.len().saturating_sub(self.options.keep_passed));
        Ok(passed)
    }
}

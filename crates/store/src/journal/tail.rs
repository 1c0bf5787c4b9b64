//! Reads finished exchanges back from disk, in order and up to what is durable.

use std::io;
use std::sync::Arc;

use gatehouse_domain::exchange::Exchange;
use tracing::{error, warn};

use super::frame::{self, ForeignForm, FrameKind};
use super::scan::{Beginning, Scanner};
use super::{Inner, Position};

/// A larger gap is not a loss within a journal but another journal, whose numbers begin at its first start's clock.
const MAX_LOST: u64 = 1 << 24;

/// A reader that follows the journal. Reading blocks for as long as the disk takes.
pub struct Tail {
    inner: Arc<Inner>,
    scanner: Option<Scanner>,
    /// Behind the last entry read.
    at: Position,
    /// Entries that should have been there.
    lost: u64,
}

/// Why the journal cannot be read further.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The file system refused.
    #[error("cannot read the journal: {0}")]
    Io(#[from] io::Error),
    /// Another release wrote the entry.
    #[error("cannot read the journal: {0}")]
    Foreign(String),
}

impl From<ForeignForm> for TailError {
    fn from(form: ForeignForm) -> Self {
        Self::Foreign(form.to_string())
    }
}

impl Tail {
    pub(super) fn new(inner: Arc<Inner>, after: Option<Position>) -> Result<Self, TailError> {
        // A place beyond what this journal holds belongs to another one (a folder put back to an older state).
        let newest = inner.durable_at().seq;
        let known = after.filter(|p| p.seq <= newest);
        if let (Some(p), None) = (after, known) {
            warn!(
                position_seq = p.seq,
                journal_seq = newest,
                "the database knows a place that this journal never reached; its entries are read from the oldest on"
            );
        }
        let mut tail = Self { inner, scanner: None, at: known.unwrap_or_default(), lost: 0 };
        tail.enter_first()?;
        Ok(tail)
    }

    /// Behind the last entry read.
    pub const fn position(&self) -> Position {
        self.at
    }

    /// Durable entries (intents included) that have not been read.
    pub fn behind(&self) -> u64 {
        self.inner.durable_at().seq.saturating_sub(self.at.seq)
    }

    /// Entries that were durable once and could not be read back.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Reads up to `most` finished exchanges into `into`. Fewer mean that all durable ones have been read.
    ///
    /// # Errors
    /// When a file cannot be read or another release wrote it. What was read before is in `into` and counted.
    pub fn read(&mut self, most: usize, into: &mut Vec<Exchange>) -> Result<(), TailError> {
        let mut left = most;
        while left > 0 {
            let durable = self.inner.durable_at();
            if self.at.seq >= durable.seq {
                return Ok(());
            }
            let read = self.read_segment(durable, left, into)?;
            left -= read;
            if left > 0 && !self.enter_next(durable)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads on in the segment at hand and returns how many exchanges there were.
    fn read_segment(
        &mut self,
        durable: Position,
        most: usize,
        into: &mut Vec<Exchange>,
    ) -> Result<usize, TailError> {
        let Some(scanner) = &mut self.scanner else { return Ok(0) };
        scanner.raise_limit(if scanner.segment == durable.segment { durable.offset } else { u64::MAX });
        let mut read = 0;
        while read < most {
            let Some(entry) = scanner.next()? else { break };
            let (seq, kind) = (entry.seq, entry.kind);
            if seq > self.at.seq {
                if kind == FrameKind::Exchange {
                    into.push(frame::read_exchange(entry.version, entry.payload)?);
                    read += 1;
                }
                self.lost += tell_gap(seq - self.at.seq - 1, scanner.segment);
                self.at = Position { segment: scanner.segment, offset: scanner.at, seq };
            }
        }
        Ok(read)
    }

    /// Opens the newest segment that begins at or before the next entry, or else the oldest.
    fn enter_first(&mut self) -> Result<(), TailError> {
        for (number, _) in self.inner.folder.list()?.into_iter().rev() {
            let Some(scanner) = self.begun(number)? else { continue };
            let found = scanner.next_seq <= self.at.seq + 1;
            self.scanner = Some(scanner);
            if found {
                break;
            }
        }
        if let Some(oldest) = self.scanner.as_ref().filter(|_| self.at.seq == 0) {
            self.at = Position {
                segment: oldest.segment,
                offset: oldest.at,
                seq: oldest.next_seq.saturating_sub(1),
            };
        }
        Ok(())
    }

    /// Opens the next segment when the one at hand is read to its end. Returns false when there is none yet.
    fn enter_next(&mut self, durable: Position) -> Result<bool, TailError> {
        let here = self.scanner.as_ref().map_or(0, |s| s.segment);
        if here >= durable.segment {
            return Ok(false);
        }
        for (number, _) in self.inner.folder.list()? {
            if number > here
                && number <= durable.segment
                && let Some(scanner) = self.begun(number)?
            {
                self.scanner = Some(scanner);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn begun(&self, number: u64) -> Result<Option<Scanner>, TailError> {
        let durable = self.inner.durable_at();
        if number > durable.segment {
            return Ok(None);
        }
        let limit = if number == durable.segment { durable.offset } else { u64::MAX };
        let (scanner, beginning) = Scanner::open(self.inner.folder.read(number)?, number, limit)?;
        Ok((beginning == Beginning::Begun).then_some(scanner))
    }
}

/// Tells of entries that are missing before one that was read, and gives how many were lost.
fn tell_gap(missing: u64, segment: u64) -> u64 {
    if missing == 0 {
        return 0;
    }
    if missing > MAX_LOST {
        error!(
            segment,
            "the journal does not go on where the database has read it; what was between is not here"
        );
        return 0;
    }
    error!(lost_entries = missing, segment, "entries of the journal cannot be read back");
    missing
}

//! The two things that appending touches, each behind its own short lock: what is pending in memory, and the files.
//!
//! Lock order: files before pending. Whoever only finishes an exchange takes the second alone, for the time of a copy.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use gatehouse_domain::id::ExchangeId;

use super::frame::{self, CONTROL, FrameKind};
use super::segment::{Disk, Segment};
use super::{Position, Refusing};

/// Room kept for the final entry of every open exchange. The longest without advisors takes less.
pub(super) const RESERVE: i64 = 2048;
/// Buffers are given back when a burst has made them larger than this.
const BUFFER: usize = 256 * 1024;

/// What is in memory and not yet with the operating system.
#[derive(Debug)]
pub(super) struct Pending {
    /// Frames without checksums.
    pub(super) frames: Vec<u8>,
    /// The number of the next entry.
    pub(super) next_seq: u64,
    /// The newest entry that somebody waits for.
    pub(super) wanted: u64,
    /// Bytes of made segments that no frame has claimed; below zero when a burst of finals has overdrawn it.
    pub(super) room: i64,
    /// Bytes of frames that are not durable.
    pub(super) unsaved: usize,
    /// Exchanges whose end has not been written, and the segment that holds their intent (or an older one).
    pub(super) open: HashMap<ExchangeId, u64>,
    /// The disk does not take what we write.
    pub(super) broken: bool,
    /// The sync thread sleeps until somebody wakes it.
    pub(super) idle: bool,
    /// The journal is being closed.
    pub(super) stop: bool,
    /// Records of refused requests that were counted only.
    pub(super) shed: u64,
    /// Ends of exchanges since the last flush began.
    pub(super) ends: usize,
    max_unsaved: usize,
}

impl Pending {
    pub(super) fn new(next_seq: u64, room: i64, max_unsaved: usize) -> Self {
        Self {
            frames: Vec::new(),
            next_seq,
            wanted: 0,
            room,
            unsaved: 0,
            open: HashMap::new(),
            broken: false,
            idle: false,
            stop: false,
            shed: 0,
            ends: 0,
            max_unsaved,
        }
    }

    /// Appends an entry and returns its number.
    pub(super) fn push(&mut self, kind: FrameKind, payload: &[u8]) -> u64 {
        let seq = self.next_seq;
        let before = self.frames.len();
        frame::push(&mut self.frames, seq, kind, payload);
        let size = self.frames.len() - before;
        self.unsaved += size;
        self.room -= signed(size);
        self.next_seq += 1;
        seq
    }

    /// Why a new exchange may not begin.
    pub(super) fn refusing(&self) -> Option<Refusing> {
        if self.broken {
            Some(Refusing::Broken)
        } else if self.unsaved > self.max_unsaved {
            Some(Refusing::Behind)
        } else if self.room < self.reserved() + 2 * RESERVE {
            Some(Refusing::NoRoom)
        } else {
            None
        }
    }

    /// Whether so much is waiting in memory (intents, which nobody waits for) that it should be flushed.
    pub(super) const fn half_full(&self) -> bool {
        self.unsaved > self.max_unsaved / 2
    }

    /// Whether the record of an exchange that never began upstream must be counted instead of kept.
    pub(super) fn must_shed(&self) -> bool {
        self.unsaved > self.max_unsaved || self.room < self.reserved() + RESERVE
    }

    fn reserved(&self) -> i64 {
        signed(self.open.len()).saturating_mul(RESERVE)
    }
}

/// The segment being written and what it holds that is not durable.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) current: Segment,
    /// The segment to go on in, made ahead of time.
    pub(super) spare: Option<Segment>,
    /// Segments that were filled since the last flush.
    pub(super) filled: Vec<Arc<Disk>>,
    /// Frames in order, not durable; the first `written` bytes are with the operating system.
    pub(super) frames: Vec<u8>,
    pub(super) written: usize,
    /// The newest entry that is with the operating system.
    pub(super) written_seq: u64,
    /// A write failed; only the sync thread may touch the files until it has found a remedy.
    pub(super) failed: bool,
    pub(super) epoch: u64,
}

/// Why frames could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The current segment is full and there is no other.
    #[error("no further segment could be made")]
    NoSegment,
    /// The file does not take what we write.
    #[error("cannot write to the journal: {0}")]
    Io(#[from] io::Error),
}

impl Files {
    pub(super) const fn new(current: Segment, spare: Option<Segment>, written_seq: u64, epoch: u64) -> Self {
        Self {
            current,
            spare,
            filled: Vec::new(),
            frames: Vec::new(),
            written: 0,
            written_seq,
            failed: false,
            epoch,
        }
    }

    /// Takes over what is pending.
    pub(super) fn take(&mut self, pending: &mut Pending) {
        if self.frames.is_empty() {
            std::mem::swap(&mut self.frames, &mut pending.frames);
        } else {
            self.frames.append(&mut pending.frames);
        }
        shrink(&mut pending.frames);
    }

    /// Hands everything taken over to the operating system, going on in the spare segment when the current one is full.
    /// Says whether it had to.
    pub(super) fn write(&mut self) -> Result<bool, WriteError> {
        let mut went_on = false;
        while self.written < self.frames.len() {
            let rest = &mut self.frames[self.written..];
            let (bytes, last) = frame::stamp(rest, self.current.room(), self.current.seed);
            let Some(last) = last else {
                self.next_segment()?;
                went_on = true;
                continue;
            };
            if let Err(e) = self.current.disk.write_all_at(&rest[..bytes], self.current.at) {
                self.failed = true;
                return Err(e.into());
            }
            self.current.at += bytes as u64;
            self.written += bytes;
            self.written_seq = last;
        }
        Ok(went_on)
    }

    fn next_segment(&mut self) -> Result<(), WriteError> {
        let mut next = self.spare.take().ok_or(WriteError::NoSegment)?;
        if let Err(e) = next.begin(FrameKind::Start, self.written_seq + 1, self.epoch) {
            self.failed = true;
            return Err(e.into());
        }
        let full = std::mem::replace(&mut self.current, next);
        self.filled.push(full.disk);
        Ok(())
    }

    /// Bytes of made segments that no frame has claimed.
    pub(super) fn room(&self, pending: &Pending) -> i64 {
        let spare = self.spare.as_ref().map_or(0, |s| signed_u64(s.len) - signed(CONTROL));
        let claimed = signed(self.frames.len() - self.written) + signed(pending.frames.len());
        signed_u64(self.current.room()) + spare - claimed
    }

    /// Where the last written frame ends.
    pub(super) const fn position(&self) -> Position {
        Position { segment: self.current.number, offset: self.current.at, seq: self.written_seq }
    }

    /// Moves the frames that are with the operating system into `syncing` (which is empty).
    pub(super) fn hand_over(&mut self, syncing: &mut Vec<u8>) {
        if self.written == self.frames.len() {
            std::mem::swap(&mut self.frames, syncing);
        } else {
            syncing.extend(self.frames.drain(..self.written));
        }
        self.written = 0;
    }

    /// Leaves the current segment and writes everything that is not durable again, to a fresh one.
    /// `syncing` are the frames handed over before, `durable` the newest entry known to be durable.
    pub(super) fn write_again(&mut self, syncing: &mut Vec<u8>, durable: u64) -> Result<(), WriteError> {
        let Some(mut fresh) = self.spare.take() else { return Err(WriteError::NoSegment) };
        syncing.append(&mut self.frames);
        std::mem::swap(syncing, &mut self.frames);
        self.written = 0;
        self.written_seq = durable;
        self.filled.clear();
        let begun = fresh.begin(FrameKind::Start, durable + 1, self.epoch);
        self.current = fresh;
        begun?;
        self.write()?;
        Ok(())
    }
}

/// Gives memory back that only a burst needed.
pub(super) fn shrink(buffer: &mut Vec<u8>) {
    if buffer.is_empty() && buffer.capacity() > BUFFER {
        buffer.shrink_to(BUFFER);
    }
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn signed_u64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

//! Reads one segment from front to end, tolerating what a crash or a bad disk may have left.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::frame::{CONTROL, FrameKind, HEADER, Head, MAX_PAYLOAD, Seed, read_epoch};

/// How far behind a bad frame the next good one is looked for.
const SEARCH: usize = 256 * 1024;
/// Most entries that a search may step over; more is not a gap but chance.
const MAX_GAP: u64 = 1 << 20;
const READ: usize = 128 * 1024;

/// An entry as found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) seq: u64,
    pub(super) kind: FrameKind,
    pub(super) version: u8,
    pub(super) payload: &'a [u8],
    /// The epoch of the run that wrote it.
    pub(super) run: u64,
}

/// How a segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// It has a start frame.
    Begun,
    /// It was made ahead of time and never used.
    Empty,
    /// Its first frame cannot be read, so nothing in it can.
    Unreadable,
}

/// A reader of one segment.
#[derive(Debug)]
pub(super) struct Scanner {
    file: File,
    /// The segment's number.
    pub(super) segment: u64,
    /// Just behind the last good frame.
    pub(super) at: u64,
    seed: Seed,
    /// The number the next entry should have.
    pub(super) next_seq: u64,
    /// The epochs of the runs that wrote to it, as far as it has been read.
    pub(super) epochs: Vec<u64>,
    /// Bytes that are no frame, with good frames behind them.
    pub(super) damaged_bytes: u64,
    /// Bytes of the file that may be looked at.
    limit: u64,
    buffer: Vec<u8>,
    base: u64,
}

impl Scanner {
    /// Opens a segment; entries can be read if it is [`Beginning::Begun`]. Nothing at or behind `limit` is looked at.
    pub(super) fn open(file: File, segment: u64, limit: u64) -> io::Result<(Self, Beginning)> {
        let seed = Seed::of_segment(segment);
        let mut scanner = Self {
            file,
            segment,
            at: 0,
            seed,
            next_seq: 0,
            epochs: Vec::new(),
            damaged_bytes: 0,
            limit,
            buffer: Vec::new(),
            base: 0,
        };
        scanner.fill(0, CONTROL)?;
        let first = scanner.buffer.get(..CONTROL).unwrap_or_default();
        if first.iter().all(|b| *b == 0) {
            return Ok((scanner, Beginning::Empty));
        }
        let Some(head) = scanner.head_at(0, 0).filter(|head| head.kind == FrameKind::Start) else {
            return Ok((scanner, Beginning::Unreadable));
        };
        scanner.pass_control(&head);
        Ok((scanner, Beginning::Begun))
    }

    /// Lets more of the file be looked at.
    pub(super) const fn raise_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// The next entry; `None` at the end of what can be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        loop {
            self.fill(self.at, HEADER + MAX_PAYLOAD)?;
            let head = match self.head_at(self.at, self.next_seq) {
                Some(head) => head,
                None => match self.search()? {
                    Some((at, head)) => {
                        self.damaged_bytes += at - self.at;
                        self.at = at;
                        head
                    }
                    None => return Ok(None),
                },
            };
            match head.kind {
                FrameKind::Start | FrameKind::Resume => self.pass_control(&head),
                FrameKind::Intent | FrameKind::Exchange => {
                    let from = self.offset(self.at) + HEADER;
                    let payload = &self.buffer[from..from + head.len];
                    self.at += head.frame_len() as u64;
                    self.next_seq = head.seq + 1;
                    return Ok(Some(Found {
                        seq: head.seq,
                        kind: head.kind,
                        version: head.version,
                        payload,
                        run: self.epochs.last().copied().unwrap_or_default(),
                    }));
                }
            }
        }
    }

    /// Whether something that looks like an entry of this number or a later one stands in a segment that begins with
    /// zeros. A segment to be used again holds entries as well, but older ones. Without the first frame they cannot be
    /// read, yet they show that the segment was in use.
    pub(super) fn holds_entries_from(&mut self, seq: u64) -> io::Result<bool> {
        self.fill(0, SEARCH)?;
        let entry = |head: Head| match head.kind {
            FrameKind::Intent | FrameKind::Exchange => {
                head.version > 0 && head.seq >= seq.max(1) && (seq == 0 || head.seq - seq < MAX_GAP)
            }
            FrameKind::Start | FrameKind::Resume => false,
        };
        Ok(self.buffer.windows(HEADER).any(|bytes| Head::read(bytes).is_some_and(entry)))
    }

    /// Steps over a control frame: from here on its run's epoch counts.
    fn pass_control(&mut self, head: &Head) {
        let from = self.offset(self.at) + HEADER;
        if let Some(epoch) = read_epoch(&self.buffer[from..from + head.len]) {
            self.seed = self.seed.with_epoch(epoch);
            self.epochs.push(epoch);
        }
        self.at += head.frame_len() as u64;
        self.next_seq = head.seq;
    }

    /// The good frame at this place of the file, if there is one.
    fn head_at(&self, at: u64, at_least: u64) -> Option<Head> {
        let bytes = self.buffer.get(self.offset(at)..)?;
        let head = Head::read(bytes)?;
        let plausible = head.seq >= at_least && head.seq < u64::MAX;
        (plausible && head.matches(bytes.get(..head.frame_len())?, self.seed)).then_some(head)
    }

    /// Looks for the next good frame behind a bad one.
    fn search(&mut self) -> io::Result<Option<(u64, Head)>> {
        let bad = self.at;
        self.fill(bad, SEARCH + HEADER + MAX_PAYLOAD)?;
        let end = (bad + SEARCH as u64).min(self.limit);
        for at in bad + 1..end {
            if let Some(head) = self.head_at(at, self.next_seq)
                && head.seq - self.next_seq < MAX_GAP
            {
                return Ok(Some((at, head)));
            }
        }
        Ok(None)
    }

    /// Sees to it that the buffer holds `wanted` bytes from `at` on, or all there are.
    fn fill(&mut self, at: u64, wanted: usize) -> io::Result<()> {
        let have = (self.base + self.buffer.len() as u64).saturating_sub(at);
        let rest = self.limit.saturating_sub(at);
        if have >= rest.min(wanted as u64) && at >= self.base {
            return Ok(());
        }
        let size = usize::try_from(rest).unwrap_or(usize::MAX).min(wanted.max(READ));
        self.base = at;
        self.buffer.resize(size, 0);
        let mut got = 0;
        while got < size {
            match self.file.read_at(&mut self.buffer[got..], at + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.buffer.truncate(got);
        Ok(())
    }

    fn offset(&self, at: u64) -> usize {
        usize::try_from(at.saturating_sub(self.base)).unwrap_or(usize::MAX)
    }
}

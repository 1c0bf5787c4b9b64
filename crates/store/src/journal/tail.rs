//! Reading finished exchanges back from the files, behind the flushes.

use std::io;
use std::sync::Arc;

use gatehouse_domain::exchange::Exchange;

use super::frame::{FrameKind, read_exchange};
use super::scan::{Beginning, Scanner};
use super::{Inner, Position};

/// Why the journal cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The operating system refused.
    #[error("cannot read the journal: {0}")]
    Io(#[from] io::Error),
}

/// Some finished exchanges, in the order in which they ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The exchanges.
    pub exchanges: Vec<Exchange>,
    /// Behind the last of them, or behind the entries that were read and are none.
    pub to: Position,
}

/// A reader that follows the journal.
pub struct Tail {
    inner: Arc<Inner>,
    scanner: Option<Scanner>,
    /// The newest entry that was read.
    at: Position,
}

impl Tail {
    pub(super) fn new(inner: Arc<Inner>, after: Option<Position>) -> Result<Self, TailError> {
        let newest = inner.durable_at().seq.max(inner.found_seq);
        let at = after.filter(|position| position.seq <= newest).unwrap_or_default();
        Ok(Self { inner, scanner: None, at })
    }

    /// Reads on, at most so many exchanges and only what is durable. An empty batch means that there is no more now.
    ///
    /// # Errors
    /// The files cannot be read. What was read so far is not lost: the next call reads it again.
    pub fn read(&mut self, most: usize) -> Result<Batch, TailError> {
        let mut batch = Batch { exchanges: Vec::new(), to: self.at };
        let durable = self.inner.durable_at();
        while batch.exchanges.len() < most {
            if !self.is_at_segment(durable)? {
                break;
            }
            let Some(scanner) = &mut self.scanner else { break };
            let segment = scanner.segment;
            let Some(found) = scanner.next()? else {
                if segment >= durable.segment {
                    break;
                }
                self.go_on(segment, durable)?;
                continue;
            };
            // After a failed flush entries stand in two segments; whichever is read first counts.
            if found.seq <= batch.to.seq {
                continue;
            }
            let seq = found.seq;
            if found.kind == FrameKind::Exchange {
                match read_exchange(found.version, found.payload) {
                    Ok(exchange) => batch.exchanges.push(exchange),
                    Err(error) => tracing::error!(%error, segment, seq, "an entry of the journal is left out"),
                }
            }
            batch.to = Position { segment, offset: scanner.at, seq };
        }
        self.at = batch.to;
        Ok(batch)
    }

    /// Sees to it that a segment is open, and that of the one being written only what is durable is read.
    fn is_at_segment(&mut self, durable: Position) -> io::Result<bool> {
        if self.scanner.is_none() {
            self.go_on(self.at.segment.saturating_sub(1), durable)?;
        }
        if let Some(scanner) = &mut self.scanner {
            scanner.raise_limit(if scanner.segment < durable.segment { u64::MAX } else { durable.offset });
        }
        Ok(self.scanner.is_some())
    }

    /// Opens the next segment behind this one.
    fn go_on(&mut self, behind: u64, durable: Position) -> io::Result<()> {
        self.scanner = None;
        for (number, _) in self.inner.folder.list()? {
            if number <= behind || number > durable.segment {
                continue;
            }
            let limit = if number < durable.segment { u64::MAX } else { durable.offset };
            match Scanner::open(self.inner.folder.read(number)?, number, limit)? {
                (scanner, Beginning::Begun) => {
                    self.scanner = Some(scanner);
                    return Ok(());
                }
                (_, Beginning::Empty) => {}
                (_, Beginning::Unreadable) => {
                    tracing::error!(segment = number, "a segment of the journal cannot be read and is left out");
                }
            }
        }
        Ok(())
    }
}

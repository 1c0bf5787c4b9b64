//! Lines of bounded length, counted.

use std::io::{self, BufRead};

/// Longest line that is looked at, in bytes. Ours are below 32 KiB; a longer one is reported as unreadable.
pub const MAX_LINE: usize = 1 << 20;

/// What was read.
pub(super) enum Line<'a> {
    /// A line, without its end.
    Text(&'a str),
    /// A line that is too long, or no UTF-8; with the reason.
    Garbage(&'static str),
    /// There are no more lines.
    End,
}

/// Reads lines into one buffer.
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0 }
    }

    /// The number of the line read last, from 1; after the end, that of the line which should have followed.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn next(&mut self) -> io::Result<Line<'_>> {
        self.line.clear();
        self.number += 1;
        let mut length = 0_usize;
        loop {
            let read = match self.input.fill_buf() {
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if read.is_empty() {
                break;
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = &read[..end.unwrap_or(read.len())];
            length = length.saturating_add(part.len());
            if length <= MAX_LINE {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(self.text(length));
            }
        }
        Ok(if length == 0 { Line::End } else { self.text(length) })
    }

    fn text(&self, length: usize) -> Line<'_> {
        if length > MAX_LINE {
            return Line::Garbage("the line is longer than 1 MiB");
        }
        std::str::from_utf8(&self.line).map_or(Line::Garbage("the line is not UTF-8"), Line::Text)
    }
}

//! Watches a request's head go by for two framings at once.
//!
//! A head with both `Transfer-Encoding` and `Content-Length` is how requests are smuggled past proxies that disagree
//! about which counts (RFC 9112, section 6.3). hyper goes by the former and drops the latter before we see it, so the
//! names are looked for in the bytes.

/// Longest beginning of a line that must be kept to know its name.
const NAME: usize = 18;

/// What has been seen of a head.
#[derive(Default)]
pub(crate) struct Framing {
    /// The beginning of the line being read.
    line: [u8; NAME],
    /// How long that line is so far, at most [`NAME`] + 1.
    length: usize,
    encoding: bool,
    size: bool,
    over: bool,
}

impl Framing {
    /// Begins with the next head.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Takes the next bytes; what is behind the head's end is not looked at.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !self.over && !bytes.is_empty() {
            let (part, rest, ended) = match memchr::memchr(b'\n', bytes) {
                Some(end) => (&bytes[..end], &bytes[end + 1..], true),
                None => (bytes, &[][..], false),
            };
            self.keep(part);
            if ended {
                self.end_line();
            }
            bytes = rest;
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let room = NAME.saturating_sub(self.length);
        let taken = part.len().min(room);
        if taken > 0 {
            self.line[self.length..self.length + taken].copy_from_slice(&part[..taken]);
        }
        self.length = (self.length + part.len()).min(NAME + 1);
    }

    fn end_line(&mut self) {
        let line = &self.line[..self.length.min(NAME)];
        self.length = 0;
        match line.first() {
            None | Some(b'\r') => self.over = line.len() <= 1,
            Some(b't' | b'T') => self.encoding |= begins_with(line, b"transfer-encoding:"),
            Some(b'c' | b'C') => self.size |= begins_with(line, b"content-length:"),
            Some(_) => {}
        }
    }

    /// Whether both were there.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.encoding && self.size
    }
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambiguous(head: &str, piece: usize) -> bool {
        let mut framing = Framing::default();
        for piece in head.as_bytes().chunks(piece) {
            framing.feed(piece);
        }
        framing.is_ambiguous()
    }

    #[test]
    fn both_framings_are_seen_in_any_spelling_and_any_pieces() {
        for (head, expected) in [
            ("POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", true),
            ("POST / HTTP/1.1\nTRANSFER-Encoding: chunked\nx: y\nContent-LENGTH:3\n\n", true),
            ("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\ntransfer-encoding: chunked\r\n\r\n", false),
            ("POST /transfer-encoding:content-length: HTTP/1.1\r\nx-content-length: 3\r\n\r\n", false),
            ("POST / HTTP/1.1\r\ncontent-lengthy: 3\r\ntransfer-encoding: chunked\r\n\r\n", false),
        ] {
            for piece in 1..80 {
                assert_eq!(ambiguous(head, piece), expected, "{head:?} in pieces of {piece}");
            }
        }
    }
}

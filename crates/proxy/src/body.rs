//! Where a plain request's body ends (RFC 9112 6), so that not one byte of what follows goes to its destination.

use crate::head::{BadHead, Head};

/// Longest line of a chunk's length and of trailers, in bytes.
const MAX_LINE: usize = 4096;

/// Finds the end of a body while its bytes come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are to come.
    Sized(u64),
    /// Chunks are to come.
    Chunked(Chunks),
}

/// Where in a chunked body one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunks {
    /// In a line with a length; what there is of it.
    Length(Vec<u8>),
    /// In a chunk of which so many bytes are to come, the line's end included.
    Content(u64),
    /// In the trailers; how long the line is so far.
    Trailer(usize),
    /// Behind the end.
    Done,
}

impl Body {
    /// The body that a head announces.
    ///
    /// # Errors
    /// It announces it twice, or in a way that cannot be read.
    pub fn of(head: &Head) -> Result<Self, BadHead> {
        let (length, coding) = (head.one("content-length")?, head.one("transfer-encoding")?);
        match (length, coding) {
            (None, None) => Ok(Self::Sized(0)),
            (Some(digits), None) => {
                let text = std::str::from_utf8(digits).ok();
                let number = text.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
                let number = number.and_then(|text| text.parse().ok());
                number.map(Self::Sized).ok_or(BadHead::Malformed("its Content-Length is no number"))
            }
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Self::Chunked(Chunks::Length(Vec::new())))
            }
            (None, Some(_)) => Err(BadHead::Malformed("its Transfer-Encoding is not chunked")),
            (Some(_), Some(_)) => Err(BadHead::Malformed("its length is announced twice")),
        }
    }

    /// Whether it has ended.
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Sized(0) | Self::Chunked(Chunks::Done))
    }

    /// Takes bytes that came in and says how many of them belong to the body. `None`: it is not written as it must be.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Sized(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Some(taken)
            }
            Self::Chunked(chunks) => {
                let mut at = 0;
                while at < bytes.len() && *chunks != Chunks::Done {
                    at += chunks.step(&bytes[at..])?;
                }
                Some(at)
            }
        }
    }
}

impl Chunks {
    /// Goes on by at least one byte.
    fn step(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Length(line) => {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                let taken = end.map_or(bytes.len(), |end| end + 1);
                line.extend_from_slice(&bytes[..taken]);
                if line.len() > MAX_LINE {
                    return None;
                }
                if end.is_some() {
                    *self = match length(line.strip_suffix(b"\r\n")?)? {
                        0 => Self::Trailer(0),
                        count => Self::Content(count.checked_add(2)?),
                    };
                }
                Some(taken)
            }
            Self::Content(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::Length(Vec::new());
                }
                Some(taken)
            }
            Self::Trailer(line) => {
                if bytes[0] == b'\n' {
                    // An empty line has its carriage return only.
                    *self = if *line <= 1 { Self::Done } else { Self::Trailer(0) };
                } else {
                    *line += 1;
                    if *line > MAX_LINE {
                        return None;
                    }
                }
                Some(1)
            }
            Self::Done => Some(0),
        }
    }
}

/// A chunk's length. Extensions behind it are let through.
fn length(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    let text = std::str::from_utf8(digits).ok()?;
    let plain = (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::head::parse;

    fn of(lines: &str) -> Result<Body, BadHead> {
        let text = format!("POST http://a/ HTTP/1.1\r\n{lines}\r\n");
        Body::of(&parse(text.as_bytes()).unwrap().unwrap().0)
    }

    #[test]
    fn the_end_is_found_in_whatever_pieces() {
        let body = b"5;ext=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        let next = b"GET http://b/ HTTP/1.1\r\n\r\n";
        let all = [&body[..], next].concat();
        for size in 1..all.len() {
            let mut chunked = of("Transfer-Encoding: Chunked\r\n").unwrap();
            let taken: usize = all.chunks(size).map(|piece| chunked.feed(piece).unwrap()).sum();
            assert_eq!((taken, chunked.is_done()), (body.len(), true), "{size}");
        }
        let mut sized = of("Content-Length: 5\r\n").unwrap();
        assert_eq!((sized.feed(b"hel"), sized.is_done()), (Some(3), false));
        assert_eq!((sized.feed(b"lo and more"), sized.is_done()), (Some(2), true));
        assert!(of("").unwrap().is_done());
    }

    #[test]
    fn what_smuggles_is_refused() {
        for bad in [
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
        for bad in ["x\r\n", "0x5\r\n", "5\n", "-5\r\n", "FFFFFFFFFFFFFFFFF\r\n", "\r\n"] {
            let mut chunked = of("Transfer-Encoding: chunked\r\n").unwrap();
            assert_eq!(chunked.feed(bad.as_bytes()), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in 1..50_usize) {
            let mut chunked = Body::Chunked(Chunks::Length(Vec::new()));
            for piece in bytes.chunks(size) {
                if chunked.feed(piece).is_none() {
                    break;
                }
            }
        }
    }
}

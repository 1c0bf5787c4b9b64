//! Event-stream frames, the binary framing of `application/vnd.amazon.eventstream`: bytes in, frames out, and back.
//!
//! A frame is its total length and the length of its headers (each 4 bytes, big-endian), a CRC-32 of those, the headers,
//! the payload, and a CRC-32 of all before. Source: the Smithy specification, "Amazon Event Stream Specification".

/// Largest frame that is accepted, in bytes. A frame holds one event of a reply; anything larger counts as damage.
pub const MAX_FRAME: usize = 4 * 1024 * 1024;
/// Most bytes of headers in a frame, by the specification.
pub const MAX_HEADERS: usize = 128 * 1024;

/// Both lengths and their checksum.
const PRELUDE: usize = 12;
/// A frame's bytes beside headers and payload.
const OVERHEAD: usize = PRELUDE + 4;
/// A buffer that grew beyond this is given back once its frame is done.
const KEPT: usize = 64 * 1024;

/// A frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    headers: &'a [u8],
    /// What it carries.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// A header that is text; the first of this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        let mut rest = self.headers;
        while !rest.is_empty() {
            let (header, after) = header(rest)?;
            if header.name == name.as_bytes() {
                return header.text.and_then(|text| std::str::from_utf8(text).ok());
            }
            rest = after;
        }
        None
    }
}

/// Why bytes are no frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// A checksum differs.
    #[error("a checksum does not fit")]
    Checksum,
    /// The lengths contradict each other, or exceed [`MAX_FRAME`] or [`MAX_HEADERS`].
    #[error("a length cannot be")]
    Length,
    /// The headers are not in the form of headers.
    #[error("the headers cannot be read")]
    Headers,
}

/// Finds frames in bytes that come in any pieces. Holds at most one unfinished frame ([`MAX_FRAME`]).
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    failed: Option<BadFrame>,
}

impl Decoder {
    /// Takes the next piece and calls `each` with every frame that it completes.
    ///
    /// # Errors
    /// When the bytes are no frames; and then for every further piece: behind damage no frame can be found again.
    pub fn feed(&mut self, piece: &[u8], each: impl FnMut(Frame<'_>)) -> Result<(), BadFrame> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let fed = self.frames(piece, each);
        if let Err(failed) = fed {
            self.failed = Some(failed);
            self.partial = Vec::new();
        }
        fed
    }

    /// Whether nothing is left of an unfinished frame.
    pub const fn is_between_frames(&self) -> bool {
        self.partial.is_empty()
    }

    fn frames(&mut self, mut rest: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), BadFrame> {
        loop {
            if self.partial.is_empty() {
                match length(rest)? {
                    Some(length) if length <= rest.len() => {
                        each(frame(&rest[..length])?);
                        rest = &rest[length..];
                    }
                    _ if rest.is_empty() => return Ok(()),
                    _ => {
                        self.partial.extend_from_slice(rest);
                        return Ok(());
                    }
                }
                continue;
            }
            let wanted = length(&self.partial)?.unwrap_or(PRELUDE);
            let missing = wanted - self.partial.len();
            if rest.len() < missing {
                self.partial.extend_from_slice(rest);
                return Ok(());
            }
            self.partial.extend_from_slice(&rest[..missing]);
            rest = &rest[missing..];
            if length(&self.partial)? == Some(self.partial.len()) {
                each(frame(&self.partial)?);
                self.partial.clear();
                if self.partial.capacity() > KEPT {
                    self.partial = Vec::new();
                }
            }
        }
    }
}

/// The length of the frame that begins here, as soon as its prelude is there.
fn length(bytes: &[u8]) -> Result<Option<usize>, BadFrame> {
    let Some(prelude) = bytes.first_chunk::<PRELUDE>() else { return Ok(None) };
    if number(prelude, 8) != crc32fast::hash(&prelude[..8]) {
        return Err(BadFrame::Checksum);
    }
    let (total, headers) = (number(prelude, 0) as usize, number(prelude, 4) as usize);
    if total > MAX_FRAME || headers > MAX_HEADERS || total < OVERHEAD || headers > total - OVERHEAD {
        return Err(BadFrame::Length);
    }
    Ok(Some(total))
}

/// The frame in these bytes, which are as many as its prelude says.
fn frame(bytes: &[u8]) -> Result<Frame<'_>, BadFrame> {
    let end = bytes.len() - 4;
    if number(bytes, end) != crc32fast::hash(&bytes[..end]) {
        return Err(BadFrame::Checksum);
    }
    let (headers, payload) = bytes[PRELUDE..end].split_at(number(bytes, 4) as usize);
    let mut rest = headers;
    while !rest.is_empty() {
        rest = header(rest).ok_or(BadFrame::Headers)?.1;
    }
    Ok(Frame { headers, payload })
}

/// Four bytes as a number; 0 where there are none, which the callers rule out.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_be_bytes(*four))
}

struct Header<'a> {
    name: &'a [u8],
    /// Its value, if that is a text.
    text: Option<&'a [u8]>,
}

/// The first header, and what follows it.
fn header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    const TEXT: u8 = 7;
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let (size, rest) = match kind {
        0 | 1 => (0, rest),
        2 => (1, rest),
        3 => (2, rest),
        4 => (4, rest),
        5 | 8 => (8, rest),
        9 => (16, rest),
        6 | 7 => {
            let (size, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*size)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(size)?;
    (!name.is_empty()).then_some((Header { name, text: (*kind == TEXT).then_some(value) }, rest))
}

/// A frame with these headers, all of them text.
///
/// # Errors
/// [`BadFrame::Headers`] for a name that is empty or longer than 255 bytes or a value longer than 64 KiB;
/// [`BadFrame::Length`] if the whole would be longer than what [`Decoder`] takes.
pub fn encode(headers: &[(&str, &str)], payload: &[u8]) -> Result<Vec<u8>, BadFrame> {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        let length = u8::try_from(name.len()).ok().filter(|length| *length > 0).ok_or(BadFrame::Headers)?;
        let size = u16::try_from(value.len()).map_err(|_| BadFrame::Headers)?;
        encoded.push(length);
        encoded.extend_from_slice(name.as_bytes());
        encoded.push(7);
        encoded.extend_from_slice(&size.to_be_bytes());
        encoded.extend_from_slice(value.as_bytes());
    }
    let total = OVERHEAD + encoded.len() + payload.len();
    if total > MAX_FRAME || encoded.len() > MAX_HEADERS {
        return Err(BadFrame::Length);
    }
    let word = |n: usize| u32::try_from(n).map(u32::to_be_bytes).map_err(|_| BadFrame::Length);
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&word(total)?);
    out.extend_from_slice(&word(encoded.len())?);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&encoded);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    Ok(out)
}

//! The inside of strings: finding where plain characters end, and checking UTF-8 across pieces.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
/// Bytes of a word.
const WORD: usize = size_of::<u64>();
/// The first index from `at` on that holds a quote, a backslash or a control character; the length if there is none.
/// Meant for short texts.
#[inline]
pub(super) fn plain_end(piece: &[u8], mut at: usize) -> usize {
    while let Some(word) = piece.get(at..).and_then(<[u8]>::first_chunk::<WORD>) {
        let mask = special(u64::from_le_bytes(*word));
        if mask != 0 {
            return at + mask.trailing_zeros() as usize / WORD;
        }
        at += WORD;
    }
    let rest = piece.get(at..).unwrap_or_default();
    at + rest.iter().position(|b| matches!(b, b'"' | b'\\' | ..0x20)).unwrap_or(rest.len())
}

/// Where a string ends, if that is within the next 16 bytes and nothing else needs a look before.
#[inline]
pub(super) fn short_end(piece: &[u8], at: usize) -> Option<usize> {
    let words = piece.get(at..).and_then(<[u8]>::first_chunk::<{ 2 * WORD }>)?;
    let (words, _) = words.as_chunks::<WORD>();
    let end = match (special(u64::from_le_bytes(words[0])), special(u64::from_le_bytes(words[1]))) {
        (0, 0) => return None,
        (0, mask) => at + WORD + mask.trailing_zeros() as usize / WORD,
        (mask, _) => at + mask.trailing_zeros() as usize / WORD,
    };
    (piece[end] == b'"').then_some(end)
}

/// The high bit of the lowest byte that is a quote, a backslash or below 0x20 is set; bits above it may be set wrongly
/// (by the borrow), bits below it never are.
#[inline]
const fn special(word: u64) -> u64 {
    let quote = word ^ (LOW * b'"' as u64);
    let backslash = word ^ (LOW * b'\\' as u64);
    let quote = quote.wrapping_sub(LOW) & !quote;
    let backslash = backslash.wrapping_sub(LOW) & !backslash;
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    (quote | backslash | control) & HIGH
}

/// Checks UTF-8 over pieces that may be cut anywhere, also within a character.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character whose end has not come.
    carry: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// Checks a piece; says where the first bad character begins, which may be before the piece (so a signed number).
    pub(super) fn check(&mut self, piece: &[u8]) -> Result<(), isize> {
        let mut rest = piece;
        if self.len > 0 {
            let missing = width(self.carry[0]) - self.len;
            let (more, after) = rest.split_at(missing.min(rest.len()));
            let before = self.len.cast_signed();
            self.carry[self.len..self.len + more.len()].copy_from_slice(more);
            self.len += more.len();
            match std::str::from_utf8(&self.carry[..self.len]) {
                Err(error) if error.error_len().is_some() => return Err(-before),
                Err(_) => return Ok(()),
                Ok(_) => {}
            }
            self.len = 0;
            rest = after;
        }
        let whole = rest.len() - unfinished(rest);
        let (body, tail) = rest.split_at(whole);
        if simdutf8::basic::from_utf8(body).is_err() {
            let good = simdutf8::compat::from_utf8(body).map_or_else(|e| e.valid_up_to(), str::len);
            return Err((piece.len() - rest.len() + good).cast_signed());
        }
        self.carry[..tail.len()].copy_from_slice(tail);
        self.len = tail.len();
        Ok(())
    }
}

/// How many bytes at the end begin a character that needs more.
fn unfinished(text: &[u8]) -> usize {
    let tail = &text[text.len().saturating_sub(3)..];
    let following = tail.iter().rev().take_while(|b| matches!(b, 0x80..0xc0)).count();
    match tail.iter().rev().nth(following) {
        Some(lead) if width(*lead) > following + 1 => following + 1,
        _ => 0,
    }
}

/// The length of a character that begins with this byte; 1 for a byte that begins none.
const fn width(lead: u8) -> usize {
    match lead {
        0xf0..0xf5 => 4,
        0xe0..0xf0 => 3,
        0xc2..0xe0 => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_ends_at_the_first_special_byte() {
        for len in 0..100 {
            for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                for at in 0..len {
                    for filler in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff, b'a'] {
                        let mut text = vec![filler; len];
                        text[at] = special;
                        if let Some(next) = text.get_mut(at + 1) {
                            *next = special ^ 1;
                        }
                        assert_eq!(plain_end(&text, 0), at, "{special} {filler}");
                        assert_eq!(plain_end(&text[..at], 0), at);
                        let near = (special == b'"' && at < 16 && len >= 16).then_some(at);
                        assert_eq!(short_end(&text, 0), near, "{special} {filler}");
                    }
                }
            }
        }
    }

    #[test]
    fn utf8_is_checked_whatever_the_cut() {
        let texts: [&[u8]; 12] = [
            "\u{e9}\u{4e2d}\u{1F600}x".as_bytes(),
            b"ab\x80cd",
            b"\xc3",
            b"\xc3(",
            b"\xe4\xb8",
            b"\xe4\xb8x",
            b"\xed\xa0\x80",
            b"\xf0\x9f\x98\x80\xf0\x9f",
            b"\xf5\x80\x80\x80",
            b"\xc0\xaf",
            b"\xff",
            b"x\xe4\xb8\xadyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\xf8",
        ];
        for text in texts {
            let expected = match std::str::from_utf8(text) {
                Ok(_) => None,
                Err(error) if error.error_len().is_none() => None,
                Err(error) => Some(error.valid_up_to()),
            };
            for a in 0..=text.len() {
                for b in a..=text.len() {
                    assert_eq!(checked(&[&text[..a], &text[a..b], &text[b..]]), expected, "{text:?} {a} {b}");
                }
            }
        }
    }

    /// Where the first bad character is, if one was found before the last piece's end. (What is carried may be bad too,
    /// but then the text ends within a character.)
    fn checked(pieces: &[&[u8]]) -> Option<usize> {
        let (mut utf8, mut before) = (Utf8::default(), 0);
        for piece in pieces {
            if let Err(at) = utf8.check(piece) {
                return Some(usize::try_from(before + at).unwrap());
            }
            before += piece.len().cast_signed();
        }
        std::str::from_utf8(&utf8.carry[..utf8.len])
            .err()
            .filter(|e| e.error_len().is_some())
            .map(|_| usize::try_from(before).unwrap() - utf8.len)
    }
}

//! The signatures of thinking blocks, found as bytes pass: what a provider issued, and what a request carries.
//!
//! A signature is valid only where it was issued. It is told apart by a keyed digest of its text; the text is not kept.

use bytes::Bytes;
use memchr::memmem;

const KEY: &[u8] = b"\"signature\"";

/// Finds signatures in a text that comes in pieces: in a stream's events, in a reply or in a request's body.
#[derive(Debug)]
pub struct SignatureScan {
    seed: u64,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many bytes of the key have come.
    Key(usize),
    /// Before the colon.
    Colon,
    /// Before the value.
    Value,
    /// In the value: the digest so far, and how many bytes there were.
    Inside(u64, u64),
}

impl SignatureScan {
    /// One whose digests are made with this key.
    pub const fn new(seed: u64) -> Self {
        Self { seed, state: State::Key(0) }
    }

    /// Looks at the next piece; `found` gets the digest of each signature that is complete.
    #[expect(clippy::match_same_arms, reason = "one arm a state; their order is the order of a text")]
    pub fn feed(&mut self, piece: &[u8], mut found: impl FnMut(u64)) {
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            let (next, state) = match self.state {
                State::Key(0) => match memmem::find(&piece[at..], KEY) {
                    Some(begin) => (at + begin + KEY.len(), State::Colon),
                    None => (piece.len(), State::Key(begun(&piece[at..]))),
                },
                State::Key(come) if byte == KEY[come] && come + 1 == KEY.len() => (at + 1, State::Colon),
                State::Key(come) if byte == KEY[come] => (at + 1, State::Key(come + 1)),
                // Only its first byte is a quote, so nothing of it can be the beginning of another.
                State::Key(_) => (at, State::Key(0)),
                State::Colon if byte == b':' => (at + 1, State::Value),
                State::Value if byte == b'"' => (at + 1, State::Inside(self.seed, 0)),
                State::Colon | State::Value if byte.is_ascii_whitespace() => (at + 1, self.state),
                State::Colon | State::Value => (at, State::Key(0)),
                // An empty one: blocks of a stream begin with it.
                State::Inside(_, 0) if byte == b'"' => (at + 1, State::Key(0)),
                State::Inside(digest, _) if byte == b'"' => {
                    found(digest);
                    (at + 1, State::Key(0))
                }
                State::Inside(digest, bytes) => (at + 1, State::Inside(step(digest, byte), bytes + 1)),
            };
            (at, self.state) = (next, state);
        }
    }
}

/// How much of the key stands at a piece's end.
fn begun(piece: &[u8]) -> usize {
    (1..KEY.len()).rev().find(|length| piece.ends_with(&KEY[..*length])).unwrap_or(0)
}

const fn step(digest: u64, byte: u8) -> u64 {
    (digest ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5)
}

/// What a request carries of earlier replies that is valid only where it was issued.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carried {
    /// Digests of its signatures, in order.
    pub signatures: Vec<u64>,
    /// Whether there may be more than these: encrypted thinking, or keys that are spelled with escapes.
    pub other: bool,
}

impl Carried {
    /// Whether it carries nothing.
    pub const fn is_nothing(&self) -> bool {
        self.signatures.is_empty() && !self.other
    }
}

/// What a request's body carries.
pub fn carried(seed: u64, pieces: &[Bytes]) -> Carried {
    let (mut out, mut scan) = (Carried::default(), SignatureScan::new(seed));
    let mut tail = Vec::new();
    for piece in pieces {
        scan.feed(piece, |digest| out.signatures.push(digest));
        // What lies across a border, too.
        tail.extend_from_slice(&piece[..piece.len().min(BORDER)]);
        out.other |= is_other(piece) || is_other(&tail);
        tail.clear();
        tail.extend_from_slice(&piece[piece.len().saturating_sub(BORDER)..]);
    }
    out
}

const BORDER: usize = 20;

/// Encrypted thinking has no signature of this form; and a letter written as an escape may be part of any key.
fn is_other(text: &[u8]) -> bool {
    memmem::find(text, b"\"redacted_thinking\"").is_some()
        || memmem::find_iter(text, b"\\u00").any(|at| matches!(text.get(at + 4), Some(b'6' | b'7')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pieces: &[&[u8]]) -> Vec<u64> {
        let (mut out, mut scan) = (Vec::new(), SignatureScan::new(7));
        for piece in pieces {
            scan.feed(piece, |digest| out.push(digest));
        }
        out
    }

    #[test]
    fn a_signature_is_found_however_the_text_is_cut_and_whatever_is_around_it() {
        let text = br#"{"a":"signature","type":"thinking","signature" : "EqQBsig+/=","x":1,"signature":"","signature":"two"}"#;
        let whole = found(&[text]);
        assert_eq!(whole.len(), 2, "the empty one counts as none, and a value is no key");
        for cut in 0..text.len() {
            assert_eq!(found(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(found(&bytes), whole);
        assert_eq!(found(&[br#"data: {"delta":{"type":"signature_delta","signature":"two"}}"#]), whole[1..]);
    }

    #[test]
    fn what_people_write_about_signatures_is_none() {
        assert!(found(&[br#"{"text":"the \"signature\": \"x\" member"}"#]).is_empty());
    }

    #[test]
    fn what_cannot_be_told_apart_is_told() {
        let of = |text: &'static str| carried(7, &[Bytes::from_static(text.as_bytes())]);
        assert!(of(r#"{"messages":[]}"#).is_nothing());
        assert!(of(r#"{"type":"redacted_thinking","data":"x"}"#).other);
        assert!(of(r#"{"\u0073ignature":"x"}"#).other);
        assert!(!of(r#"{"text":"\u001b[0m \u00e9"}"#).other);
        let cut = [Bytes::from_static(br#"{"type":"redacted_"#), Bytes::from_static(br#"thinking"}"#)];
        assert!(carried(7, &cut).other);
    }
}

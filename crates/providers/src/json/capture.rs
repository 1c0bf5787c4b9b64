//! Keeping the raw bytes of chosen members of the outermost object, also when they come in pieces.

use super::scan::{Member, Raw, Wanted};

/// Longest spelling of a key that is looked at; a longer one is none of ours, for every character may be written as
/// six (`\u0061`).
const MAX_KEY: usize = 6 * 32;

/// What is being kept.
#[derive(Debug)]
pub(super) struct Captures<'w> {
    wanted: &'w [Wanted<'w>],
    /// The current key of the outermost object.
    key: Option<Open>,
    /// The wanted member whose value comes next, and where its key begins in the text.
    armed: Option<(usize, u64)>,
    /// The value being kept.
    value: Option<(usize, u64, Open)>,
    pub(super) members: Vec<Member<'w>>,
}

/// Bytes from somewhere on.
#[derive(Debug)]
struct Open {
    /// Where they begin in the current piece.
    from: usize,
    /// Where they begin in the text.
    at: u64,
    /// What came in earlier pieces.
    kept: Vec<u8>,
    limit: usize,
    too_long: bool,
}

impl Open {
    fn new(from: usize, at: u64, limit: usize) -> Self {
        Self { from, at, kept: Vec::new(), limit, too_long: false }
    }

    fn keep(&mut self, piece: &[u8], to: usize) {
        let more = piece.get(self.from..to).unwrap_or_default();
        if self.kept.len() + more.len() > self.limit {
            self.too_long = true;
            self.kept = Vec::new();
        } else if !self.too_long {
            self.kept.extend_from_slice(more);
        }
        self.from = 0;
    }
}

impl<'w> Captures<'w> {
    pub(super) fn new(wanted: &'w [Wanted<'w>]) -> Self {
        Self { wanted, key: None, armed: None, value: None, members: Vec::new() }
    }

    /// A key of the outermost object begins: after its quote, which is at `at` in the text.
    pub(super) fn key_begins(&mut self, from: usize, at: u64) {
        self.key = Some(Open::new(from, at, MAX_KEY));
    }

    /// The key's end: before its quote.
    pub(super) fn key_ends(&mut self, piece: &[u8], to: usize) {
        let Some(mut key) = self.key.take() else { return };
        let bytes = if key.kept.is_empty() && !key.too_long {
            piece.get(key.from..to).unwrap_or_default()
        } else {
            key.keep(piece, to);
            key.kept.as_slice()
        };
        let which = self.wanted.iter().position(|wanted| is_spelling(bytes, wanted.name));
        self.armed = which.map(|which| (which, key.at));
    }

    /// Whether the value that begins now is to be kept.
    #[inline]
    pub(super) const fn is_armed(&self) -> bool {
        self.armed.is_some()
    }

    #[inline]
    pub(super) const fn is_keeping(&self) -> bool {
        self.value.is_some()
    }

    pub(super) fn value_begins(&mut self, from: usize, at: u64) {
        if let Some((which, key_at)) = self.armed.take() {
            self.value = Some((which, key_at, Open::new(from, at, self.wanted[which].limit)));
        }
    }

    /// The value ends before `to` in this piece, which begins at `offset` in the text.
    pub(super) fn value_ends(&mut self, piece: &[u8], to: usize, offset: u64) {
        let Some((which, key_at, mut value)) = self.value.take() else { return };
        value.keep(piece, to);
        let raw = if value.too_long { Raw::TooLong } else { Raw::Whole(value.kept) };
        let (at, end) = (value.at, offset + to as u64);
        self.members.push(Member { name: self.wanted[which].name, key_at, at, end, raw });
    }

    /// Keeps what this piece holds of what is open.
    pub(super) fn piece_ends(&mut self, piece: &[u8]) {
        if let Some(key) = &mut self.key {
            key.keep(piece, piece.len());
        }
        if let Some((.., value)) = &mut self.value {
            value.keep(piece, piece.len());
        }
    }
}

/// Whether the inside of a JSON string spells a name. The string has been checked already.
fn is_spelling(inside: &[u8], name: &str) -> bool {
    if !inside.contains(&b'\\') {
        return inside == name.as_bytes();
    }
    let mut quoted = Vec::with_capacity(inside.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(inside);
    quoted.push(b'"');
    serde_json::from_slice::<String>(&quoted).is_ok_and(|text| text == name)
}

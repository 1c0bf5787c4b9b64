//! Cutting members out of an object and putting others in, every other byte as it was (promise P3).

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::scan::{Scanner, Wanted};

/// What is to be changed in an object. Places are counted from the start of the text.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// Members that go in front of all others: `"name":value`, with commas between.
    pub put: BytesMut,
    /// Members that go: from the key's quote to the value's end.
    pub cut: Vec<Range<u64>>,
    /// Values that others take the place of; none of a member that is cut.
    pub replace: Vec<(Range<u64>, Bytes)>,
}

impl Edits {
    /// Puts in a member whose value is JSON already.
    pub fn put(&mut self, name: &str, value: &[u8]) {
        if !self.put.is_empty() {
            self.put.put_u8(b',');
        }
        self.put.put_u8(b'"');
        self.put.put_slice(name.as_bytes());
        self.put.put_slice(b"\":");
        self.put.put_slice(value);
    }

    /// Applies them to an object that is valid JSON, in pieces. Nothing if it is no object, or if the places are not those
    /// of its members.
    pub fn apply(mut self, pieces: Vec<Bytes>) -> Option<Vec<Bytes>> {
        let text = Text::new(pieces);
        let (open, brace) = text.next(0)?;
        if brace != b'{' {
            return None;
        }
        self.cut.sort_unstable_by_key(|cut| cut.start);
        let mut changes = self.replace;
        let first = text.next(open + 1)?.0;
        let is_first_cut = self.cut.first().is_some_and(|cut| cut.start == first);
        for cut in &self.cut {
            // Every member but the first takes the comma before it along.
            let from = if cut.start == first { first } else { text.before(cut.start, b',')? };
            changes.push((from..cut.end, Bytes::new()));
        }
        if !self.put.is_empty() {
            if !is_first_cut && text.byte(first)? != b'}' {
                self.put.put_u8(b',');
            }
            changes.push((open + 1..open + 1, self.put.freeze()));
        } else if is_first_cut {
            // What becomes the first loses the comma before it.
            let mut end = self.cut[0].end;
            for cut in &self.cut[1..] {
                if text.next(end)?.0 == text.before(cut.start, b',')? {
                    end = cut.end;
                }
            }
            if let (comma, b',') = text.next(end)? {
                changes.push((comma..comma + 1, Bytes::new()));
            }
        }
        changes.sort_by_key(|(range, _)| (range.start, range.end));
        text.changed(&changes)
    }
}

/// A request's body with another model in it, every other byte as it was. Nothing if it names none.
pub fn with_model(pieces: Vec<Bytes>, model: &str) -> Option<Vec<Bytes>> {
    let mut scan = Scanner::new(&[Wanted { name: "model", limit: 0 }]);
    for piece in &pieces {
        scan.feed(piece).ok()?;
    }
    let named = Bytes::from(format!("\"model\":{}", serde_json::to_string(model).ok()?));
    let found = scan.finish().ok()?.members;
    // From the key on: the key itself may be written in another way.
    let replace: Vec<_> = found.iter().map(|member| (member.key_at..member.end, named.clone())).collect();
    if replace.is_empty() { None } else { Edits { replace, ..Edits::default() }.apply(pieces) }
}

/// A text in pieces, looked up by place.
struct Text {
    pieces: Vec<Bytes>,
    /// Where each piece begins, and where the last one ends.
    starts: Vec<u64>,
}

impl Text {
    fn new(pieces: Vec<Bytes>) -> Self {
        let mut starts = Vec::with_capacity(pieces.len() + 1);
        let mut at = 0;
        for piece in &pieces {
            starts.push(at);
            at += piece.len() as u64;
        }
        starts.push(at);
        Self { pieces, starts }
    }

    fn byte(&self, at: u64) -> Option<u8> {
        let which = self.starts.partition_point(|start| *start <= at).checked_sub(1)?;
        let piece = self.pieces.get(which)?;
        piece.get(usize::try_from(at - self.starts[which]).ok()?).copied()
    }

    /// The first byte from here on that is no white space, and its place.
    fn next(&self, mut at: u64) -> Option<(u64, u8)> {
        loop {
            match self.byte(at)? {
                b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                byte => return Some((at, byte)),
            }
        }
    }

    /// The place of the last byte before here that is no white space, if it is this one.
    fn before(&self, mut at: u64, wanted: u8) -> Option<u64> {
        loop {
            at = at.checked_sub(1)?;
            match self.byte(at)? {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                byte => return (byte == wanted).then_some(at),
            }
        }
    }

    /// The text with what stands in these places, which are in order, replaced.
    fn changed(&self, changes: &[(Range<u64>, Bytes)]) -> Option<Vec<Bytes>> {
        let mut out = Vec::with_capacity(self.pieces.len() + 2 * changes.len());
        let mut at = 0;
        for (range, with) in changes {
            self.copy(at..range.start, &mut out)?;
            if !with.is_empty() {
                out.push(with.clone());
            }
            at = range.end;
        }
        self.copy(at..*self.starts.last()?, &mut out)?;
        Some(out)
    }

    /// Shares what stands in this range; none if the range runs backwards, which changes that overlap would make it do.
    fn copy(&self, range: Range<u64>, out: &mut Vec<Bytes>) -> Option<()> {
        if range.start > range.end {
            return None;
        }
        let mut which = self.starts.partition_point(|start| *start <= range.start).saturating_sub(1);
        let mut at = range.start;
        while at < range.end {
            let (piece, start) = (self.pieces.get(which)?, self.starts[which]);
            let end = range.end.min(start + piece.len() as u64);
            if end > at {
                let part = usize::try_from(at - start).ok()?..usize::try_from(end - start).ok()?;
                out.push(piece.slice(part));
                at = end;
            }
            which += 1;
        }
        Some(())
    }
}

//! A JSON checker that is fed in pieces.

use super::atom::{Literal, Number};
use super::block::{BLOCK, Escapes, look};
use super::capture::Captures;
use super::escape::{escape, hex, is_escape, special_byte};
use super::problem::{Problem, ScanError};
use super::text::{Utf8, plain_end, short_end};

/// Deepest nesting that is accepted.
pub const MAX_DEPTH: usize = 512;
/// Most wanted members that are kept, repeated ones included; one more is an error, so that memory stays bounded.
pub const MAX_CAPTURES: usize = 16;
/// Pieces are worked on in parts of this size, so that a part is still in the processor's first cache when it is read
/// a second time.
const PART: usize = 16 * 1024;

/// A member of the outermost object whose value is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    /// Its name, at most 32 bytes.
    pub name: &'w str,
    /// The most bytes that its value may have to be kept.
    pub limit: usize,
}

/// A wanted member that was found. One that is repeated is reported each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'w> {
    /// Its name.
    pub name: &'w str,
    /// Where its key begins, at the quote, in bytes from the start of the text.
    pub key_at: u64,
    /// Where its value begins, counted likewise.
    pub at: u64,
    /// Where its value has ended: the first byte behind it.
    pub end: u64,
    /// Its value.
    pub raw: Raw,
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// All of it: valid JSON without space around it.
    Whole(Vec<u8>),
    /// It was longer than the limit, and nothing of it was kept.
    TooLong,
}

/// What the outermost value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// An object.
    Object,
    /// Anything else.
    Other,
}

/// A text that turned out to be valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<'w> {
    /// What it is.
    pub root: Root,
    /// The wanted members, in the order of their appearance.
    pub members: Vec<Member<'w>>,
}

/// Checks a text that comes in pieces, and keeps the wanted members of its outermost object.
///
/// Memory: under 300 bytes, plus what is kept (at most [`MAX_CAPTURES`] values of their limits).
#[derive(Debug)]
pub struct Scanner<'w> {
    state: State,
    in_key: bool,
    in_object: bool,
    root: Root,
    depth: usize,
    /// One bit for each open bracket: whether it is an object's.
    objects: [u64; MAX_DEPTH / 64],
    /// Bytes before the current part.
    offset: u64,
    utf8: Utf8,
    captures: Captures<'w>,
    failed: Option<ScanError>,
}

/// What has to come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Value,
    /// A value, or the end of the array.
    FirstValue,
    Key,
    /// A key, or the end of the object.
    FirstKey,
    Colon,
    /// A comma or a closing bracket.
    After,
    Text,
    Escape,
    /// So many hexadecimal digits.
    Hex(u8),
    /// The rest of `true`, `false` or `null`, so many of whose bytes have come.
    Literal(Literal, u8),
    Number(Number),
    /// Nothing but white space.
    End,
}

/// Where in the current part, and what.
pub(super) type Bad = (usize, Problem);

impl<'w> Scanner<'w> {
    /// A scanner that keeps these members.
    pub fn new(wanted: &'w [Wanted<'w>]) -> Self {
        Self {
            state: State::Value,
            in_key: false,
            in_object: false,
            root: Root::Other,
            depth: 0,
            objects: [0; MAX_DEPTH / 64],
            offset: 0,
            utf8: Utf8::default(),
            captures: Captures::new(wanted),
            failed: None,
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// As soon as it is certain that the text is not valid; and then for every further piece.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), ScanError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        for part in piece.chunks(PART) {
            if let Err(error) = self.part(part) {
                self.failed = Some(error);
                return Err(error);
            }
            self.offset += part.len() as u64;
        }
        Ok(())
    }

    /// The text is over.
    ///
    /// # Errors
    /// If it was not valid or is not complete.
    pub fn finish(self) -> Result<Document<'w>, ScanError> {
        match self.failed {
            Some(failed) => Err(failed),
            None if self.is_whole() => Ok(self.document()),
            None => Err(ScanError { at: self.offset, problem: Problem::Truncated }),
        }
    }

    /// Whether what came so far is one whole valid text.
    pub fn is_whole(&self) -> bool {
        let is_number = matches!(self.state, State::Number(number) if self.depth == 0 && number.is_whole());
        self.failed.is_none() && (self.state == State::End || is_number)
    }

    /// The wanted members that were complete so far, whether or not the text is valid.
    pub fn members(&self) -> &[Member<'w>] {
        &self.captures.members
    }

    fn document(self) -> Document<'w> {
        Document { root: self.root, members: self.captures.members }
    }

    fn part(&mut self, part: &[u8]) -> Result<(), ScanError> {
        let bad = match self.utf8.check(part) {
            Ok(()) => match self.run(part) {
                Ok(()) => {
                    self.captures.piece_ends(part);
                    return Ok(());
                }
                Err(bad) => bad,
            },
            Err(at) => match self.run(&part[..usize::try_from(at).unwrap_or(0)]) {
                Ok(()) => {
                    return Err(ScanError {
                        at: self.offset.saturating_add_signed(at as i64),
                        problem: Problem::Utf8,
                    });
                }
                Err(bad) => bad,
            },
        };
        Err(ScanError { at: self.offset + bad.0 as u64, problem: bad.1 })
    }

    fn run(&mut self, part: &[u8]) -> Result<(), Bad> {
        let mut at = 0;
        let mut state = self.state;
        while let Some(&byte) = part.get(at) {
            (at, state) = match state {
                State::Text => self.text(part, at)?,
                State::Key | State::FirstKey | State::Value | State::FirstValue if byte == b'"' => {
                    self.texts(part, at, state)?
                }
                State::After => (at + 1, self.after(part, at, byte)?),
                State::Key | State::FirstKey => (at + 1, self.key(part, at, byte, state)?),
                State::Colon => (at + 1, colon(at, byte)?),
                State::FirstValue if byte == b']' => (at + 1, self.close(part, at)),
                State::FirstValue if is_space(byte) => (at + 1, State::FirstValue),
                State::Value | State::FirstValue => (at + 1, self.value(at, byte)?),
                State::Number(number) => self.number(part, at, number)?,
                State::Literal(literal, come) => self.literal(part, at, literal, come)?,
                State::Escape => (at + 1, escape(at, byte)?),
                State::Hex(left) => (at + 1, hex(at, byte, left)?),
                State::End if is_space(byte) => (at + 1, State::End),
                State::End => return Err(unexpected(at, "nothing after the value", byte)),
            };
        }
        self.state = state;
        Ok(())
    }

    #[inline]
    fn value(&mut self, at: usize, byte: u8) -> Result<State, Bad> {
        let state = match byte {
            b'{' | b'[' => return self.open(at, byte == b'{'),
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Whole),
            b't' => State::Literal(Literal::True, 1),
            b'f' => State::Literal(Literal::False, 1),
            b'n' => State::Literal(Literal::Null, 1),
            _ if is_space(byte) => return Ok(State::Value),
            _ => return Err(unexpected(at, "a value", byte)),
        };
        if self.captures.is_armed() {
            self.value_begins(at)?;
        }
        Ok(state)
    }

    fn open(&mut self, at: usize, object: bool) -> Result<State, Bad> {
        if self.captures.is_armed() {
            self.value_begins(at)?;
        }
        if self.depth == MAX_DEPTH {
            return Err((at, Problem::TooDeep));
        }
        if self.depth == 0 && object {
            self.root = Root::Object;
        }
        let (word, bit) = (self.depth / 64, 1_u64 << (self.depth % 64));
        if object {
            self.objects[word] |= bit;
        } else {
            self.objects[word] &= !bit;
        }
        self.depth += 1;
        self.in_object = object;
        Ok(if object { State::FirstKey } else { State::FirstValue })
    }

    fn close(&mut self, part: &[u8], at: usize) -> State {
        self.depth -= 1;
        self.in_object = match self.depth.checked_sub(1) {
            Some(n) => self.objects[n / 64] >> (n % 64) & 1 == 1,
            None => false,
        };
        self.value_ended(part, at + 1)
    }

    /// A value ends before `end`.
    #[inline]
    fn value_ended(&mut self, part: &[u8], end: usize) -> State {
        if self.captures.is_keeping() && self.depth == 1 {
            self.captures.value_ends(part, end, self.offset);
        }
        if self.depth == 0 { State::End } else { State::After }
    }

    fn value_begins(&mut self, at: usize) -> Result<(), Bad> {
        if self.captures.members.len() == MAX_CAPTURES {
            return Err((at, Problem::TooManyMembers));
        }
        self.captures.value_begins(at, self.offset + at as u64);
        Ok(())
    }

    #[inline]
    fn after(&mut self, part: &[u8], at: usize, byte: u8) -> Result<State, Bad> {
        match byte {
            b',' if self.in_object => Ok(State::Key),
            b',' => Ok(State::Value),
            b'}' if self.in_object => Ok(self.close(part, at)),
            b']' if !self.in_object => Ok(self.close(part, at)),
            _ if is_space(byte) => Ok(State::After),
            _ if self.in_object => Err(unexpected(at, "`,` or `}`", byte)),
            _ => Err(unexpected(at, "`,` or `]`", byte)),
        }
    }

    #[inline]
    fn key(&mut self, part: &[u8], at: usize, byte: u8, state: State) -> Result<State, Bad> {
        match byte {
            b'}' if state == State::FirstKey => Ok(self.close(part, at)),
            _ if is_space(byte) => Ok(state),
            _ => Err(unexpected(at, "a key", byte)),
        }
    }

    /// Strings as long as one follows the other, with a colon or a comma between them. This is most of most texts, and
    /// going around by the states would cost more than the strings do.
    fn texts(&mut self, part: &[u8], mut at: usize, mut state: State) -> Result<(usize, State), Bad> {
        loop {
            self.in_key = matches!(state, State::Key | State::FirstKey);
            if self.in_key && self.depth == 1 {
                self.captures.key_begins(at + 1, self.offset + at as u64);
            } else if self.captures.is_armed() {
                self.value_begins(at)?;
            }
            (at, state) = self.text(part, at + 1)?;
            state = match (state, part.get(at)) {
                (State::After, Some(b',')) if self.in_object => State::Key,
                (State::After, Some(b',')) | (State::Colon, Some(b':')) => State::Value,
                _ => return Ok((at, state)),
            };
            at += 1;
            if part.get(at) != Some(&b'"') {
                return Ok((at, state));
            }
        }
    }

    /// The inside of a string, from `at` on.
    #[inline]
    fn text(&mut self, part: &[u8], at: usize) -> Result<(usize, State), Bad> {
        match short_end(part, at) {
            Some(quote) => Ok((quote + 1, self.text_ended(part, quote))),
            None => self.long_text(part, at),
        }
    }

    fn long_text(&mut self, part: &[u8], mut at: usize) -> Result<(usize, State), Bad> {
        let mut escapes = Escapes::default();
        while let Some(block) = part.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
            let seen = look(block);
            let escaped = escapes.next(seen.backslashes);
            let ends = (seen.quotes & !escaped) | seen.controls;
            let before_end = (ends & ends.wrapping_neg()).wrapping_sub(1);
            let mut unusual = escaped & !seen.usual & before_end;
            while unusual != 0 {
                let after_backslash = at + unusual.trailing_zeros() as usize;
                if !is_escape(part, after_backslash) {
                    return special_byte(part, after_backslash - 1);
                }
                unusual &= unusual - 1;
            }
            if ends != 0 {
                let n = ends.trailing_zeros() as usize;
                return match (block[n], escaped >> n & 1) {
                    (b'"', _) => Ok((at + n + 1, self.text_ended(part, at + n))),
                    (_, 0) => special_byte(part, at + n),
                    _ => special_byte(part, at + n - 1),
                };
            }
            at += BLOCK;
        }
        if escapes.is_open() {
            return special_byte(part, at - 1);
        }
        match plain_end(part, at) {
            end if end == part.len() => Ok((end, State::Text)),
            end if part[end] == b'"' => Ok((end + 1, self.text_ended(part, end))),
            end => special_byte(part, end),
        }
    }

    #[inline]
    fn text_ended(&mut self, part: &[u8], quote: usize) -> State {
        if !self.in_key {
            return self.value_ended(part, quote + 1);
        }
        if self.depth == 1 {
            self.captures.key_ends(part, quote);
        }
        State::Colon
    }

    fn number(&mut self, part: &[u8], mut at: usize, mut number: Number) -> Result<(usize, State), Bad> {
        while let Some(&byte) = part.get(at) {
            match number.next(byte) {
                Some(next) => number = next,
                None if number.is_whole() => return Ok((at, self.value_ended(part, at))),
                None => return Err(unexpected(at, number.expected(), byte)),
            }
            at += 1;
        }
        Ok((at, State::Number(number)))
    }

    fn literal(&mut self, part: &[u8], at: usize, literal: Literal, come: u8) -> Result<(usize, State), Bad> {
        let rest = &literal.as_bytes()[usize::from(come)..];
        let new = &part[at..part.len().min(at + rest.len())];
        if let Some(wrong) = new.iter().zip(rest).position(|(found, expected)| found != expected) {
            return Err(unexpected(at + wrong, "`true`, `false` or `null`", new[wrong]));
        }
        if new.len() == rest.len() {
            return Ok((at + rest.len(), self.value_ended(part, at + rest.len())));
        }
        // Fewer than the five bytes of the longest word.
        let come = u8::try_from(usize::from(come) + new.len()).unwrap_or(u8::MAX);
        Ok((part.len(), State::Literal(literal, come)))
    }
}

fn colon(at: usize, byte: u8) -> Result<State, Bad> {
    match byte {
        b':' => Ok(State::Value),
        _ if is_space(byte) => Ok(State::Colon),
        _ => Err(unexpected(at, "`:`", byte)),
    }
}

pub(super) const fn unexpected(at: usize, expected: &'static str, found: u8) -> Bad {
    (at, Problem::Unexpected { expected, found })
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

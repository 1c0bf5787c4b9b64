//! The texts of a request that somebody wrote or a tool read: found in one pass, without a tree.
//!
//! What is looked at is told by the keys on the way to a string, wherever its siblings stand: `system`, `messages[].content`, the
//! `text`, `content`, `input`, `title` and `context` of blocks, and the `data` of a source whose type is `text`. So thinking,
//! signatures, encrypted content, images and identifiers are never among them, nor are the definitions of tools.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// Where in a request a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the system prompt.
    System,
    /// In a message.
    Message {
        /// Which one, from 1.
        number: u32,
        /// In which part of it.
        part: Part,
    },
}

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What somebody or the model said.
    Text,
    /// What a tool answered.
    ToolResult,
    /// What a tool was called with.
    ToolCall,
    /// A document, or something found by a search.
    Document,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (number, part) = match self {
            Self::System => return f.write_str("the system prompt"),
            Self::Message { number, part } => (number, part),
        };
        write!(f, "message {number}")?;
        f.write_str(match part {
            Part::Text => "",
            Part::ToolResult => ", tool result",
            Part::ToolCall => ", tool call",
            Part::Document => ", document",
        })
    }
}

/// A text of a request.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// Where it stands.
    pub place: Place,
    /// It as it is written in JSON, between the quotes. The same text may be written in several ways.
    pub raw: &'a [u8],
    has_escapes: bool,
}

impl<'a> Text<'a> {
    /// What it says. The buffer is used where it is written with escapes.
    pub fn decoded<'b>(&self, buffer: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        if !self.has_escapes {
            return self.raw;
        }
        buffer.clear();
        decode(self.raw, buffer);
        buffer
    }
}

/// Gives each text of a request's body. The body has been checked to be JSON; of one that is not, what comes before the mistake
/// is given.
pub fn texts(body: &[u8], each: impl FnMut(Text<'_>)) {
    let mut walk = Walk { body, at: 0, stack: Vec::with_capacity(8), messages: 0, each };
    walk.run();
}

/// What a value is, by the keys on the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The request.
    Request,
    /// The list of messages.
    Messages,
    /// A message.
    Message,
    /// A text, a block of content, or a list of blocks.
    Content,
    /// The source of a document or an image.
    Source,
    /// Anything that a tool is called with.
    Anything,
    /// What is not looked at.
    Nothing,
}

/// A value that is to come.
#[derive(Debug, Clone, Copy)]
struct Coming {
    meaning: Meaning,
    place: Place,
    /// Whether it is the type of the block or source around it.
    is_type: bool,
    /// Whether it is the data of a source.
    is_data: bool,
}

/// An array or object that is open.
struct Frame {
    itself: Coming,
    is_object: bool,
    /// Its type is one of documents.
    is_document: bool,
    /// Its type is `text`.
    is_text: bool,
    /// A source's data, whose type may come later.
    data: Option<(usize, usize, bool)>,
}

struct Walk<'a, F> {
    body: &'a [u8],
    at: usize,
    stack: Vec<Frame>,
    messages: u32,
    each: F,
}

impl<F: FnMut(Text<'_>)> Walk<'_, F> {
    fn run(&mut self) {
        let mut coming =
            Coming { meaning: Meaning::Request, place: Place::System, is_type: false, is_data: false };
        while self.value(coming).is_some()
            && let Some(next) = self.next()
        {
            coming = next;
        }
    }

    /// Reads a value; of an array or object, its beginning.
    fn value(&mut self, coming: Coming) -> Option<()> {
        self.space();
        match *self.body.get(self.at)? {
            open @ (b'{' | b'[') if coming.meaning != Meaning::Nothing => {
                self.at += 1;
                let is_object = open == b'{';
                self.stack.push(Frame {
                    itself: coming,
                    is_object,
                    is_document: false,
                    is_text: false,
                    data: None,
                });
            }
            b'{' | b'[' => self.pass_over()?,
            b'"' => {
                let (start, end, has_escapes) = self.string()?;
                self.text(coming, (start, end, has_escapes));
            }
            _ => {
                let rest = self.body.get(self.at..)?;
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                self.at += rest.iter().position(is_end).unwrap_or(rest.len());
            }
        }
        Some(())
    }

    /// A string that stands where a value is.
    fn text(&mut self, coming: Coming, (start, end, has_escapes): (usize, usize, bool)) {
        if matches!(coming.meaning, Meaning::Content | Meaning::Anything) {
            self.give(coming.place, (start, end, has_escapes));
        }
        let Some(around) = self.stack.last_mut() else { return };
        if coming.is_data {
            around.data = Some((start, end, has_escapes));
        }
        if coming.is_type {
            let name = unescaped(self.body.get(start..end).unwrap_or_default());
            around.is_text = *name == *b"text";
            around.is_document = matches!(&*name, b"document" | b"search_result");
        }
    }

    fn give(&mut self, place: Place, (start, end, has_escapes): (usize, usize, bool)) {
        let raw = self.body.get(start..end).unwrap_or_default();
        if !raw.is_empty() {
            (self.each)(Text { place, raw, has_escapes });
        }
    }

    /// Goes to the next value, closing what ends before; none at the end of all, or at a mistake.
    fn next(&mut self) -> Option<Coming> {
        loop {
            let is_object = self.stack.last()?.is_object;
            self.space();
            match *self.body.get(self.at)? {
                b',' => self.at += 1,
                b'}' | b']' => {
                    self.at += 1;
                    self.close();
                }
                b'"' if is_object => {
                    let key = self.string()?;
                    self.space();
                    (self.body.get(self.at) == Some(&b':')).then_some(())?;
                    self.at += 1;
                    return Some(self.member(key));
                }
                _ if is_object => return None,
                _ => return Some(self.element()),
            }
        }
    }

    fn close(&mut self) {
        let Some(frame) = self.stack.pop() else { return };
        if let (true, Some(data)) = (frame.is_text, frame.data) {
            self.give(frame.itself.place, data);
        }
    }

    /// The value of a member.
    fn member(&mut self, (start, end, has_escapes): (usize, usize, bool)) -> Coming {
        let mut coming =
            Coming { meaning: Meaning::Nothing, place: Place::System, is_type: false, is_data: false };
        let Some(around) = self.stack.last() else { return coming };
        coming.place = around.itself.place;
        let (meaning, is_document) = (around.itself.meaning, around.is_document);
        if meaning == Meaning::Anything {
            self.give(coming.place, (start, end, has_escapes));
            return Coming { meaning, ..coming };
        }
        let key = unescaped(self.body.get(start..end).unwrap_or_default());
        let as_part = |part| match coming.place {
            Place::System => Place::System,
            Place::Message { number, .. } => Place::Message { number, part },
        };
        (coming.meaning, coming.place) = match (meaning, &*key) {
            (Meaning::Request, b"system") => (Meaning::Content, Place::System),
            (Meaning::Request, b"messages") => (Meaning::Messages, coming.place),
            (Meaning::Message, b"content") | (Meaning::Content, b"text") => (Meaning::Content, coming.place),
            (Meaning::Content, b"content") if is_document => (Meaning::Content, as_part(Part::Document)),
            (Meaning::Content, b"content") => (Meaning::Content, as_part(Part::ToolResult)),
            (Meaning::Content, b"input") => (Meaning::Anything, as_part(Part::ToolCall)),
            (Meaning::Content, b"source") => (Meaning::Source, as_part(Part::Document)),
            (Meaning::Content, b"title" | b"context") | (Meaning::Source, b"content") => {
                (Meaning::Content, as_part(Part::Document))
            }
            _ => (Meaning::Nothing, coming.place),
        };
        coming.is_type = matches!(meaning, Meaning::Content | Meaning::Source) && *key == *b"type";
        coming.is_data = meaning == Meaning::Source && *key == *b"data";
        coming
    }

    /// The next element of an array.
    fn element(&mut self) -> Coming {
        let nothing =
            Coming { meaning: Meaning::Nothing, place: Place::System, is_type: false, is_data: false };
        let Some(around) = self.stack.last() else { return nothing };
        let (meaning, place) = match around.itself.meaning {
            Meaning::Messages => {
                self.messages = self.messages.saturating_add(1);
                (Meaning::Message, Place::Message { number: self.messages, part: Part::Text })
            }
            same @ (Meaning::Content | Meaning::Anything) => (same, around.itself.place),
            Meaning::Request | Meaning::Message | Meaning::Source | Meaning::Nothing => {
                (Meaning::Nothing, around.itself.place)
            }
        };
        Coming { meaning, place, ..nothing }
    }

    /// Reads a string: its inside, and whether there are escapes in it.
    fn string(&mut self) -> Option<(usize, usize, bool)> {
        let start = self.at + 1;
        let (mut at, mut has_escapes) = (start, false);
        loop {
            at += memchr2(b'"', b'\\', self.body.get(at..)?)?;
            if self.body.get(at) == Some(&b'"') {
                self.at = at + 1;
                return Some((start, at, has_escapes));
            }
            (at, has_escapes) = (at + 2, true);
        }
    }

    /// Passes over an array or object that is not looked at.
    fn pass_over(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match *self.body.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn space(&mut self) {
        while matches!(self.body.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// A key or a word as it is meant. What is spelled with escapes is the same to a provider.
fn unescaped(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::new();
    decode(raw, &mut out);
    Cow::Owned(out)
}

/// Appends what a string says. What is no escape stays as it is; half a pair of surrogates becomes U+FFFD.
fn decode(mut raw: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr(b'\\', raw) {
        let (plain, rest) = raw.split_at(at);
        out.extend_from_slice(plain);
        let taken = match rest.get(1) {
            Some(b'n') => escape(out, b'\n'),
            Some(b't') => escape(out, b'\t'),
            Some(b'r') => escape(out, b'\r'),
            Some(b'b') => escape(out, 0x08),
            Some(b'f') => escape(out, 0x0c),
            Some(b'u') => character(rest, out),
            Some(&byte) => escape(out, byte),
            None => escape(out, b'\\'),
        };
        raw = rest.get(taken..).unwrap_or_default();
    }
    out.extend_from_slice(raw);
}

fn escape(out: &mut Vec<u8>, byte: u8) -> usize {
    out.push(byte);
    2
}

/// Appends the character of `\uXXXX`, or of two of them that belong together; says how many bytes they took.
fn character(text: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(first) = unit(text) else { return escape(out, b'u') };
    let second = text.get(6..).filter(|rest| rest.starts_with(b"\\u")).and_then(unit);
    let (code, taken) = match (first, second) {
        (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), 12)
        }
        _ => (first, 6),
    };
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    taken
}

fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(2..6)?;
    digits.iter().try_fold(0, |sum, byte| Some(sum * 16 + char::from(*byte).to_digit(16)?))
}

#[cfg(test)]
mod tests;

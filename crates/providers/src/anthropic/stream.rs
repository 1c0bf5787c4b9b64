//! Metering a reply that is a stream of events.
//!
//! Events are told apart by their `event:` line. Nearly all of them are `content_block_delta`: those are counted by
//! their length and neither parsed nor kept. Only `message_start`, `message_delta` and `error` are parsed. The format is
//! that of server-sent events (WHATWG HTML, section 9.2.6): lines end with LF, CR or CRLF, an empty line ends an event.

use gatehouse_domain::exchange::estimate_tokens;
use serde_json::Value;

use super::usage::Figures;
use super::{Outcome, name};

/// Most bytes of one line that are kept to be looked at; of a longer one nothing is known but its length.
const MAX_LINE: usize = 1024 * 1024;
/// What a text delta's data line holds beside the text.
const DELTA_FRAME: u64 =
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#.len() as u64;

/// What a piece did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// Just behind the last event of this piece that is complete, counted from the piece's start; 0 if there is none.
    pub complete_to: usize,
    /// Where the event begins, counted from the piece's start, with which the reply has all that a client needs to take
    /// it as complete: the `message_delta` that says why the model stopped, or what ends the stream. 0 if it began in
    /// an earlier piece. Said once, when that event is complete.
    pub final_from: Option<usize>,
    /// Whether the reply has come to its end: `message_stop` or an `error` event is complete.
    pub ended: bool,
}

/// What kind of event is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    /// No `event:` line yet.
    #[default]
    Unnamed,
    Start,
    Delta,
    End,
    Stop,
    Error,
    /// Of no interest.
    Other,
}

/// Looks at a stream as it passes, in pieces of any size.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the stream")]
pub struct StreamMeter {
    kind: Kind,
    /// The bytes of the current line that came with earlier pieces.
    line: Vec<u8>,
    /// Its length, kept or not.
    line_bytes: u64,
    /// The data of the current event.
    data: Vec<u8>,
    /// The last byte was a CR, so that a LF now belongs to it; and whether that ended an event.
    after_cr: Option<bool>,
    figures: Figures,
    model: Option<String>,
    id: Option<String>,
    stop_reason: Option<String>,
    error: Option<String>,
    started: bool,
    last_figures: bool,
    stopped: bool,
    garbage: bool,
    /// An event of a complete reply's end has been seen, and said.
    ending: bool,
    delta_bytes: u64,
}

impl StreamMeter {
    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) -> Fed {
        let mut at = 0;
        let (mut complete_to, mut final_from) = (0, None);
        if let (Some(ended_event), Some(b'\n')) = (self.after_cr, piece.first()) {
            at = 1;
            // The line feed belongs to the line before; if that ended an event, so does this.
            complete_to = usize::from(ended_event);
        }
        if !piece.is_empty() {
            self.after_cr = None;
        }
        while let Some(length) = memchr::memchr2(b'\n', b'\r', &piece[at..]) {
            let end = at + length;
            let ends_event = self.end_line(&piece[at..end]);
            at = end + 1;
            if piece[end] == b'\r' {
                match piece.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = Some(ends_event),
                }
            }
            if ends_event {
                if !self.ending && self.is_ending() {
                    self.ending = true;
                    final_from = Some(complete_to);
                }
                complete_to = at;
            }
        }
        self.keep(&piece[at..]);
        Fed { complete_to, final_from, ended: self.has_ended() }
    }

    /// Whether a message has begun.
    pub const fn has_started(&self) -> bool {
        self.started
    }

    /// The type of the error that came instead of a message, or in the middle of one.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    fn has_ended(&self) -> bool {
        self.stopped || self.error.is_some()
    }

    fn is_ending(&self) -> bool {
        self.stop_reason.is_some() || self.has_ended()
    }

    /// Whether the lines of this event are worth keeping.
    fn is_of_interest(&self) -> bool {
        !matches!(self.kind, Kind::Delta | Kind::Other | Kind::Stop)
    }

    /// Keeps the beginning of a line whose end has not come.
    fn keep(&mut self, part: &[u8]) {
        self.line_bytes += part.len() as u64;
        let room = MAX_LINE.saturating_sub(self.line.len());
        if self.is_of_interest() {
            self.line.extend_from_slice(&part[..part.len().min(room)]);
        }
    }

    /// A line is complete; says whether it ended an event.
    fn end_line(&mut self, rest: &[u8]) -> bool {
        let bytes = self.line_bytes + rest.len() as u64;
        self.line_bytes = 0;
        if bytes == 0 {
            self.end_event();
            return true;
        }
        if self.kind == Kind::Delta {
            self.delta_bytes += bytes.saturating_sub(DELTA_FRAME);
        }
        if !self.is_of_interest() {
            self.line.clear();
            return false;
        }
        if self.line.is_empty() {
            self.read_line(rest, bytes);
        } else {
            let mut line = std::mem::take(&mut self.line);
            let room = MAX_LINE.saturating_sub(line.len());
            line.extend_from_slice(&rest[..rest.len().min(room)]);
            self.read_line(&line, bytes);
            line.clear();
            self.line = line;
        }
        false
    }

    fn read_line(&mut self, line: &[u8], bytes: u64) {
        if let Some(event) = line.strip_prefix(b"event:") {
            self.kind = match event.trim_ascii_start() {
                b"content_block_delta" => Kind::Delta,
                b"message_start" => Kind::Start,
                b"message_delta" => Kind::End,
                b"message_stop" => Kind::Stop,
                b"error" => Kind::Error,
                _ => Kind::Other,
            };
        } else if let Some(data) = line.strip_prefix(b"data:") {
            let is_whole = bytes == line.len() as u64;
            if is_whole && self.data.len() + data.len() <= MAX_LINE {
                self.data.extend_from_slice(data);
                self.data.push(b'\n');
            } else if self.kind != Kind::Unnamed {
                self.garbage = true;
            }
        }
    }

    fn end_event(&mut self) {
        let kind = std::mem::take(&mut self.kind);
        match kind {
            Kind::Delta | Kind::Other => {}
            Kind::Stop => self.stopped = true,
            Kind::Unnamed if self.data.is_empty() => {}
            Kind::Unnamed | Kind::Start | Kind::End | Kind::Error => self.read_data(kind),
        }
        self.data.clear();
    }

    fn read_data(&mut self, kind: Kind) {
        let Ok(value) = serde_json::from_slice::<Value>(&self.data) else {
            self.garbage |= kind != Kind::Unnamed;
            return;
        };
        match value.get("type").and_then(Value::as_str) {
            Some("message_start") => {
                self.started = true;
                let message = &value["message"];
                self.model = name(message.get("model"));
                self.id = name(message.get("id"));
                self.figures.merge(&message["usage"]);
            }
            Some("message_delta") => {
                self.last_figures |= value["usage"].is_object();
                self.stop_reason = name(value["delta"].get("stop_reason")).or(self.stop_reason.take());
                self.figures.merge(&value["usage"]);
            }
            Some("message_stop") => self.stopped = true,
            Some("error") => {
                self.error =
                    Some(name(value["error"].get("type")).unwrap_or_else(|| "unnamed_error".to_owned()));
            }
            Some("content_block_delta") => {
                self.delta_bytes += (self.data.len() as u64).saturating_sub(DELTA_FRAME);
            }
            _ => {}
        }
    }

    /// What the stream was, as far as it came.
    pub fn outcome(mut self) -> Outcome {
        if self.kind == Kind::Delta {
            // What came of an event that was cut off.
            self.delta_bytes += self.line_bytes.saturating_sub(DELTA_FRAME);
        }
        let whole = self.stopped && self.last_figures;
        let said = self.figures.output();
        let suspect = self.figures.suspect;
        if !whole && self.started && !self.last_figures {
            // The first event's figure is a beginning only; what was seen since is counted by its length.
            let seen = estimate_tokens(self.delta_bytes).max(said.unwrap_or(0));
            self.figures.merge(&serde_json::json!({"output_tokens": seen}));
        }
        Outcome {
            usage_seen: self.started || self.last_figures,
            estimated: !whole || suspect,
            usage: self.figures.usage(),
            model: self.model,
            id: self.id,
            stop_reason: self.stop_reason,
            error: self.error,
            garbage: self.garbage || (self.stopped && !self.started),
        }
    }
}

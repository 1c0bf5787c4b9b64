//! Checks that an answer is whole and belongs to the request, and takes the times.

use crate::body::ID_LEN;
use crate::http::{Head, Sink, now_ns};
use memchr::memmem;

/// A JSON answer.
pub struct Whole {
    pub status: u16,
    pub bytes: Vec<u8>,
    pub first_ns: u64,
}

impl Whole {
    pub fn new() -> Self {
        Whole { status: 0, bytes: Vec::with_capacity(4096), first_ns: 0 }
    }

    pub fn verdict(&self, id: &[u8; ID_LEN]) -> Result<(), String> {
        if self.status != 200 {
            return Err(format!("status {}", self.status));
        }
        let v: serde_json::Value =
            serde_json::from_slice(&self.bytes).map_err(|_| "answer: no JSON".to_owned())?;
        if v["type"] != "message" || v["content"][0]["text"].as_str().is_none_or(str::is_empty) {
            return Err("answer: no message".to_owned());
        }
        if v["usage"]["output_tokens"].as_u64().is_none_or(|n| n == 0) {
            return Err("answer: no usage".to_owned());
        }
        if memmem::find(&self.bytes, id).is_none() {
            return Err("answer: of another request".to_owned());
        }
        Ok(())
    }
}

impl Sink for Whole {
    fn head(&mut self, head: &Head) {
        self.status = head.status;
        self.first_ns = now_ns();
    }
    fn data(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
    }
}

/// A stream of events.
pub struct Events<'a> {
    pub status: u16,
    sse: bool,
    line: Vec<u8>,
    id: &'a [u8; ID_LEN],
    started: bool,
    usage: bool,
    stopped: bool,
    pub deltas: u64,
    bad: Option<String>,
    pub first_event_ns: u64,
    pub first_delta_ns: u64,
    /// (receive time, transit time) of each delta, handed to the caller's histogram.
    pub on_delta: &'a mut dyn FnMut(u64, u64),
}

impl<'a> Events<'a> {
    pub fn new(id: &'a [u8; ID_LEN], on_delta: &'a mut dyn FnMut(u64, u64)) -> Self {
        Events {
            status: 0,
            sse: false,
            line: Vec::with_capacity(512),
            id,
            started: false,
            usage: false,
            stopped: false,
            deltas: 0,
            bad: None,
            first_event_ns: 0,
            first_delta_ns: 0,
            on_delta,
        }
    }

    pub fn verdict(&self, want: u64) -> Result<(), String> {
        if self.status != 200 {
            return Err(format!("status {}", self.status));
        }
        if !self.sse {
            return Err("stream: wrong content type".to_owned());
        }
        if let Some(bad) = &self.bad {
            return Err(bad.clone());
        }
        if !self.started {
            return Err("stream: no message_start".to_owned());
        }
        if self.deltas != want {
            return Err("stream: events missing".to_owned());
        }
        if !self.usage {
            return Err("stream: no usage".to_owned());
        }
        if !self.stopped {
            return Err("stream: no message_stop".to_owned());
        }
        Ok(())
    }

    fn fail(&mut self, what: &str) {
        self.bad.get_or_insert_with(|| what.to_owned());
    }

    fn event(&mut self, data: &[u8], now: u64) {
        if memmem::find(data, b"content_block_delta").is_some() {
            let Some((index, sent)) = tick(data) else {
                return self.fail("stream: delta without its text");
            };
            if index != self.deltas {
                self.fail("stream: events out of order");
            }
            if self.deltas == 0 {
                self.first_delta_ns = now;
            }
            self.deltas += 1;
            (self.on_delta)(now, now.saturating_sub(sent));
        } else if memmem::find(data, b"message_start").is_some() {
            self.started = true;
            self.first_event_ns = now;
            if memmem::find(data, self.id).is_none() {
                self.fail("stream: of another request");
            }
        } else if memmem::find(data, b"message_delta").is_some() {
            self.usage |= memmem::find(data, b"output_tokens").is_some();
        } else if memmem::find(data, b"message_stop").is_some() {
            self.stopped = true;
        } else if memmem::find(data, b"\"error\"").is_some() {
            self.fail("stream: error event");
        }
    }
}

/// Reads "#<index>@<ns>;" out of a delta.
fn tick(data: &[u8]) -> Option<(u64, u64)> {
    let at = memchr::memchr(b'#', data)?;
    let mut nums = [0u64; 2];
    let mut k = 0;
    for &c in &data[at + 1..] {
        match c {
            b'0'..=b'9' => nums[k] = nums[k].wrapping_mul(10).wrapping_add(u64::from(c - b'0')),
            b'@' if k == 0 => k = 1,
            b';' if k == 1 => return Some((nums[0], nums[1])),
            _ => return None,
        }
    }
    None
}

impl Sink for Events<'_> {
    fn head(&mut self, head: &Head) {
        self.status = head.status;
        self.sse = head.sse;
    }

    fn data(&mut self, mut data: &[u8]) {
        let now = now_ns();
        while let Some(end) = memchr::memchr(b'\n', data) {
            let (piece, rest) = data.split_at(end);
            if self.line.is_empty() {
                if let Some(payload) = piece.strip_prefix(b"data:") {
                    self.event(payload, now);
                }
            } else {
                self.line.extend_from_slice(piece);
                let line = std::mem::take(&mut self.line);
                if let Some(payload) = line.strip_prefix(b"data:") {
                    self.event(payload, now);
                }
                self.line = line;
                self.line.clear();
            }
            data = &rest[1..];
        }
        self.line.extend_from_slice(data);
    }
}

//! A streamed reply as Bedrock sends it: the events of the Messages API in, event-stream frames out. See [`super::Events`]
//! for the way back.

use base64ct::{Base64, Encoding as _};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;

use super::dress::exception;
use crate::eventstream::encode;

/// Largest event, in bytes: in Base64 it must fit into a frame. The API's events are far smaller; a larger one ends the
/// stream with an exception.
const MAX_EVENT: usize = 2 * 1024 * 1024;

/// Turns server-sent events, in pieces of any size, into frames. Holds at most one unfinished event (`MAX_EVENT`).
#[derive(Debug, Default)]
pub struct Frames {
    /// A line whose end has not come.
    line: Vec<u8>,
    /// The data of an event whose end has not come.
    data: Vec<u8>,
    failed: bool,
}

impl Frames {
    /// Takes the next piece; returns the frames of the events that it completes.
    pub fn feed(&mut self, mut piece: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(piece.len() * 3 / 2 + 64);
        while !self.failed && !piece.is_empty() {
            let end = piece.iter().position(|byte| *byte == b'\n');
            let (part, rest) = piece.split_at(end.unwrap_or(piece.len()));
            self.line.extend_from_slice(part);
            piece = rest.get(1..).unwrap_or_default();
            if end.is_some() {
                self.end_line(&mut out);
            }
            if self.line.len() + self.data.len() > MAX_EVENT {
                self.failed = true;
                (self.line, self.data) = (Vec::new(), Vec::new());
                put_exception("api_error", "An event of the reply is too large to be sent on.", &mut out);
            }
        }
        out.freeze()
    }

    fn end_line(&mut self, out: &mut BytesMut) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if let Some(data) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        } else if line.is_empty() && !self.data.is_empty() {
            put(&self.data, out);
            self.data.clear();
        }
        self.line.clear();
    }
}

/// Appends an event's frame.
fn put(data: &[u8], out: &mut BytesMut) {
    #[derive(Deserialize)]
    struct Event {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        error: Told,
    }
    #[derive(Deserialize, Default)]
    struct Told {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        message: String,
    }
    match serde_json::from_slice::<Event>(data) {
        Ok(event) if event.kind == "error" => put_exception(&event.error.kind, &event.error.message, out),
        // Bedrock sends none. Readers pass over frames of a kind that they do not know, so it still keeps the line busy.
        Ok(event) if event.kind == "ping" => put_frame((":event-type", "ping"), "event", b"{}", out),
        Ok(_) | Err(_) => {
            let mut payload = Vec::with_capacity(data.len() * 4 / 3 + 16);
            payload.extend_from_slice(b"{\"bytes\":\"");
            payload.extend_from_slice(Base64::encode_string(data).as_bytes());
            payload.extend_from_slice(b"\"}");
            put_frame((":event-type", "chunk"), "event", &payload, out);
        }
    }
}

fn put_exception(kind: &str, message: &str, out: &mut BytesMut) {
    let name = exception(kind);
    // Within a stream their names begin with a small letter.
    let name = format!("{}{}", name[..1].to_ascii_lowercase(), &name[1..]);
    let payload = json!({"message": message}).to_string();
    put_frame((":exception-type", &name), "exception", payload.as_bytes(), out);
}

fn put_frame(kind: (&str, &str), message: &str, payload: &[u8], out: &mut BytesMut) {
    let headers = [kind, (":content-type", "application/json"), (":message-type", message)];
    // It fails for what is too large only, and that has been ruled out.
    if let Ok(frame) = encode(&headers, payload) {
        out.put_slice(&frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Events;

    const TEXT: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"\u{e9}\\n–\"}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

    fn framed(text: &str, piece: usize) -> Vec<u8> {
        let mut frames = Frames::default();
        text.as_bytes().chunks(piece).flat_map(|piece| frames.feed(piece)).collect()
    }

    #[test]
    fn events_come_back_from_frames_as_they_were() {
        let whole = framed(TEXT, usize::MAX);
        for piece in [1, 2, 7, 100] {
            assert_eq!(framed(TEXT, piece), whole);
        }
        assert_eq!(framed(&TEXT.replace('\n', "\r\n"), 3), whole);
        let mut events = Events::default();
        assert_eq!(events.feed(&whole), TEXT.as_bytes());
        assert!(!events.is_garbled());
    }

    #[test]
    fn pings_are_passed_over_and_errors_are_exceptions() {
        let text = ": a comment\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: error\ndata: \
            {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}}\n\n";
        let bytes = framed(text, 5);
        let mut events = Events::default();
        let back = events.feed(&bytes);
        let back = std::str::from_utf8(&back).unwrap();
        assert!(back.starts_with("event: error\n") && back.contains("rate_limit_error"), "{back}");
        assert!(!events.is_garbled());
    }

    #[test]
    fn an_event_that_no_frame_can_hold_ends_the_stream() {
        let mut frames = Frames::default();
        let begun = frames.feed(TEXT.as_bytes()).len();
        let long = format!("data: {}", "x".repeat(MAX_EVENT));
        let mut events = Events::default();
        let told = events.feed(&frames.feed(long.as_bytes()));
        assert!(begun > 0 && told.starts_with(b"event: error\n"));
        assert!(frames.feed(TEXT.as_bytes()).is_empty());
    }
}

//! A streamed reply of Bedrock as server-sent events: frames in, the very events of the Messages API out.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64ct::{Base64, Encoding as _};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;

use crate::eventstream::{Decoder, Frame};
use crate::fault::Fault;

/// Longest event name; the API's are shorter.
const MAX_NAME: usize = 64;

/// What a `chunk` frame carries: an event of the Messages API, in Base64. The padding beside it means nothing.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    bytes: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, rename = "type")]
    name: Cow<'a, str>,
}

/// Turns frames into events, in pieces of any size. Every frame's event goes out with the piece that completes it.
#[derive(Debug, Default)]
pub struct Events {
    decoder: Decoder,
    /// An event before its line breaks are looked at; kept for the next one.
    json: Vec<u8>,
    garbled: bool,
}

impl Events {
    /// Takes the next piece; returns the events that it completes. After damage nothing comes any more.
    ///
    /// An exception that the provider sends within the stream comes out as an `error` event.
    pub fn feed(&mut self, piece: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(if piece.is_empty() { 0 } else { piece.len() + 64 });
        let Self { decoder, json, garbled } = self;
        let fed = decoder.feed(piece, |frame| {
            *garbled = *garbled || put(frame, json, &mut out).is_none();
        });
        *garbled |= fed.is_err();
        out.freeze()
    }

    /// Whether what came cannot be a reply: a checksum that does not fit, a payload that is no event.
    pub const fn is_garbled(&self) -> bool {
        self.garbled
    }
}

/// Appends a frame's event; nothing if there is none in it.
fn put(frame: Frame<'_>, json: &mut Vec<u8>, out: &mut BytesMut) -> Option<()> {
    match frame.text(":message-type") {
        Some("event") | None if frame.text(":event-type") == Some("chunk") => {
            let chunk: Chunk<'_> = serde_json::from_slice(frame.payload).ok()?;
            json.resize(chunk.bytes.len() / 4 * 3 + 3, 0);
            let length = Base64::decode(chunk.bytes.as_bytes(), json).ok()?.len();
            event(&mut json[..length], out)
        }
        // An event of another kind, which a later release of the service may have.
        Some("event") => Some(()),
        Some("exception") => {
            let kind = frame.text(":exception-type").unwrap_or_default();
            fault(&Fault::named(kind, frame.payload), out);
            Some(())
        }
        Some("error") => {
            let (code, message) = (frame.text(":error-code"), frame.text(":error-message"));
            fault(&Fault::told(code.unwrap_or_default(), message.unwrap_or_default()), out);
            Some(())
        }
        Some(_) | None => None,
    }
}

/// Appends an event by its JSON. Line breaks between its values, where no reader minds them, become spaces: within a data
/// line they would end it.
fn event(json: &mut [u8], out: &mut BytesMut) -> Option<()> {
    let named: Named<'_> = serde_json::from_slice(json).ok()?;
    let is_name =
        |name: &str| name.len() <= MAX_NAME && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if named.name.is_empty() || !is_name(&named.name) {
        return None;
    }
    out.put_slice(b"event: ");
    out.put_slice(named.name.as_bytes());
    for byte in json.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    out.put_slice(b"\ndata: ");
    out.put_slice(json);
    out.put_slice(b"\n\n");
    Some(())
}

fn fault(fault: &Fault, out: &mut BytesMut) {
    let body = serde_json::json!({"type": "error", "error": {"type": fault.kind, "message": fault.message}});
    // Writing into memory does not fail.
    let _ = write!(out, "event: error\ndata: {body}\n\n");
}

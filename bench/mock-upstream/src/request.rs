//! What is read off a request while it streams through, without parsing it.

use http_body_util::BodyExt;
use hyper::body::Incoming;

const ID_LEN: usize = 16;
const CARRY: usize = 192;

/// What is read off the request body while it streams through, without parsing it.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) stream: bool,
    pub(crate) model: Option<String>,
    pub(crate) id: [u8; ID_LEN],
    pub(crate) events: Option<u32>,
    pub(crate) delay_ms: Option<u64>,
    pub(crate) latency_ms: Option<u64>,
    pub(crate) text_bytes: Option<usize>,
    pub(crate) error: Option<u16>,
    pub(crate) cut_after: Option<u32>,
    pub(crate) directive: bool,
    pub(crate) bytes: u64,
}

impl Seen {
    fn new() -> Self {
        Seen {
            stream: false,
            model: None,
            id: *b"0000000000000000",
            events: None,
            delay_ms: None,
            latency_ms: None,
            text_bytes: None,
            error: None,
            cut_after: None,
            directive: false,
            bytes: 0,
        }
    }

    fn scan(&mut self, hay: &[u8]) {
        if !self.stream {
            for at in memchr::memmem::find_iter(hay, b"\"stream\"") {
                let rest = value_after(&hay[at + 8..]);
                if rest.starts_with(b"true") {
                    self.stream = true;
                    break;
                }
            }
        }
        if self.model.is_none()
            && let Some(at) = memchr::memmem::find(hay, b"\"model\"")
        {
            let rest = value_after(&hay[at + 7..]);
            if let Some(rest) = rest.strip_prefix(b"\"")
                && let Some(end) = memchr::memchr(b'"', rest)
                && let Ok(s) = std::str::from_utf8(&rest[..end])
            {
                self.model = Some(s.to_owned());
            }
        }
        if !self.directive
            && let Some(at) = memchr::memmem::find(hay, b"[[req:")
        {
            let rest = &hay[at + 6..];
            if let Some(end) = memchr::memmem::find(&rest[..rest.len().min(CARRY)], b"]]") {
                self.directive(&rest[..end]);
            }
        }
    }

    fn directive(&mut self, text: &[u8]) {
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        let mut words = text.split_ascii_whitespace();
        let Some(id) = words.next() else { return };
        if id.len() != ID_LEN || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return;
        }
        self.id.copy_from_slice(id.as_bytes());
        self.directive = true;
        for word in words {
            let Some((key, value)) = word.split_once('=') else {
                continue;
            };
            match key {
                "n" => self.events = value.parse().ok(),
                "d" => self.delay_ms = value.parse().ok(),
                "l" => self.latency_ms = value.parse().ok(),
                "b" => self.text_bytes = value.parse().ok().filter(|n| *n > 0),
                "e" => self.error = value.parse().ok().filter(|n| *n >= 400),
                "x" => self.cut_after = value.parse().ok().filter(|n| *n > 0),
                _ => {}
            }
        }
    }

    pub(crate) fn id(&self) -> &str {
        std::str::from_utf8(&self.id).unwrap_or("0000000000000000")
    }
}

fn value_after(mut rest: &[u8]) -> &[u8] {
    rest = rest.trim_ascii_start();
    rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start).unwrap_or(b"")
}

pub(crate) async fn read_body(mut body: Incoming) -> Result<Seen, hyper::Error> {
    let mut seen = Seen::new();
    // The end of what came before, so that a key cut by a chunk border is still found.
    let mut edge: Vec<u8> = Vec::with_capacity(2 * CARRY);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if seen.bytes > 0 {
            edge.extend_from_slice(&data[..data.len().min(CARRY)]);
            seen.scan(&edge);
        }
        seen.bytes += data.len() as u64;
        seen.scan(&data);
        let keep = data.len().min(CARRY);
        if keep == CARRY {
            edge.clear();
        }
        edge.extend_from_slice(&data[data.len() - keep..]);
        let extra = edge.len().saturating_sub(CARRY);
        edge.drain(..extra);
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_request_asks_for() {
        let mut s = Seen::new();
        s.scan(br#"{"model": "claude-x","messages":[{"content":"[[req:00000000000000ab n=7 d=20 e=0 x=3]]"}],"stream" : true}"#);
        assert!(s.stream && s.directive);
        assert_eq!(s.model.as_deref(), Some("claude-x"));
        assert_eq!((s.id(), s.events, s.delay_ms), ("00000000000000ab", Some(7), Some(20)));
        assert_eq!((s.error, s.cut_after), (None, Some(3)));
    }

    #[test]
    fn escaped_text_is_no_key() {
        let mut s = Seen::new();
        s.scan(br#"{"messages":[{"content":"{\"stream\": true}"}],"stream":false}"#);
        assert!(!s.stream);
    }
}

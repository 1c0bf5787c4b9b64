//! A client that sends the very bytes it is given and reports what came back, byte by byte.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// A connection to the server under test.
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A reply as the client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, chunks joined.
    pub body: Vec<u8>,
    /// Whether the body ended as its framing promised.
    pub complete: bool,
}

impl Reply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }
}

impl Connection {
    /// Connects to `host:port` or `http://host:port`.
    ///
    /// # Panics
    /// When nothing listens there.
    pub fn open(address: &str) -> Self {
        let address = address.trim_start_matches("http://");
        let stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("connecting to {address}: {e}"));
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(crate::wait::LIMIT)).unwrap();
        Self { stream, unread: Vec::new() }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request with a body, its length announced.
    ///
    /// # Panics
    /// When the server does not take it.
    pub fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) {
        self.try_request(method, target, headers, body).expect("the server takes the request");
    }

    fn try_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: gateway.test\r\n");
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if method != "GET" && method != "HEAD" {
            head.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        let mut all = head.into_bytes();
        all.extend_from_slice(body);
        self.send(&all)
    }

    /// Ends our side of the connection.
    pub fn half_close(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads more bytes; `false` at the end.
    fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.unread.extend_from_slice(&piece[..n]);
                true
            }
        }
    }

    /// Whether the server closes the connection within a time, sending nothing more.
    pub fn closed_within(&mut self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let began = Instant::now();
        let mut byte = [0; 1];
        let end = self.stream.read(&mut byte);
        matches!(end, Ok(0))
            || end.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset) && began.elapsed() < limit
    }

    /// Reads until the body holds these bytes, and returns the body so far.
    ///
    /// # Panics
    /// When the reply ends before.
    pub fn read_until(&mut self, wanted: &str) -> Vec<u8> {
        loop {
            if let Some(at) = find(&self.unread, wanted.as_bytes()) {
                return self.unread[..at + wanted.len()].to_vec();
            }
            assert!(
                self.more(),
                "the reply ended before {wanted:?}: {}",
                String::from_utf8_lossy(&self.unread)
            );
        }
    }

    /// Reads a whole reply; `None` when the connection ends without one.
    pub fn try_reply(&mut self) -> Option<Reply> {
        while find(&self.unread, b"\r\n\r\n").is_none() {
            if !self.more() {
                return None;
            }
        }
        Some(self.reply())
    }

    /// Reads a whole reply.
    ///
    /// # Panics
    /// When no head comes.
    pub fn reply(&mut self) -> Reply {
        let end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at + 4;
            }
            assert!(
                self.more(),
                "the connection ended without a reply: {:?}",
                String::from_utf8_lossy(&self.unread)
            );
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
            .collect();
        if status == 100 {
            return self.reply();
        }
        let mut reply = Reply { status, headers, body: Vec::new(), complete: false };
        // These have no body, whatever their heads say (RFC 9112, section 6.3).
        if matches!(status, 204 | 304) {
            return Reply { complete: true, ..reply };
        }
        self.body_of(&mut reply);
        reply
    }

    fn body_of(&mut self, reply: &mut Reply) {
        if reply.header("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
            reply.complete = self.chunks(&mut reply.body);
        } else if let Some(length) = reply.header("content-length").map(|v| v.parse::<usize>().unwrap()) {
            while self.unread.len() < length && self.more() {}
            let take = length.min(self.unread.len());
            reply.body.extend(self.unread.drain(..take));
            reply.complete = take == length;
        } else {
            while self.more() {}
            reply.body.append(&mut self.unread);
            reply.complete = true;
        }
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let line = loop {
                if let Some(at) = find(&self.unread, b"\r\n") {
                    break at;
                }
                if !self.more() {
                    return false;
                }
            };
            let size: Vec<u8> = self.unread.drain(..line + 2).collect();
            let size = usize::from_str_radix(std::str::from_utf8(&size).unwrap().trim(), 16).unwrap();
            while self.unread.len() < size + 2 {
                if !self.more() {
                    return false;
                }
            }
            body.extend(self.unread.drain(..size));
            self.unread.drain(..2);
            if size == 0 {
                return true;
            }
        }
    }
}

/// One request on a connection of its own.
pub fn once(address: &str, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut connection = Connection::open(address);
    connection.request(method, target, headers, body);
    connection.reply()
}

/// The same, where the server may be down or go down: `None` without a whole reply.
pub fn try_once(
    address: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Reply> {
    let stream = TcpStream::connect(address.trim_start_matches("http://")).ok()?;
    stream.set_read_timeout(Some(crate::wait::LIMIT)).ok()?;
    let mut connection = Connection { stream, unread: Vec::new() };
    connection.try_request(method, target, headers, body).ok()?;
    connection.try_reply().filter(|reply| reply.complete)
}

/// Where bytes occur in bytes.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|w| w == needle)
}

//! Just enough HTTP/1.1 to keep the load generator cheaper than what it measures.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The clock that the mock upstream reads as well.
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

pub struct Conn {
    stream: TcpStream,
    buf: Vec<u8>,
    pub used: u64,
}

pub struct Head {
    pub status: u16,
    pub keep: bool,
    pub sse: bool,
}

#[derive(Debug)]
pub enum Fail {
    Io(&'static str, io::ErrorKind),
    Protocol(&'static str),
    Timeout,
}

impl Fail {
    pub fn name(&self) -> String {
        match self {
            Fail::Io(what, kind) => format!("{what}: {kind}"),
            Fail::Protocol(what) => format!("protocol: {what}"),
            Fail::Timeout => "timeout".to_owned(),
        }
    }
}

/// Receives the body of an answer, piece by piece.
pub trait Sink {
    fn head(&mut self, head: &Head);
    fn data(&mut self, data: &[u8]);
}

enum Framing {
    Length(u64),
    Chunked,
    Close,
}

enum Chunk {
    Size,
    Data(u64),
    DataEnd,
    Trailer,
}

impl Conn {
    pub async fn open(addr: &str) -> Result<Conn, Fail> {
        let stream = TcpStream::connect(addr).await.map_err(|e| Fail::Io("connect", e.kind()))?;
        stream.set_nodelay(true).map_err(|e| Fail::Io("connect", e.kind()))?;
        Ok(Conn { stream, buf: Vec::with_capacity(16 * 1024), used: 0 })
    }

    async fn fill(&mut self) -> Result<usize, Fail> {
        self.buf.reserve(8 * 1024);
        self.stream.read_buf(&mut self.buf).await.map_err(|e| Fail::Io("read", e.kind()))
    }

    /// Sends one request; Ok(true) if the connection may be used again.
    pub async fn call(
        &mut self,
        parts: [&[u8]; 2],
        sink: &mut impl Sink,
        limit: Duration,
    ) -> Result<bool, Fail> {
        match tokio::time::timeout(limit, self.call_inner(parts, sink)).await {
            Ok(r) => r,
            Err(_) => Err(Fail::Timeout),
        }
    }

    async fn call_inner(&mut self, parts: [&[u8]; 2], sink: &mut impl Sink) -> Result<bool, Fail> {
        self.buf.clear();
        self.used += 1;
        let sent = async {
            let (head, body) = (parts[0], parts[1]);
            let slices = [io::IoSlice::new(head), io::IoSlice::new(body)];
            let n = self.stream.write_vectored(&slices).await?;
            if n < head.len() {
                self.stream.write_all(&head[n..]).await?;
                self.stream.write_all(body).await?;
            } else {
                self.stream.write_all(&body[n - head.len()..]).await?;
            }
            Ok::<(), io::Error>(())
        }
        .await;
        if let Err(e) = sent {
            return Err(Fail::Io("write", e.kind()));
        }
        let (head, framing, mut at) = loop {
            if self.fill().await? == 0 {
                return Err(Fail::Protocol("closed before the head"));
            }
            if let Some(parsed) = parse_head(&self.buf)? {
                break parsed;
            }
        };
        sink.head(&head);
        match framing {
            Framing::Length(mut left) => loop {
                let have = ((self.buf.len() - at) as u64).min(left) as usize;
                sink.data(&self.buf[at..at + have]);
                left -= have as u64;
                self.buf.clear();
                at = 0;
                if left == 0 {
                    return Ok(head.keep);
                }
                if self.fill().await? == 0 {
                    return Err(Fail::Protocol("closed inside the body"));
                }
            },
            Framing::Close => loop {
                sink.data(&self.buf[at..]);
                self.buf.clear();
                at = 0;
                if self.fill().await? == 0 {
                    return Ok(false);
                }
            },
            Framing::Chunked => {
                let mut state = Chunk::Size;
                loop {
                    while at < self.buf.len() {
                        let rest = &self.buf[at..];
                        match state {
                            Chunk::Size => {
                                let Some(end) = memchr::memchr(b'\n', rest) else {
                                    break;
                                };
                                let line = std::str::from_utf8(&rest[..end])
                                    .map_err(|_| Fail::Protocol("chunk size"))?;
                                let hex = line.split(';').next().unwrap_or("").trim();
                                let size =
                                    u64::from_str_radix(hex, 16).map_err(|_| Fail::Protocol("chunk size"))?;
                                at += end + 1;
                                state = if size == 0 { Chunk::Trailer } else { Chunk::Data(size) };
                            }
                            Chunk::Data(left) => {
                                let have = (rest.len() as u64).min(left);
                                sink.data(&rest[..have as usize]);
                                at += have as usize;
                                state = if have == left { Chunk::DataEnd } else { Chunk::Data(left - have) };
                            }
                            Chunk::DataEnd => {
                                if rest.len() < 2 {
                                    break;
                                }
                                at += 2;
                                state = Chunk::Size;
                            }
                            Chunk::Trailer => {
                                let Some(end) = memchr::memchr(b'\n', rest) else {
                                    break;
                                };
                                at += end + 1;
                                if rest[..end].trim_ascii().is_empty() {
                                    return Ok(head.keep);
                                }
                            }
                        }
                    }
                    self.buf.drain(..at);
                    at = 0;
                    if self.fill().await? == 0 {
                        return Err(Fail::Protocol("closed inside the body"));
                    }
                }
            }
        }
    }
}

fn parse_head(buf: &[u8]) -> Result<Option<(Head, Framing, usize)>, Fail> {
    let mut headers = [httparse::EMPTY_HEADER; 96];
    let mut r = httparse::Response::new(&mut headers);
    let at = match r.parse(buf) {
        Ok(httparse::Status::Complete(n)) => n,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Fail::Protocol("response head")),
    };
    let mut head = Head { status: r.code.unwrap_or(0), keep: r.version == Some(1), sse: false };
    let mut framing = Framing::Close;
    for h in r.headers.iter() {
        let value = std::str::from_utf8(h.value).unwrap_or("").trim();
        if h.name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Length(value.parse().map_err(|_| Fail::Protocol("content-length"))?);
        } else if h.name.eq_ignore_ascii_case("transfer-encoding") {
            if value.eq_ignore_ascii_case("chunked") {
                framing = Framing::Chunked;
            }
        } else if h.name.eq_ignore_ascii_case("connection") {
            if value.eq_ignore_ascii_case("close") {
                head.keep = false;
            }
        } else if h.name.eq_ignore_ascii_case("content-type") {
            head.sse = value.starts_with("text/event-stream");
        }
    }
    Ok(Some((head, framing, at)))
}

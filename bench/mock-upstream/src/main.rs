//! A stand-in for the Anthropic Messages API that costs as little as possible,
//! so that what a benchmark sees is the gateway in front of it.
//!
//! Endpoints: POST /v1/messages (JSON or SSE), POST /v1/messages/count_tokens,
//! GET /v1/models, GET /healthz, GET /__stats.
//!
//! A request may steer its own answer with a directive placed anywhere in the
//! body's text, so no header has to survive the gateway:
//!
//!     [[req:0123456789abcdef n=50 d=20 l=0 b=0 e=0 x=0]]
//!
//!   req  an id of 16 characters that is echoed (message id and text)
//!   n    number of content_block_delta events        (default: --events)
//!   d    milliseconds between them                    (default: --delay-ms)
//!   l    milliseconds before the response head        (default: --latency-ms)
//!   b    bytes of filler text in the JSON answer      (default: --text-bytes)
//!   e    answer with this HTTP error status instead   (default: none)
//!   x    break the connection after x delta events    (default: never)
//!
//! Each delta's text is "#<index>@<CLOCK_MONOTONIC ns>; ...": a client on the
//! same machine can tell the transit time of every single event.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep};

struct Config {
    events: u32,
    delay_ms: u64,
    latency_ms: u64,
    text_bytes: usize,
    require_key: Option<String>,
}

#[derive(Default)]
struct Stats {
    connections: AtomicU64,
    requests: AtomicU64,
    streams: AtomicU64,
    streams_done: AtomicU64,
    streams_active: AtomicU64,
    streams_active_max: AtomicU64,
    streams_aborted: AtomicU64,
    rejected_key: AtomicU64,
    body_bytes: AtomicU64,
}

struct App {
    cfg: Config,
    stats: Stats,
}

fn monotonic_ns() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: ts is a valid, writable timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

// ---------------------------------------------------------------- request scan

const ID_LEN: usize = 16;
const CARRY: usize = 192;

/// What is read off the request body while it streams through, without parsing it.
#[derive(Clone)]
struct Seen {
    stream: bool,
    model: Option<String>,
    id: [u8; ID_LEN],
    events: Option<u32>,
    delay_ms: Option<u64>,
    latency_ms: Option<u64>,
    text_bytes: Option<usize>,
    error: Option<u16>,
    cut_after: Option<u32>,
    directive: bool,
    bytes: u64,
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

    fn id(&self) -> &str {
        std::str::from_utf8(&self.id).unwrap_or("0000000000000000")
    }
}

fn value_after(mut rest: &[u8]) -> &[u8] {
    rest = rest.trim_ascii_start();
    rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start).unwrap_or(b"")
}

async fn read_body(mut body: Incoming) -> Result<Seen, hyper::Error> {
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

// -------------------------------------------------------------------- answers

enum Answer {
    Whole(Option<Bytes>),
    Stream(Box<Sse>),
}

struct Sse {
    app: Arc<App>,
    id: String,
    model: String,
    events: u32,
    delay: Duration,
    cut_after: Option<u32>,
    next: u32,
    started: bool,
    ended: bool,
    t0: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Drop for Sse {
    fn drop(&mut self) {
        self.app.stats.streams_active.fetch_sub(1, Relaxed);
        if self.ended {
            self.app.stats.streams_done.fetch_add(1, Relaxed);
        } else {
            self.app.stats.streams_aborted.fetch_add(1, Relaxed);
        }
    }
}

#[derive(Debug)]
struct Cut;
impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut on request")
    }
}
impl std::error::Error for Cut {}

const INPUT_TOKENS: u32 = 25;
const CACHE_WRITE: u32 = 1200;
const CACHE_READ: u32 = 18000;

impl Sse {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if !self.started {
            self.started = true;
            self.t0 = Instant::now();
            let text = format!(
                "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"msg_{}\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"{}\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{{\"input_tokens\":{INPUT_TOKENS},\"cache_creation_input_tokens\":{CACHE_WRITE},\"cache_read_input_tokens\":{CACHE_READ},\"output_tokens\":1,\"service_tier\":\"standard\"}}}}}}\n\nevent: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"text\",\"text\":\"\"}}}}\n\nevent: ping\ndata: {{\"type\":\"ping\"}}\n\n",
                self.id, self.model
            );
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if self.next < self.events {
            if self.cut_after.is_some_and(|n| self.next >= n) {
                return Poll::Ready(Some(Err(Cut)));
            }
            if !self.delay.is_zero() {
                let due = self.t0 + self.delay * (self.next + 1);
                let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                if sleep.deadline() != due {
                    sleep.as_mut().reset(due);
                }
                std::task::ready!(sleep.as_mut().poll(cx));
            }
            let text = format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"#{}@{}; some words\"}}}}\n\n",
                self.next,
                monotonic_ns()
            );
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))));
        }
        self.ended = true;
        let text = format!(
            "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":0}}\n\nevent: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}},\"usage\":{{\"output_tokens\":{}}}}}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n",
            self.events
        );
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))))
    }
}

use std::future::Future;

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Answer::Whole(b) => Poll::Ready(b.take().map(|b| Ok(Frame::data(b)))),
            Answer::Stream(s) => s.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Whole(None))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Answer::Whole(b) => hyper::body::SizeHint::with_exact(b.as_ref().map_or(0, |b| b.len() as u64)),
            Answer::Stream(_) => hyper::body::SizeHint::default(),
        }
    }
}

fn json(status: StatusCode, id: &str, text: String) -> Response<Answer> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header("request-id", format!("req_{id}"))
        .body(Answer::Whole(Some(Bytes::from(text))))
        .expect("valid response")
}

fn error(status: u16, id: &str) -> Response<Answer> {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut r = json(
        status,
        id,
        format!(
            "{{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"mock {kind}\"}},\"request_id\":\"req_{id}\"}}"
        ),
    );
    if status == StatusCode::TOO_MANY_REQUESTS {
        r.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    r
}

const FILLER: &str = "The function reads the file, checks each line and reports what it found. ";

async fn messages(app: Arc<App>, seen: Seen) -> Response<Answer> {
    let cfg = &app.cfg;
    let latency = seen.latency_ms.unwrap_or(cfg.latency_ms);
    if latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    let id = seen.id().to_owned();
    if let Some(status) = seen.error {
        return error(status, &id);
    }
    let model = seen.model.clone().unwrap_or_else(|| "claude-mock".to_owned());
    if !seen.stream {
        let want = seen.text_bytes.unwrap_or(cfg.text_bytes);
        let mut text = String::with_capacity(want + FILLER.len());
        while text.len() < want {
            text.push_str(FILLER);
        }
        text.truncate(want);
        return json(
            StatusCode::OK,
            &id,
            format!(
                "{{\"id\":\"msg_{id}\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"{model}\",\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{{\"input_tokens\":{INPUT_TOKENS},\"cache_creation_input_tokens\":{CACHE_WRITE},\"cache_read_input_tokens\":{CACHE_READ},\"output_tokens\":{},\"service_tier\":\"standard\"}}}}",
                text.len() / 4
            ),
        );
    }
    let stats = &app.stats;
    stats.streams.fetch_add(1, Relaxed);
    let active = stats.streams_active.fetch_add(1, Relaxed) + 1;
    stats.streams_active_max.fetch_max(active, Relaxed);
    let sse = Sse {
        id: id.clone(),
        model,
        events: seen.events.unwrap_or(cfg.events),
        delay: Duration::from_millis(seen.delay_ms.unwrap_or(cfg.delay_ms)),
        cut_after: seen.cut_after,
        next: 0,
        started: false,
        ended: false,
        t0: Instant::now(),
        sleep: None,
        app,
    };
    Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")
        .header(header::CACHE_CONTROL, "no-cache")
        .header("request-id", format!("req_{id}"))
        .body(Answer::Stream(Box::new(sse)))
        .expect("valid response")
}

fn key_ok(cfg: &Config, req: &Request<Incoming>) -> bool {
    let Some(want) = &cfg.require_key else {
        return true;
    };
    let h = req.headers();
    let api_key = h.get("x-api-key").is_some_and(|v| v.as_bytes() == want.as_bytes());
    let bearer = h
        .get(header::AUTHORIZATION)
        .and_then(|v| v.as_bytes().strip_prefix(b"Bearer "))
        .is_some_and(|v| v == want.as_bytes());
    api_key || bearer
}

async fn serve(app: Arc<App>, req: Request<Incoming>) -> Result<Response<Answer>, hyper::Error> {
    let none = "0000000000000000";
    let s = &app.stats;
    match (req.method(), req.uri().path()) {
        (&Method::POST, path @ ("/v1/messages" | "/v1/messages/count_tokens")) => {
            s.requests.fetch_add(1, Relaxed);
            let counting = path.ends_with("count_tokens");
            let ok = key_ok(&app.cfg, &req);
            let seen = read_body(req.into_body()).await?;
            s.body_bytes.fetch_add(seen.bytes, Relaxed);
            if !ok {
                s.rejected_key.fetch_add(1, Relaxed);
                return Ok(error(401, seen.id()));
            }
            if counting {
                let text = format!("{{\"input_tokens\":{}}}", seen.bytes / 4);
                return Ok(json(StatusCode::OK, seen.id(), text));
            }
            Ok(messages(app, seen).await)
        }
        (&Method::GET, "/v1/models") => {
            let one = |id: &str, name: &str| {
                format!(
                    "{{\"type\":\"model\",\"id\":\"{id}\",\"display_name\":\"{name}\",\"created_at\":\"2026-01-01T00:00:00Z\"}}"
                )
            };
            let text = format!(
                "{{\"data\":[{},{}],\"has_more\":false,\"first_id\":\"claude-mock\",\"last_id\":\"claude-mock-small\"}}",
                one("claude-mock", "Mock"),
                one("claude-mock-small", "Mock small")
            );
            Ok(json(StatusCode::OK, none, text))
        }
        (&Method::GET | &Method::HEAD, "/" | "/healthz") => {
            Ok(json(StatusCode::OK, none, "{\"status\":\"ok\"}".to_owned()))
        }
        (&Method::GET, "/__stats") => {
            let g = |a: &AtomicU64| a.load(Relaxed);
            let text = format!(
                "{{\"connections\":{},\"requests\":{},\"streams\":{},\"streams_done\":{},\"streams_active\":{},\"streams_active_max\":{},\"streams_aborted\":{},\"rejected_key\":{},\"body_bytes\":{}}}",
                g(&s.connections),
                g(&s.requests),
                g(&s.streams),
                g(&s.streams_done),
                g(&s.streams_active),
                g(&s.streams_active_max),
                g(&s.streams_aborted),
                g(&s.rejected_key),
                g(&s.body_bytes)
            );
            Ok(json(StatusCode::OK, none, text))
        }
        _ => Ok(error(404, none)),
    }
}

async fn accept_loop(app: Arc<App>, listener: std::net::TcpListener) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(pair) => pair,
            Err(e) => {
                eprintln!("mock-upstream: accept: {e}");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        app.stats.connections.fetch_add(1, Relaxed);
        let app = app.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(move |req| {
                let app = app.clone();
                async move {
                    Ok::<_, Infallible>(
                        serve(app, req).await.unwrap_or_else(|_| error(400, "0000000000000000")),
                    )
                }
            });
            // A client that goes away is no error of ours.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn bind(addr: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let s = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    s.set_reuse_address(true)?;
    s.set_reuse_port(true)?;
    s.set_nonblocking(true)?;
    s.bind(&addr.into())?;
    s.listen(4096)?;
    Ok(s.into())
}

fn flag<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

const HELP: &str = "mock-upstream: a fast stand-in for the Anthropic Messages API
  --listen ADDR       (MOCK_LISTEN)       127.0.0.1:18080
  --threads N         (MOCK_THREADS)      1
  --events N          (MOCK_EVENTS)       50      delta events of a stream
  --delay-ms N        (MOCK_DELAY_MS)     0       between two delta events
  --latency-ms N      (MOCK_LATENCY_MS)   0       before the response head
  --text-bytes N      (MOCK_TEXT_BYTES)   700     text of a JSON answer
  --require-key KEY   (MOCK_REQUIRE_KEY)  none    answer 401 unless x-api-key or Bearer is KEY
A request can override these, see the head of src/main.rs.";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    use lexopt::prelude::*;
    let mut listen: SocketAddr = flag("MOCK_LISTEN", "127.0.0.1:18080".parse()?);
    let mut threads: usize = flag("MOCK_THREADS", 1);
    let mut cfg = Config {
        events: flag("MOCK_EVENTS", 50),
        delay_ms: flag("MOCK_DELAY_MS", 0),
        latency_ms: flag("MOCK_LATENCY_MS", 0),
        text_bytes: flag("MOCK_TEXT_BYTES", 700),
        require_key: std::env::var("MOCK_REQUIRE_KEY").ok(),
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("listen") => listen = args.value()?.parse()?,
            Long("threads") => threads = args.value()?.parse()?,
            Long("events") => cfg.events = args.value()?.parse()?,
            Long("delay-ms") => cfg.delay_ms = args.value()?.parse()?,
            Long("latency-ms") => cfg.latency_ms = args.value()?.parse()?,
            Long("text-bytes") => cfg.text_bytes = args.value()?.parse()?,
            Long("require-key") => cfg.require_key = Some(args.value()?.string()?),
            Long("help") | Short('h') => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let app = Arc::new(App { cfg, stats: Stats::default() });
    let mut workers = Vec::new();
    for _ in 0..threads.max(1) {
        let app = app.clone();
        let socket = bind(listen)?;
        workers.push(std::thread::spawn(move || {
            let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            let local = tokio::task::LocalSet::new();
            if let Err(e) = local.block_on(&rt, accept_loop(app, socket)) {
                eprintln!("mock-upstream: {e}");
                std::process::exit(1);
            }
        }));
    }
    eprintln!("mock-upstream: listening on {listen}, {threads} thread(s)");
    for w in workers {
        let _ = w.join();
    }
    Ok(())
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

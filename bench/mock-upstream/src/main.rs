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

mod answer;
mod request;

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;

use answer::{Answer, error, json, messages};
use request::read_body;

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

const HELP: &str = "mock-upstream: a fast stand-in for the Anthropic Messages API
  --listen ADDR       127.0.0.1:18080
  --threads N         1
  --events N          50      delta events of a stream
  --delay-ms N        0       between two delta events
  --latency-ms N      0       before the response head
  --text-bytes N      700     text of a JSON answer
  --require-key KEY   none    answer 401 unless x-api-key or Bearer is KEY
A request can override these, see the head of src/main.rs.";

fn main() -> Result<(), Box<dyn Error>> {
    use lexopt::prelude::*;
    let mut listen: SocketAddr = "127.0.0.1:18080".parse()?;
    let mut threads: usize = 1;
    let mut cfg = Config { events: 50, delay_ms: 0, latency_ms: 0, text_bytes: 700, require_key: None };
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
        let (app, socket) = (Arc::clone(&app), bind(listen)?);
        workers.push(std::thread::spawn(move || work(app, socket)));
    }
    eprintln!("mock-upstream: listening on {listen}, {threads} thread(s)");
    for worker in workers {
        worker.join().map_err(|_| "a worker panicked")??;
    }
    Ok(())
}

/// One thread: a runtime of its own.
fn work(app: Arc<App>, socket: std::net::TcpListener) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, accept_loop(app, socket))
}

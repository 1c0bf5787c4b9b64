//! The answers: JSON, streams of events, errors.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use hyper::{Response, StatusCode, header};
use tokio::time::{Instant, Sleep};

use crate::App;
use crate::request::Seen;

pub(crate) enum Answer {
    Whole(Option<Bytes>),
    Stream(Box<Sse>),
}

pub(crate) struct Sse {
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
pub(crate) struct Cut;
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

pub(crate) fn json(status: StatusCode, id: &str, text: String) -> Response<Answer> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header("request-id", format!("req_{id}"))
        .body(Answer::Whole(Some(Bytes::from(text))))
        .expect("valid response")
}

pub(crate) fn error(status: u16, id: &str) -> Response<Answer> {
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

pub(crate) async fn messages(app: Arc<App>, seen: Seen) -> Response<Answer> {
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

/// The clock that the load generator reads as well.
fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

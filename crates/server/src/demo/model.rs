//! The scripted model's server: the Anthropic Messages API on a loopback port that the system chooses.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::message::{Answer, Paced, PromptCache, count_tokens};
use super::script;

/// Largest request body, as at the real provider.
const MAX_BODY: usize = 32 << 20;
/// Output where the request names no limit.
const DEFAULT_MAX_TOKENS: u64 = 4096;
/// The models it lists; it answers to every name that begins with `claude-`.
const MODELS: [(&str, &str); 4] = [
    ("claude-opus-5-5", "Claude Opus 5.5 (scripted)"),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5 (scripted)"),
    ("claude-haiku-5-5", "Claude Haiku 5.5 (scripted)"),
    ("claude-fable-5-1", "Claude Fable 5.1 (scripted)"),
];

type Reply = Response<BoxBody<Bytes, Infallible>>;

struct Model {
    key: String,
    cache: Mutex<PromptCache>,
    nonce: AtomicU64,
}

/// Starts the model on a thread of its own. It takes only requests with this key in `x-api-key`, and ends with the
/// process.
pub(crate) fn start(key: String, nonce: u64) -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let model = Arc::new(Model { key, cache: Mutex::default(), nonce: AtomicU64::new(nonce) });
    std::thread::Builder::new().name("scripted-model".to_owned()).spawn(move || {
        runtime.block_on(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => serve(listener, model).await,
                Err(error) => tracing::error!(%error, "the scripted model cannot listen"),
            }
        });
    })?;
    Ok(address)
}

async fn serve(listener: TcpListener, model: Arc<Model>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without it a stream's small events would wait for each other.
        drop(stream.set_nodelay(true));
        tokio::spawn(connection(Arc::clone(&model), stream));
    }
}

async fn connection(model: Arc<Model>, stream: tokio::net::TcpStream) {
    let service = service_fn(move |request| {
        let model = Arc::clone(&model);
        async move { Ok::<_, Infallible>(model.serve(request).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    // A gateway that goes away in the middle of an answer is no event worth a word here.
    drop(server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await);
}

impl Model {
    async fn serve(&self, request: Request<Incoming>) -> Reply {
        if request.headers().get("x-api-key").is_none_or(|given| given.as_bytes() != self.key.as_bytes()) {
            return error(StatusCode::UNAUTHORIZED, "authentication_error", "invalid x-api-key");
        }
        let (head, body) = request.into_parts();
        match (&head.method, head.uri.path()) {
            (&Method::POST, "/v1/messages") => self.with_body(body, Self::message).await,
            (&Method::POST, "/v1/messages/count_tokens") => {
                self.with_body(body, |_, request| reply(&json!({"input_tokens": count_tokens(request)})))
                    .await
            }
            (&Method::GET, "/v1/models") => {
                let data: Vec<Value> = MODELS.iter().map(|(id, name)| model_json(id, name)).collect();
                reply(
                    &json!({"data": data, "has_more": false, "first_id": MODELS[0].0, "last_id": MODELS[3].0}),
                )
            }
            (&Method::GET, path) => {
                match MODELS.iter().find(|(id, _)| path.strip_prefix("/v1/models/") == Some(id)) {
                    Some((id, name)) => reply(&model_json(id, name)),
                    None => error(StatusCode::NOT_FOUND, "not_found_error", "Not found"),
                }
            }
            _ => error(StatusCode::NOT_FOUND, "not_found_error", "Not found"),
        }
    }

    async fn with_body(&self, body: Incoming, answer: impl FnOnce(&Self, &Value) -> Reply) -> Reply {
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            return error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                "Request exceeds the maximum size",
            );
        };
        match serde_json::from_slice(&body.to_bytes()) {
            Ok(request) => answer(self, &request),
            Err(_) => {
                error(StatusCode::BAD_REQUEST, "invalid_request_error", "The request body is not valid JSON")
            }
        }
    }

    fn message(&self, request: &Value) -> Reply {
        let Some(model) = request["model"].as_str() else {
            return error(StatusCode::BAD_REQUEST, "invalid_request_error", "model: Field required");
        };
        if !model.starts_with("claude-") {
            return error(StatusCode::NOT_FOUND, "not_found_error", &format!("model: {model}"));
        }
        let nonce = self.nonce.fetch_add(1, Ordering::Relaxed);
        let blocks = match script::answer(request, nonce) {
            Ok(blocks) => blocks,
            Err(refused) => return error(StatusCode::BAD_REQUEST, "invalid_request_error", refused.0),
        };
        let tokens = self.cache.lock().unwrap_or_else(PoisonError::into_inner).split(request);
        let max_tokens = request["max_tokens"].as_u64().unwrap_or(DEFAULT_MAX_TOKENS);
        let answer = Answer::new(model, blocks, tokens, max_tokens, nonce);
        if request["stream"] == true {
            return with_type("text/event-stream", Paced::new(answer.events()).boxed(), nonce);
        }
        with_type("application/json", Full::from(answer.to_json().to_string()).boxed(), nonce)
    }
}

fn model_json(id: &str, name: &str) -> Value {
    json!({"type": "model", "id": id, "display_name": name, "created_at": "2026-10-01T00:00:00Z"})
}

fn reply(value: &Value) -> Reply {
    with_type("application/json", Full::from(value.to_string()).boxed(), 0)
}

fn with_type(content_type: &'static str, body: BoxBody<Bytes, Infallible>, nonce: u64) -> Reply {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(content_type));
    if let Ok(id) = http::HeaderValue::try_from(format!("req_demo{nonce:016x}")) {
        response.headers_mut().insert("request-id", id);
    }
    response
}

fn error(status: StatusCode, kind: &str, message: &str) -> Reply {
    let mut response = reply(&json!({"type": "error", "error": {"type": kind, "message": message}}));
    *response.status_mut() = status;
    response
}

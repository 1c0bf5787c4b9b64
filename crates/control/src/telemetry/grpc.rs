//! The OpenTelemetry protocol over gRPC (<https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>): the same intake by another door.
//!
//! The services are `MetricsService`, `LogsService` and `TraceService` of
//! <https://github.com/open-telemetry/opentelemetry-proto>, each with its one method. Messages go to the intake as the
//! bytes they are; framing, packing and statuses are tonic's.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request, Response};
use bytes::{Buf as _, BufMut as _};
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::telemetry::Signal;
use gatehouse_identity::fetch::Fetch;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tower::Service;

use super::MAX_BODY;
use super::answer::Refused;
use crate::portal::Portal;

/// Requests whose messages are read or counted at once: each holds up to [`MAX_BODY`] packed and once more unpacked.
const SEATS: usize = 32;
/// How long a request may take from its head to its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Nobody, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown(pub &'static str);

/// What finds out whose a request is.
pub type Whose =
    Arc<dyn Fn(HeaderMap) -> Pin<Box<dyn Future<Output = Result<Principal, Unknown>> + Send>> + Send + Sync>;

/// The three services.
pub struct Grpc<F> {
    portal: Arc<Portal<F>>,
    seats: Arc<Semaphore>,
}

impl<F> Clone for Grpc<F> {
    fn clone(&self) -> Self {
        let Self { portal, seats } = self;
        Self { portal: Arc::clone(portal), seats: Arc::clone(seats) }
    }
}

impl<F: Fetch + 'static> Grpc<F> {
    /// The services in front of a portal's intake.
    pub fn new(portal: Arc<Portal<F>>) -> Self {
        Self { portal, seats: Arc::new(Semaphore::new(SEATS)) }
    }

    /// Answers a request of somebody whom `whose` finds out. Never fails: what goes wrong is a status.
    pub async fn answer<B>(&self, whose: &Whose, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        let Some(signal) = signal(request.uri().path()) else {
            return Status::unimplemented("only the services of the OpenTelemetry protocol are here")
                .into_http();
        };
        let answering = async {
            let whose = match whose(request.headers().clone()).await {
                Ok(whose) => whose,
                Err(Unknown(why)) => return Status::unauthenticated(why).into_http(),
            };
            // Before the message, since messages are what takes memory.
            let Ok(_seat) = self.seats.try_acquire() else { return Refused::Full.status().into_http() };
            let counting = Counting { portal: Arc::clone(&self.portal), signal, whose };
            let mut grpc = tonic::server::Grpc::new(Verbatim)
                .max_decoding_message_size(MAX_BODY)
                .accept_compressed(CompressionEncoding::Gzip);
            grpc.unary(counting, request).await
        };
        let answered = tokio::time::timeout(PATIENCE, answering).await;
        answered
            .unwrap_or_else(|_| Status::deadline_exceeded("the request took too long to come").into_http())
    }
}

/// The signal that a method is for.
fn signal(path: &str) -> Option<Signal> {
    Some(match path {
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Signal::Metrics,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Signal::Logs,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Signal::Traces,
        _ => return None,
    })
}

/// Counts one message.
struct Counting<F> {
    portal: Arc<Portal<F>>,
    signal: Signal,
    whose: Principal,
}

impl<F: Fetch + 'static> Service<tonic::Request<Bytes>> for Counting<F> {
    type Response = tonic::Response<Bytes>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (portal, signal, whose) = (Arc::clone(&self.portal), self.signal, self.whose);
        Box::pin(async move {
            let answer = portal.telemetry_by_grpc(signal, request.get_ref(), &whose).await?;
            Ok(tonic::Response::new(answer))
        })
    }
}

/// Messages as the bytes they are.
#[derive(Debug, Clone, Copy)]
struct Verbatim;

impl Codec for Verbatim {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

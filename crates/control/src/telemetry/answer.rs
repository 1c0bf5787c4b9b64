//! Answers, as <https://opentelemetry.io/docs/specs/otlp/#otlphttp-response> has them. The one table of their statuses.

use axum::body::Bytes;
use axum::http::{HeaderValue, Response, StatusCode, header};
use gatehouse_domain::telemetry::Signal;
use serde_json::json;
use tonic::{Code, Status};

use super::Form;
use super::item::Malformed;
use super::protobuf::{put, put_number};

/// Why a request is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is written in a way that is not known.
    Form,
    /// It is packed in a way that is not known.
    Packing,
    /// It cannot be unpacked, or becomes too large.
    Unpacking,
    /// It cannot be read.
    Malformed(Malformed),
    /// This person sends too many.
    TooMany,
    /// Too many wait.
    Full,
    /// It could not be written in time, or at all.
    Unavailable,
}

impl Refused {
    /// Status, code of <https://grpc.io/docs/guides/status-codes/>, sentence, and after how many seconds to come again.
    const fn row(self) -> (u16, u8, &'static str, Option<u16>) {
        match self {
            Self::Form => {
                (415, 3, "the content type must be application/x-protobuf or application/json", None)
            }
            Self::Packing => (415, 3, "the content encoding must be gzip or identity", None),
            Self::Unpacking => (400, 3, "the body is not gzip, or larger than 4 MiB when unpacked", None),
            Self::Malformed(Malformed(why)) => (400, 3, why, None),
            Self::TooMany => (429, 8, "too many requests of one person in this minute", Some(30)),
            Self::Full => (503, 14, "too many requests wait to be written", Some(5)),
            Self::Unavailable => (503, 14, "it could not be written; send it again", Some(5)),
        }
    }

    /// The answer.
    pub(super) fn response(self, form: Form) -> Response<Bytes> {
        let (status, code, message, again) = self.row();
        let body = match form {
            Form::Json => json!({"code": code, "message": message}).to_string().into_bytes(),
            Form::Protobuf => {
                let mut status = Vec::new();
                put_number(1, code.into(), &mut status);
                put(2, message.as_bytes(), &mut status);
                status
            }
        };
        let mut response = answer(form, body);
        *response.status_mut() = StatusCode::from_u16(status).expect("the table has statuses only");
        if let Some(seconds) = again {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl Refused {
    /// The same by gRPC. Without `RetryInfo` a sender drops what it was told to come again with
    /// (<https://opentelemetry.io/docs/specs/otlp/#otlpgrpc-throttling>).
    pub(super) fn status(self) -> Status {
        let (_, code, message, again) = self.row();
        let status = Code::from_i32(code.into());
        let Some(seconds) = again else { return Status::new(status, message) };
        let (mut pause, mut retry, mut detail, mut details) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        put_number(1, seconds.into(), &mut pause);
        put(1, &pause, &mut retry);
        put(1, b"type.googleapis.com/google.rpc.RetryInfo", &mut detail);
        put(2, &retry, &mut detail);
        put_number(1, code.into(), &mut details);
        put(2, message.as_bytes(), &mut details);
        put(3, &detail, &mut details);
        Status::with_details(status, message, details.into())
    }
}

const WHY: &str = "more than is counted at once, or points that do not say how they follow each other";

/// The answer in Protobuf to a request that was counted, but for so many of its items.
pub(super) fn partial(left_out: u64) -> Vec<u8> {
    let (mut part, mut whole) = (Vec::new(), Vec::new());
    if left_out > 0 {
        put_number(1, left_out, &mut part);
        put(2, WHY.as_bytes(), &mut part);
        put(1, &part, &mut whole);
    }
    whole
}

/// Says that a request was counted, but for so many of its items.
pub(super) fn taken(signal: Signal, form: Form, left_out: u64) -> Response<Bytes> {
    let body = match (form, left_out) {
        (Form::Json, 0) => b"{}".to_vec(),
        (Form::Protobuf, n) => partial(n),
        (Form::Json, n) => {
            let what = match signal {
                Signal::Metrics => "rejectedDataPoints",
                Signal::Logs => "rejectedLogRecords",
                Signal::Traces => "rejectedSpans",
            };
            // A 64-bit number is a text in this form.
            json!({"partialSuccess": {what: n.to_string(), "errorMessage": WHY}}).to_string().into_bytes()
        }
    };
    answer(form, body)
}

fn answer(form: Form, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    response
}

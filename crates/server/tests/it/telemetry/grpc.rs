//! Telemetry by gRPC, from an HTTP/2 client of its own that looks at the very frames and trailers.

use std::io::{Read as _, Write as _};

use base64ct::{Base64Unpadded, Encoding as _};
use bytes::{BufMut as _, Bytes};
use gatehouse_testkit::gatehouse::Builder;
use gatehouse_testkit::http::once;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::claimed;
use super::intake::stored_gzip;
use crate::world::{World, built, echo};

pub(super) const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
pub(super) const UNAUTHENTICATED: u16 = 16;

/// A status and the message before it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) text: String,
    details: Option<String>,
    message: Vec<u8>,
}

pub(super) fn taking(config: &str) -> World {
    built(|builder: Builder| builder.listen("otlp = \"127.0.0.1:0\"\n").config(config), echo(1, 1))
}

pub(super) fn address(world: &World) -> String {
    let text = std::fs::read(world.gatehouse.dir().join("data/listen.json")).unwrap();
    let listen: Value = serde_json::from_slice(&text).unwrap();
    listen["otlp"].as_str().unwrap().rsplit("//").next().unwrap().to_owned()
}

/// One call on a connection of its own. `packed` is the flag before the message.
fn call(address: &str, path: &str, headers: &[(&str, &str)], packed: u8, message: &[u8]) -> Answer {
    runtime().block_on(async {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        call_on(socket, path, headers, packed, message).await.unwrap()
    })
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// One call on a connection; an error where the other end does not speak HTTP/2 with us.
pub(super) async fn call_on(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
    headers: &[(&str, &str)],
    packed: u8,
    message: &[u8],
) -> hyper::Result<Answer> {
    let mut body = vec![packed];
    body.put_u32(u32::try_from(message.len()).unwrap());
    body.put_slice(message);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://gateway.test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await?;
    assert_eq!(reply.status(), 200, "a gRPC status is no HTTP status");
    let head = reply.headers().clone();
    let whole = reply.into_body().collect().await?;
    // A status without a message comes in the head.
    let said = whole.trailers().cloned().unwrap_or(head);
    let text = |name: &str| said.get(name).map(|value| value.to_str().unwrap().to_owned());
    let message = whole.to_bytes();
    Ok(Answer {
        code: text("grpc-status").expect("every answer has a status").parse().unwrap(),
        text: text("grpc-message").unwrap_or_default(),
        details: text("grpc-status-details-bin"),
        message: message.get(5..).unwrap_or_default().to_vec(),
    })
}

fn export(world: &World, path: &str, message: &[u8]) -> Answer {
    let bearer = format!("Bearer {}", world.key);
    call(&address(world), path, &[("authorization", &bearer)], 0, message)
}

/// A field of Protobuf that holds bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend_from_slice(content);
    out
}

fn fixed(number: u8, bits: u64) -> Vec<u8> {
    [&[number << 3 | 1][..], &bits.to_le_bytes()].concat()
}

/// A request of metrics that says one cost, in dollars, of now.
pub(super) fn cost(dollars: f64) -> Vec<u8> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let now = u64::try_from(now).unwrap();
    let model = [field(1, b"model"), field(2, &field(1, b"claude-opus-5-5"))].concat();
    let point = [fixed(2, now), fixed(3, now), fixed(4, dollars.to_bits()), field(7, &model)].concat();
    // Delta, and monotonic.
    let sum = [field(1, &point), vec![2 << 3, 1, 3 << 3, 1]].concat();
    let metric = [field(1, b"claude_code.cost.usage"), field(7, &sum)].concat();
    field(1, &field(2, &field(2, &metric)))
}

#[test]
fn a_message_counts_once_by_whichever_door_it_comes() {
    let w = taking("");
    let message = cost(0.5);
    for _ in 0..2 {
        let told = export(&w, METRICS, &message);
        assert_eq!((told.code, told.message.as_slice()), (0, &b""[..]), "{told:?}");
    }
    let bearer = format!("Bearer {}", w.key);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/x-protobuf")];
    assert_eq!(once(&w.gatehouse.gateway, "POST", "/v1/metrics", &headers, &message).status, 200);
    let packed = call(
        &address(&w),
        METRICS,
        &[("authorization", &bearer), ("grpc-encoding", "gzip")],
        1,
        &stored_gzip(&message),
    );
    assert_eq!(packed.code, 0, "{packed:?}");
    let rows = claimed(&w);
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0]["name"].as_str(), rows[0]["cost_nanos"].as_i64()),
        (Some("dev@example.com"), Some(500_000_000))
    );
    assert_eq!(export(&w, METRICS, &cost(0.25)).code, 0);
    assert_eq!(claimed(&w)[0]["cost_nanos"], 750_000_000);
}

#[test]
fn what_is_not_taken_has_the_status_that_the_protocol_says() {
    let w = taking("");
    let to = address(&w);
    let (_, outside) = w.gatehouse.key("dev@example.com", &["--for", "proxy"]);
    let (of_proxy, good) = (format!("Bearer {outside}"), format!("Bearer {}", w.key));
    let message = cost(1.0);
    for (path, headers, packed, message, code, says) in [
        (METRICS, &[][..], 0, message.as_slice(), UNAUTHENTICATED, "no credential"),
        (METRICS, &[("authorization", "Bearer gh_none")], 0, &message, UNAUTHENTICATED, "no key of this"),
        (METRICS, &[("authorization", of_proxy.as_str())], 0, &message, UNAUTHENTICATED, "proxy only"),
        ("/grpc.health.v1.Health/Check", &[("authorization", good.as_str())], 0, b"", 12, "OpenTelemetry"),
        (METRICS, &[("authorization", &good)], 0, b"\x0a\x7f", 3, "cut short"),
        (LOGS, &[("authorization", &good)], 0, b"\xff", 3, ""),
        (METRICS, &[("authorization", &good), ("grpc-encoding", "br")], 1, b"x", 12, ""),
    ] {
        let told = call(&to, path, headers, packed, message);
        assert_eq!(told.code, code, "{path} {headers:?} {told:?}");
        assert!(told.text.replace("%20", " ").contains(says), "{says}: {told:?}");
    }
    // Too large as it comes, and once unpacked.
    let large = vec![0; 5 << 20];
    assert_eq!(export(&w, METRICS, &large).code, 11, "out of range");
    let bomb = call(&to, METRICS, &[("authorization", &good), ("grpc-encoding", "gzip")], 1, &many_zeros());
    assert_ne!(bomb.code, 0, "{bomb:?}");
    assert!(claimed(&w).is_empty());
}

/// 64 MiB of zeros, packed: deflate blocks with fixed codes, each a literal zero and matches of the longest length.
fn many_zeros() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(1, 1); // the last block
    bits.put(1, 2); // fixed codes
    bits.code(0b0011_0000, 8); // a zero
    for _ in 0..(64 << 20) / 258 {
        bits.code(0b1100_0101, 8); // length 258
        bits.code(0, 5); // from one byte before
    }
    bits.code(0, 7); // the end
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    out.extend(bits.bytes());
    // Nobody comes as far as checksum and length.
    out.extend([0; 8]);
    out
}

/// Bits as RFC 1951 packs them: from the lowest of each byte on, codes from their highest.
#[derive(Default)]
struct Bits {
    out: Vec<u8>,
    at: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for n in 0..count {
            if self.at.is_multiple_of(8) {
                self.out.push(0);
            }
            *self.out.last_mut().unwrap() |= u8::from(value >> n & 1 == 1) << (self.at % 8);
            self.at += 1;
        }
    }

    fn code(&mut self, value: u32, count: u32) {
        for n in (0..count).rev() {
            self.put(value >> n & 1, 1);
        }
    }

    fn bytes(self) -> Vec<u8> {
        self.out
    }
}

#[test]
fn who_sends_too_much_is_told_when_to_come_again() {
    let w = taking("[telemetry]\nrequests_per_minute = 3\n");
    // A minute may end in between, so that six may be taken.
    let told: Vec<Answer> = (0..8).map(|_| export(&w, METRICS, &cost(1.0))).collect();
    let refused = told.iter().find(|answer| answer.code == 8).expect("resource exhausted");
    let details = refused.details.as_deref().expect("without it a sender drops what it has");
    let plain = Base64Unpadded::decode_vec(details.trim_end_matches('=')).unwrap();
    assert!(plain.windows(9).any(|bytes| bytes == b"RetryInfo"), "{refused:?}");
}

#[test]
fn a_revoked_key_tells_no_more() {
    let w = taking("");
    let (id, key) = w.gatehouse.key("dev@example.com", &[]);
    let bearer = format!("Bearer {key}");
    let tell = || call(&address(&w), METRICS, &[("authorization", &bearer)], 0, &cost(1.0)).code;
    assert_eq!(tell(), 0);
    w.gatehouse.json(&["key", "revoke", &id]);
    gatehouse_testkit::wait::until("the key to be refused", || (tell() == UNAUTHENTICATED).then_some(()));
}

#[test]
fn who_speaks_something_else_is_let_go_and_keeps_nobody_out() {
    let w = taking("");
    let silent: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(address(&w)).unwrap()).collect();
    let mut other = std::net::TcpStream::connect(address(&w)).unwrap();
    other.set_read_timeout(Some(gatehouse_testkit::wait::LIMIT)).unwrap();
    other.write_all(b"POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    // Closed, in order or by a reset.
    let _ = other.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    assert_eq!(export(&w, METRICS, &cost(1.0)).code, 0);
    drop(silent);
}

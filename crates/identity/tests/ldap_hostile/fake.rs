//! A directory server that says what a test tells it to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ldap3::asn1::{PL, StructureTag, parse_tag};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a client asks.
pub(crate) enum Op {
    /// A simple bind.
    Bind { dn: String, password: String },
    /// A search.
    Search { base: String, filter_bytes: Vec<u8>, attributes: Vec<String> },
    /// Anything else.
    Other,
}

/// What the server does about it. Message ids in the bytes are put right, except in `Raw`.
pub(crate) enum Reply {
    /// Messages.
    Messages(Vec<u8>),
    /// Messages, then the connection ends.
    Last(Vec<u8>),
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// The same message again and again.
    Drip(Vec<u8>),
    /// Nothing.
    Silence,
    /// The connection ends.
    Close,
}

impl From<Vec<u8>> for Reply {
    fn from(messages: Vec<u8>) -> Self {
        Self::Messages(messages)
    }
}

/// The server; ends when dropped.
pub(crate) struct Fake {
    port: u16,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    passwords: Mutex<Vec<String>>,
}

impl Fake {
    /// A server on a free loopback port.
    pub(crate) async fn start(answer: impl Fn(&Op) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, answer) = (Arc::new(Seen::default()), Arc::new(answer));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(converse(stream, Arc::clone(&answer), Arc::clone(&shared)));
            }
        });
        Self { port, seen, _tasks: tasks }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The passwords it was sent, in order.
    pub(crate) fn passwords(&self) -> Vec<String> {
        self.seen.passwords.lock().unwrap().clone()
    }
}

async fn converse(mut stream: TcpStream, answer: Arc<impl Fn(&Op) -> Reply>, seen: Arc<Seen>) {
    let mut buffer = Vec::new();
    loop {
        while let Ok((rest, message)) = parse_tag(&buffer) {
            let used = buffer.len() - rest.len();
            buffer.drain(..used);
            let mut parts = children(message).into_iter();
            let id = *bytes(parts.next().unwrap()).last().unwrap();
            let op = read_op(parts.next().unwrap());
            if let Op::Bind { password, .. } = &op {
                seen.passwords.lock().unwrap().push(password.clone());
            }
            match answer(&op) {
                Reply::Messages(messages) => {
                    stream.write_all(&with_id(messages, id)).await.unwrap_or_default();
                }
                Reply::Last(messages) => {
                    stream.write_all(&with_id(messages, id)).await.unwrap_or_default();
                    return;
                }
                Reply::Raw(bytes) => stream.write_all(&bytes).await.unwrap_or_default(),
                Reply::Drip(message) => {
                    let message = with_id(message, id);
                    while stream.write_all(&message).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                Reply::Silence => (),
                Reply::Close => return,
            }
        }
        if stream.read_buf(&mut buffer).await.unwrap_or_default() == 0 {
            return;
        }
    }
}

/// The messages with this id in each.
fn with_id(mut messages: Vec<u8>, id: u8) -> Vec<u8> {
    let mut at = 0;
    while at < messages.len() {
        let (rest, _) = parse_tag(&messages[at..]).expect("a test's own message");
        let length = messages.len() - at - rest.len();
        // Every message is made with a length of four octets: 30 84 xx xx xx xx 02 01 ID.
        messages[at + 8] = id;
        at += length;
    }
    messages
}

fn children(tag: StructureTag) -> Vec<StructureTag> {
    match tag.payload {
        PL::C(children) => children,
        PL::P(_) => panic!("the client sent no sequence"),
    }
}

fn bytes(tag: StructureTag) -> Vec<u8> {
    match tag.payload {
        PL::P(bytes) => bytes,
        PL::C(_) => panic!("the client sent no string"),
    }
}

fn text(tag: StructureTag) -> String {
    String::from_utf8(bytes(tag)).unwrap()
}

fn leaves(tag: StructureTag, out: &mut Vec<u8>) {
    match tag.payload {
        PL::P(bytes) => out.extend(bytes),
        PL::C(children) => children.into_iter().for_each(|child| leaves(child, out)),
    }
}

fn read_op(op: StructureTag) -> Op {
    match op.id {
        0 => {
            let mut parts = children(op).into_iter().skip(1);
            Op::Bind { dn: text(parts.next().unwrap()), password: text(parts.next().unwrap()) }
        }
        3 => {
            let mut parts = children(op).into_iter();
            let base = text(parts.next().unwrap());
            let mut filter_bytes = Vec::new();
            leaves(parts.nth(5).unwrap(), &mut filter_bytes);
            let attributes = children(parts.next().unwrap()).into_iter().map(text).collect();
            Op::Search { base, filter_bytes, attributes }
        }
        _ => Op::Other,
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag, 0x84];
    out.extend_from_slice(&u32::try_from(content.len()).unwrap().to_be_bytes());
    out.extend_from_slice(content);
    out
}

/// A message around an operation.
pub(crate) fn message(id: u8, op: u8, content: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&[0x02, 0x01, id][..], &tlv(op, content)].concat())
}

fn outcome(code: u8, text: &str) -> Vec<u8> {
    [&[0x0a, 0x01, code][..], &tlv(0x04, b""), &tlv(0x04, text.as_bytes())].concat()
}

/// A result of the operation `op` (1: bind).
pub(crate) fn result(op: u8, code: u8, text: &str) -> Reply {
    message(0, 0x60 | op, &outcome(code, text)).into()
}

/// The end of a search; with the paging control if there is a cookie.
pub(crate) fn done(code: u8, cookie: Option<&[u8]>) -> Vec<u8> {
    match cookie {
        None => message(0, 0x65, &outcome(code, "")),
        Some(cookie) => {
            let value = tlv(0x30, &[&[0x02, 0x01, 0x00][..], &tlv(0x04, cookie)].concat());
            done_with(code, &value)
        }
    }
}

/// The end of a search with this value of the paging control.
pub(crate) fn done_with_control(value: &[u8]) -> Vec<u8> {
    done_with(0, value)
}

fn done_with(code: u8, value: &[u8]) -> Vec<u8> {
    let control = tlv(0x30, &[tlv(0x04, b"1.2.840.113556.1.4.319"), tlv(0x04, value)].concat());
    let content = [&[0x02, 0x01, 0][..], &tlv(0x65, &outcome(code, "")), &tlv(0xa0, &control)].concat();
    tlv(0x30, &content)
}

/// A found entry.
pub(crate) fn entry(dn: &str, attributes: &[(&str, &[&str])]) -> Vec<u8> {
    let attributes: Vec<u8> = attributes
        .iter()
        .flat_map(|(name, values)| {
            let values: Vec<u8> = values.iter().flat_map(|value| tlv(0x04, value.as_bytes())).collect();
            tlv(0x30, &[tlv(0x04, name.as_bytes()), tlv(0x31, &values)].concat())
        })
        .collect();
    message(0, 0x64, &[tlv(0x04, dn.as_bytes()), tlv(0x30, &attributes)].concat())
}

/// A reference to another server.
pub(crate) fn reference(url: &str) -> Vec<u8> {
    message(0, 0x73, &tlv(0x04, url.as_bytes()))
}

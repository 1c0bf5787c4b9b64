//! Requests to the portal: told apart, bounded, read, handed over.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gatehouse_domain::exchange::Kind;
use gatehouse_domain::id::{KeyId, UserId};
use gatehouse_domain::key::KeyHash;
use gatehouse_domain::policy::Grant;
use http::request::Parts;
use http::{HeaderValue, Request, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::connection::Connection;
use crate::handle::{form_fault, readable};
use crate::identify::recognize;
use crate::open::Open;
use crate::portal::{Asked, Entry, Later, Portal};
use crate::refusal::Refusal;
use crate::refused::Refused;
use crate::reply::{ReplyBody, whole};
use crate::settings::{Limits, Settings, client_of};
use crate::worker::Worker;

/// Requests of anybody that are answered at once; beyond it 529.
const OPEN_SEATS: usize = 64;
/// Requests of known clients that are answered at once; beyond it 529. Apart, so that strangers take no room from them.
const GRANTED_SEATS: usize = 512;
/// Requests with which known clients tell of their use that are taken at once; beyond it 503. Apart, and few, so that they take no
/// room from others and little memory.
const TELLING_SEATS: usize = 32;
/// Requests that ask the ledger for their session's provider at once; beyond it they go on without.
const RECALLING_SEATS: usize = 8;
/// How long an answer may take. One that asks an identity provider takes a few of its answers.
const ANSWER: Duration = Duration::from_secs(30);

/// The way to the portal.
pub(crate) struct Reception {
    portal: Arc<dyn Portal>,
    runtime: Handle,
    open: Semaphore,
    granted: Semaphore,
    telling: Semaphore,
    recalling: Semaphore,
}

impl Reception {
    pub(crate) fn new(portal: Arc<dyn Portal>, runtime: Handle) -> Self {
        let (open, granted) = (Semaphore::new(OPEN_SEATS), Semaphore::new(GRANTED_SEATS));
        let (telling, recalling) = (Semaphore::new(TELLING_SEATS), Semaphore::new(RECALLING_SEATS));
        Self { portal, runtime, open, granted, telling, recalling }
    }

    /// Runs something on the portal's runtime.
    pub(crate) async fn run(&self, what: Later<()>) {
        // Should it panic, the caller finds that nothing has changed.
        drop(self.runtime.spawn(what).await);
    }

    /// The provider that answered last in a session, as far as the ledger knows; none while many ask.
    pub(crate) async fn session_provider(&self, user: UserId, session: &str) -> Option<String> {
        let _seat = self.recalling.try_acquire().ok()?;
        self.runtime.spawn(self.portal.session_provider(user, session)).await.ok().flatten()
    }

    /// Brings the policy up to date.
    pub(crate) async fn catch_up(&self) {
        // A task that panicked has changed nothing; the caller looks again either way.
        drop(self.runtime.spawn(self.portal.catch_up()).await);
    }

    /// Passes on which settings a user's client says it has.
    pub(crate) fn reported(&self, user: UserId, checksum: &str, user_agent: Option<&str>) {
        self.portal.reported(user, checksum, user_agent);
    }

    /// Passes on another hash to keep of a key.
    pub(crate) fn rehashed(&self, key: KeyId, old: KeyHash, new: KeyHash) {
        self.portal.rehashed(key, old, new);
    }

    async fn answer(&self, asked: Asked) -> Result<Response<Bytes>, Refusal> {
        let answering = tokio::time::timeout(ANSWER, self.portal.answer(asked));
        match self.runtime.spawn(answering).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) | Err(_) => Err(Refusal::PortalFailed),
        }
    }
}

/// Where a request belongs.
pub(crate) enum Visit {
    /// To the portal, and this is the answer.
    Answered(Response<ReplyBody>),
    /// Elsewhere.
    Elsewhere(Request<Incoming>),
}

/// Answers a request to the portal. It leaves a record only when it is refused: it is no exchange.
pub(crate) async fn visit(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    request: Request<Incoming>,
) -> Visit {
    let path = request.uri().path();
    // Nearly all requests are these, and the portal is not asked about them.
    if path.starts_with("/v1/messages") || connection.is_framed_twice() {
        return Visit::Elsewhere(request);
    }
    let Some(entry) = worker.shared.reception.portal.entry(path) else { return Visit::Elsewhere(request) };
    let settings = worker.shared.settings.load_full();
    let (head, body) = request.into_parts();
    if form_fault(&head, &settings.limits).is_some() {
        return Visit::Elsewhere(Request::from_parts(head, body));
    }
    let mut body = Some(body);
    let answered = match entry {
        Entry::Open(most) => open(worker, connection, &settings, &head, &mut body, most).await,
        Entry::Granted => granted(worker, connection, &settings, &head).await,
        Entry::Telling(most) => telling(worker, connection, &settings, &head, &mut body, most).await,
    };
    Visit::Answered(match answered {
        Ok(mut response) => {
            // Every answer of ours has one; what has none is taken for hyper's own (see `connection.rs`).
            let id = Worker::exchange_id(Worker::now()).to_string();
            if let Ok(id) = HeaderValue::from_str(&format!("req_{}", &id[4..])) {
                response.headers_mut().insert("request-id", id);
            }
            if let Some(rest) = body.take() {
                end_early(connection, rest);
            }
            whole(response, worker, connection)
        }
        Err(why) => {
            let mut exchange = Open::new(worker, connection, Kind::Other);
            exchange.note_head(&head.headers);
            let rest = body.and_then(|rest| readable(&head.headers, rest));
            Refused::new(exchange, why, rest).answer(worker, connection).await
        }
    })
}

/// A body that nobody wants is read away if it is there; else the connection ends after the answer.
fn end_early(connection: &Connection, mut rest: Incoming) {
    if !rest.is_end_stream() && !crate::inspect::read_away(&mut rest) {
        connection.linger();
    }
}

async fn open(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    settings: &Settings,
    head: &Parts,
    body: &mut Option<Incoming>,
    most: usize,
) -> Result<Response<Bytes>, Refusal> {
    if head.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Refusal::EncodedBody);
    }
    // A seat is taken once all has arrived: who sends slowly keeps nobody out.
    let bytes = collect(body, &settings.limits, most).await?;
    let reception = &worker.shared.reception;
    let _seat =
        reception.open.try_acquire().map_err(|_| Refusal::Overloaded("sign-in requests under way"))?;
    reception.answer(asked(connection, settings, head, bytes, None)).await
}

async fn granted(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    settings: &Settings,
    head: &Parts,
) -> Result<Response<Bytes>, Refusal> {
    let grant = recognize(worker, connection, &head.headers).await?;
    let reception = &worker.shared.reception;
    let _seat =
        reception.granted.try_acquire().map_err(|_| Refusal::Overloaded("requests of clients under way"))?;
    reception.answer(asked(connection, settings, head, Bytes::new(), Some(&grant))).await
}

async fn telling(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    settings: &Settings,
    head: &Parts,
    body: &mut Option<Incoming>,
    most: usize,
) -> Result<Response<Bytes>, Refusal> {
    let grant = recognize(worker, connection, &head.headers).await?;
    let reception = &worker.shared.reception;
    // Before the body, since bodies are what takes memory; a body that comes slowly is given up in time.
    let Ok(_seat) = reception.telling.try_acquire() else { return Err(Refusal::Telemetry) };
    let bytes = collect(body, &settings.limits, most).await?;
    reception.answer(asked(connection, settings, head, bytes, Some(&grant))).await
}

fn asked(
    connection: &Connection,
    settings: &Settings,
    head: &Parts,
    body: Bytes,
    grant: Option<&Grant>,
) -> Asked {
    Asked {
        method: head.method.clone(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.clone(),
        body,
        peer: client_of(&settings.proxies, connection.peer(), &head.headers),
        principal: grant.map(Grant::principal),
    }
}

/// Reads a whole body, up to a size and for a time. What was refused before its end stays where it is.
async fn collect(body: &mut Option<Incoming>, limits: &Limits, most: usize) -> Result<Bytes, Refusal> {
    let Some(incoming) = body.as_mut() else { return Ok(Bytes::new()) };
    // Before anything is read, so that who waits for a go-ahead does not get one.
    if incoming.size_hint().lower() > most as u64 {
        return Err(Refusal::BodyTooLarge(most as u64));
    }
    let reading = async {
        let mut bytes = BytesMut::new();
        loop {
            let next = poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx));
            let frame =
                tokio::time::timeout(limits.body_idle, next).await.map_err(|_| Refusal::BodyTooSlow)?;
            let Some(frame) = frame else { return Ok(bytes.freeze()) };
            let Ok(data) = frame.map_err(|_| Refusal::BodyCut)?.into_data() else { continue };
            if data.len() > most - bytes.len() {
                return Err(Refusal::BodyTooLarge(most as u64));
            }
            bytes.extend_from_slice(&data);
        }
    };
    let read = tokio::time::timeout(limits.body, reading).await.map_err(|_| Refusal::BodyTooSlow)?;
    if !matches!(read, Err(Refusal::BodyTooLarge(_))) {
        *body = None;
    }
    read
}

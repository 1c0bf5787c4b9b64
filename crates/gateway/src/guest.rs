//! Guests: connections that the forward proxy looks into and hands over.
//!
//! A guest has been recognized by the proxy, and means a host of its own. Requests for a model go through the same stages as
//! everybody's (promise: permissions, budgets, metering and records hold), by the guest's own credential unless the operator
//! has it otherwise; all else is passed on as it is ([`crate::passed`]).

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use gatehouse_domain::exchange::CALLER;
use gatehouse_domain::policy::Grant;
use gatehouse_domain::proxy::Host;
use http::{Request, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::connection::Connection;
use crate::handle::form_fault;
use crate::passed;
use crate::reception::Visit;
use crate::refusal::Refusal;
use crate::settings::{Inspection, Paid, Provider};
use crate::worker::Worker;

/// Guests that wait for a worker; beyond it no more are taken in.
const WAITING: usize = 64;

/// A guest as it comes.
pub struct Guest {
    /// What the proxy let it in by.
    pub grant: Grant,
    /// The client's address.
    pub client: IpAddr,
    /// The host that it means, in lower case.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The addresses that may be connected to for it; a parent proxy looks it up itself.
    pub addresses: Vec<IpAddr>,
    /// Counted up with every request.
    pub requests: Arc<AtomicU32>,
    /// HTTP/1.1, in the clear.
    pub stream: DuplexStream,
}

/// There is no room for a guest: too many wait, or this node stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the data path takes in no more guests now")]
pub struct NoSeat;

/// Where guests come in. Cheap to clone.
#[derive(Clone)]
pub struct Guests {
    workers: Arc<[Sender<Guest>]>,
    next: Arc<AtomicUsize>,
}

impl Guests {
    /// Takes a guest in. Returns at once.
    ///
    /// # Errors
    /// There is no room on any worker. The guest's stream is closed then.
    pub fn enter(&self, mut guest: Guest) -> Result<(), NoSeat> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for turn in 0..self.workers.len() {
            let at = first.wrapping_add(turn) % self.workers.len();
            match self.workers[at].try_send(guest) {
                Ok(()) => return Ok(()),
                Err(refused) => guest = refused.into_inner(),
            }
        }
        Err(NoSeat)
    }

    /// Doors for so many workers.
    pub(crate) fn doors(workers: usize) -> (Self, Vec<Receiver<Guest>>) {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| tokio::sync::mpsc::channel(WAITING)).unzip();
        (Self { workers: senders.into(), next: Arc::default() }, receivers)
    }
}

/// A guest while it is here.
pub(crate) struct Inside {
    pub(crate) grant: Grant,
    /// Its host, with the guest's own credential.
    pub(crate) provider: Arc<Provider>,
    is_model_host: bool,
    paid: Paid,
    requests: Arc<AtomicU32>,
    /// A connection to its host for what is passed on.
    link: RefCell<Option<SendRequest<Incoming>>>,
}

impl Inside {
    /// Seats a guest, under the rules of now; gives its stream back apart.
    pub(crate) fn seat(guest: Guest, rules: &Inspection) -> (Box<Self>, DuplexStream) {
        let Guest { grant, host, port, addresses, requests, stream, .. } = guest;
        let is_model_host = rules.models.contains(&host);
        let named = Host::Name(host.clone());
        let fits = rules.added.iter().filter(|(pattern, ..)| pattern.fits(&named));
        let added = fits.map(|(_, name, value)| (name.clone(), value.clone())).collect();
        let provider = Arc::new(Provider::of_caller(rules, host, port, addresses, added));
        let link = RefCell::new(None);
        let inside = Self { grant, provider, is_model_host, paid: rules.paid, requests, link };
        (Box::new(inside), stream)
    }

    /// Whether its model requests are made by its own credential.
    pub(crate) fn is_own(&self) -> bool {
        self.paid == Paid::Caller
    }

    /// The provider that its model requests go to, where that is its own.
    pub(crate) fn own_provider(&self) -> Option<Arc<Provider>> {
        self.is_own().then(|| Arc::clone(&self.provider))
    }

    pub(crate) fn take_link(&self) -> Option<SendRequest<Incoming>> {
        self.link.borrow_mut().take()
    }

    pub(crate) fn keep_link(&self, sender: SendRequest<Incoming>) {
        *self.link.borrow_mut() = Some(sender);
    }

    /// Whether a text names the host that it means, with the port or without.
    fn means(&self, authority: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(authority) else { return false };
        let (name, port) = text.rsplit_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
        let place = &self.provider.place;
        let is_port = port.is_none_or(|port| port == place.port.to_string());
        let is_host = |own: &str| name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case(own);
        is_port && place.host.name().is_some_and(is_host)
    }
}

/// What becomes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It goes through the stages.
    Stages,
    /// It is passed on as it is.
    Through,
    /// It is refused: it would use models past the stages.
    Refused,
}

/// Answers what is not for the stages.
pub(crate) async fn visit(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    inside: &Inside,
    request: Request<Incoming>,
) -> Visit {
    inside.requests.fetch_add(1, Ordering::Relaxed);
    let (head, body) = request.into_parts();
    let fault = if connection.is_framed_twice() {
        Some(Refusal::MalformedHead)
    } else if let Some(fault) = form_fault(&head, &worker.shared.settings.load().limits) {
        Some(fault)
    } else {
        let host = head.headers.get(header::HOST).map_or(&b""[..], |host| host.as_bytes());
        let is_there = inside.means(host)
            && head.uri.authority().is_none_or(|authority| inside.means(authority.as_str().as_bytes()));
        (!is_there).then_some(Refusal::Misdirected)
    };
    let place = if inside.is_model_host { place(head.uri.path()) } else { Place::Through };
    match (fault, place) {
        (None, Place::Stages) => Visit::Elsewhere(Request::from_parts(head, body)),
        (None, Place::Through) => Visit::Answered(passed::pass(worker, connection, inside, head, body).await),
        (None, Place::Refused) => {
            let why = Refusal::UnknownPath;
            Visit::Answered(passed::refuse(worker, connection, inside, (head, body), why).await)
        }
        (Some(why), _) => {
            Visit::Answered(passed::refuse(worker, connection, inside, (head, body), why).await)
        }
    }
}

/// What becomes of a path at a host of models. A path that is another spelling of one that uses models is refused: what stands
/// behind the host may read it as that one.
fn place(path: &str) -> Place {
    if matches!(path, "/v1/messages" | "/v1/messages/count_tokens") {
        return Place::Stages;
    }
    let mut segments: Vec<String> = Vec::new();
    for segment in unescaped(path).to_ascii_lowercase().replace('\\', "/").split('/') {
        match segment.split(';').next().unwrap_or_default().trim() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            named => segments.push(named.to_owned()),
        }
    }
    let uses = |pair: &[String]| pair[0] == "v1" && matches!(pair[1].as_str(), "messages" | "complete");
    if segments.windows(2).any(uses) { Place::Refused } else { Place::Through }
}

/// A path without percent signs that stand for other characters, however often they were put in.
fn unescaped(path: &str) -> String {
    let mut text = path.as_bytes().to_vec();
    for _ in 0..4 {
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let digits = text.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
            let byte = digits.filter(|_| text[at] == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
            out.push(byte.unwrap_or(text[at]));
            at += if byte.is_some() { 3 } else { 1 };
        }
        if out == text {
            break;
        }
        text = out;
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The name under which what a guest does by its own credential is booked.
pub(crate) fn booked_as(host: &str) -> String {
    format!("{CALLER}{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_that_uses_models_is_known() {
        for (path, expected) in [
            ("/v1/messages", Place::Stages),
            ("/v1/messages/count_tokens", Place::Stages),
            ("/v1/messages/", Place::Refused),
            ("/v1//messages", Place::Refused),
            ("//v1/messages", Place::Refused),
            ("/v1/./messages", Place::Refused),
            ("/x/../v1/messages", Place::Refused),
            ("/v1/%6dessages", Place::Refused),
            ("/v1%2fmessages", Place::Refused),
            ("/v1%252Fmessages", Place::Refused),
            ("/V1/Messages", Place::Refused),
            ("/v1\\messages", Place::Refused),
            ("/v1/messages;a=b", Place::Refused),
            ("/v1/messages/batches", Place::Refused),
            ("/v1/messages/count_tokens/", Place::Refused),
            ("/v1/complete", Place::Refused),
            ("/api/event_logging/v2/batch", Place::Through),
            ("/v1/models", Place::Through),
            ("/v1/messages_x", Place::Through),
            ("/", Place::Through),
            ("/%", Place::Through),
            ("/%zz/%1", Place::Through),
        ] {
            assert_eq!(place(path), expected, "{path}");
        }
    }
}

//! What the gateway listener serves beside model requests: sign-in, served settings, what a client tells of its use.
//!
//! The data path knows neither pages nor databases. It bounds and reads such a request, finds out whose it is where that
//! matters, and hands it to a [`Portal`] on another runtime.

use std::net::IpAddr;
use std::pin::Pin;

use bytes::Bytes;
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::id::{KeyId, UserId};
use gatehouse_domain::key::KeyHash;
use http::{HeaderMap, Method, Response};

/// An answer that takes a while.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How a path is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// By anybody, with a body of at most so many bytes.
    Open(usize),
    /// By who holds a good key or session, without a body.
    Granted,
    /// By who holds a good key or session, with a body of at most so many bytes, packed or not.
    Telling(usize),
}

/// A request to the portal.
#[derive(Clone)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The path, one for which there is an [`Entry`].
    pub path: String,
    /// The query.
    pub query: String,
    /// The headers; the credential is among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The client's address.
    pub peer: IpAddr,
    /// Whose request it is; always there for [`Entry::Granted`] and [`Entry::Telling`].
    pub principal: Option<Principal>,
}

/// Answers what is no model request.
pub trait Portal: Send + Sync {
    /// How this path is entered; `None` when it is none of the portal's. Returns at once.
    fn entry(&self, path: &str) -> Option<Entry>;

    /// Answers a request. Runs on the portal's runtime, and is given up after 30 s.
    fn answer(&self, asked: Asked) -> Later<Response<Bytes>>;

    /// Takes note of the checksum of the settings that a user's client says it has, as it stands in its header, and of its
    /// `User-Agent`. Returns at once.
    fn reported(&self, user: UserId, checksum: &str, user_agent: Option<&str>);

    /// Takes note of another hash to keep of a key that was just used: what is kept was made under an older pepper. May forget
    /// it, since it comes with every use. Returns at once.
    fn rehashed(&self, key: KeyId, old: KeyHash, new: KeyHash);

    /// Brings the policy up to date: somebody came with a genuine token for a session that it does not hold. Waits for a
    /// short time at most; however many call, the database is asked one time after the other.
    fn catch_up(&self) -> Later<()>;

    /// The provider that answered last in a user's session, as far as the ledger knows. Waits for it; is given up after 2 s.
    fn session_provider(&self, user: UserId, session: &str) -> Later<Option<String>>;
}

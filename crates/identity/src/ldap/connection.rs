//! One connection to one server: TLS, binds and searches, each within its time.

use std::future::Future;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ldap3::asn1::{PL, parse_tag};
use ldap3::controls::{ControlType, MakeCritical as _, PagedResults};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, SearchOptions, StdStream};
use rustls::ClientConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(super) use ldap3::Scope;

use super::config::{Encryption, Limits};
use super::entry::Entry;
use super::fault::{Fault, Step};
use super::guard::{self, Malformed};
use super::server_url::ServerUrl;
use super::transport::{Stream, connect};
use crate::secret::Secret;

/// Result codes of RFC 4511 section 4.1.9.
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const REFERRAL: u32 = 10;
const NO_SUCH_OBJECT: u32 = 32;

/// A connection. Closed when dropped.
pub(super) struct Connection {
    ldap: Ldap,
    search_timeout: Duration,
    page_size: u16,
    malformed: Arc<OnceLock<Malformed>>,
    _tasks: JoinSet<()>,
}

/// What to search for.
#[derive(Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) base: &'a str,
    pub(super) scope: Scope,
    pub(super) filter: &'a str,
    pub(super) attributes: &'a [String],
}

/// What a bind came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bind {
    Accepted,
    Answered { code: u32, text: String },
}

impl Connection {
    /// Connects to a server, with TLS where that is asked for.
    pub(super) async fn open(
        server: &ServerUrl,
        encryption: Encryption,
        tls: &Arc<ClientConfig>,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let stream = timeout(limits.connect, connect(server, encryption, tls))
            .await
            .map_err(|_| Fault::Timeout(Step::Connect))??;
        let malformed = Arc::new(OnceLock::new());
        let mut tasks = JoinSet::new();
        let (ours, library, address) = pair().await.map_err(|e| Fault::Connect(e.to_string()))?;
        tasks.spawn(relay(stream, ours, Arc::clone(&malformed)));
        let settings = LdapConnSettings::new().set_std_stream(library);
        let (driver, ldap) = LdapConnAsync::with_settings(settings, address)
            .await
            .map_err(|e| Fault::Connect(e.to_string()))?;
        tasks.spawn(async move {
            // Whoever waits for a reply learns of the end by its missing.
            let _ = driver.drive().await;
        });
        Ok(Self {
            ldap,
            search_timeout: limits.search,
            page_size: limits.page_size,
            malformed,
            _tasks: tasks,
        })
    }

    /// Signs in on this connection. The caller has made sure that the password is not empty.
    pub(super) async fn bind(&mut self, step: Step, dn: &str, password: &Secret) -> Result<Bind, Fault> {
        let text = password.expose_text().ok_or(Fault::Broken)?;
        if text.is_empty() {
            // An empty password would be "unauthenticated bind" (RFC 4513 section 5.1.2), which succeeds.
            return Err(Fault::Broken);
        }
        let limit = self.search_timeout;
        let result = self.ldap.simple_bind(dn, text);
        let result = within(limit, result).await.map_err(|e| self.fault(step, e))?;
        match result.rc {
            SUCCESS => Ok(Bind::Accepted),
            REFERRAL => Err(Fault::Referral),
            code => Ok(Bind::Answered { code, text: result.text }),
        }
    }

    /// The first entries that match, at most `most` of them.
    pub(super) async fn find(&mut self, query: Query<'_>, most: usize) -> Result<Vec<Entry>, Fault> {
        let limit = self.search_timeout;
        let options = self.options(i32::try_from(most).unwrap_or(i32::MAX));
        let mut entries = Vec::new();
        let result = within(limit, async {
            let mut handle = self.ldap.clone();
            run(handle.with_search_options(options), query, |entry| {
                if entries.len() < most {
                    entries.push(entry);
                }
                Ok(())
            })
            .await
        })
        .await
        .map_err(|e| self.fault(Step::Search, e))?;
        match result.rc {
            SUCCESS => Ok(entries),
            SIZE_LIMIT_EXCEEDED if entries.len() >= most => Ok(entries),
            _ => Err(refused(result)),
        }
    }

    /// Every entry that matches, page by page (RFC 2696), each handed to `each`. Anything less than all is an error.
    pub(super) async fn list(
        &mut self,
        query: Query<'_>,
        each: &mut (dyn FnMut(Entry) -> Result<(), Fault> + Send),
    ) -> Result<(), Fault> {
        let mut cookie = Vec::new();
        loop {
            let limit = self.search_timeout;
            let page = PagedResults { size: i32::from(self.page_size), cookie: cookie.clone() };
            let options = self.options(0);
            let mut count = 0_usize;
            let most = usize::from(self.page_size);
            let result = within(limit, async {
                let mut handle = self.ldap.clone();
                let handle = handle.with_search_options(options).with_controls(vec![page.critical().into()]);
                run(handle, query, |entry| {
                    count += 1;
                    if count > most {
                        return Err(Problem::Fault(Fault::Truncated(
                            "a page has more entries than were asked for",
                        )));
                    }
                    each(entry).map_err(Problem::Fault)
                })
                .await
            })
            .await
            .map_err(|e| self.fault(Step::Search, e))?;
            if result.rc != SUCCESS {
                return Err(if result.rc == SIZE_LIMIT_EXCEEDED {
                    Fault::Truncated("the server's size limit for the searching account is reached; raise it")
                } else {
                    refused(result)
                });
            }
            let next = next_cookie(&result)?;
            if next.is_empty() {
                return Ok(());
            }
            if next == cookie && count == 0 {
                return Err(Fault::Truncated("the server repeats a page without entries"));
            }
            cookie = next;
        }
    }

    fn options(&self, size_limit: i32) -> SearchOptions {
        let seconds = i32::try_from(self.search_timeout.as_secs().max(1)).unwrap_or(i32::MAX);
        SearchOptions::new().sizelimit(size_limit).timelimit(seconds)
    }

    /// What a failure comes from: bytes that the guard stopped, or what the library says.
    fn fault(&self, step: Step, problem: Problem) -> Fault {
        if let Some(malformed) = self.malformed.get() {
            return Fault::Malformed(*malformed);
        }
        match problem {
            Problem::Timeout => Fault::Timeout(step),
            Problem::Fault(fault) => fault,
            Problem::Ldap(error) => Fault::Lost(error.to_string()),
        }
    }
}

enum Problem {
    Timeout,
    Fault(Fault),
    Ldap(LdapError),
}

impl From<LdapError> for Problem {
    fn from(error: LdapError) -> Self {
        Self::Ldap(error)
    }
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        Self::Fault(Fault::Malformed(malformed))
    }
}

async fn within<T, E: Into<Problem>>(
    limit: Duration,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, Problem> {
    match timeout(limit, future).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(Problem::Timeout),
    }
}

/// One search operation; hands on entries and leaves references to other servers out, since they are not followed.
async fn run(
    handle: &mut Ldap,
    query: Query<'_>,
    mut each: impl FnMut(Entry) -> Result<(), Problem> + Send,
) -> Result<LdapResult, Problem> {
    let mut stream =
        handle.streaming_search(query.base, query.scope, query.filter, query.attributes.to_vec()).await?;
    while let Some(found) = stream.next().await? {
        if !found.is_ref() && !found.is_intermediate() {
            each(Entry::read(found.0)?)?;
        }
    }
    Ok(stream.finish().await)
}

fn refused(result: LdapResult) -> Fault {
    match result.rc {
        REFERRAL => Fault::Referral,
        NO_SUCH_OBJECT => Fault::Result {
            step: Step::Search,
            code: NO_SUCH_OBJECT,
            text: "a configured base does not exist or may not be seen".to_owned(),
        },
        code => Fault::Result { step: Step::Search, code, text: result.text },
    }
}

/// The cookie of the next page, empty after the last one. A server that does not answer the control at all may have
/// left entries out without a word.
fn next_cookie(result: &LdapResult) -> Result<Vec<u8>, Fault> {
    let control = result.ctrls.iter().find(|control| matches!(control.0, Some(ControlType::PagedResults)));
    let value = control.and_then(|control| control.1.val.as_deref());
    let value = value.ok_or(Fault::Truncated("the server does not say whether there are more pages"))?;
    guard::check(value)?;
    let (_, tag) = parse_tag(value).map_err(|_| Malformed::Form)?;
    let PL::C(parts) = tag.payload else { return Err(Malformed::Form.into()) };
    match parts.into_iter().nth(1).map(|part| part.payload) {
        Some(PL::P(cookie)) => Ok(cookie),
        Some(PL::C(_)) | None => Err(Malformed::Form.into()),
    }
}

/// Carries requests out as they are and lets replies in through the guard; ends when either side does.
async fn relay(server: Box<dyn Stream>, library: impl Stream, malformed: Arc<OnceLock<Malformed>>) {
    let (from_server, mut to_server) = tokio::io::split(server);
    let (mut from_library, to_library) = tokio::io::split(library);
    tokio::select! {
        () = guard::pass(from_server, to_library, &malformed) => (),
        _ = tokio::io::copy(&mut from_library, &mut to_server) => {
            let _ = to_server.shutdown().await;
        }
    }
}

/// Two ends of a connection inside this process: one for the relay, one for the library, and the library's address.
#[cfg(unix)]
#[expect(clippy::unused_async, reason = "the other platforms have to wait here")]
async fn pair() -> io::Result<(tokio::net::UnixStream, StdStream, &'static str)> {
    let (ours, theirs) = tokio::net::UnixStream::pair()?;
    Ok((ours, StdStream::Unix(theirs.into_std()?), "ldapi://inside"))
}

/// Two ends of a connection inside this process: one for the relay, one for the library, and the library's address.
#[cfg(not(unix))]
async fn pair() -> io::Result<(tokio::net::TcpStream, StdStream, &'static str)> {
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let theirs = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
    let (ours, peer) = listener.accept().await?;
    // Another process could have connected in between.
    if peer != theirs.local_addr()? {
        return Err(io::Error::other("another process connected to an inner port"));
    }
    Ok((ours, StdStream::Tcp(theirs.into_std()?), "ldap://127.0.0.1"))
}

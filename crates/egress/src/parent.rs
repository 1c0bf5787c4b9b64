//! A parent proxy, and how it fares.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use gatehouse_domain::proxy::{Destination, Host};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::ask::{NotThrough, ask};
use crate::dial::dial;
use crate::link::Link;
use crate::tls::server_name;

/// So often in a row it may let a destination wait before that is taken for its own fault.
const STRIKES: u32 = 3;
/// After failures it is looked at again after the pause, which is doubled each time, at most so often.
const DOUBLINGS: u32 = 4;

/// A parent proxy. Holds credentials, so there is no `Debug`.
pub struct Parent {
    name: Arc<str>,
    at: Destination,
    tls: Option<Arc<ClientConfig>>,
    authorization: Option<Zeroizing<String>>,
    fares: Mutex<Fares>,
}

/// What a parent is made of.
pub struct ParentSpec<'a> {
    /// Its name in logs and metrics.
    pub name: &'a str,
    /// Where it is.
    pub at: Destination,
    /// TLS to it; none for a plain connection.
    pub tls: Option<Arc<ClientConfig>>,
    /// What it is shown (Basic, RFC 7617).
    pub credentials: Option<(&'a str, &'a [u8])>,
}

/// How it fares.
#[derive(Default)]
struct Fares {
    /// Whether it was ever asked.
    asked: bool,
    /// How often in a row it was silent.
    strikes: u32,
    down: Option<Down>,
}

/// It does not work.
struct Down {
    why: NotThrough,
    /// What it was asked for: asked for again, that shows whether it works.
    to: Destination,
    /// When it is looked at again.
    next: Instant,
    failures: u32,
}

impl Parent {
    /// Prepares a parent. Opens no connection.
    pub fn new(spec: ParentSpec<'_>) -> Self {
        let authorization = spec.credentials.map(|(user, password)| {
            let pair = Zeroizing::new([user.as_bytes(), b":", password].concat());
            Zeroizing::new(format!("Basic {}", *Zeroizing::new(Base64::encode_string(&pair))))
        });
        Self { name: spec.name.into(), at: spec.at, tls: spec.tls, authorization, fares: Mutex::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it does not work; nothing while it does, as far as is known.
    pub(crate) fn trouble(&self) -> Option<NotThrough> {
        self.fares().down.as_ref().map(|down| down.why.clone())
    }

    /// Whether it was ever asked for something.
    pub(crate) fn was_asked(&self) -> bool {
        self.fares().asked
    }

    pub(crate) fn is_up(&self) -> bool {
        self.fares().down.is_none()
    }

    /// What it is to be asked for now to find out whether it works; `first` if it was never asked for anything.
    pub(crate) fn due(&self, first: Option<&Destination>) -> Option<Destination> {
        let fares = self.fares();
        match &fares.down {
            Some(down) => (down.next <= Instant::now()).then(|| down.to.clone()),
            None if fares.asked => None,
            None => first.cloned(),
        }
    }

    /// Opens a tunnel. Connecting to the parent may take `connect`, everything `limit`.
    pub(crate) async fn open(
        &self,
        to: &Destination,
        connect: Duration,
        limit: Duration,
        pause: Duration,
    ) -> Result<Link, NotThrough> {
        let end = Instant::now() + limit;
        let opened = match timeout_at(end, self.connect(connect.min(limit))).await {
            Ok(Ok(mut link)) => {
                let asked =
                    timeout_at(end, ask(&mut link, to, self.authorization.as_ref().map(|a| a.as_str())));
                asked.await.unwrap_or(Err(NotThrough::Silent)).map(|()| link)
            }
            Ok(Err(why)) => Err(why),
            Err(_) => Err(NotThrough::Unreachable("it does not answer in time".to_owned())),
        };
        self.note(to, opened.as_ref().err(), pause);
        opened
    }

    async fn connect(&self, limit: Duration) -> Result<Link, NotThrough> {
        let unreachable = |error: std::io::Error| NotThrough::Unreachable(error.to_string());
        let end = Instant::now() + limit;
        let addresses = match &self.at.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let found = timeout_at(end, tokio::net::lookup_host((name.as_str(), self.at.port)));
                let late = |_| NotThrough::Unreachable("its name is not looked up in time".to_owned());
                found.await.map_err(late)?.map_err(unreachable)?.map(|address| address.ip()).collect()
            }
        };
        let left = end.saturating_duration_since(Instant::now());
        let (socket, _) = dial(&addresses, self.at.port, left).await.map_err(unreachable)?;
        let Some(tls) = &self.tls else { return Ok(Link::Plain(socket)) };
        let secured = timeout_at(end, self.secure(tls, socket)).await;
        secured.unwrap_or_else(|_| Err(NotThrough::Tls("it does not answer in time".to_owned())))
    }

    async fn secure(&self, tls: &Arc<ClientConfig>, socket: TcpStream) -> Result<Link, NotThrough> {
        let told = |error: &dyn std::fmt::Display| NotThrough::Tls(error.to_string());
        let name =
            server_name(&self.at.host).ok_or_else(|| told(&"its host is no name for a certificate"))?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, socket).await;
        stream.map(|stream| Link::Tls(Box::new(stream))).map_err(|error| told(&error))
    }

    /// Notes what came of asking it.
    fn note(&self, to: &Destination, trouble: Option<&NotThrough>, pause: Duration) {
        let mut fares = self.fares();
        fares.asked = true;
        let is_silent = matches!(trouble, Some(NotThrough::Silent));
        fares.strikes = if is_silent { fares.strikes.saturating_add(1) } else { 0 };
        let is_its_own = trouble.is_some_and(NotThrough::is_of_parent) || fares.strikes >= STRIKES;
        match (trouble, fares.down.take()) {
            (Some(why), before) if is_its_own || (is_silent && before.is_some()) => {
                if before.as_ref().is_none_or(|before| before.why != *why) {
                    tracing::warn!(parent = &*self.name, %why, "a parent proxy does not work; others are asked first");
                }
                let failures = before.map_or(0, |before| before.failures);
                let next = Instant::now() + pause * (1_u32 << failures.min(DOUBLINGS));
                let failures = failures.saturating_add(1);
                fares.down = Some(Down { why: why.clone(), to: to.clone(), next, failures });
            }
            // What it answers of one destination shows that it works.
            (_, Some(_)) => tracing::info!(parent = &*self.name, "the parent proxy works again"),
            (_, None) => {}
        }
    }

    fn fares(&self) -> std::sync::MutexGuard<'_, Fares> {
        self.fares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

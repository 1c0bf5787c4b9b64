//! Credentials that run out, renewed ahead of it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use gatehouse_domain::egress::Origin;
use gatehouse_domain::proxy::Destination;
use gatehouse_egress::Egress;
use gatehouse_egress::tls::{AnyHost, server_name};
use gatehouse_gateway::settings::Current;
use gatehouse_providers::credential::google::{ServiceAccount, Workload};
use gatehouse_providers::credential::{Ask, NoCredential, google};
use gatehouse_providers::sigv4::AwsKeys;
use http::{HeaderValue, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::amazon::KeySource;

/// How long a service may take to give a credential.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of a service's answer.
const MAX_ANSWER: usize = 256 * 1024;
/// A credential is renewed this many seconds before it runs out, or after three quarters of its time if that comes first.
const AHEAD: u64 = 600;
/// After failures it is tried again after 1, 2, 4, ... seconds, at most this many.
const MAX_PAUSE: u64 = 30;

/// A credential that runs out: where it comes from, and where it goes.
pub(super) struct Renewal {
    pub(super) provider: String,
    pub(super) what: What,
    pub(super) services: Services,
    pub(super) state: Mutex<State>,
}

/// How the services that give credentials are reached.
#[derive(Clone)]
pub(super) struct Services {
    /// They are trusted as their provider is; none where no certificates were found.
    pub(super) tls: Option<AnyHost>,
    pub(super) egress: Egress,
}

/// Whose service it is.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// The cloud's.
    Cloud,
    /// Of the machine's own platform, at an address that nothing else may reach.
    Platform,
}

/// What is renewed.
pub(super) enum What {
    /// Keys of Amazon's, as the platform gives them or as a role has them.
    Amazon(Arc<KeySource>, Arc<Current<AwsKeys>>),
    ServiceAccount(Box<ServiceAccount>, Arc<Current<HeaderValue>>),
    Workload(Box<Workload>, Arc<Current<HeaderValue>>),
}

/// When it is to be renewed, and when it runs out, in seconds since 1970.
#[derive(Default)]
pub(super) struct State {
    next: u64,
    expires: u64,
    failures: u32,
}

impl Renewal {
    /// Renews the credential if it is time. A credential that has run out is taken away: requests are then refused with a
    /// sentence that says so, instead of by the provider.
    pub(super) async fn turn(&self, now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if now < self.state().next {
            return;
        }
        let renewed = tokio::time::timeout(PATIENCE, self.renew(now)).await;
        let renewed = renewed.unwrap_or_else(|_| Err("the service took too long".to_owned()));
        let mut state = self.state();
        match renewed {
            Ok(expires) => {
                let left = expires.saturating_sub(now);
                let ahead = AHEAD.min(left / 4);
                *state = State { next: now + left.saturating_sub(ahead).max(1), expires, failures: 0 };
                tracing::info!(provider = %self.provider, seconds = left, "the provider's credential was renewed");
            }
            Err(error) => {
                let pause = 1_u64.checked_shl(state.failures).unwrap_or(MAX_PAUSE).min(MAX_PAUSE);
                state.failures = state.failures.saturating_add(1).min(16);
                state.next = now + pause;
                let left = state.expires.saturating_sub(now);
                if state.failures == 1 || left == 0 {
                    tracing::error!(provider = %self.provider, error, seconds_left = left, "the provider's credential was not renewed; it is tried again");
                }
                if left == 0 {
                    self.forget();
                }
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self) {
        match &self.what {
            What::Amazon(_, keys) => keys.store(None),
            What::ServiceAccount(_, token) | What::Workload(_, token) => token.store(None),
        }
    }

    /// Fetches a new one; says when it runs out.
    async fn renew(&self, now: u64) -> Result<u64, String> {
        let told = |error: NoCredential| error.to_string();
        match &self.what {
            What::Amazon(source, keys) => {
                let issued = source.keys(&[], None, now).await?;
                keys.store(Some(Arc::new(issued.keys)));
                Ok(issued.expires)
            }
            What::ServiceAccount(account, token) => {
                let (status, body) = send(account.ask(now).map_err(told)?, Of::Cloud, &self.services).await?;
                let issued = google::read(status, &body, now).map_err(told)?;
                token.store(Some(Arc::new(issued.bearer)));
                Ok(issued.expires)
            }
            What::Workload(workload, token) => {
                let subject =
                    workload.subject(&read_file(Path::new(&workload.token_file)).await?).map_err(told)?;
                let (status, body) = send(workload.ask(&subject), Of::Cloud, &self.services).await?;
                let mut issued = google::read(status, &body, now).map_err(told)?;
                if let Some(ask) = workload.impersonate(&issued) {
                    let (status, body) = send(ask, Of::Cloud, &self.services).await?;
                    issued = google::read(status, &body, now).map_err(told)?;
                }
                token.store(Some(Arc::new(issued.bearer)));
                Ok(issued.expires)
            }
        }
    }
}

/// Asks a service that gives credentials.
pub(super) async fn send(ask: Ask, of: Of, services: &Services) -> Result<(u16, Bytes), String> {
    let uri: http::Uri = ask.url.parse().map_err(|_| "its service's address is none".to_owned())?;
    let is_https = uri.scheme_str() == Some("https");
    let authority = uri.authority().ok_or("its service's address has no host")?.as_str();
    let to = Destination::parse(authority, Some(if is_https { 443 } else { 80 }))
        .map_err(|error| format!("its service's address is none: {error}"))?;
    let link = match of {
        Of::Cloud => services.egress.open(&to, Origin::Configured, PATIENCE).await,
        Of::Platform => Egress::platform(&to, PATIENCE).await,
    };
    let link = link.map_err(|error| error.to_string())?;
    if !is_https {
        return converse(link, &uri, ask).await;
    }
    let tls = services.tls.as_ref().ok_or("no trusted certificates were found on this system")?;
    let name = server_name(&to.host).ok_or("its host is no name for a certificate")?;
    let secured = TlsConnector::from(tls.of(&to.host)).connect(name, link).await;
    converse(secured.map_err(|error| format!("`{}` cannot be trusted: {error}", to.host))?, &uri, ask).await
}

/// Reads a file that the platform keeps fresh.
pub(super) async fn read_file(path: &Path) -> Result<String, String> {
    let read = tokio::fs::read_to_string(path).await;
    read.map_err(|error| format!("cannot read the token file `{}`: {error}", path.display()))
}

async fn converse<S>(socket: S, uri: &http::Uri, ask: Ask) -> Result<(u16, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| format!("the service's answer broke off: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(socket))
            .await
            .map_err(failed)?;
    let mut request = http::Request::new(Full::new(Bytes::from(ask.body)));
    *request.method_mut() = ask.method;
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    *request.uri_mut() = target.parse().map_err(|_| "its service's address is none".to_owned())?;
    *request.headers_mut() = ask.headers;
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let host =
        HeaderValue::from_str(authority).map_err(|_| "its service's address has no host".to_owned())?;
    request.headers_mut().insert(header::HOST, host);
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        Ok((status, body.map_err(|error| format!("the service's answer broke off: {error}"))?.to_bytes()))
    });
    tokio::select! {
        biased;
        done = &mut answer => done,
        // It may end with the answer's last byte.
        _ = &mut connection => answer.await,
    }
}

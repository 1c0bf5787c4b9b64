//! The way to identity providers: one request on one connection, guarded.
//!
//! Addresses come from the configuration and from what configured issuers publish. The way out ([`Egress`]) checks them: an
//! issuer's document cannot lead us into the private network, nor can a name that changes its mind. Private addresses are for
//! the hosts that the operator wrote down.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use gatehouse_domain::egress::Origin;
use gatehouse_domain::proxy::{Destination, Host};
use gatehouse_egress::tls::{AnyHost, Special, Trust, server_name};
use gatehouse_egress::{Egress, Link, NotOpened};
use gatehouse_identity::fetch::{Fetch, FetchError, HttpRequest, HttpResponse};
use gatehouse_identity::secret::Secret;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio_rustls::TlsConnector;

/// How long a request may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what may be much may take in all.
const SLOW: Duration = Duration::from_mins(1);
/// How long a connection may take, TLS with its other end aside.
const CONNECT: Duration = Duration::from_secs(5);

/// A host that the operator wrote down, and how it is trusted.
#[derive(Clone)]
pub(crate) struct Known {
    /// TLS settings; `None` where there is no TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// Reaches identity providers.
#[derive(Clone)]
pub(crate) struct Net {
    egress: Egress,
    reach: Arc<RwLock<Reach>>,
}

/// What can be reached.
#[derive(Default)]
pub(crate) struct Reach {
    /// Hosts that the operator wrote down.
    pub(crate) known: BTreeMap<Host, Known>,
    /// TLS settings for all others.
    pub(crate) tls: Option<AnyHost>,
}

impl Net {
    /// Goes this way, and reaches nothing before [`Net::replace`].
    pub(crate) fn new(egress: Egress) -> Self {
        Self { egress, reach: Arc::default() }
    }

    /// Puts another reach in force.
    pub(crate) fn replace(&self, reach: Reach) {
        *self.reach.write().unwrap_or_else(PoisonError::into_inner) = reach;
    }

    /// Who named a host, and its TLS settings.
    fn reach(&self, host: &Host) -> (Origin, Option<Arc<ClientConfig>>) {
        let reach = self.reach.read().unwrap_or_else(PoisonError::into_inner);
        let general = || reach.tls.as_ref().map(|tls| tls.of(host));
        match reach.known.get(host) {
            Some(known) => (Origin::Configured, known.tls.clone().or_else(general)),
            None => (Origin::Given, general()),
        }
    }
}

impl Fetch for Net {
    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, FetchError> {
        tokio::time::timeout(PATIENCE, self.send(request)).await.unwrap_or(Err(FetchError::TimedOut))
    }
}

fn unreachable(why: impl Into<String>) -> FetchError {
    FetchError::Unreachable(why.into())
}

impl Net {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, FetchError> {
        let url = &request.url;
        let host = url.host_str().ok_or_else(|| unreachable("its address has no host"))?;
        let host = Host::parse(host).map_err(|error| unreachable(format!("its address: {error}")))?;
        let is_https = url.scheme() == "https";
        let port = url.port_or_known_default().ok_or_else(|| unreachable("its address has no port"))?;
        let (origin, tls) = self.reach(&host);
        let to = Destination { host, port };
        let link = self.egress.open(&to, origin, CONNECT).await.map_err(|error| match error {
            NotOpened::Closed { host, closed, origin: Origin::Given } => {
                unreachable(format!("`{host}` {closed}, and `{host}` is no configured issuer"))
            }
            NotOpened::Late(_) => FetchError::TimedOut,
            other @ (NotOpened::Lookup(..)
            | NotOpened::Closed { .. }
            | NotOpened::Unreachable(..)
            | NotOpened::NoParent { .. }) => unreachable(other.to_string()),
        })?;
        if !is_https {
            return converse(link, request).await;
        }
        let tls = tls.ok_or_else(|| unreachable("no trusted certificates were found on this system"))?;
        let name =
            server_name(&to.host).ok_or_else(|| unreachable("its host is no name for a certificate"))?;
        let secured = TlsConnector::from(tls).connect(name, link).await;
        converse(secured.map_err(|error| unreachable(error.to_string()))?, request).await
    }
}

/// Sends the request and reads the answer, up to its limit. A redirect is an answer like any other.
async fn converse<S>(socket: S, asked: HttpRequest) -> Result<HttpResponse, FetchError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| unreachable(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(socket))
            .await
            .map_err(failed)?;
    let driver = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
    let request = request(&asked)?;
    let response = sender.send_request(request).await.map_err(failed)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), asked.max_bytes).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            FetchError::TooLong(asked.max_bytes)
        } else {
            unreachable("its answer broke off")
        }
    })?;
    drop(driver);
    Ok(HttpResponse { status, body: Secret::new(body.to_bytes().to_vec()) })
}

/// The way out to what the operator wrote down, and who is trusted there.
#[derive(Clone)]
pub(crate) struct WayOut {
    /// The way.
    pub(crate) egress: Egress,
    /// Hosts with certificates of their own.
    pub(crate) special: Arc<[Special]>,
}

impl WayOut {
    /// TLS settings for a host: the system's certificates, those of a file, and what is special about the host. Reads files.
    ///
    /// # Errors
    /// A sentence that says which certificates cannot be used.
    pub(crate) fn trust(&self, host: &Host, ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
        Trust::new(&self.special).with(host, ca_file)
    }

    /// Connects to a host.
    ///
    /// # Errors
    /// Says why not, without anything secret.
    pub(crate) async fn connect(&self, to: &Destination) -> Result<Link, NotOpened> {
        self.egress.open(to, Origin::Configured, CONNECT).await
    }
}

/// Where requests are sent that the operator wrote down: its host may be private. Holds secrets, so there is no
/// `Debug`.
pub(crate) struct Post {
    /// The beginning of the address, without a `/` at its end. Checked.
    pub(crate) endpoint: String,
    /// Headers to send.
    pub(crate) headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// How it is trusted.
    pub(crate) tls: Arc<ClientConfig>,
    /// The way there.
    pub(crate) egress: Egress,
}

/// What a [`post`] was answered.
pub(crate) struct Posted {
    /// The status.
    pub(crate) status: u16,
    /// After how long to come again.
    pub(crate) retry_after: Option<Duration>,
    /// The beginning of the body, at most [`MAX_ANSWER`]; empty when it broke off.
    pub(crate) body: Bytes,
}

/// How long the body of an answer may take.
const BODY: Duration = Duration::from_secs(4);
/// Most of an answer that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// Sends one request to a path, on a connection of its own. Follows no redirect.
///
/// # Errors
/// A sentence why there is no answer.
pub(crate) async fn post(
    to: &Post,
    path: &str,
    media_type: &'static str,
    body: Bytes,
) -> Result<Posted, String> {
    let sent = tokio::time::timeout(PATIENCE, send_post(to, path, media_type, body)).await;
    sent.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
}

async fn send_post(to: &Post, path: &str, media_type: &'static str, body: Bytes) -> Result<Posted, String> {
    let head =
        |request: http::request::Builder| request.method("POST").header(header::CONTENT_TYPE, media_type);
    let (response, driver) = ask(to, path, head, body).await?;
    let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let status = response.status().as_u16();
    // The status says most of it: a body that does not end is not waited for.
    let body = tokio::time::timeout(BODY, Limited::new(response.into_body(), MAX_ANSWER).collect()).await;
    let body = body.ok().and_then(Result::ok).map_or_else(Bytes::new, http_body_util::Collected::to_bytes);
    drop(driver);
    Ok(Posted { status, retry_after, body })
}

/// Gets what is at a path, with its query, on a connection of its own: the status, and the answer's body up to so many bytes.
/// Follows no redirect.
///
/// # Errors
/// A sentence why there is no answer, or that it is too long.
pub(crate) async fn get(to: &Post, path: &str, max_bytes: usize) -> Result<(u16, Bytes), String> {
    let head = |request: http::request::Builder| request.header(header::ACCEPT, "application/json");
    let work = async {
        let (response, driver) = ask(to, path, head, Bytes::new()).await?;
        let status = response.status().as_u16();
        let read = Limited::new(response.into_body(), max_bytes).collect().await;
        drop(driver);
        Ok((status, read.map_err(|error| format!("its answer cannot be read: {error}"))?.to_bytes()))
    };
    tokio::time::timeout(SLOW, work).await.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
}

/// Sends one request, and gives the answer, with what is to be kept while its body is read.
async fn ask(
    to: &Post,
    path: &str,
    head: impl FnOnce(http::request::Builder) -> http::request::Builder,
    body: Bytes,
) -> Result<(Response<Incoming>, AbortOnDrop), String> {
    let address: http::Uri = format!("{}{path}", to.endpoint).parse().map_err(|error| format!("{error}"))?;
    let authority = address.authority().ok_or("its address has no host")?;
    let is_https = address.scheme_str() == Some("https");
    let place = Destination::parse(authority.as_str(), Some(if is_https { 443 } else { 80 }))
        .map_err(|error| format!("its address: {error}"))?;
    let target = address.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = head(Request::builder().uri(target))
        .header(header::HOST, authority.as_str())
        .header(header::USER_AGENT, concat!("gatehouse/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &to.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
    let link = to.egress.open(&place, Origin::Configured, CONNECT).await;
    let link = link.map_err(|error| format!("it cannot be reached: {error}"))?;
    if !is_https {
        return answer(link, request).await;
    }
    let name = server_name(&place.host).ok_or("its host is no name for a certificate")?;
    let secured = TlsConnector::from(Arc::clone(&to.tls)).connect(name, link).await;
    answer(secured.map_err(|error| error.to_string())?, request).await
}

async fn answer<S>(
    socket: S,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, AbortOnDrop), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let made = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(socket)).await;
    let (mut sender, connection) = made.map_err(|error| error.to_string())?;
    let driver = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    Ok((response, driver))
}

/// The connection's task, which ends with the request.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request(asked: &HttpRequest) -> Result<Request<Full<Bytes>>, FetchError> {
    let url = &asked.url;
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut builder = Request::builder()
        .method(if asked.form.is_some() { "POST" } else { "GET" })
        .uri(target)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("gatehouse/", env!("CARGO_PKG_VERSION")));
    if let Some(secret) = &asked.authorization {
        let mut value = http::HeaderValue::from_bytes(secret.expose())
            .map_err(|_| unreachable("a credential for it cannot be sent"))?;
        value.set_sensitive(true);
        builder = builder.header(header::AUTHORIZATION, value);
    }
    let body = match &asked.form {
        Some(form) => {
            builder = builder.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            Bytes::copy_from_slice(form.expose())
        }
        None => Bytes::new(),
    };
    builder.body(Full::new(body)).map_err(|error| unreachable(error.to_string()))
}

//! The way to identity providers: one request on one connection, guarded.
//!
//! Addresses come from the configuration and from what configured issuers publish. A name is resolved once, every address
//! it has is checked, and the connection goes to a checked address: an issuer's document cannot lead us into the private
//! network, nor can a name that changes its mind. Private addresses are for the hosts that the operator wrote down.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use gatehouse_identity::fetch::{Fetch, FetchError, HttpRequest, HttpResponse};
use gatehouse_identity::secret::Secret;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a request may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A host that the operator wrote down, and how it is trusted.
#[derive(Clone)]
pub(crate) struct Known {
    /// TLS settings; `None` where there is no TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// Reaches identity providers.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<RwLock<Reach>>);

/// What can be reached.
#[derive(Default)]
pub(crate) struct Reach {
    /// Hosts that the operator wrote down.
    pub(crate) known: BTreeMap<String, Known>,
    /// TLS settings for all others.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Net {
    /// Puts another reach in force.
    pub(crate) fn replace(&self, reach: Reach) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reach;
    }

    /// Whether a host was written down by the operator, and its TLS settings.
    fn reach(&self, host: &str) -> (bool, Option<Arc<ClientConfig>>) {
        let reach = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match reach.known.get(host) {
            Some(known) => (true, known.tls.clone().or_else(|| reach.tls.clone())),
            None => (false, reach.tls.clone()),
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
        let host = request.url.host_str().ok_or_else(|| unreachable("its address has no host"))?.to_owned();
        let host = host.trim_matches(['[', ']']).to_owned();
        let is_https = request.url.scheme() == "https";
        let port =
            request.url.port_or_known_default().ok_or_else(|| unreachable("its address has no port"))?;
        let (is_known, tls) = self.reach(&host);
        let socket = connect(&host, port, is_known).await?;
        if !is_https {
            return converse(socket, request).await;
        }
        let tls = tls.ok_or_else(|| unreachable("no trusted certificates were found on this system"))?;
        let name =
            ServerName::try_from(host).map_err(|_| unreachable("its host is no name for a certificate"))?;
        let secured = TlsConnector::from(tls).connect(name, socket).await;
        converse(secured.map_err(|error| unreachable(error.to_string()))?, request).await
    }
}

/// Connects to a checked address of a host.
pub(crate) async fn connect(host: &str, port: u16, is_known: bool) -> Result<TcpStream, FetchError> {
    let found =
        tokio::net::lookup_host((host, port)).await.map_err(|error| unreachable(error.to_string()))?;
    let addresses: Vec<SocketAddr> = found.collect();
    // One bad address is enough: a name that has some of each is up to something.
    if let Some(bad) = addresses.iter().find(|address| !may_reach(address.ip(), is_known)) {
        return Err(unreachable(format!(
            "`{host}` has the address {}, which is not public, and `{host}` is no configured issuer",
            bad.ip()
        )));
    }
    let mut last = unreachable(format!("`{host}` has no address"));
    for address in addresses {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => last = unreachable(error.to_string()),
            Err(_) => last = FetchError::TimedOut,
        }
    }
    Err(last)
}

/// Whether an address may be reached: public ones always, private ones of known hosts, and where machines ask for their own
/// credentials (link-local) never.
fn may_reach(address: IpAddr, is_known: bool) -> bool {
    let (is_private, is_never) = match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let private = v4.is_private() || v4.is_loopback() || (a == 100 && (64..128).contains(&b));
            let never = v4.is_unspecified()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 198 && (b & 0xfe) == 18)
                || (a == 192 && b == 0 && v4.octets()[2] == 0);
            (private, never)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            let private = v6.is_loopback() || (first & 0xfe00) == 0xfc00;
            // Addresses that stand for IPv4 ones (NAT64, 6to4, Teredo) could hide any of those above.
            let stands_for_v4 = (first == 0x64 && v6.segments()[1] == 0xff9b)
                || first == 0x2002
                || (first == 0x2001 && v6.segments()[1] == 0)
                || v6.octets()[..12].iter().all(|byte| *byte == 0) && !v6.is_loopback();
            let never =
                v6.is_unspecified() || v6.is_multicast() || (first & 0xffc0) == 0xfe80 || stands_for_v4;
            (private, never)
        }
    };
    !is_never && (is_known || !is_private)
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

/// Where requests are sent that the operator wrote down: its host may be a private one. Holds secrets, so there is no
/// `Debug`.
pub(crate) struct Post {
    /// The beginning of the address, without a `/` at its end. Checked.
    pub(crate) endpoint: String,
    /// Headers to send.
    pub(crate) headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// How it is trusted.
    pub(crate) tls: Arc<ClientConfig>,
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
    let address: http::Uri = format!("{}{path}", to.endpoint).parse().map_err(|error| format!("{error}"))?;
    let authority = address.authority().ok_or("its address has no host")?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let is_https = address.scheme_str() == Some("https");
    let port = authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    let target = address.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request::builder()
        .method("POST")
        .uri(target)
        .header(header::HOST, authority.as_str())
        .header(header::CONTENT_TYPE, media_type)
        .header(header::USER_AGENT, concat!("gatehouse/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &to.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
    let socket = connect(&host, port, true).await.map_err(|error| match error {
        FetchError::Unreachable(why) => format!("it cannot be reached: {why}"),
        other @ (FetchError::TimedOut | FetchError::TooLong(_) | FetchError::Status(_)) => other.to_string(),
    })?;
    if !is_https {
        return answer(socket, request).await;
    }
    let name = ServerName::try_from(host).map_err(|_| "its host is no name for a certificate")?;
    let secured = TlsConnector::from(Arc::clone(&to.tls)).connect(name, socket).await;
    answer(secured.map_err(|error| error.to_string())?, request).await
}

async fn answer<S>(socket: S, request: Request<Full<Bytes>>) -> Result<Posted, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let made = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(socket)).await;
    let (mut sender, connection) = made.map_err(|error| error.to_string())?;
    let driver = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let status = response.status().as_u16();
    // The status says most of it: a body that does not end is not waited for.
    let body = tokio::time::timeout(BODY, Limited::new(response.into_body(), MAX_ANSWER).collect()).await;
    let body = body.ok().and_then(Result::ok).map_or_else(Bytes::new, http_body_util::Collected::to_bytes);
    drop(driver);
    Ok(Posted { status, retry_after, body })
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

/// TLS settings for a host: the system's certificates, and those of a file.
pub(crate) fn trust(ca_file: Option<&PathBuf>) -> Result<Arc<ClientConfig>, String> {
    let pem = ca_file.map(std::fs::read).transpose();
    let pem = pem.map_err(|error| {
        format!(
            "cannot read `{}`: {error}",
            ca_file.map(|path| path.display().to_string()).unwrap_or_default()
        )
    })?;
    gatehouse_gateway::settings::client_tls(pem.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_for_hosts_that_the_operator_named() {
        for (address, known, unknown) in [
            ("93.184.216.34", true, true),
            ("2606:2800:220:1::1", true, true),
            ("127.0.0.1", true, false),
            ("10.1.2.3", true, false),
            ("172.16.0.1", true, false),
            ("192.168.1.1", true, false),
            ("100.64.0.1", true, false),
            ("::1", true, false),
            ("fd00::1", true, false),
            ("::ffff:10.0.0.1", true, false),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("64:ff9b::a00:1", false, false),
            ("2002:a00:1::", false, false),
            ("::10.0.0.1", false, false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!((may_reach(address, true), may_reach(address, false)), (known, unknown), "{address}");
        }
    }
}

//! The management API as the command line sees it.

use std::fmt::Display;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use super::table::printable;
use super::{Failure, Global, credential};
use crate::environment::Environment;

/// Largest answer that is held in memory. Lists are read page by page and stay far below.
const MAX_ANSWER: u64 = 64 << 20;
/// For everything but exports.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection to the management API of one server.
pub(crate) struct Client {
    agent: Agent,
    server: String,
    token: Zeroizing<String>,
    gateway: Option<String>,
}

/// Finds server and token; connects with the first request.
pub(crate) fn connect(global: &Global, environment: &Environment) -> Result<Client, Failure> {
    let server = credential::server(global, environment)?;
    if !server.starts_with("http://") && !server.starts_with("https://") {
        return Err(Failure::Usage(format!(
            "`{server}` is not an address that begins with http:// or https://"
        )));
    }
    let token = credential::token(global, environment)?;
    let gateway = credential::gateway(global, environment);
    let trust = Trust::of(global)?;
    Ok(Client { agent: trusting(&server, &trust), server, token, gateway })
}

/// Whom the other end of TLS is asked to be, and who we say we are.
#[derive(Default)]
pub(crate) struct Trust {
    /// It is the server of this machine's data directory, at an address that it wrote down itself: a certificate for another
    /// name would say no more than that.
    is_local: bool,
    /// Authorities besides the system's.
    more: Vec<Certificate<'static>>,
    /// What is shown to it.
    shown: Option<ClientCert>,
}

impl Trust {
    /// The server of this machine.
    pub(crate) fn local() -> Self {
        Self { is_local: true, ..Self::default() }
    }

    /// As the command line says.
    fn of(global: &Global) -> Result<Self, Failure> {
        let (mut more, mut shown) = (Vec::new(), None);
        if let Some(path) = &global.ca_file {
            more = certificates(path)?;
        }
        if let (Some(chain), Some(path)) = (&global.client_certificate, &global.client_key) {
            let key = Zeroizing::new(read_file(path)?);
            let key = PrivateKey::from_pem(&key).map_err(|error| unreadable(path, error))?;
            shown = Some(ClientCert::new_with_certs(&certificates(chain)?, key));
        }
        Ok(Self { is_local: global.server.is_none(), more, shown })
    }
}

fn unreadable(path: &Path, error: impl Display) -> Failure {
    Failure::Usage(format!("cannot read `{}`: {error}", path.display()))
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| unreadable(path, error))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    let pem = read_file(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem)
        .map(|der| der.map(|der| Certificate::from_der(&der).to_owned()))
        .collect();
    read.map_err(|error| unreadable(path, error))
}

/// What asks a server: no redirects, the system's trusted certificates, no proxy for plain HTTP.
pub(crate) fn agent(server: &str) -> Agent {
    trusting(server, &Trust::default())
}

fn trusting(server: &str, trust: &Trust) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_recv_response(Some(PATIENCE))
        .user_agent(concat!("gatehouse/", env!("CARGO_PKG_VERSION")));
    if server.starts_with("https://") {
        let roots = rustls_native_certs::load_native_certs().certs;
        let roots = roots.iter().map(|der| Certificate::from_der(der).to_owned());
        let roots: Vec<_> = roots.chain(trust.more.iter().cloned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .client_cert(trust.shown.clone())
            .disable_verification(trust.is_local)
            .unversioned_rustls_crypto_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        config = config.tls_config(tls);
    }
    if trust.is_local || !server.starts_with("https://") {
        // Plain HTTP is for this machine and trusted networks; a proxy would only see the token.
        config = config.proxy(None);
    }
    Agent::new_with_config(config.build())
}

impl Client {
    /// A client of the management API of this machine's server, with this token. `gateway` is where model requests go.
    pub(crate) fn local(server: &str, token: Zeroizing<String>, gateway: Option<String>) -> Self {
        Self { agent: trusting(server, &Trust::local()), server: server.to_owned(), token, gateway }
    }

    /// Where model requests go, if that is known here.
    pub(crate) fn gateway(&self) -> Option<&str> {
        self.gateway.as_deref()
    }

    /// The server's address.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Asks for something.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        self.send(&Method::GET, &with_query(path, query), None)
    }

    /// As [`Client::get`], and tells apart that the server cannot answer because its database is away.
    pub(crate) fn get_unless_away(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Result<Value, Away>, Failure> {
        let response = self.call(&Method::GET, &with_query(path, query), None)?;
        if response.status().as_u16() != 503 {
            return accepted(response, path).map(Ok);
        }
        let status = response.status();
        let body = read(response)?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        match value.pointer("/error/code").and_then(Value::as_str) {
            Some("unavailable") => {
                Ok(Err(Away { request: super::output::field(&value["error"], "request_id") }))
            }
            _ => Err(told(status, &body)),
        }
    }

    /// Asks for something that is a file.
    pub(crate) fn bytes(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<u8>, Failure> {
        let response = self.call(&Method::GET, &with_query(path, query), None)?;
        if !response.status().is_success() {
            return Err(refusal(response));
        }
        read(response)
    }

    /// Asks for something that is a text.
    pub(crate) fn text(&self, path: &str, query: &[(&str, &str)]) -> Result<String, Failure> {
        let text = String::from_utf8(self.bytes(path, query)?);
        text.map_err(|_| Failure::Failed(format!("the server's answer to `{path}` is no text")))
    }

    /// Asks to do something.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(&Method::POST, path, Some(body))
    }

    /// Asks to replace something.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(&Method::PUT, path, Some(body))
    }

    /// Asks to remove something.
    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.send(&Method::DELETE, path, None)
    }

    /// Asks for a list, page by page, and hands on each item. Stops after `limit` items.
    pub(crate) fn each(
        &self,
        path: &str,
        query: &[(&str, &str)],
        limit: Option<u64>,
        mut item: impl FnMut(Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (mut left, mut after) = (limit.unwrap_or(u64::MAX), None::<String>);
        while left > 0 {
            let page = left.min(1000).to_string();
            let mut query = query.to_vec();
            query.push(("limit", &page));
            if let Some(after) = &after {
                query.push(("after", after));
            }
            let mut answer = self.get(path, &query)?;
            let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) else {
                return Err(Failure::Failed(format!("`{path}` did not answer with a list")));
            };
            for value in items {
                item(value)?;
                left = left.saturating_sub(1);
            }
            after = answer.get("next").and_then(Value::as_str).map(str::to_owned);
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// All items of a list.
    pub(crate) fn list(
        &self,
        path: &str,
        query: &[(&str, &str)],
        limit: Option<u64>,
    ) -> Result<Vec<Value>, Failure> {
        let mut out = Vec::new();
        self.each(path, query, limit, |item| {
            out.push(item);
            Ok(())
        })?;
        Ok(out)
    }

    /// Asks for something that is passed on as it arrives.
    pub(crate) fn stream(&self, path: &str) -> Result<impl Read + 'static, Failure> {
        let response = self.call(&Method::GET, path, None)?;
        if !response.status().is_success() {
            return Err(refusal(response));
        }
        Ok(response.into_body().into_reader())
    }

    fn send(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        accepted(self.call(method, path, body)?, path)
    }

    fn call(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Response<Body>, Failure> {
        let authorization = Zeroizing::new(format!("Bearer {}", *self.token));
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("authorization", authorization.as_str())
            .header("accept", "application/json");
        let sent = match body {
            None => self.agent.run(request.body(()).map_err(|error| Failure::Usage(error.to_string()))?),
            Some(value) => {
                let request = request.header("content-type", "application/json").body(value.to_string());
                self.agent.run(request.map_err(|error| Failure::Usage(error.to_string()))?)
            }
        };
        sent.map_err(|error| {
            Failure::Unreachable(format!("cannot reach the server at {}: {error}", self.server))
        })
    }
}

/// Posts a form to an address that nobody has to be known at. Gives the status and the answer, if that is JSON.
pub(crate) fn post_form(server: &str, path: &str, form: &[(&str, &str)]) -> Result<(u16, Value), Failure> {
    let form = Zeroizing::new(encoded(form));
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{server}{path}"))
        .header("accept", "application/json")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.as_str())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let sent = agent(server).run(request);
    let response =
        sent.map_err(|error| Failure::Unreachable(format!("cannot reach the server at {server}: {error}")))?;
    let status = response.status().as_u16();
    Ok((status, serde_json::from_slice(&Zeroizing::new(read(response)?)).unwrap_or_default()))
}

/// The server cannot answer because its database is away.
pub(crate) struct Away {
    /// Names the request in the server's log.
    pub(crate) request: String,
}

fn accepted(response: Response<Body>, path: &str) -> Result<Value, Failure> {
    if !response.status().is_success() {
        return Err(refusal(response));
    }
    let text = read(response)?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&text)
        .map_err(|error| Failure::Failed(format!("the server's answer to `{path}` is not JSON: {error}")))
}

fn read(response: Response<Body>) -> Result<Vec<u8>, Failure> {
    let mut body = response.into_body();
    let text = body.with_config().limit(MAX_ANSWER).read_to_vec();
    text.map_err(|error| Failure::Failed(format!("the server's answer broke off: {error}")))
}

/// What the server says about a refusal: `{"error": {"code", "message", "field"?, "request_id"}}`.
fn refusal(response: Response<Body>) -> Failure {
    let status = response.status();
    told(status, &read(response).unwrap_or_default())
}

fn told(status: StatusCode, body: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    match value.pointer("/error/message").and_then(Value::as_str) {
        // Mistakes of a configuration come one a line.
        Some(message) => Failure::Failed(message.lines().map(printable).collect::<Vec<_>>().join("\n")),
        None => Failure::Failed(format!("the server answered {status}; is this the management address?")),
    }
}

/// Fields as a form sends them: as a query without its `?`.
pub(crate) fn encoded(form: &[(&str, &str)]) -> String {
    with_query("", form).split_off(usize::from(!form.is_empty()))
}

fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    for (i, (name, value)) in query.iter().enumerate() {
        out.push(if i == 0 { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        out.push_str(&escaped(value));
    }
    out
}

/// A text as one part of a path or query (RFC 3986: everything but unreserved characters is percent-encoded).
pub(crate) fn escaped(text: &str) -> String {
    let part = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_leave_their_part_of_the_address() {
        assert_eq!(escaped("a@b.c/../x?y=1&z#%"), "a%40b.c%2F..%2Fx%3Fy%3D1%26z%23%25");
        assert_eq!(with_query("/x", &[("a", "1 2"), ("b", "é")]), "/x?a=1%202&b=%C3%A9");
    }
}

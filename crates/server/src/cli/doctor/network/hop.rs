//! One hop: its name, a connection, TLS, an answer. What is found, and what to do about it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use url::Url;
use zeroize::Zeroizing;

use super::secure::{self, Trust};

/// To connect to one address.
const CONNECT: Duration = Duration::from_secs(5);
/// To wait for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Most that is read of an answer, in bytes.
const MOST: usize = 16 * 1024;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pass,
    Warn,
    Fail,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a check found.
pub(super) struct Finding {
    pub(super) hop: &'static str,
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) evidence: String,
    /// What to do; empty where there is nothing to do.
    pub(super) advice: String,
}

/// Everything that was found, in its order.
#[derive(Default)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
}

impl Report {
    pub(super) fn pass(&mut self, hop: &'static str, check: &'static str, evidence: impl Into<String>) {
        self.add(hop, check, State::Pass, evidence.into(), String::new());
    }

    pub(super) fn warn(
        &mut self,
        hop: &'static str,
        check: &'static str,
        evidence: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(hop, check, State::Warn, evidence.into(), advice.into());
    }

    pub(super) fn fail(
        &mut self,
        hop: &'static str,
        check: &'static str,
        evidence: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(hop, check, State::Fail, evidence.into(), advice.into());
    }

    fn add(
        &mut self,
        hop: &'static str,
        check: &'static str,
        state: State,
        evidence: String,
        advice: String,
    ) {
        self.findings.push(Finding { hop, check, state, evidence, advice });
    }
}

/// A place that is connected to. Its credentials are a secret, so there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// The beginning of its paths, without a `/` at its end.
    pub(super) path: String,
    /// `user:password`, decoded.
    pub(super) credentials: Option<Zeroizing<String>>,
}

impl Place {
    /// A host by TLS.
    pub(super) fn secured(host: &str) -> Self {
        Self { is_tls: true, host: host.to_owned(), port: 443, path: String::new(), credentials: None }
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A connection of whichever kind.
pub(super) trait Duplex: Read + Write {}

impl<S: Read + Write> Duplex for S {}

/// `user:password` of an address, decoded.
pub(super) fn credentials(url: &Url) -> Option<Zeroizing<String>> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let password = url.password().unwrap_or_default();
    Some(Zeroizing::new(format!("{}:{}", decoded(url.username()), decoded(password))))
}

fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An address as it may be shown.
pub(super) fn without_password(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://***@{host}")
        }
        None => text.to_owned(),
    }
}

fn addresses(place: &Place) -> io::Result<Vec<SocketAddr>> {
    Ok((place.host.as_str(), place.port).to_socket_addrs()?.collect())
}

/// Looks a name up.
pub(super) fn name(report: &mut Report, hop: &'static str, place: &Place) {
    match addresses(place) {
        Ok(found) if !found.is_empty() => {
            let list: Vec<String> = found.iter().map(|at| at.ip().to_string()).collect();
            report.pass(hop, "name", format!("{} is {}", place.host, list.join(", ")));
        }
        Ok(_) => report.fail(hop, "name", format!("{} has no address", place.host), NAME_ADVICE),
        Err(error) => report.fail(hop, "name", format!("{}: {error}", place.host), NAME_ADVICE),
    }
}

const NAME_ADVICE: &str = "Is the name written rightly, and is this machine in the organization's network (VPN)? Where only the \
                           proxy knows names, set CLAUDE_CODE_PROXY_RESOLVES_HOSTS=1.";

/// The coding client signs in only at gateways whose every address is a private one.
pub(super) fn private_addresses(report: &mut Report, gateway: &Place) {
    let Ok(found) = addresses(gateway) else { return };
    let public: Vec<String> =
        found.iter().filter(|at| !is_private(at.ip())).map(|at| at.ip().to_string()).collect();
    if public.is_empty() {
        report.pass("gateway", "private-address", "every address is private: /login works with it");
    } else {
        report.warn(
            "gateway",
            "private-address",
            format!("{} is public", public.join(", ")),
            "The coding client refuses to sign in (/login) at a gateway with a public address. Give the name private addresses in \
             the organization's network, name its networks in the client's gatewayInternalNetworks, or use a key (ANTHROPIC_BASE_URL and ANTHROPIC_AUTH_TOKEN), which works with both.",
        );
    }
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Connects to the first address that takes the connection.
fn connect(report: &mut Report, hop: &'static str, place: &Place) -> Option<TcpStream> {
    let mut last = None;
    for address in addresses(place).unwrap_or_default() {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(ANSWER)).ok()?;
                stream.set_write_timeout(Some(ANSWER)).ok()?;
                report.pass(hop, "tcp", format!("connected to {address}"));
                return Some(stream);
            }
            Err(error) => last = Some((address, error)),
        }
    }
    if let Some((address, error)) = last {
        let advice = if error.kind() == io::ErrorKind::ConnectionRefused {
            "Nothing listens there: is the port right, and does the server run?"
        } else if error.kind() == io::ErrorKind::TimedOut {
            "No answer at all: a firewall drops it, or there is no route. `gatehouse network allow-list` says what must be let \
             through."
        } else {
            "A firewall refuses it, or there is no route from this machine."
        };
        report.fail(hop, "tcp", format!("{address}: {error}"), advice);
    }
    None
}

/// A place, directly.
pub(super) fn direct(report: &mut Report, goal: &Place, is_gateway: bool, trust: &Trust) {
    let hop = if is_gateway { "gateway" } else { "destination" };
    if !is_gateway {
        name(report, hop, goal);
    }
    if let Some(socket) = connect(report, hop, goal) {
        arrive(report, hop, goal, is_gateway, trust, Box::new(socket));
    }
}

/// A place, through the forward proxy.
pub(super) fn through(report: &mut Report, proxy: &Place, goal: &Place, is_gateway: bool, trust: &Trust) {
    name(report, "proxy", proxy);
    let Some(socket) = connect(report, "proxy", proxy) else { return };
    let mut stream: Box<dyn Duplex> = Box::new(socket);
    if proxy.is_tls {
        let Some(secured) = secure::greet(report, "proxy", proxy, trust, stream) else { return };
        stream = secured;
    }
    if !goal.is_tls {
        let told = "an http:// address goes to the proxy as a whole request, whose content it sees";
        report.warn("tunnel", "connect", told, "Use an https:// address.");
        return;
    }
    let to = goal.authority();
    let mut head =
        Zeroizing::new(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nProxy-Connection: Keep-Alive\r\n"));
    if let Some(credentials) = &proxy.credentials {
        let encoded = Zeroizing::new(Base64::encode_string(credentials.as_bytes()));
        for part in ["Proxy-Authorization: Basic ", encoded.as_str(), "\r\n"] {
            head.push_str(part);
        }
    }
    head.push_str("\r\n");
    let asked = stream.write_all(head.as_bytes()).and_then(|()| stream.flush());
    match asked.and_then(|()| answer(&mut stream, Until::Head)) {
        Ok(answer) if opened(report, proxy, &to, &answer) => {
            let hop = if is_gateway { "gateway" } else { "destination" };
            arrive(report, hop, goal, is_gateway, trust, stream);
        }
        Ok(_) => {}
        Err(error) => secure::fault(report, "proxy", "connect", proxy, trust, &error),
    }
}

/// Whether a proxy opened the tunnel; says what it answered.
fn opened(report: &mut Report, proxy: &Place, to: &str, answer: &Answer) -> bool {
    let said = answer.sentence();
    match answer.status {
        Some(200..=299) => {
            report.pass("proxy", "connect", format!("opened a tunnel to {to}"));
            return true;
        }
        Some(407) if proxy.credentials.is_some() => report.fail(
            "proxy",
            "connect",
            format!("407: it does not accept these credentials{said}"),
            "The key for the proxy is mistyped, expired or revoked, or it is a key for the gateway: make one with `gatehouse key \
             create --for proxy`. Characters such as @ or / in it must be percent-encoded.",
        ),
        Some(407) => report.fail(
            "proxy",
            "connect",
            format!("407: it wants to know who asks{said}"),
            "Put a key for the proxy into its address (HTTPS_PROXY=http://NAME:KEY@HOST:PORT), show a client certificate, or set \
             proxyAuthHelper in the client's settings with CLAUDE_CODE_ENABLE_PROXY_AUTH_HELPER=1. (This command tries no helper.)",
        ),
        Some(status @ (403 | 451)) => report.fail(
            "proxy",
            "connect",
            format!("{status}: it does not lead there{said}"),
            format!("An administrator sees why with `gatehouse proxy explain PERSON {to}`."),
        ),
        Some(status) => report.fail(
            "proxy",
            "connect",
            format!("it answered {status}{said}"),
            "Is this the forward proxy's address? A web server or the gateway itself opens no tunnels.",
        ),
        None if answer.bytes.first() == Some(&21) => report.fail(
            "proxy",
            "connect",
            "it speaks TLS on this port",
            "Write https:// in front of the proxy's address.",
        ),
        None => report.fail(
            "proxy",
            "connect",
            "its answer is no HTTP",
            "Is this the forward proxy's address and port? SOCKS is not spoken by the coding client.",
        ),
    }
    false
}

/// At the destination: TLS, and an answer.
fn arrive(
    report: &mut Report,
    hop: &'static str,
    goal: &Place,
    is_gateway: bool,
    trust: &Trust,
    mut stream: Box<dyn Duplex>,
) {
    if goal.is_tls {
        let Some(secured) = secure::greet(report, hop, goal, trust, stream) else { return };
        stream = secured;
    } else if !goal.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) && goal.host != "localhost" {
        let advice = "Keys and prompts can be read on the way: use an https:// address.";
        report.warn(hop, "tls", "it is spoken to in the clear", advice);
    }
    let path = if is_gateway { format!("{}/readyz", goal.path) } else { "/".to_owned() };
    let host = goal.authority();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: gatehouse-doctor\r\nConnection: close\r\n\r\n"
    );
    let asked = stream.write_all(head.as_bytes()).and_then(|()| stream.flush());
    let got = match asked.and_then(|()| answer(&mut stream, Until::End)) {
        Ok(got) => got,
        Err(error) => return secure::fault(report, hop, "answer", goal, trust, &error),
    };
    let said = got.sentence();
    match (is_gateway, got.status) {
        (true, Some(200)) if got.body().starts_with("ready") => report.pass(hop, "answer", "it is ready"),
        (true, Some(503)) => report.fail(
            hop,
            "answer",
            format!("it takes no requests now{said}"),
            "The node is starting or stopping, or lacks a provider or its journal: `gatehouse status` on it says which.",
        ),
        (true, Some(status)) => report.fail(
            hop,
            "answer",
            format!("something answers {status} that is no gateway of ours{said}"),
            "Is the address right, its path included? A page of a web server or a sign-in page of the network answers here.",
        ),
        (true, None) if got.bytes.first() == Some(&21) => {
            report.fail(hop, "answer", "it speaks TLS on this port", "Write https:// in its address.");
        }
        (false, Some(status)) => report.pass(hop, "answer", format!("it answers ({status})")),
        (_, None) => report.fail(hop, "answer", "its answer is no HTTP", "Is the address right?"),
    }
}

/// How far an answer is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// A head, and what of a body is announced with a refusal.
    Head,
    End,
}

/// What was answered, as far as it was read.
struct Answer {
    status: Option<u16>,
    bytes: Vec<u8>,
}

impl Answer {
    fn body(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        text.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
    }

    /// The beginning of its text, as the rest of a sentence.
    fn sentence(&self) -> String {
        let body = self.body();
        let first = body.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        if first.is_empty() {
            String::new()
        } else {
            format!(": {}", first.chars().take(200).collect::<String>())
        }
    }
}

fn answer(stream: &mut impl Read, until: Until) -> io::Result<Answer> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 2048]);
    let status = |bytes: &[u8]| {
        let line = bytes.strip_prefix(b"HTTP/1.")?.get(2..5)?;
        std::str::from_utf8(line).ok()?.parse::<u16>().ok()
    };
    while bytes.len() < MOST {
        let text = String::from_utf8_lossy(&bytes);
        if until == Until::Head
            && let Some((head, body)) = text.split_once("\r\n\r\n")
        {
            let lower = head.to_ascii_lowercase();
            let length =
                lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let is_open = status(&bytes).is_some_and(|status| (200..300).contains(&status));
            if is_open || body.len() >= length.unwrap_or(0_usize) {
                break;
            }
        }
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            // What ends without a farewell has been read all the same.
            Err(_) if !bytes.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    if bytes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up without an answer"));
    }
    Ok(Answer { status: status(&bytes), bytes })
}

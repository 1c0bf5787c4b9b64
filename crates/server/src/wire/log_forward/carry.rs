//! Carrying lines to a destination, until it has them.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gatehouse_control::log_forward::Carrier;
use gatehouse_domain::log_forward::{Line, framed};
use gatehouse_domain::proxy::Host;
use gatehouse_egress::tls::Special;
use gatehouse_identity::secret::Secret;
use ring::hmac;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use url::Url;

use super::super::live::Live;
use crate::config::{Confirm, ForwardKind, LogForward, SecretSource, Transport};
use crate::fetch::{Post, post};
use crate::{clock, secret};

/// To connect, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// To take a batch and to close behind it.
const TAKE: Duration = Duration::from_secs(20);
/// A receiver that died in the middle closes like one that is content. Then it is not there so shortly after.
const STILL_THERE: Duration = Duration::from_millis(100);
/// Largest datagram that is sent.
const DATAGRAM: usize = 60_000;

/// Headers to send.
type Headers = Vec<(http::HeaderName, http::HeaderValue)>;

/// Whom to trust, and by which certificates of the configuration that was found.
type Trusted = (Arc<[Special]>, Arc<ClientConfig>);

/// Carries lines to one destination.
pub(super) struct Carry {
    of: LogForward,
    live: Arc<Live>,
    host: String,
    tls: Mutex<Option<Trusted>>,
}

impl Carry {
    /// For this destination.
    pub(super) fn new(of: LogForward, live: Arc<Live>) -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self { of, live, host: name.trim().to_owned(), tls: Mutex::default() }
    }

    /// A secret as it is now: it may be replaced without a restart.
    async fn secret(&self, source: Option<&SecretSource>) -> Result<Option<Secret>, String> {
        let Some(source) = source.cloned() else { return Ok(None) };
        let environment = self.live.environment.clone();
        // Files are read, and commands run.
        let found = tokio::task::spawn_blocking(move || secret::resolve(&source, &environment)).await;
        found.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Whom to trust, read once, and again after a reload and every failure.
    fn trusted(&self, host: &Host, ca_file: Option<&PathBuf>) -> Result<Arc<ClientConfig>, String> {
        let out = self.live.way_out();
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((special, tls)) if Arc::ptr_eq(special, &out.special) => Ok(Arc::clone(tls)),
            Some(_) | None => {
                let tls = out.trust(host, ca_file.map(PathBuf::as_path))?;
                *known = Some((out.special, Arc::clone(&tls)));
                Ok(tls)
            }
        }
    }

    async fn carried(&self, lines: &[Line]) -> Result<(), String> {
        match &self.of.kind {
            ForwardKind::Syslog { by: Transport::Udp, host, port, .. } => {
                let messages: Vec<String> = lines.iter().map(|line| line.syslog(&self.host)).collect();
                datagrams(host, *port, &messages).await.map_err(told)
            }
            ForwardKind::Syslog { by, host, port, confirm, ca_file } => {
                let batch: String = lines.iter().map(|line| framed(&line.syslog(&self.host))).collect();
                let tls = match by {
                    Transport::Tls => {
                        let host = Host::parse(host).map_err(|error| error.to_string())?;
                        Some(TlsConnector::from(self.trusted(&host, ca_file.as_ref())?))
                    }
                    Transport::Tcp | Transport::Udp => None,
                };
                stream((host, *port), tls.as_ref(), batch.as_bytes(), *confirm).await
            }
            ForwardKind::File { path } => {
                let (path, text) = (path.clone(), json_lines(lines));
                let done = tokio::task::spawn_blocking(move || append(&path, text.as_bytes()));
                done.await.map_err(|error| error.to_string())?.map_err(told)
            }
            ForwardKind::Http { url, token, hmac_key, ca_file } => {
                let (token, key) =
                    (self.secret(token.as_ref()).await?, self.secret(hmac_key.as_ref()).await?);
                let headers = proof(token.as_ref(), key.as_ref(), &json_lines(lines))?;
                let named = Url::parse(url).map_err(|error| error.to_string())?;
                let host = Host::parse(named.host_str().unwrap_or_default());
                let host = host.map_err(|error| error.to_string())?;
                let tls = self.trusted(&host, ca_file.as_ref())?;
                let to = Post { endpoint: url.clone(), headers, tls, egress: self.live.egress.clone() };
                batch(&to, json_lines(lines)).await
            }
        }
    }
}

impl Carrier for Carry {
    async fn carry(&self, lines: &[Line]) -> Result<(), String> {
        let done = self.carried(lines).await;
        if done.is_err() {
            *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` wants")]
fn told(error: io::Error) -> String {
    error.to_string()
}

fn json_lines(lines: &[Line]) -> String {
    lines.iter().flat_map(|line| [line.json.as_str(), "\n"]).collect()
}

async fn datagrams(host: &str, port: u16, messages: &[String]) -> io::Result<()> {
    let address = tokio::net::lookup_host((host, port)).await?.next();
    let address = address.ok_or_else(|| io::Error::other("its name has no address"))?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    for message in messages {
        let bytes = &message.as_bytes()[..message.len().min(DATAGRAM)];
        socket.send(bytes).await?;
    }
    Ok(())
}

/// Sends a batch on a connection of its own. Syslog knows no answers: when the receiver, told that there is nothing more, closes
/// its side in order, it has read everything; when it dies before, the connection is reset, or nobody listens right after.
async fn stream(
    to: (&str, u16),
    tls: Option<&TlsConnector>,
    batch: &[u8],
    confirm: Confirm,
) -> Result<(), String> {
    let mut socket = connected(to).await?;
    match tls {
        None => {
            sent(&mut socket, batch, confirm).await?;
            confirmed(to, &socket, confirm).await
        }
        Some(tls) => {
            let name = ServerName::try_from(to.0.to_owned());
            let name = name.map_err(|_| "its host is no name for a certificate")?;
            let secured = tokio::time::timeout(CONNECT, tls.connect(name, socket)).await;
            let mut secured = secured.map_err(|_| "it does not speak TLS in time")?.map_err(told)?;
            sent(&mut secured, batch, confirm).await?;
            confirmed(to, secured.get_ref().0, confirm).await
        }
    }
}

/// Looks whether a receiver that closed its side is content, and neither gone nor somebody who closed without reading.
async fn confirmed(to: (&str, u16), socket: &TcpStream, confirm: Confirm) -> Result<(), String> {
    if confirm == Confirm::Written {
        return Ok(());
    }
    tokio::time::sleep(STILL_THERE).await;
    if let Some(error) = socket.take_error().map_err(told)? {
        return Err(format!("it closed without reading a batch: {error}"));
    }
    connected(to).await.map_err(|why| format!("it was gone right after it took a batch: {why}"))?;
    Ok(())
}

async fn connected((host, port): (&str, u16)) -> Result<TcpStream, String> {
    let socket = tokio::time::timeout(CONNECT, TcpStream::connect((host, port))).await;
    socket.map_err(|_| "it cannot be reached in time".to_owned())?.map_err(told)
}

async fn sent<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    batch: &[u8],
    confirm: Confirm,
) -> Result<(), String> {
    let work = async {
        socket.write_all(batch).await?;
        socket.flush().await?;
        socket.shutdown().await?;
        if confirm == Confirm::Written {
            return Ok(());
        }
        // What it may say does not matter, its end does.
        let mut ignored = [0; 512];
        loop {
            match socket.read(&mut ignored).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // TLS that was not taken leave of, and a connection that was ended in order all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    };
    let done = tokio::time::timeout(TAKE, work).await;
    let late =
        "it does not close its side when it has read a batch; if it never does, set confirm = \"written\"";
    done.map_err(|_| late.to_owned())?.map_err(told)
}

/// Appends whole lines, on the disk when this returns. What a killed process left of a line goes: it comes again.
fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path)?;
    let end = whole_lines(&mut file)?;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    file.write_all(text)?;
    file.sync_data()
}

/// Where the last whole line ends.
fn whole_lines(file: &mut std::fs::File) -> io::Result<u64> {
    const STEP: u64 = 4096;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut piece = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        piece.clear();
        io::Read::by_ref(file).take(end - start).read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Sends a batch by POST.
async fn batch(to: &Post, body: String) -> Result<(), String> {
    let answer = post(to, "", "application/x-ndjson", Bytes::from(body)).await?;
    if (200..300).contains(&answer.status) { Ok(()) } else { Err(format!("it answers {}", answer.status)) }
}

/// What proves that a batch is ours: a bearer token, or an HMAC over the time and the body.
fn proof(token: Option<&Secret>, key: Option<&Secret>, body: &str) -> Result<Headers, String> {
    let mut headers = Headers::new();
    if let Some(token) = token {
        let text = [b"Bearer ".as_slice(), token.expose()].concat();
        let mut value = http::HeaderValue::from_bytes(&text).map_err(|_| "its token cannot be sent")?;
        value.set_sensitive(true);
        headers.push((http::header::AUTHORIZATION, value));
    }
    if let Some(key) = key {
        let at = (clock::now().0 / 1000).to_string();
        let signed = format!("{at}.{body}");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), signed.as_bytes());
        let hex = tag.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex: String = hex.filter_map(|half| char::from_digit(half.into(), 16)).collect();
        for (name, text) in
            [("x-gatehouse-timestamp", at), ("x-gatehouse-signature", format!("sha256={hex}"))]
        {
            let value = http::HeaderValue::try_from(text).map_err(|error| error.to_string())?;
            headers.push((http::HeaderName::from_static(name), value));
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_of_a_line_goes_and_whole_lines_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log.jsonl");
        append(&file, b"one\ntwo\n").unwrap();
        let torn = [b"one\ntwo\n".as_slice(), &[b'x'; 10_000]].concat();
        std::fs::write(&file, torn).unwrap();
        append(&file, b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one\ntwo\nthree\n");
        std::fs::write(&file, b"torn").unwrap();
        append(&file, b"four\n").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "four\n");
    }
}

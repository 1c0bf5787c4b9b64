//! A client that speaks TLS, or comes from another address, and the files that certificates are read from.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use gatehouse_testkit::wait;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

/// A file of the tests.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(format!("{}/tests/it/listeners/tls/{name}", env!("CARGO_MANIFEST_DIR")))
}

fn chain(name: &str) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_file(fixture(&format!("{name}.pem"))).unwrap()]
}

/// The files that a listener reads its certificate from.
pub struct Files(TempDir);

impl Files {
    /// With the certificate of this name, and no revoked ones.
    pub fn with(name: &str) -> Self {
        let files = Self(TempDir::new().unwrap());
        files.serve(name);
        files.put("ca.pem", "ca.pem");
        files.put("empty-crl.pem", "clients.crl");
        files
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Puts a file in its place at once, as tools do that renew certificates.
    pub fn put(&self, from: &str, to: &str) {
        let new = self.0.path().join("new");
        std::fs::copy(fixture(from), &new).unwrap();
        std::fs::rename(new, self.0.path().join(to)).unwrap();
    }

    /// Another certificate and its key.
    pub fn serve(&self, name: &str) {
        self.put(&format!("{name}.pem"), "server.pem");
        self.put(&format!("{name}.key"), "server.key");
    }

    /// The lines of a listener's section.
    pub fn lines(&self, more: &str) -> String {
        format!(
            "certificate = \"{}\"\nkey = \"{}\"\n{more}",
            self.path("server.pem"),
            self.path("server.key")
        )
    }

    /// The same, with client certificates.
    pub fn lines_with_clients(&self, more: &str) -> String {
        let clients = format!(
            "client_ca = \"{}\"\nclient_crls = [\"{}\"]",
            self.path("ca.pem"),
            self.path("clients.crl")
        );
        self.lines(&format!("{clients}\n{more}"))
    }
}

/// A connection.
pub type Secured = StreamOwned<ClientConnection, TcpStream>;

/// What a client is and shows.
#[derive(Clone)]
pub struct Tls {
    versions: Vec<&'static SupportedProtocolVersion>,
    certificate: Option<&'static str>,
    protocols: Vec<&'static str>,
}

impl Tls {
    /// A client that shows nothing.
    pub fn new() -> Self {
        Self { versions: rustls::ALL_VERSIONS.to_vec(), certificate: None, protocols: vec!["h2", "http/1.1"] }
    }

    pub fn version(version: &'static SupportedProtocolVersion) -> Self {
        Self { versions: vec![version], ..Self::new() }
    }

    pub fn showing(certificate: &'static str) -> Self {
        Self { certificate: Some(certificate), ..Self::new() }
    }

    pub fn speaking(protocol: &'static str) -> Self {
        Self { protocols: vec![protocol], ..Self::new() }
    }

    /// Connects, as far as the greetings.
    pub fn connect(&self, address: &str) -> io::Result<Secured> {
        self.over(open(address))
    }

    pub fn over(&self, socket: TcpStream) -> io::Result<Secured> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(fixture("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(fixture(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(chain(name), key).unwrap()
            }
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let connection = ClientConnection::new(Arc::new(config), "gateway.test".try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// One request on a connection of its own; an error where the connection is not let in.
    pub fn get(&self, address: &str, path: &str) -> io::Result<Answer> {
        ask(&mut self.connect(address)?, "GET", path, &[], b"")
    }

    pub fn post(&self, address: &str, key: &str, body: &[u8]) -> io::Result<Answer> {
        let bearer = format!("Bearer {key}");
        ask(&mut self.connect(address)?, "POST", "/v1/messages", &[("authorization", &bearer)], body)
    }
}

/// Whether a connection shows the certificate of this name.
pub fn shows(stream: &Secured, name: &str) -> bool {
    stream.conn.peer_certificates().unwrap() == chain(name)
}

fn socket_address(address: &str) -> SocketAddr {
    address.rsplit("//").next().unwrap().parse().unwrap()
}

/// A connection without TLS.
pub fn open(address: &str) -> TcpStream {
    let stream = TcpStream::connect(socket_address(address)).unwrap();
    stream.set_read_timeout(Some(wait::LIMIT)).unwrap();
    stream
}

/// A connection from another address of this machine.
pub fn open_from(from: Ipv4Addr, address: &str) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(socket_address(address)).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(wait::LIMIT)).unwrap();
    stream
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub text: String,
}

/// Sends a request and reads its answer; the connection goes on if the answer's length is announced.
pub fn ask(
    stream: &mut (impl Read + Write),
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nhost: gateway.test\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    stream.flush()?;
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        got.push(byte[0]);
    }
    let head = String::from_utf8(got).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let text = if let Some(length) = length {
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body)?;
        body
    } else {
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n0\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            body.push(byte[0]);
        }
        body
    };
    Ok(Answer { status, text: String::from_utf8(text).unwrap() })
}

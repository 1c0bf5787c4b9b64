//! A host that speaks TLS in front of a fake provider, and clients that get there through the proxy.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatehouse_domain::time::UnixMillis;
use gatehouse_proxy::authority::{Authority as Issuing, create};
use gatehouse_testkit::http::{Connection, Reply};
use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::Acceptor;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

use super::super::world::{Client, World, configured, name_server};

/// An authority of the tests' own, for everything below `test`.
pub struct Authority {
    pub certificate: String,
    pub key: String,
    issuing: Arc<Issuing>,
}

impl Authority {
    pub fn new() -> Self {
        let now = now();
        let text = create("tests", &["test".parse().unwrap()], Duration::from_hours(24), now).unwrap();
        let end = "-----END CERTIFICATE-----\n";
        let at = text.find(end).unwrap() + end.len();
        let issuing = Arc::new(Issuing::open(&text, now).unwrap());
        Self { certificate: text[..at].to_owned(), key: text[at..].to_owned(), issuing }
    }
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMillis(i64::try_from(since.as_millis()).unwrap())
}

/// A provider behind TLS.
pub struct Host {
    pub provider: FakeProvider,
    pub port: u16,
    _runtime: Runtime,
}

impl Host {
    /// One whose certificate is for this name, or else for the name that it is greeted by.
    pub fn start(
        authority: &Authority,
        name: Option<&'static str>,
        script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let provider = FakeProvider::start(script);
        let behind: SocketAddr = provider.url.trim_start_matches("http://").parse().unwrap();
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let issuing = Arc::clone(&authority.issuing);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let issuing = Arc::clone(&issuing);
                tokio::spawn(async move {
                    let greeted = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
                    let Ok(greeted) = greeted else { return };
                    let asked = greeted.client_hello().server_name().map(str::to_owned);
                    let name = name.map(str::to_owned).or(asked).unwrap_or_default();
                    let tls = issuing.tls(&name, now()).unwrap();
                    let Ok(mut outside) = greeted.into_stream(tls).await else { return };
                    let Ok(mut inside) = TcpStream::connect(behind).await else { return };
                    drop(tokio::io::copy_bidirectional(&mut outside, &mut inside).await);
                });
            }
        });
        Self { provider, port, _runtime: runtime }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn ring() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A world that looks into `api.test` and `other.test`; the authority of the hosts there is trusted.
pub struct Inspecting {
    pub world: World,
    pub host: Host,
    pub hosts_authority: Authority,
    /// What clients trust.
    pub ca: String,
    pub runtime: Runtime,
    _folder: tempfile::TempDir,
}

/// What the configuration says of inspection in most tests.
pub const RULES: &str = "hosts = [\"api.test\", \"other.test\"]\nmodel_hosts = [\"api.test\"]\n";

/// A world with these lines in `[inspection]` and an authority for `api.test` and `other.test`.
pub fn inspecting(rules: &str, script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Inspecting {
    let mut w = without_authority("", rules, script);
    let made =
        w.world.gatehouse.json(&["inspection", "ca", "create", "--host", "api.test", "--host", "other.test"]);
    made["certificate"].as_str().unwrap().clone_into(&mut w.ca);
    w
}

/// The same without an authority, with these lines in `[proxy]`.
pub fn without_authority(
    proxy: &str,
    rules: &str,
    script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
) -> Inspecting {
    let hosts_authority = Authority::new();
    let host = Host::start(&hosts_authority, None, script);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts.pem");
    std::fs::File::create(&file).unwrap().write_all(hosts_authority.certificate.as_bytes()).unwrap();
    let more = format!("{proxy}\n[inspection]\nca_file = \"{}\"\n{rules}", file.display());
    let world = configured(&[host.port], &more, &name_server(|_, _| vec![Ipv4Addr::LOCALHOST]));
    world.allow("all", &["--host", "*.test"]);
    Inspecting { world, host, hosts_authority, ca: String::new(), runtime: runtime(), _folder: folder }
}

impl Inspecting {
    /// The destination by this name.
    pub fn to(&self, name: &str) -> String {
        format!("{name}:{}", self.host.port)
    }

    /// Speaks TLS within a tunnel to a host, greeting it by a name, and trusts this authority.
    pub fn greet(&self, host: &str, name: &str, ca: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let Client(stream) = self.world.tunnel(&self.to(host));
        self.speak(stream, name, ca)
    }

    /// Speaks TLS on a connection.
    pub fn speak(
        &self,
        stream: std::net::TcpStream,
        name: &str,
        ca: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.speak_of(stream, name, ca, &["h2", "http/1.1"])
    }

    /// The same with a choice of protocols.
    pub fn speak_of(
        &self,
        stream: std::net::TcpStream,
        name: &str,
        ca: &str,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let mut tls = rustls::ClientConfig::builder_with_provider(ring())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        stream.set_nonblocking(true).unwrap();
        self.runtime.block_on(async {
            let stream = TcpStream::from_std(stream)?;
            TlsConnector::from(Arc::new(tls)).connect(name, stream).await
        })
    }

    /// A plain connection whose other end is within a tunnel to a host.
    pub fn within(&self, host: &str) -> Connection {
        let mut tls = self.greet(host, host, &self.ca).unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let listener = self.runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        self.runtime.spawn(async move {
            let (mut plain, _) = listener.accept().await.unwrap();
            drop(tokio::io::copy_bidirectional(&mut plain, &mut tls).await);
        });
        Connection::open(&address)
    }

    /// Sends a request with these lines in its head, `Host` apart, and reads the reply.
    pub fn ask(&self, host: &str, line: &str, lines: &str, body: &[u8]) -> Reply {
        send(&mut self.within(host), &self.to(host), line, lines, body)
    }

    /// Sends a request on a stream, and reads all until its end.
    pub fn exchange(
        &self,
        mut stream: TlsStream<TcpStream>,
        host: &str,
        line: &str,
        lines: &str,
        body: &[u8],
    ) -> String {
        let head = format!(
            "{line} HTTP/1.1\r\nhost: {host}\r\n{lines}connection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.runtime.block_on(async {
            stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        })
    }

    /// The only exchange there is.
    pub fn only_exchange(&self) -> Value {
        let all = self.world.gatehouse.exchanges();
        assert_eq!(all.len(), 1, "not one exchange: {all:#?}");
        all.into_iter().next().expect("just counted")
    }

    /// Writes another `[inspection]` in place of these lines, and has it read.
    pub fn change(&self, before: &str, after: &str) {
        let file = self.world.gatehouse.dir().join("gatehouse.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(before), "{text}");
        std::fs::write(&file, text.replace(before, after)).unwrap();
        self.world.gatehouse.json(&["config", "reload"]);
    }
}

/// Sends a request on a connection and reads the reply.
pub fn send(connection: &mut Connection, host: &str, line: &str, lines: &str, body: &[u8]) -> Reply {
    let head = format!("{line} HTTP/1.1\r\nhost: {host}\r\n{lines}content-length: {}\r\n\r\n", body.len());
    connection.send(&[head.as_bytes(), body].concat()).unwrap();
    connection.reply()
}

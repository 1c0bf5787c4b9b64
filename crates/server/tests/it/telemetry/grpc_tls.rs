//! The listener for telemetry by gRPC in TLS, with client certificates, and behind a proxy that says for whom it connects.

use std::io;
use std::sync::Arc;

use gatehouse_testkit::gatehouse::Builder;
use gatehouse_testkit::wait;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::claimed;
use super::grpc::{METRICS, UNAUTHENTICATED, address, call_on, cost, runtime, taking};
use crate::listeners::client::{Files, fixture};
use crate::world::{World, built, echo};

/// A client, by the certificate that it shows and the protocols that it names.
struct Client<'a> {
    shows: Option<&'a str>,
    protocols: &'a [&'a str],
}

const H2: Client<'static> = Client { shows: None, protocols: &["h2"] };

impl Client<'_> {
    /// Greets over a connection; gives the certificate that the server has shown, too.
    async fn greet<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(fixture("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut tls = match self.shows {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = vec![CertificateDer::from_pem_file(fixture(&format!("{name}.pem"))).unwrap()];
                let key = PrivateKeyDer::from_pem_file(fixture(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        tls.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("gateway.test").unwrap();
        TlsConnector::from(Arc::new(tls)).connect(name, stream).await
    }

    /// The status of one call with a key; none where there is no connection.
    fn tells(&self, world: &World, key: &str, dollars: f64) -> Option<u16> {
        let bearer = format!("Bearer {key}");
        runtime().block_on(async {
            let socket = TcpStream::connect(address(world)).await.unwrap();
            let stream = self.greet(socket).await.ok()?;
            let headers = [("authorization", bearer.as_str())];
            Some(call_on(stream, METRICS, &headers, 0, &cost(dollars)).await.ok()?.code)
        })
    }
}

fn section(lines: &str) -> String {
    format!("[tls.otlp]\n{lines}\n")
}

#[test]
fn it_speaks_http2_in_tls_and_nothing_else() {
    let files = Files::with("server");
    let w = taking(&section(&files.lines("")));
    let listen = std::fs::read_to_string(w.gatehouse.dir().join("data/listen.json")).unwrap();
    assert!(listen.contains(&format!("\"otlp\":\"https://{}\"", address(&w))), "{listen}");
    assert_eq!(H2.tells(&w, &w.key, 0.5), Some(0));
    // Who names no protocol is taken at its word, since only HTTP/2 is spoken here.
    assert_eq!(Client { shows: None, protocols: &[] }.tells(&w, &w.key, 0.25), Some(0));
    assert_eq!(Client { shows: None, protocols: &["http/1.1"] }.tells(&w, &w.key, 4.0), None);
    let plain = runtime().block_on(async {
        let socket = TcpStream::connect(address(&w)).await.unwrap();
        call_on(socket, METRICS, &[("authorization", &format!("Bearer {}", w.key))], 0, &cost(8.0)).await
    });
    assert!(plain.is_err(), "{plain:?}");
    assert_eq!(claimed(&w)[0]["cost_nanos"], 750_000_000);
    // A certificate that is renewed is shown without a restart.
    files.put("renewed.pem", "server.pem");
    files.put("renewed.key", "server.key");
    let renewed = CertificateDer::from_pem_file(fixture("renewed.pem")).unwrap();
    wait::until("the renewed certificate", || {
        runtime().block_on(async {
            let stream = H2.greet(TcpStream::connect(address(&w)).await.unwrap()).await.ok()?;
            (stream.get_ref().1.peer_certificates()?.first()? == &renewed).then_some(())
        })
    });
}

#[test]
fn client_certificates_are_asked_for_and_go_with_their_holders_credential() {
    let files = Files::with("server");
    let more = "client_certificates = \"required\"\nclient_person = \"holder\"";
    let w = taking(&section(&files.lines_with_clients(more)));
    w.gatehouse.key("ada@example.com", &[]);
    let of = |name| Client { shows: Some(name), protocols: &["h2"] }.tells(&w, &w.key, 1.0);
    assert_eq!(H2.tells(&w, &w.key, 1.0), None, "nobody is let in without one");
    assert_eq!(of("stranger"), None);
    assert_eq!(of("dev"), Some(0));
    for name in ["ada", "nobody"] {
        assert_eq!(of(name), Some(UNAUTHENTICATED), "{name}");
    }
    assert_eq!(claimed(&w)[0]["cost_nanos"], 1_000_000_000);
}

#[test]
fn a_proxy_in_front_says_for_whom_it_connects_or_is_not_served() {
    let files = Files::with("server");
    let listen = "otlp = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.2\"]\nproxy_protocol = [\"otlp\"]\n";
    let config = section(&files.lines(""));
    let w = built(|builder: Builder| builder.listen(listen).config(&config), echo(1, 1));
    let told = |first: &[u8], dollars: f64| {
        runtime().block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            let mut socket = socket.connect(address(&w).parse().unwrap()).await.unwrap();
            socket.write_all(first).await.unwrap();
            let stream = H2.greet(socket).await.ok()?;
            let bearer = format!("Bearer {}", w.key);
            Some(call_on(stream, METRICS, &[("authorization", &bearer)], 0, &cost(dollars)).await.ok()?.code)
        })
    };
    assert_eq!(told(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 4317\r\n", 0.5), Some(0));
    assert_eq!(told(b"", 4.0), None);
    assert_eq!(H2.tells(&w, &w.key, 0.25), Some(0), "all others are served as they are");
    assert_eq!(claimed(&w)[0]["cost_nanos"], 750_000_000);
}

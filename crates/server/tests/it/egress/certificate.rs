//! Providers that want to see a certificate, and addresses that nobody may reach.

use std::sync::Arc;
use std::thread;

use gatehouse_testkit::provider::FakeProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{CA, SERVER, SERVER_KEY, started};
use crate::world::{ask, echo};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/proxy/tls/client.pem");
const CLIENT_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/proxy/tls/client.key");
const OTHER_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/proxy/tls/nobody.key");

/// Ends TLS in front of a provider, for those only who show a certificate of the tests' authority. Gives the address.
fn asks_for_certificates(provider: &FakeProvider) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(CA).unwrap()).unwrap();
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&crypto)).build().unwrap();
    let chain = CertificateDer::pem_slice_iter(SERVER.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    let (acceptor, to) =
        (TlsAcceptor::from(Arc::new(config)), provider.url.trim_start_matches("http://").to_owned());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, to) = (acceptor.clone(), to.clone());
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(to).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
    });
    address
}

fn destination(more: &str) -> String {
    format!(
        "[[egress.destination]]\nname = \"models\"\nhosts = [\"localhost\"]\nca_file = \"{CA}\"\n{more}\n"
    )
}

#[test]
fn a_provider_that_asks_for_a_certificate_gets_it() {
    let provider = FakeProvider::start(echo(1, 1));
    let address = asks_for_certificates(&provider);
    let shown = destination(&format!("client_certificate = \"{CLIENT}\"\nclient_key = \"{CLIENT_KEY}\""));
    let (gatehouse, key) = started(&address, &shown);
    let reply = gatehouse.post(&key, &ask(false));
    assert_eq!(reply.status, 200, "{}\n{}", reply.text(), gatehouse.log());

    // Without it the very same provider answers nothing.
    let file = gatehouse.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&shown, &destination(""))).unwrap();
    gatehouse.json(&["config", "reload"]);
    let before = provider.peers().len();
    let reply = gatehouse.post(&key, &ask(false));
    assert_eq!((reply.status, provider.peers().len()), (502, before), "{}", reply.text());
}

#[test]
fn all_that_is_wrong_with_the_way_out_is_told_at_once() {
    let provider = FakeProvider::start(echo(1, 1));
    let (gatehouse, _) = started(&provider.url, "");
    let file = gatehouse.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let wrong = format!(
        "{text}[[egress.parent]]\nname = \"a\"\nurl = \"http://proxy.test:3128\"\nusername = \"u\"\npassword = \"env:NO_SUCH_VARIABLE\"\n\
         [[egress.parent]]\nname = \"b\"\nurl = \"https://proxy.test:3129\"\nca_file = \"/nowhere/ca.pem\"\n{}",
        destination(&format!("client_certificate = \"{CLIENT}\"\nclient_key = \"{OTHER_KEY}\""))
    );
    std::fs::write(&file, wrong).unwrap();
    let path = file.to_str().unwrap();
    let checked = gatehouse.cli(&["config", "check", "--config", path]);
    let reloaded = gatehouse.cli(&["config", "reload"]);
    assert!(!reloaded.status.success());
    for told in [checked.stdout, reloaded.stderr] {
        let told = String::from_utf8(told).unwrap();
        for expected in [
            "egress.parent[a].password: the variable `NO_SUCH_VARIABLE` is not set",
            "egress.parent[b].ca_file: cannot read `/nowhere/ca.pem`",
            "egress.destination[models].client_certificate and client_key: ",
        ] {
            assert!(told.contains(expected), "{expected}\n{told}");
        }
    }
}

#[test]
fn where_machines_get_their_credentials_is_nobodys_provider() {
    let (gatehouse, key) = started("http://169.254.169.254", "");
    assert_eq!(gatehouse.post(&key, &ask(false)).status, 502);
    let log = gatehouse.log();
    assert!(
        log.contains("`169.254.169.254` has the address 169.254.169.254, which is not public (metadata)"),
        "{log}"
    );
}

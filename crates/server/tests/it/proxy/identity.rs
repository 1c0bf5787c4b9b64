//! Who asks, and how the proxy is told: http and https addresses with Basic, Bearer, a client certificate, a network, nothing.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::world::{Client, Destination, World, basic, configured, hello, mirror, name_server};

const CA: &[u8] = include_bytes!("tls/ca.pem");

fn file(name: &str) -> String {
    format!("{}/tests/it/proxy/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn secured(port: u16, more: &str) -> World {
    let config = format!(
        "tls_certificate = \"{}\"\ntls_key = \"{}\"\nclient_ca = \"{}\"\n{more}",
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    );
    let w = configured(&[port], &config, &name_server(|_, _| vec![[127, 0, 0, 1].into()]));
    w.allow("all", &["--host", "a.test"]);
    w
}

/// A connection to the proxy within TLS.
fn over_tls(
    w: &World,
    certificate: Option<&str>,
) -> rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA).unwrap()).unwrap();
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = vec![CertificateDer::from_pem_file(file(&format!("{name}.pem"))).unwrap()];
            let key = PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let connection =
        rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    rustls::StreamOwned::new(connection, Client::open(&w.proxy).0)
}

fn head(stream: &mut impl std::io::Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn every_way_to_say_who_asks_works_plainly_and_within_tls() {
    let there = Destination::start(mirror);
    let w = secured(there.port, "");
    let to = format!("a.test:{}", there.port);
    let bearer = format!("Proxy-Authorization: Bearer {}\r\n", w.key);
    let alone = basic("").replace("ZGV2Og==", &base64(&format!("{}:", w.key)));
    for (lines, status) in
        [(w.basic(), 200), (bearer, 200), (alone, 200), (String::new(), 407), (basic("gh_wrong"), 407)]
    {
        let expected = format!("HTTP/1.1 {status} ");
        let mut plain = Client::open(&w.proxy);
        plain.connect(&to, &lines);
        let answer = plain.head();
        assert!(answer.starts_with(&expected), "{lines}: {answer}");
        let mut tls = over_tls(&w, None);
        write!(tls, "CONNECT {to} HTTP/1.1\r\n{lines}\r\n").unwrap();
        let answer = head(&mut tls);
        assert!(answer.starts_with(&expected), "{lines}: {answer}");
        if status == 407 {
            assert!(
                answer.contains("Proxy-Authenticate: Basic realm=\"Gatehouse\", charset=\"UTF-8\"\r\n"),
                "{answer}"
            );
            continue;
        }
        let greeting = hello("a.test");
        tls.write_all(&greeting).unwrap();
        let mut back = vec![0; greeting.len()];
        tls.read_exact(&mut back).unwrap();
        assert_eq!(back, greeting);
    }
}

fn base64(text: &str) -> String {
    use base64ct::Encoding as _;
    base64ct::Base64::encode_string(text.as_bytes())
}

#[test]
fn a_client_certificate_is_an_identity_and_a_name_in_it_is_none() {
    let there = Destination::start(mirror);
    let w = secured(there.port, "");
    let ask = format!("CONNECT a.test:{} HTTP/1.1\r\n\r\n", there.port);
    let mut tls = over_tls(&w, Some("client"));
    tls.write_all(ask.as_bytes()).unwrap();
    assert!(head(&mut tls).starts_with("HTTP/1.1 200 "));
    drop(tls);
    let tunnel = w.ended();
    assert_eq!((&tunnel["user"], &tunnel["via"]), (&"dev@example.com".into(), &"certificate".into()));

    let mut tls = over_tls(&w, Some("nobody"));
    tls.write_all(ask.as_bytes()).unwrap();
    assert!(head(&mut tls).starts_with("HTTP/1.1 407 "));
    // What is presented and wrong is not made up for by a certificate.
    let mut tls = over_tls(&w, Some("client"));
    write!(tls, "CONNECT a.test:{} HTTP/1.1\r\n{}\r\n", there.port, basic("gh_wrong")).unwrap();
    assert!(head(&mut tls).starts_with("HTTP/1.1 407 "));
    w.gatehouse.json(&["user", "disable", "dev@example.com"]);
    let mut tls = over_tls(&w, Some("client"));
    tls.write_all(ask.as_bytes()).unwrap();
    assert!(head(&mut tls).starts_with("HTTP/1.1 407 "));
}

#[test]
fn a_network_stands_for_a_person() {
    let there = Destination::start(mirror);
    let w = secured(there.port, "sources = { \"127.0.0.0/8\" = \"Dev@example.com\" }\n");
    let mut client = Client::open(&w.proxy);
    client.connect(&format!("a.test:{}", there.port), "");
    assert!(client.head().starts_with("HTTP/1.1 200 "), "{}", w.gatehouse.log());
    drop(client);
    assert_eq!(w.ended()["via"], "network");
}

#[test]
fn a_challenge_keeps_the_connection_and_the_answer_to_it_opens_the_tunnel() {
    let there = Destination::start(mirror);
    let w = secured(there.port, "");
    let to = format!("a.test:{}", there.port);
    let mut client = Client::open(&w.proxy);
    client.connect(&to, "");
    let answer = client.answer();
    assert!(answer.starts_with("HTTP/1.1 407 ") && answer.contains("Connection: keep-alive\r\n"), "{answer}");
    client.connect(&to, &w.basic());
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    // Not for ever.
    let mut client = Client::open(&w.proxy);
    for _ in 0..7 {
        client.connect(&to, "");
        assert!(client.answer().contains("Connection: keep-alive\r\n"));
    }
    client.connect(&to, "");
    assert!(client.all().contains("Connection: close\r\n"));
}

#[test]
fn keys_are_good_where_they_were_made_for() {
    let there = Destination::start(mirror);
    let w = secured(there.port, "");
    let to = format!("a.test:{}", there.port);
    let (_, gateway) = w.gatehouse.key("dev@example.com", &[]);
    let (_, both) = w.gatehouse.key("dev@example.com", &["--for", "both"]);
    for (key, proxy, status) in [(&w.key, 200, 401), (&gateway, 407, 200), (&both, 200, 200)] {
        let mut client = Client::open(&w.proxy);
        client.connect(&to, &basic(key));
        assert!(client.head().starts_with(&format!("HTTP/1.1 {proxy} ")));
        assert_eq!(w.gatehouse.post(key, &crate::world::ask(false)).status, status);
    }
}

#[test]
fn wrong_keys_are_slowed_down_and_good_ones_are_not() {
    let there = Destination::start(mirror);
    let w = secured(there.port, "max_strangers_per_minute = 3\n");
    let to = format!("a.test:{}", there.port);
    let wrong = || {
        let mut client = Client::open(&w.proxy);
        client.connect(&to, &basic("gh_wrong"));
        client.answer()[9..12].to_owned()
    };
    // A minute may end in between.
    let answers: Vec<String> = (0..9).map(|_| wrong()).collect();
    assert_eq!(answers[..3], ["407", "407", "407"]);
    assert!(answers.contains(&"429".to_owned()), "{answers:?}");
    drop(w.tunnel(&to));
    let strangers = w.tunnels().iter().filter(|tunnel| tunnel["user"].is_null()).count();
    assert!((3..9).contains(&strangers), "{strangers} are on record");
}

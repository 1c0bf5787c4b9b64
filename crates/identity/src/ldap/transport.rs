//! The way to a server: TCP, with TLS from the start or by the StartTLS operation.

use std::io;
use std::sync::Arc;

use ldap3::asn1::{PL, parse_tag, parse_uint};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::Encryption;
use super::fault::Fault;
use super::guard::{self, Malformed};
use super::server_url::{Scheme, ServerUrl};

/// Either kind of connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects, with TLS where that is asked for.
pub(super) async fn connect(
    server: &ServerUrl,
    encryption: Encryption,
    tls: &Arc<ClientConfig>,
) -> Result<Box<dyn Stream>, Fault> {
    let tcp = TcpStream::connect((server.host.as_str(), server.port))
        .await
        .map_err(|e| Fault::Connect(e.to_string()))?;
    tcp.set_nodelay(true).map_err(|e| Fault::Connect(e.to_string()))?;
    match (server.scheme, encryption) {
        (Scheme::Ldaps, _) => begin_tls(tcp, server, tls).await,
        (Scheme::Ldap, Encryption::StartTls) => {
            let tcp = ask_for_tls(tcp).await?;
            begin_tls(tcp, server, tls).await
        }
        (Scheme::Ldap, Encryption::PlainOnLoopback) => {
            // Whatever the name resolves to now counts, not what it looks like.
            let peer = tcp.peer_addr().map_err(|e| Fault::Connect(e.to_string()))?;
            if !peer.ip().to_canonical().is_loopback() {
                return Err(Fault::NotLoopback(server.to_string()));
            }
            Ok(Box::new(tcp))
        }
        (Scheme::Ldap, Encryption::PlainAnywhere) => Ok(Box::new(tcp)),
    }
}

async fn begin_tls(
    tcp: TcpStream,
    server: &ServerUrl,
    tls: &Arc<ClientConfig>,
) -> Result<Box<dyn Stream>, Fault> {
    let stream = TlsConnector::from(Arc::clone(tls))
        .connect(server.certificate_name(), tcp)
        .await
        .map_err(|e| Fault::Tls(e.to_string()))?;
    Ok(Box::new(stream))
}

/// `ExtendedRequest` number 1 with the name of StartTLS, 1.3.6.1.4.1.1466.20037 (RFC 4511 section 4.14).
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
const MAX_START_TLS_REPLY: usize = 4096;

/// Asks for TLS and reads the one reply. What comes is from anyone on the way, so it is bounded and read strictly.
async fn ask_for_tls(mut tcp: TcpStream) -> Result<TcpStream, Fault> {
    let lost = |e: io::Error| Fault::Lost(e.to_string());
    tcp.write_all(START_TLS).await.map_err(lost)?;
    let mut reply = Vec::new();
    let length = loop {
        if let Some(length) = guard::message_length(&reply)? {
            if length > MAX_START_TLS_REPLY {
                return Err(Malformed::TooLong.into());
            }
            if reply.len() >= length {
                break length;
            }
        }
        if tcp.read_buf(&mut reply).await.map_err(lost)? == 0 {
            return Err(Fault::Lost("the server closed it".to_owned()));
        }
    };
    if reply.len() > length {
        return Err(Fault::Injected);
    }
    match start_tls_result(&reply)? {
        0 => Ok(tcp),
        code => Err(Fault::StartTls(code)),
    }
}

fn start_tls_result(message: &[u8]) -> Result<u32, Malformed> {
    guard::check(message)?;
    let (_, tag) = parse_tag(message).map_err(|_| Malformed::Form)?;
    let PL::C(parts) = tag.payload else { return Err(Malformed::Form) };
    let [_, response, ..] = parts.as_slice() else { return Err(Malformed::Form) };
    let PL::C(result) = &response.payload else { return Err(Malformed::Form) };
    // `ExtendedResponse` is [APPLICATION 24].
    let (24, Some(code)) = (response.id, result.first()) else { return Err(Malformed::Form) };
    let PL::P(code) = &code.payload else { return Err(Malformed::Form) };
    let (_, code) = parse_uint(code).map_err(|_| Malformed::Form)?;
    u32::try_from(code).map_err(|_| Malformed::Form)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_reply_to_start_tls_counts() {
        let good = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(start_tls_result(good), Ok(0));
        let refused = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00";
        assert_eq!(start_tls_result(refused), Ok(2));
        let bind_response = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(start_tls_result(bind_response), Err(Malformed::Form));
        for bytes in [&b"\x30\x00"[..], b"\x30\x03\x02\x01\x01", b"\x30\x05\x02\x01\x01\x78\x00", b"\x30\x80"]
        {
            assert!(start_tls_result(bytes).is_err(), "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn any_reply_to_start_tls_is_read_without_panic(bytes: Vec<u8>) {
            let _ = start_tls_result(&bytes);
        }
    }
}

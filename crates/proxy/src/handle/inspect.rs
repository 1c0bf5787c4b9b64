//! A tunnel that is looked into.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll};

use gatehouse_domain::policy::Grant;
use gatehouse_domain::proxy::{Close, Dial, Form, Host};
use rustls::{AlertDescription, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::open::{denied, greeted};
use super::{Asked, Connection, Route};
use crate::carry::{Duplex, carry_answers};
use crate::inspection::{NotInspected, Within};
use crate::record::Opened;
use crate::refuse::{Answer, ESTABLISHED};
use crate::serve::Shared;
use crate::settings::{Settings, Unnamed};
use crate::traffic::Traffic;

/// Bytes on their way between the tunnel and who takes what is within, each way.
const BETWEEN: usize = 64 * 1024;

/// A tunnel that the operator's choice concerns.
pub(super) struct Concerned<'a> {
    host: &'a str,
    dial: &'a Dial,
}

/// Whether a tunnel is to be looked into. Ours never are, nor what is plain anyway.
pub(super) fn concerned<'a>(
    settings: &Settings,
    asked: &'a Asked,
    route: &'a Route,
) -> Option<Concerned<'a>> {
    let (Form::Connect, Route::Dial(dial), Host::Name(host)) =
        (asked.head.form, route, &asked.head.destination.host)
    else {
        return None;
    };
    settings.inspection.concerns(&asked.head.destination.host).then_some(Concerned { host, dial })
}

/// Ends TLS with the client, hands over what is within, and carries it until it ends.
pub(super) async fn run(
    shared: &Shared,
    settings: &Settings,
    mut connection: Connection,
    asked: &Asked,
    within: Concerned<'_>,
    opened: &mut Opened,
    traffic: &Traffic,
) -> Close {
    let (grant, tls) = match prepared(shared, asked, within.host) {
        Ok(prepared) => prepared,
        Err(why) => {
            denied(opened, "inspection");
            let answer = Answer::not_inspected(&why, &asked.head.destination, &settings.contact);
            drop(connection.client.write(&answer.bytes()).await);
            connection.client.leave().await;
            return Close::Refused;
        }
    };
    if connection.client.write(ESTABLISHED).await.is_err() {
        return Close::ClientGone;
    }
    // Whatever else may go through a tunnel: a certificate is shown only to who greets the host by its name.
    let connection = match greeted(connection, settings, asked, opened, Unnamed::Refuse).await {
        Ok(connection) => connection,
        Err(why) => return why,
    };
    let replayed = Replayed { unread: connection.unread, at: 0, stream: connection.client.into_duplex() };
    let client = match timeout(settings.limits.hello, TlsAcceptor::from(tls).accept(replayed)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) if is_distrust(&error) => {
            tracing::info!(
                host = within.host,
                "a client does not take the inspection authority's certificate"
            );
            return Close::Untrusted;
        }
        Ok(Err(error)) if is_protocol(&error) => {
            // It was told so by the alert of TLS that is for that.
            denied(opened, "handshake");
            return Close::Refused;
        }
        Ok(Err(_)) => return Close::ClientGone,
        Err(_) => {
            denied(opened, "handshake");
            return Close::Refused;
        }
    };
    let (ours, stream) = tokio::io::duplex(BETWEEN);
    let requests = Arc::<AtomicU32>::default();
    let entered = (shared.parts.enter)(Within {
        grant,
        client: asked.client,
        host: within.host.to_owned(),
        port: asked.head.destination.port,
        addresses: within.dial.addresses.clone(),
        requests: Arc::clone(&requests),
        stream,
    });
    opened.inspects(requests);
    match entered {
        Ok(()) => {
            let why = carry_answers(client, ours, traffic).await;
            // Some clients look at the certificate last, and hang up without a word.
            let untrusted = why == Close::ClientGone && traffic.bytes() == (0, 0);
            if untrusted { Close::Untrusted } else { why }
        }
        Err(_) => Close::Stopped,
    }
}

/// What is needed to look into it.
fn prepared(shared: &Shared, asked: &Asked, host: &str) -> Result<(Grant, Arc<ServerConfig>), NotInspected> {
    let grant = asked.known.grant().ok_or(NotInspected::Nobody)?;
    let authority = shared.parts.authority.load_full().ok_or(NotInspected::NoAuthority)?;
    Ok((grant.clone(), authority.tls(host, shared.now())?))
}

/// Whether a client has ended the greeting since it does not trust the certificate. Some say so, some hang up once they have
/// seen it.
fn is_distrust(error: &io::Error) -> bool {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return true;
    }
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(
        cause,
        Some(rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateExpired
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
        ))
    )
}

/// Whether a client does not speak HTTP/1.1, such as one that speaks HTTP/2 only.
fn is_protocol(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::NoApplicationProtocol))
}

/// A stream of which something was read before.
struct Replayed {
    unread: Vec<u8>,
    at: usize,
    stream: Box<dyn Duplex>,
}

impl AsyncRead for Replayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = &this.unread[this.at..];
        if left.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let count = left.len().min(buf.remaining());
        buf.put_slice(&left[..count]);
        this.at += count;
        if this.at == this.unread.len() {
            (this.unread, this.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    /// All pieces at once: of an answer that ends in an alert, the rest would not be asked for again.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

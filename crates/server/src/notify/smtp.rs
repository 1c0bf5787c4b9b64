//! Handing a letter to a mail server: lettre speaks SMTP (RFC 5321) and signs in (RFC 4954), on a connection that goes the way
//! webhooks go, within TLS of our own settings, from the first byte (RFC 8314) or after STARTTLS (RFC 3207).
//!
//! What comes before STARTTLS is spoken here: lettre's own takes no settings of rustls, and would go by what was said in the
//! clear as if it had been said within TLS ([why](../../../../docs/decisions/mail-by-lettre.md)).

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use gatehouse_control::alert::NotTaken;
use gatehouse_domain::proxy::{Destination, Host};
use gatehouse_egress::tls::server_name;
use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Ehlo, Starttls};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::{Code, Response, Severity};
use rustls::ClientConfig;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{brief, lasting, passing};
use crate::config::{Encryption, Mail};
use crate::fetch::WayOut;

/// Most that a server may say on a connection, in bytes.
const MOST: usize = 16 * 1024;
/// What stands for the greeting of a server that has greeted before TLS, and does not again.
const GREETED: &[u8] = b"220 it has greeted\r\n";

/// Hands a letter over, and gives the connection, to be left.
///
/// # Errors
/// It was not taken. Without the encryption that is asked for, neither password nor letter has been sent.
pub(super) async fn send(
    mail: &Mail,
    (out, to): (&WayOut, &Destination),
    tls: &Arc<ClientConfig>,
    login: Option<&Credentials>,
    letter: &Message,
) -> Result<AsyncSmtpConnection, NotTaken> {
    let mut socket = out.connect(to).await.map_err(|error| failed(&error))?;
    let hello = ClientId::Domain(mail.from.domain().to_owned());
    let line: Box<dyn AsyncTokioStream> = match mail.encryption {
        Encryption::PlainOnLoopback => Box::new(Line::over(socket)),
        Encryption::Tls => Box::new(Line::over(secure(socket, &to.host, tls).await?)),
        Encryption::StartTls => {
            begin_tls(&mut socket, &hello).await?;
            let secured = secure(socket, &to.host, tls).await?;
            Box::new(Line { unread: GREETED, ..Line::over(secured) })
        }
    };
    let mut talk =
        AsyncSmtpConnection::connect_with_transport(line, &hello).await.map_err(|error| refused(&error))?;
    if let Some(login) = login {
        if talk.server_info().get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
            return Err(lasting("the mail server takes no password (AUTH PLAIN or LOGIN); nothing was sent"));
        }
        talk.auth(DEFAULT_MECHANISMS, login).await.map_err(|error| refused(&error))?;
    }
    talk.send(letter.envelope(), &letter.formatted()).await.map_err(|error| refused(&error))?;
    Ok(talk)
}

fn failed(error: &impl fmt::Display) -> NotTaken {
    passing(format!("the mail server: {}", brief(&error.to_string())))
}

fn odd() -> NotTaken {
    passing("the mail server answers what is no SMTP")
}

/// A refusal by a server; one that begins with a 5 is its last word.
fn refusal(code: Code, text: &str) -> NotTaken {
    let told = format!("the mail server answers {code}: {}", brief(text));
    if code.severity == Severity::PermanentNegativeCompletion { lasting(told) } else { passing(told) }
}

fn refused(error: &Error) -> NotTaken {
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match error.status() {
        Some(code) => refusal(code, &text),
        None if error.is_response() => odd(),
        None => failed(error),
    }
}

async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    host: &Host,
    tls: &Arc<ClientConfig>,
) -> Result<TlsStream<S>, NotTaken> {
    let name =
        server_name(host).ok_or_else(|| lasting("the mail server's `host` is no name for a certificate"))?;
    TlsConnector::from(Arc::clone(tls)).connect(name, socket).await.map_err(|error| failed(&error))
}

/// Asks a server to begin TLS. Bytes that came before TLS could be anybody's and must not count as said within it.
async fn begin_tls<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    hello: &ClientId,
) -> Result<(), NotTaken> {
    let mut talk = BufReader::new(Line::over(socket));
    answer(&mut talk).await?;
    let offers = ask(&mut talk, &Ehlo::new(hello.clone())).await?;
    if !offers.message().any(|offer| offer.trim_end().eq_ignore_ascii_case("STARTTLS")) {
        return Err(passing("the mail server offers no STARTTLS; nothing was sent"));
    }
    ask(&mut talk, &Starttls).await?;
    if talk.buffer().is_empty() {
        return Ok(());
    }
    Err(lasting("the mail server goes on talking without TLS; nothing was sent"))
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    talk: &mut BufReader<Line<S>>,
    command: &impl fmt::Display,
) -> Result<Response, NotTaken> {
    talk.write_all(command.to_string().as_bytes()).await.map_err(|error| failed(&error))?;
    talk.flush().await.map_err(|error| failed(&error))?;
    answer(talk).await
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    talk: &mut BufReader<Line<S>>,
) -> Result<Response, NotTaken> {
    let mut text = String::new();
    // All lines but the last have a dash behind the code.
    loop {
        let begin = text.len();
        if talk.read_line(&mut text).await.map_err(|error| failed(&error))? == 0 {
            return Err(odd());
        }
        if text.as_bytes().get(begin + 3) != Some(&b'-') {
            break;
        }
    }
    let answer: Response = text.parse().map_err(|_| odd())?;
    match answer.code().severity {
        Severity::PositiveCompletion => Ok(answer),
        Severity::PositiveIntermediate => Err(odd()),
        Severity::TransientNegativeCompletion | Severity::PermanentNegativeCompletion => {
            Err(refusal(answer.code(), &answer.message().collect::<Vec<_>>().join(" ")))
        }
    }
}

/// A connection as lettre takes one. lettre reads lines of any length, so what a server may say is bounded here.
struct Line<S> {
    /// What is read before anything else.
    unread: &'static [u8],
    /// How many bytes the server may still say.
    left: usize,
    stream: S,
}

impl<S> Line<S> {
    const fn over(stream: S) -> Self {
        Self { unread: &[], left: MOST, stream }
    }
}

impl<S> fmt::Debug for Line<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if !line.unread.is_empty() {
            let (now, later) = line.unread.split_at(line.unread.len().min(buf.remaining()));
            buf.put_slice(now);
            line.unread = later;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut line.stream).poll_read(cx, buf))?;
        match line.left.checked_sub(buf.filled().len() - before) {
            Some(left) => {
                line.left = left;
                Poll::Ready(Ok(()))
            }
            None => Poll::Ready(Err(io::Error::other("it says more than anybody would read"))),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> AsyncTokioStream for Line<S> {
    /// Not known: behind a parent proxy it is not the server's. Nothing here asks.
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

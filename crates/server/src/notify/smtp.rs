//! Handing a letter to a mail server: SMTP (RFC 5321) with STARTTLS (RFC 3207) or TLS from the first byte (RFC 8314), and a
//! password (RFC 4954) within TLS. Connections go the way that webhooks go.

use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use gatehouse_control::alert::NotTaken;
use gatehouse_domain::proxy::{Destination, Host};
use gatehouse_egress::tls::server_name;
use gatehouse_identity::secret::Secret;
use rustls::ClientConfig;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::mail::domain;
use super::{brief, lasting, passing};
use crate::config::{Encryption, Mail};
use crate::fetch::WayOut;

/// Longest line of a reply, in bytes, and most lines.
const LINE: u64 = 2048;
const LINES: usize = 100;

/// As whom to sign in. Holds a secret, so there is no `Debug`.
pub(super) struct Login {
    /// The name.
    pub(super) user: String,
    /// The password.
    pub(super) password: Secret,
}

/// What is handed over.
pub(super) struct Envelope<'a> {
    /// From whom.
    pub(super) from: &'a str,
    /// To whom.
    pub(super) to: &'a [String],
    /// The letter, in lines that end with CR LF, none of which begins with a dot.
    pub(super) letter: &'a str,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A conversation with a server.
struct Talk(BufReader<Box<dyn Stream>>);

/// A server's reply: its code, and its lines without it.
struct Reply {
    code: u16,
    lines: Vec<String>,
}

/// Hands a letter over.
///
/// # Errors
/// It was not taken. Without the encryption that is asked for, neither password nor letter has been sent.
pub(super) async fn send(
    mail: &Mail,
    (out, to): (&WayOut, &Destination),
    tls: &Arc<ClientConfig>,
    login: Option<&Login>,
    envelope: &Envelope<'_>,
) -> Result<(), NotTaken> {
    let socket = out.connect(to).await;
    let socket: Box<dyn Stream> = Box::new(socket.map_err(|error| failed(&error))?);
    let mut talk = match mail.encryption {
        Encryption::Tls => Talk::over(secure(socket, &to.host, tls).await?),
        Encryption::StartTls | Encryption::PlainOnLoopback => Talk::over(socket),
    };
    talk.expect(2).await?;
    let mut offers = talk.greet(mail).await?;
    if mail.encryption == Encryption::StartTls {
        if !offers.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
            return Err(passing("the mail server offers no STARTTLS; nothing was sent"));
        }
        talk.ask("STARTTLS", 2).await?;
        talk = Talk::over(secure(talk.bare()?, &to.host, tls).await?);
        offers = talk.greet(mail).await?;
    }
    if let Some(login) = login {
        talk.sign_in(login, &offers).await?;
    }
    talk.ask(&format!("MAIL FROM:<{}>", envelope.from), 2).await?;
    for to in envelope.to {
        talk.ask(&format!("RCPT TO:<{to}>"), 2).await?;
    }
    talk.ask("DATA", 3).await?;
    talk.say(envelope.letter).await?;
    talk.ask(".", 2).await?;
    // It has the letter, whatever it says of our leaving.
    let _left = talk.say("QUIT\r\n").await;
    Ok(())
}

fn failed(error: &impl std::fmt::Display) -> NotTaken {
    passing(format!("the mail server: {}", brief(&error.to_string())))
}

async fn secure(
    socket: Box<dyn Stream>,
    host: &Host,
    tls: &Arc<ClientConfig>,
) -> Result<Box<dyn Stream>, NotTaken> {
    let name =
        server_name(host).ok_or_else(|| lasting("the mail server's `host` is no name for a certificate"))?;
    let secured = TlsConnector::from(Arc::clone(tls)).connect(name, socket).await;
    Ok(Box::new(secured.map_err(|error| failed(&error))?))
}

impl Talk {
    fn over(stream: Box<dyn Stream>) -> Self {
        Self(BufReader::new(stream))
    }

    /// The connection, to begin TLS on it. Bytes that came before TLS could be anybody's and must not count as said within it.
    fn bare(self) -> Result<Box<dyn Stream>, NotTaken> {
        if self.0.buffer().is_empty() {
            return Ok(self.0.into_inner());
        }
        Err(lasting("the mail server goes on talking without TLS; nothing was sent"))
    }

    async fn say(&mut self, text: &str) -> Result<(), NotTaken> {
        let stream = self.0.get_mut();
        stream.write_all(text.as_bytes()).await.map_err(|error| failed(&error))?;
        stream.flush().await.map_err(|error| failed(&error))
    }

    async fn ask(&mut self, command: &str, class: u16) -> Result<Reply, NotTaken> {
        let line = Zeroizing::new(format!("{command}\r\n"));
        self.say(&line).await?;
        self.expect(class).await
    }

    /// Reads a reply whose code begins with this digit.
    async fn expect(&mut self, class: u16) -> Result<Reply, NotTaken> {
        let reply = self.reply().await?;
        if reply.code / 100 == class {
            return Ok(reply);
        }
        let told = format!("the mail server answers {}: {}", reply.code, brief(&reply.lines.join(" ")));
        Err(if reply.code >= 500 { lasting(told) } else { passing(told) })
    }

    async fn reply(&mut self) -> Result<Reply, NotTaken> {
        let odd = || passing("the mail server answers what is no SMTP");
        let mut lines = Vec::new();
        while lines.len() < LINES {
            let mut line = Vec::new();
            let read = (&mut self.0).take(LINE).read_until(b'\n', &mut line).await;
            read.map_err(|error| failed(&error))?;
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if !line.ends_with(b"\n") {
                return Err(odd());
            }
            let code = text.get(..3).and_then(|code| code.parse::<u16>().ok()).ok_or_else(odd)?;
            lines.push(text.get(4..).unwrap_or_default().to_owned());
            match text.as_bytes().get(3) {
                Some(b'-') => {}
                Some(b' ') | None => return Ok(Reply { code, lines }),
                Some(_) => return Err(odd()),
            }
        }
        Err(odd())
    }

    /// Greets the server, and gives what it offers.
    async fn greet(&mut self, mail: &Mail) -> Result<Vec<String>, NotTaken> {
        Ok(self.ask(&format!("EHLO {}", domain(&mail.from)), 2).await?.lines)
    }

    async fn sign_in(&mut self, login: &Login, offers: &[String]) -> Result<(), NotTaken> {
        let mechanisms = offers.iter().find_map(|offer| offer.strip_prefix("AUTH ")).unwrap_or_default();
        let offered = |name: &str| mechanisms.split(' ').any(|one| one.eq_ignore_ascii_case(name));
        if offered("PLAIN") {
            let plain =
                Zeroizing::new([b"\0", login.user.as_bytes(), b"\0", login.password.expose()].concat());
            let told = Zeroizing::new(format!("AUTH PLAIN {}", Base64::encode_string(&plain)));
            self.ask(&told, 2).await?;
        } else if offered("LOGIN") {
            self.ask("AUTH LOGIN", 3).await?;
            self.ask(&Base64::encode_string(login.user.as_bytes()), 3).await?;
            let told = Zeroizing::new(Base64::encode_string(login.password.expose()));
            self.ask(&told, 2).await?;
        } else {
            return Err(lasting("the mail server takes no password (AUTH PLAIN or LOGIN); nothing was sent"));
        }
        Ok(())
    }
}

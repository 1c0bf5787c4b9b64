//! Asking a parent proxy for a tunnel (RFC 9110, section 9.3.6).

use std::io;

use gatehouse_domain::proxy::Destination;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

/// Most bytes of a parent's answer, interim ones included.
const MAX_ANSWER: usize = 16 * 1024;

/// Why a parent opened no tunnel. Says nothing of what it was shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotThrough {
    /// It could not be connected to.
    #[error("it cannot be connected to: {0}")]
    Unreachable(String),
    /// No TLS with it.
    #[error("there is no TLS with it: {0} (`ca_file` names the authority of a certificate of its own)")]
    Tls(String),
    /// It wants other credentials, or any.
    #[error("it does not accept our credentials (407): check `username` and `password`")]
    Credentials,
    /// It does not let through to this destination.
    #[error("it does not let through (status {0})")]
    Refused(u16),
    /// It let through, but did not get there.
    #[error("it did not get there (status {0})")]
    Failed(u16),
    /// What it answers is no answer to `CONNECT`.
    #[error("it answers as no proxy does")]
    Odd,
    /// It did not answer in time.
    #[error("it does not answer in time")]
    Silent,
    /// It broke off.
    #[error("it hung up: {0}")]
    Broken(String),
}

impl NotThrough {
    /// Whether it is the parent that does not work, whatever the destination.
    pub(crate) const fn is_of_parent(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Tls(_) | Self::Credentials | Self::Odd | Self::Broken(_) => true,
            Self::Refused(_) | Self::Failed(_) | Self::Silent => false,
        }
    }

    /// Whether another parent is not to be asked: what one forbids is not to be had from the next.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// Asks for a tunnel on a fresh connection. Afterwards its bytes are the destination's, the first one included.
pub(crate) async fn ask(
    parent: &mut (impl AsyncRead + AsyncWrite + Unpin),
    to: &Destination,
    authorization: Option<&str>,
) -> Result<(), NotThrough> {
    let broken = |error: io::Error| NotThrough::Broken(error.to_string());
    let mut head = Zeroizing::new(format!(
        "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: gatehouse/{}\r\n",
        env!("CARGO_PKG_VERSION")
    ));
    if let Some(authorization) = authorization {
        head.reserve_exact(authorization.len() + 32);
        head.push_str("Proxy-Authorization: ");
        head.push_str(authorization);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    parent.write_all(head.as_bytes()).await.map_err(broken)?;
    parent.flush().await.map_err(broken)?;
    let mut left = MAX_ANSWER;
    loop {
        let answer = read_head(parent, &mut left).await?;
        return match status(&answer).ok_or(NotThrough::Odd)? {
            // There is nothing to switch to.
            101 => Err(NotThrough::Odd),
            100..=199 => continue,
            200..=299 => Ok(()),
            407 => Err(NotThrough::Credentials),
            status @ 400..=499 => Err(NotThrough::Refused(status)),
            status @ 500..=599 => Err(NotThrough::Failed(status)),
            _ => Err(NotThrough::Odd),
        };
    }
}

/// Reads up to the empty line and no byte further: what follows is the destination's. An answer is some hundred bytes.
async fn read_head(parent: &mut (impl AsyncRead + Unpin), left: &mut usize) -> Result<Vec<u8>, NotThrough> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        *left = left.checked_sub(1).ok_or(NotThrough::Odd)?;
        match parent.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => return Err(NotThrough::Broken(error.to_string())),
        }
    }
    Ok(head)
}

/// The status of an answer's first line.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, behind) = rest.split_at_checked(3)?;
    let is_whole = behind.first().is_none_or(|byte| *byte == b' ');
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    digits.parse().ok().filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(answer: &[u8], authorization: Option<&str>) -> (Result<(), NotThrough>, String, Vec<u8>) {
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        theirs.write_all(answer).await.unwrap();
        let to = Destination::parse("api.example:443", None).unwrap();
        let done = ask(&mut ours, &to, authorization).await;
        theirs.shutdown().await.unwrap();
        let (mut head, mut rest) = (Vec::new(), Vec::new());
        ours.read_to_end(&mut rest).await.unwrap();
        drop(ours);
        theirs.read_to_end(&mut head).await.unwrap();
        (done, String::from_utf8(head).unwrap(), rest)
    }

    #[tokio::test]
    async fn what_a_parent_answers_is_told_apart() {
        for (answer, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Ok(())),
            ("HTTP/1.0 200\r\nVia: x\r\n\r\n", Ok(())),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n", Ok(())),
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Err(NotThrough::Credentials)),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", Err(NotThrough::Refused(403))),
            ("HTTP/1.1 503 x\r\n\r\n", Err(NotThrough::Failed(503))),
            ("HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n", Err(NotThrough::Odd)),
            ("HTTP/1.1 101 Switching\r\n\r\n", Err(NotThrough::Odd)),
            ("HTTP/1.1 2000 x\r\n\r\n", Err(NotThrough::Odd)),
            ("HTTP/1.1 +20 x\r\n\r\n", Err(NotThrough::Odd)),
            ("HTTP/2 200 x\r\n\r\n", Err(NotThrough::Odd)),
            ("SSH-2.0-x\r\n\r\n", Err(NotThrough::Odd)),
            ("HTTP/1.1 2\r\n\r\n", Err(NotThrough::Odd)),
        ] {
            assert_eq!(asked(answer.as_bytes(), None).await.0, expected, "{answer}");
        }
        let endless = "HTTP/1.1 100 x\r\n\r\n".repeat(2000);
        assert_eq!(asked(endless.as_bytes(), None).await.0, Err(NotThrough::Odd), "bounded");
    }

    #[tokio::test]
    async fn what_follows_the_answer_is_the_destinations() {
        let (done, head, rest) = asked(b"HTTP/1.1 200 x\r\n\r\nSSH-2.0-first\r\n", Some("Basic Zzpz")).await;
        assert_eq!((done, rest.as_slice()), (Ok(()), &b"SSH-2.0-first\r\n"[..]));
        assert!(head.starts_with("CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"), "{head}");
        assert!(head.ends_with("Proxy-Authorization: Basic Zzpz\r\n\r\n"), "{head}");
    }
}

//! A guard between the directory server's bytes and the LDAP library.
//!
//! The library reads BER by recursion and buffers a message of any length, so a few kilobytes of nested brackets would
//! end the process by a stack overflow, and one announced length would take all memory. Before the certificate of a
//! StartTLS server is checked, anyone on the path could send such bytes. So every message passes here first: its
//! length, its nesting and the bounds of each element are checked without recursion, and only whole messages go on.

use std::sync::OnceLock;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Most bytes of one message. A group of 100,000 members in one value list needs about 8 MB.
pub(super) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Deepest nesting of one message. Replies of RFC 4511 need six levels with their controls.
const MAX_DEPTH: usize = 12;

/// Most bytes that one connection may bring: a listing of a million people.
const MAX_CONNECTION: u64 = 2 * 1024 * 1024 * 1024;

/// Bytes that are no LDAP message, or too many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes are not BER as RFC 4511 section 5.1 restricts it.
    #[error("the server sent bytes that are no LDAP message")]
    NotBer,
    /// A message is longer than the limit.
    #[error("the server sent a message of more than {MAX_MESSAGE} bytes")]
    TooLong,
    /// A message is nested more deeply than the limit.
    #[error("the server sent a message nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// The connection brought more bytes than the limit.
    #[error("the server sent more than {MAX_CONNECTION} bytes over one connection")]
    TooMuch,
    /// A reply is BER, but not what RFC 4511 says of it.
    #[error("the server sent a reply that does not have the form of one")]
    Form,
}

/// Header and content lengths of the element that `bytes` begins with; `None` while its header is incomplete.
fn element(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let [tag, first, rest @ ..] = bytes else { return Ok(None) };
    // Tag numbers above 30 do not occur in LDAP.
    if tag & 0x1f == 0x1f {
        return Err(Malformed::NotBer);
    }
    let octets = match first {
        0..0x80 => return Ok(Some((2, usize::from(*first)))),
        // The indefinite form is forbidden (RFC 4511 section 5.1), five octets are over every limit of ours unless
        // they are leading zeros.
        0x80 | 0x89.. => return Err(Malformed::NotBer),
        0x81..=0x88 => usize::from(first & 0x7f),
    };
    let Some(octets) = rest.get(..octets) else { return Ok(None) };
    let mut length = 0_usize;
    for octet in octets {
        if length > MAX_MESSAGE {
            return Err(Malformed::TooLong);
        }
        length = (length << 8) | usize::from(*octet);
    }
    Ok(Some((2 + octets.len(), length)))
}

/// The length of the message that `bytes` begins with; `None` while that cannot be told.
pub(super) fn message_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    if bytes.first().is_some_and(|tag| *tag != 0x30) {
        return Err(Malformed::NotBer);
    }
    match element(bytes)? {
        Some((_, content)) if content > MAX_MESSAGE => Err(Malformed::TooLong),
        Some((header, content)) => Ok(Some(header + content)),
        None => Ok(None),
    }
}

/// Checks that a whole message is made of elements that lie within each other and are not nested too deeply.
pub(super) fn check(message: &[u8]) -> Result<(), Malformed> {
    let mut ends = Vec::with_capacity(MAX_DEPTH);
    let mut at = 0;
    loop {
        while ends.last() == Some(&at) {
            ends.pop();
        }
        if at == message.len() {
            return Ok(());
        }
        let outer = ends.last().copied().unwrap_or(message.len());
        let (header, content) = element(&message[at..outer])?.ok_or(Malformed::NotBer)?;
        let end = at + header + content;
        if end > outer {
            return Err(Malformed::NotBer);
        }
        if message[at] & 0x20 == 0 {
            at = end;
        } else if ends.len() == MAX_DEPTH {
            return Err(Malformed::TooDeep);
        } else {
            at += header;
            ends.push(end);
        }
    }
}

/// Hands messages on from `from` to `to` until the connection ends or a message is malformed, which is noted in `fault`.
pub(super) async fn pass<R, W>(mut from: R, mut to: W, fault: &OnceLock<Malformed>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = Vec::new();
    let mut total = 0_u64;
    loop {
        let whole = match whole_messages(&buffer) {
            Ok(whole) => whole,
            Err(malformed) => {
                // The first fault counts; a later one follows from it.
                let _ = fault.set(malformed);
                return;
            }
        };
        if whole > 0 {
            if to.write_all(&buffer[..whole]).await.is_err() {
                return;
            }
            buffer.drain(..whole);
        }
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => total += u64::try_from(read).unwrap_or(u64::MAX),
        }
        if total > MAX_CONNECTION {
            let _ = fault.set(Malformed::TooMuch);
            return;
        }
    }
}

/// How many bytes at the start of `buffer` are whole and sound messages.
fn whole_messages(buffer: &[u8]) -> Result<usize, Malformed> {
    let mut at = 0;
    while let Some(length) = message_length(&buffer[at..])? {
        let Some(message) = buffer.get(at..at + length) else { break };
        check(message)?;
        at += length;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nested(levels: usize) -> Vec<u8> {
        let mut message = vec![0x04, 0x00];
        for _ in 0..levels {
            let mut outer = vec![0x30, 0x83];
            outer.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes()[1..]);
            outer.extend_from_slice(&message);
            message = outer;
        }
        message
    }

    #[test]
    fn hostile_bytes_are_refused_before_the_library_sees_them() {
        for (bytes, why) in [
            (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), Malformed::NotBer),
            (vec![0x30, 0x80, 0x02, 0x01], Malformed::NotBer),
            (vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff], Malformed::TooLong),
            (vec![0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Malformed::TooLong),
            (vec![0x30, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], Malformed::NotBer),
            (vec![0x30, 0x03, 0x02, 0x02, 0x01], Malformed::NotBer),
            (vec![0x30, 0x03, 0x1f, 0x01, 0x01], Malformed::NotBer),
            (vec![0x30, 0x01, 0x04], Malformed::NotBer),
            (nested(MAX_DEPTH + 1), Malformed::TooDeep),
            (nested(100_000 / 5), Malformed::TooDeep),
        ] {
            assert_eq!(whole_messages(&bytes).unwrap_err(), why, "{:02x?}", &bytes[..bytes.len().min(16)]);
        }
        assert_eq!(whole_messages(&nested(MAX_DEPTH)).unwrap(), nested(MAX_DEPTH).len());
    }

    #[test]
    fn incomplete_messages_wait() {
        let message = [0x30, 0x05, 0x02, 0x01, 0x01, 0x04, 0x00];
        let mut two = message.to_vec();
        two.extend_from_slice(&message);
        for cut in 0..two.len() {
            let expected = if cut < message.len() { 0 } else { message.len() };
            assert_eq!(whole_messages(&two[..cut]).unwrap(), expected, "cut at {cut}");
        }
        assert_eq!(whole_messages(&two).unwrap(), two.len());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = whole_messages(&bytes);
            let _ = check(&bytes);
            let mut message = vec![0x30, 0x82];
            message.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
            message.extend_from_slice(&bytes);
            let _ = whole_messages(&message);
        }
    }
}

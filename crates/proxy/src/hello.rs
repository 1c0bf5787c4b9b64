//! The first message of a TLS client (RFC 8446 4.1.2), as far as it tells whom it greets.

/// Most bytes that are looked at.
pub const MAX_HELLO: usize = 16 * 1024 + 5 * 16;
/// A fatal alert, `unrecognized_name`, as a TLS 1.0 record: what every client understands before anything is agreed.
pub const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 1, 0, 2, 2, 112];

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
/// Longest plain record (RFC 8446 5.1).
const MAX_RECORD: usize = 1 << 14;

/// What the first bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// Not complete yet.
    More,
    /// A greeting, and the name greeted in lower case, if one is given.
    Found(Option<String>),
    /// It is not TLS, or greets in a way that cannot be read.
    Not,
}

/// Reads the first bytes of a connection. The message may be spread over records.
pub fn read(bytes: &[u8]) -> Hello {
    match message(bytes) {
        Ok(Some(message)) => names(&message).map_or(Hello::Not, Hello::Found),
        Ok(None) if bytes.len() < MAX_HELLO => Hello::More,
        Ok(None) | Err(NotTls) => Hello::Not,
    }
}

struct NotTls;

/// The message's content, put together from its records.
fn message(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, NotTls> {
    let mut handshake = Vec::new();
    loop {
        let Some(head) = bytes.first_chunk::<5>() else {
            return if bytes.is_empty() || could_be_record(bytes) { Ok(None) } else { Err(NotTls) };
        };
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if !could_be_record(head) || length == 0 || length > MAX_RECORD {
            return Err(NotTls);
        }
        let rest = &bytes[5..];
        handshake.extend_from_slice(&rest[..length.min(rest.len())]);
        if let Some(&[kind, a, b, c]) = handshake.first_chunk::<4>() {
            let wanted = u32::from_be_bytes([0, a, b, c]) as usize;
            if kind != CLIENT_HELLO || wanted > MAX_HELLO {
                return Err(NotTls);
            }
            if handshake.len() >= 4 + wanted {
                handshake.truncate(4 + wanted);
                handshake.drain(..4);
                return Ok(Some(handshake));
            }
        }
        let Some(next) = rest.get(length..) else { return Ok(None) };
        bytes = next;
    }
}

fn could_be_record(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|kind| *kind == HANDSHAKE) && bytes.get(1).is_none_or(|major| *major == 3)
}

/// The name in a greeting; `None` when the greeting cannot be read.
#[expect(clippy::option_option, reason = "a greeting that cannot be read is not one without a name")]
fn names(message: &[u8]) -> Option<Option<String>> {
    let mut hello = Reader(message);
    hello.take(2 + 32)?;
    hello.vector(1)?;
    hello.vector(2)?;
    hello.vector(1)?;
    if hello.0.is_empty() {
        return Some(None);
    }
    let mut extensions = Reader(hello.vector(2)?);
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let content = extensions.vector(2)?;
        if kind == usize::from(SERVER_NAME) {
            if found.is_some() {
                return None;
            }
            found = Some(name(content)?);
        }
    }
    Some(found)
}

/// The one host name of the extension (RFC 6066 3).
fn name(content: &[u8]) -> Option<String> {
    let mut list = Reader(Reader(content).vector(2)?);
    if list.number(1)? != 0 {
        return None;
    }
    let name = list.vector(2)?;
    if !list.0.is_empty() || name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    Some(String::from_utf8_lossy(name).to_ascii_lowercase())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, width: usize) -> Option<usize> {
        Some(self.take(width)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A text whose length is in front of it, in so many bytes.
    fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.number(width)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(width: usize, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length[4 - width..], content].concat()
    }

    fn hello(extensions: Option<&[(u16, Vec<u8>)]>) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend(vector(1, &[]));
        body.extend(vector(2, &[0x13, 1]));
        body.extend(vector(1, &[0]));
        if let Some(extensions) = extensions {
            let all: Vec<u8> = extensions
                .iter()
                .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &vector(2, content)].concat())
                .collect();
            body.extend(vector(2, &all));
        }
        [&[CLIENT_HELLO][..], &vector(3, &body)].concat()
    }

    fn sni(name: &str) -> (u16, Vec<u8>) {
        (SERVER_NAME, vector(2, &[&[0][..], &vector(2, name.as_bytes())].concat()))
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|piece| [&[HANDSHAKE, 3, 1][..], &vector(2, piece)].concat()).collect()
    }

    #[test]
    fn the_name_is_found_in_however_many_records() {
        let message = hello(Some(&[(10, vec![1, 2]), sni("API.Anthropic.com"), (0xfe0d, vec![0; 40])]));
        for size in [1, 3, 4, 50, 10_000] {
            let bytes = records(&message, size);
            assert_eq!(read(&bytes), Hello::Found(Some("api.anthropic.com".to_owned())), "{size}");
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Hello::More, "{size} {cut}");
            }
            assert_eq!(
                read(&[&bytes[..], b"more"].concat()),
                Hello::Found(Some("api.anthropic.com".to_owned()))
            );
        }
    }

    #[test]
    fn a_greeting_may_name_nobody() {
        assert_eq!(read(&records(&hello(None), 100)), Hello::Found(None));
        assert_eq!(read(&records(&hello(Some(&[(10, vec![])])), 100)), Hello::Found(None));
    }

    #[test]
    fn what_is_no_greeting_is_told_at_once() {
        let twice = records(&hello(Some(&[sni("a.example"), sni("b.example")])), 1000);
        let (kind, mut two) = sni("a.example");
        two = vector(2, &[&two[2..], &[0][..], &vector(2, b"b.example")].concat());
        let two = records(&hello(Some(&[(kind, two)])), 1000);
        let mut not_hello = records(&hello(None), 1000);
        not_hello[5] = 2;
        let mut cut = records(&hello(Some(&[sni("a.example")])), 1000);
        let last = cut.len() - 12;
        cut[last] = 0xff;
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x02",
            b"\x16\x03\x01\0\0x",
            b"\x15\x03",
            b"SSH-2.0",
            &twice,
            &two,
            &not_hello,
            &cut,
        ] {
            assert_eq!(read(bad), Hello::Not, "{bad:?}");
        }
        assert_eq!(read(&vec![HANDSHAKE; MAX_HELLO + 1]), Hello::Not);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), head in any::<bool>()) {
            let bytes = if head { records(&[&[CLIENT_HELLO][..], &vector(3, &bytes)].concat(), 40) } else { bytes };
            let _ = read(&bytes);
        }
    }
}

//! Looks for a secret where it must not be: as it is, in base64 at any place of a longer text, in hexadecimal digits, and
//! as addresses and JSON write it.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};

/// Shortest secret that is looked for: a shorter one would be found by chance.
const SHORTEST: usize = 10;

/// A secret that was planted.
#[derive(Clone)]
pub struct Planted {
    /// What it is, for the report.
    pub name: String,
    forms: Vec<(String, Vec<u8>)>,
}

impl Planted {
    /// A secret, to be looked for in every form.
    ///
    /// # Panics
    /// When it is too short to be told from chance.
    pub fn new(name: &str, secret: impl AsRef<[u8]>) -> Self {
        let secret = secret.as_ref();
        assert!(secret.len() >= SHORTEST, "{name} is too short to be looked for");
        Self { name: name.to_owned(), forms: forms(secret) }
    }

    /// The form in which it is in these bytes; `None` when it is not.
    pub fn found_in(&self, bytes: &[u8]) -> Option<&str> {
        // What is no text is replaced by what is in no form. The standard library looks for text in linear time.
        let text = String::from_utf8_lossy(bytes);
        let found = self.forms.iter().find(|(_, form)| match std::str::from_utf8(form) {
            Ok(form) => text.contains(form),
            Err(_) => bytes.windows(form.len()).any(|window| window == form),
        });
        found.map(|(name, _)| name.as_str())
    }
}

/// All finds in a place: what, in which form.
pub fn search<'a>(planted: &'a [Planted], bytes: &[u8]) -> Vec<(&'a str, &'a str)> {
    planted.iter().filter_map(|one| Some((one.name.as_str(), one.found_in(bytes)?))).collect()
}

fn forms(secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![("as it is".to_owned(), secret.to_vec())];
    for at in 0..3 {
        for (alphabet, encode) in [
            ("base64", Base64Unpadded::encode_string as fn(&[u8]) -> String),
            ("URL-safe base64", Base64UrlUnpadded::encode_string),
        ] {
            all.push((format!("{alphabet}, {at} bytes into a group"), within(secret, at, encode)));
        }
    }
    let hex = hexadecimal(secret);
    all.push(("upper-case hexadecimal".to_owned(), hex.to_uppercase().into_bytes()));
    all.push(("hexadecimal".to_owned(), hex.into_bytes()));
    for (name, upper) in [("URL-encoded", true), ("URL-encoded in lower case", false)] {
        let byte = |byte: &u8| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(*byte).to_string()
            }
            _ if upper => format!("%{byte:02X}"),
            _ => format!("%{byte:02x}"),
        };
        all.push((name.to_owned(), secret.iter().map(byte).collect::<String>().into_bytes()));
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        let form: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        all.push(("as a form sends it".to_owned(), form.into_bytes()));
        let json = serde_json::to_string(text).unwrap();
        all.push(("in JSON".to_owned(), json.as_bytes()[1..json.len() - 1].to_vec()));
    }
    all
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The characters of base64 that a secret alone decides when it stands `at` bytes into a group of three.
fn within(secret: &[u8], at: usize, encode: fn(&[u8]) -> String) -> Vec<u8> {
    let text = encode(&[&vec![0; at], secret].concat());
    // What holds bits of what stands before, or would hold bits of what stands after, is left out.
    let first = (at * 8).div_ceil(6);
    let last = (at + secret.len()) * 8 / 6;
    text.as_bytes()[first..last].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"s3cr\"et/+ canary\x7f";

    /// A search that finds nothing proves nothing unless it finds what was planted.
    #[test]
    fn a_planted_secret_is_found_in_every_form() {
        let planted = Planted::new("canary", SECRET);
        let base64 =
            |before: &[u8], after: &[u8]| Base64Unpadded::encode_string(&[before, SECRET, after].concat());
        let url =
            |before: &[u8], after: &[u8]| Base64UrlUnpadded::encode_string(&[before, SECRET, after].concat());
        let hex = hexadecimal(SECRET);
        let text = std::str::from_utf8(SECRET).unwrap();
        let leaks: Vec<String> = vec![
            text.to_owned(),
            base64(b"", b""),
            base64(b"x", b"yz"),
            base64(b"xy", b"z"),
            base64(b"xyz", b"abcd"),
            base64(b"authorization: Basic ", b"\r\n"),
            url(b"", b"!"),
            url(b"?", b"?"),
            url(b"??", b"??"),
            hex.to_uppercase(),
            hex,
            "s3cr%22et%2F%2B%20canary%7F".to_owned(),
            "s3cr%22et%2f%2b%20canary%7f".to_owned(),
            "s3cr%22et%2F%2B+canary%7F".to_owned(),
            serde_json::json!({"key": text}).to_string(),
        ];
        for leak in &leaks {
            let log = format!("2026-11-28 TRACE something {leak} and more\n");
            assert!(planted.found_in(log.as_bytes()).is_some(), "{leak}");
            let binary = [b"\xff\x00page", leak.as_bytes(), b"\x80\xfe"].concat();
            assert_eq!(search(std::slice::from_ref(&planted), &binary).len(), 1, "{leak}");
        }
    }

    #[test]
    fn what_is_no_text_is_found_too() {
        let key: Vec<u8> = (0x70..0x90).collect();
        let planted = Planted::new("key", &key);
        assert_eq!(planted.found_in(&[b"page \xff", &key[..], b"\x00"].concat()), Some("as it is"));
        assert_eq!(planted.found_in(&key[1..]), None);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let planted = Planted::new("canary", SECRET);
        for text in
            ["", "s3cr", "a log of other things", &Base64Unpadded::encode_string(b"s3cr\"et/+ canarx")]
        {
            assert_eq!(planted.found_in(text.as_bytes()), None, "{text}");
        }
    }
}

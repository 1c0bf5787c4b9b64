//! Distinguished names (RFC 4514), and when two of them mean the same entry.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

/// Longest name that is read, in bytes.
const MAX_DN: usize = 4096;
/// Most components of a name.
const MAX_COMPONENTS: usize = 64;

/// A distinguished name that is well formed and not empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Dn(String);

impl Dn {
    /// The text as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Why a text is no distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no distinguished name (expected the form `ou=people,dc=example,dc=com`)")]
pub struct BadDn(String);

impl FromStr for Dn {
    type Err = BadDn;

    fn from_str(text: &str) -> Result<Self, BadDn> {
        let text = text.trim();
        match parse(text) {
            Some(components) if !components.is_empty() => Ok(Self(text.to_owned())),
            Some(_) | None => Err(BadDn(text.chars().take(200).collect())),
        }
    }
}

/// A text that is equal for two names of one entry: attribute types and values in lower case, escapes resolved, outer
/// and repeated spaces dropped. A name that cannot be read is its own key, so that it equals only itself.
pub(super) fn key(text: &str) -> String {
    let Some(components) = parse(text) else { return format!("?{text}") };
    let mut out = String::with_capacity(text.len());
    for mut component in components {
        component.sort_unstable();
        for (name, value) in component {
            // Lengths stand before the values, so that no value can pass for two components.
            let value = fold(&value);
            write!(out, "{}={}:", name.to_ascii_lowercase(), value.len())
                .expect("writing to a string does not fail");
            out.push_str(&value);
            out.push('+');
        }
        out.push(',');
    }
    out
}

/// Lower case without outer and repeated spaces, as `caseIgnoreMatch` compares; bytes that are no text stay apart.
fn fold(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => {
            let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
            words.join(" ").to_lowercase()
        }
        Err(_) => format!("\0{value:02x?}"),
    }
}

type Component = Vec<(String, Vec<u8>)>;

/// The components, outermost last; `None` when the text is no name.
fn parse(text: &str) -> Option<Vec<Component>> {
    if text.len() > MAX_DN {
        return None;
    }
    let mut rest = text.trim_start_matches(' ').as_bytes();
    let mut components: Vec<Component> = Vec::new();
    if rest.is_empty() {
        return Some(components);
    }
    let mut component = Component::new();
    loop {
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let name = std::str::from_utf8(&rest[..equals]).ok()?.trim_matches(' ');
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) {
            return None;
        }
        let (value, after) = parse_value(&rest[equals + 1..])?;
        component.push((name.to_owned(), value));
        match after {
            [] => break,
            [b'+', next @ ..] => rest = next,
            [_, next @ ..] => {
                components.push(std::mem::take(&mut component));
                rest = next;
            }
        }
        if components.len() + component.len() > MAX_COMPONENTS {
            return None;
        }
    }
    components.push(component);
    Some(components)
}

/// One value with its escapes resolved, and what follows it, beginning with the separator.
fn parse_value(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    // Unescaped spaces at the end do not belong to the value; escaped ones do.
    let mut kept = 0;
    let mut at = bytes.iter().take_while(|byte| **byte == b' ').count();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b',' | b';' | b'+' => break,
            b'\\' => {
                at += 1;
                let pair = bytes.get(at..at + 2).and_then(hex_pair);
                if let Some(octet) = pair {
                    value.push(octet);
                    at += 2;
                } else {
                    let sign = bytes.get(at)?;
                    if !matches!(sign, b' ' | b'"' | b'#' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\') {
                        return None;
                    }
                    value.push(*sign);
                    at += 1;
                }
                kept = value.len();
            }
            b'"' | b'\0' => return None,
            _ => {
                value.push(*byte);
                if *byte != b' ' {
                    kept = value.len();
                }
                at += 1;
            }
        }
    }
    value.truncate(kept);
    Some((value, &bytes[at..]))
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    pair.iter().all(u8::is_ascii_hexdigit).then_some(())?;
    u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use ldap3::dn_escape;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_name_are_equal() {
        for (left, right) in [
            ("cn=A,dc=example", "CN=a, DC=Example"),
            ("cn=a\\, b,dc=x", "cn=a\\2c b,dc=x"),
            ("cn=zo\\c3\\ab,dc=x", "cn=Zoë,dc=x"),
            ("cn=a+uid=b,dc=x", "uid=b + cn=a,dc=x"),
            ("cn=a  b,dc=x", "cn=a b ,dc=x"),
            ("cn=a;dc=x", "cn=a,dc=x"),
            ("cn=\\(a\\5c*\\),dc=x", "cn=\\(a\\5c*\\),dc=x"),
        ] {
            assert_eq!(key(left), key(right), "{left} / {right}");
        }
    }

    #[test]
    fn different_names_differ() {
        for (left, right) in [
            ("cn=a,dc=x", "cn=a\\,dc=x"),
            ("cn=a,dc=x", "cn=a+dc=x"),
            ("cn=a", "cn=a,dc=x"),
            ("cn=a\\+uid\\=b,dc=x", "cn=a+uid=b,dc=x"),
            ("cn=\\ff,dc=x", "cn=\\fe,dc=x"),
            ("broken", "Broken"),
        ] {
            assert_ne!(key(left), key(right), "{left} / {right}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in
            ["", "  ", "people", "=x", "cn=a,", "c n=a", "cn=a\\", "cn=a\\x", "cn=\"a\"", "cn=a\0,dc=x"]
        {
            assert!(text.parse::<Dn>().is_err(), "{text:?}");
        }
        assert!(format!("cn={}", "a".repeat(5000)).parse::<Dn>().is_err());
        assert!(vec!["dc=x"; 70].join(",").parse::<Dn>().is_err());
        assert_eq!(" ou=people,dc=example ".parse::<Dn>().unwrap().as_str(), "ou=people,dc=example");
    }

    proptest! {
        #[test]
        fn an_escaped_value_comes_back(value in "[^\\x00\"]{1,40}") {
            let text = format!("cn={},dc=x", dn_escape(value.as_str()));
            let components = parse(&text).unwrap();
            prop_assert_eq!(components.len(), 2);
            prop_assert_eq!(&components[0][0].1, value.as_bytes());
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = key(&text);
            let _ = key(&format!("cn={text},dc=x"));
        }
    }
}

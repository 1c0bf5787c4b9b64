//! Values in filters (RFC 4515).

use std::fmt::Write as _;

/// Writes bytes as an assertion value: letters, digits and a few harmless signs as they are, all else as `\xx`.
///
/// More is escaped than RFC 4515 section 3 asks for (`*`, `(`, `)`, `\` and NUL), because an escape is right for any
/// byte, and what is not escaped must be right for every server.
pub fn filter_value(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'@' => {
                out.push(char::from(*byte))
            }
            _ => write!(out, "\\{byte:02x}").expect("writing to a string does not fail"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use ldap3::{ldap_unescape, parse_filter};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn injections_become_plain_values() {
        for (name, escaped) in [
            ("anna", "anna"),
            ("*", "\\2a"),
            ("a*)(uid=*", "a\\2a\\29\\28uid\\3d\\2a"),
            ("admin)(|(objectClass=*", "admin\\29\\28\\7c\\28objectClass\\3d\\2a"),
            ("a\0b", "a\\00b"),
            ("\\2a", "\\5c2a"),
            ("zoë", "zo\\c3\\ab"),
            (" a ", "\\20a\\20"),
        ] {
            assert_eq!(filter_value(name.as_bytes()), escaped, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_stays_one_value(text: String) {
            let escaped = filter_value(text.as_bytes());
            let filter = format!("(uid={escaped})");
            prop_assert!(parse_filter(filter).is_ok());
            prop_assert_eq!(ldap_unescape(escaped.as_str()).unwrap().into_owned(), text);
            prop_assert!(!escaped.contains(['*', '(', ')', '\0']));
        }
    }
}

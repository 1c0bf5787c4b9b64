//! Search filters (RFC 4515): those that are configured, and values in them.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

/// Writes bytes as an assertion value: letters, digits and a few harmless signs as they are, all else as `\xx`.
///
/// More is escaped than RFC 4515 section 3 asks for (`*`, `(`, `)`, `\` and NUL), because an escape is right for any
/// byte, and what is not escaped must be right for every server.
pub fn filter_value(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'@' => {
                out.push(char::from(*byte));
            }
            _ => push_escaped(&mut out, *byte),
        }
    }
    out
}

/// Writes bytes as an assertion value, every one of them as `\\xx`.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        push_escaped(&mut out, *byte);
    }
    out
}

fn push_escaped(out: &mut String, byte: u8) {
    write!(out, "\\{byte:02x}").expect("writing to a string does not fail");
}

/// A filter that matches when any of these attributes has its value.
pub(super) fn any_of<'a>(pairs: impl Iterator<Item = (&'a AttributeName, &'a str)>) -> String {
    let mut out = "(|".to_owned();
    for (name, value) in pairs {
        write!(out, "({name}={})", filter_value(value.as_bytes()))
            .expect("writing to a string does not fail");
    }
    out.push(')');
    out
}

/// The name of an attribute, such as `mail`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeName(String);

/// Why a text is no attribute's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no attribute's name (expected letters, digits and hyphens, as in `mail`)")]
pub struct BadAttribute(String);

impl AttributeName {
    /// The name as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AttributeName {
    type Err = BadAttribute;

    fn from_str(text: &str) -> Result<Self, BadAttribute> {
        let good = text.len() <= 128
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        if good { Ok(Self(text.to_owned())) } else { Err(BadAttribute(text.chars().take(200).collect())) }
    }
}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A search filter in the form of RFC 4515.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(String);

/// A filter with `{login}` where the name goes that is typed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginTemplate(String);

impl LoginTemplate {
    /// The filter for a name that is already escaped.
    pub(super) fn fill(&self, escaped: &str) -> String {
        self.0.replace(PLACEHOLDER, escaped)
    }
}

const PLACEHOLDER: &str = "{login}";
const MAX_FILTER: usize = 4096;
const MAX_FILTER_DEPTH: usize = 32;

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFilter {
    /// It cannot be read.
    #[error("`{0}` is no search filter (expected the form `(objectClass=person)`, RFC 4515)")]
    Form(String),
    /// It is a template without its placeholder: it would find the same entry for every name.
    #[error(
        "`{0}` does not say where the name goes; write `{PLACEHOLDER}` there, as in `(uid={PLACEHOLDER})`"
    )]
    NoPlaceholder(String),
}

/// The text without outer spaces when it is one filter in brackets, of bounded length and depth.
fn well_formed(text: &str) -> Option<&str> {
    let text = text.trim();
    if text.len() > MAX_FILTER || !text.starts_with('(') {
        return None;
    }
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            _ => (),
        }
        if depth > MAX_FILTER_DEPTH {
            return None;
        }
    }
    ldap3::parse_filter(text).ok().map(|_| text)
}

impl FromStr for Filter {
    type Err = BadFilter;

    fn from_str(text: &str) -> Result<Self, BadFilter> {
        well_formed(text)
            .map(|text| Self(text.to_owned()))
            .ok_or_else(|| BadFilter::Form(text.chars().take(200).collect()))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LoginTemplate {
    type Err = BadFilter;

    fn from_str(text: &str) -> Result<Self, BadFilter> {
        let shown = || text.chars().take(200).collect();
        if !text.contains(PLACEHOLDER) {
            return Err(BadFilter::NoPlaceholder(shown()));
        }
        // With a harmless name in place it must be a filter; escaping keeps it one for every other name.
        match well_formed(&text.replace(PLACEHOLDER, "a")) {
            Some(_) => Ok(Self(text.trim().to_owned())),
            None => Err(BadFilter::Form(shown())),
        }
    }
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

    #[test]
    fn filters_and_names_are_read() {
        for text in
            ["(uid=a)", " (&(a=b)(|(c=*)(d>=1))) ", "(member:1.2.840.113556.1.4.1941:=cn=a)", "(!(a=\\2a))"]
        {
            assert!(text.parse::<Filter>().is_ok(), "{text}");
        }
        let deep = format!("{}(a=b){}", "(!".repeat(100_000), ")".repeat(100_000));
        for text in [
            "",
            "uid=a",
            "(uid=a",
            "(uid=a))",
            "(uid=a)(uid=b)",
            "(&)x",
            "()",
            "(uid=\\zz)",
            &deep,
            &deep[..4000],
        ] {
            assert!(text.parse::<Filter>().is_err(), "{text:.40}");
        }
        for text in ["", "a b", "mail;range=0-*", "a)(b", "-a", "ma\u{ef}l", &"a".repeat(129)] {
            assert!(text.parse::<AttributeName>().is_err(), "{text:.40}");
        }
        assert_eq!("mail".parse::<AttributeName>().unwrap().as_str(), "mail");
    }

    #[test]
    fn a_template_says_where_the_name_goes() {
        let template: LoginTemplate = "(|(uid={login})(mail={login}))".parse().unwrap();
        assert_eq!(template.fill("a\\2a"), "(|(uid=a\\2a)(mail=a\\2a))");
        assert!(matches!("(uid=a)".parse::<LoginTemplate>(), Err(BadFilter::NoPlaceholder(_))));
        for text in ["uid={login}", "(uid={login}", "(uid={login})(a=b)", "{login}"] {
            assert!(matches!(text.parse::<LoginTemplate>(), Err(BadFilter::Form(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_filter_is_read_without_panic(text in "[(){}&|!=*\\\\a-c:.]{0,60}", other: String) {
            let _ = text.parse::<Filter>();
            let _ = format!("({other})").parse::<Filter>();
            let _ = format!("({text}{{login}})").parse::<LoginTemplate>();
        }

        #[test]
        fn a_filled_template_stays_one_filter(name: String) {
            let template: LoginTemplate = "(&(uid={login})(!(mail=x{login}*)))".parse().unwrap();
            prop_assert!(template.fill(&filter_value(name.as_bytes())).len() > MAX_FILTER
                || well_formed(&template.fill(&filter_value(name.as_bytes()))).is_some()
                || name.is_empty());
        }
    }
}

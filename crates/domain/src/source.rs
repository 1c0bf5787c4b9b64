//! Where users and groups come from.

use std::fmt;
use std::str::FromStr;

/// Longest name of a source, in characters.
pub const MAX_NAME: usize = 40;

/// A directory that brings in users and groups. What no source brings in is local.
///
/// Its text is `scim:okta` or `ldap:headquarters`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    kind: SourceKind,
    name: String,
}

/// How a source tells us of its people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    /// It calls us, by SCIM.
    Scim,
    /// We read it, by LDAP.
    Ldap,
}

/// A text that names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSource {
    /// The name cannot be used.
    #[error(
        "the source's name `{0}` cannot be used (expected 1 to {MAX_NAME} of the characters a-z, 0-9, `-` and `_`)"
    )]
    Name(String),
    /// It begins with something else than a kind.
    #[error("`{0}` is no source (expected such as `scim:okta` or `ldap:headquarters`)")]
    Kind(String),
}

impl SourceKind {
    /// What the text of a source of this kind begins with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scim => "scim",
            Self::Ldap => "ldap",
        }
    }
}

impl Source {
    /// The source of this kind and name.
    ///
    /// # Errors
    /// The name is empty, too long, or has other characters than a-z, 0-9, `-` and `_`.
    pub fn new(kind: SourceKind, name: &str) -> Result<Self, BadSource> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits) {
            return Ok(Self { kind, name: name.to_owned() });
        }
        Err(BadSource::Name(shortened(name)))
    }

    /// How it tells us of its people.
    pub const fn kind(&self) -> SourceKind {
        self.kind
    }

    /// Its name, without the kind.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.name)
    }
}

impl FromStr for Source {
    type Err = BadSource;

    fn from_str(text: &str) -> Result<Self, BadSource> {
        match text.split_once(':') {
            Some(("scim", name)) => Self::new(SourceKind::Scim, name),
            Some(("ldap", name)) => Self::new(SourceKind::Ldap, name),
            _ => Err(BadSource::Kind(shortened(text))),
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_NAME).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back() {
        for text in ["scim:okta", "ldap:head-quarters_2"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn hostile_sources_are_refused() {
        let long = format!("scim:{}", "a".repeat(MAX_NAME + 1));
        for text in
            ["", "okta", "saml:okta", "scim:", "scim:Okta", "scim:a b", "ldap:a:b", "scim:\u{e9}", &long]
        {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }
}

//! Versions of resources as weak entity tags (RFC 7644, section 3.14).
//!
//! RFC 9110 lets `If-Match` compare strongly, under which a weak tag never matches. SCIM uses weak tags with `If-Match`
//! in its own examples, so here both headers compare weakly.

use std::fmt;

use super::error::ErrorKind;
use super::text::excerpt;

/// Longest `If-Match` or `If-None-Match`, in bytes.
pub const MAX_HEADER: usize = 4096;

/// The version of a resource: changes whenever the resource does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u64);

/// Prints the entity tag: `W/"7"`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "W/\"{}\"", self.0)
    }
}

/// What `If-Match` or `If-None-Match` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`: any version.
    Any,
    /// These versions, without quotes.
    Listed(Vec<String>),
}

/// A header that is no list of entity tags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no list of entity tags (expected such as `W/\"7\"` or `*`)")]
pub struct BadEntityTags(String);

impl BadEntityTags {
    /// How the protocol calls it.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidValue
    }
}

impl EntityTags {
    /// Reads the header's value.
    ///
    /// # Errors
    /// It is neither `*` nor a list of entity tags.
    pub fn parse(header: &str) -> Result<Self, BadEntityTags> {
        let bad = || BadEntityTags(excerpt(header));
        if header.len() > MAX_HEADER {
            return Err(bad());
        }
        if header.trim() == "*" {
            return Ok(Self::Any);
        }
        let mut tags = Vec::new();
        let mut rest = header.trim();
        while !rest.is_empty() {
            let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"').ok_or_else(bad)?;
            let (tag, after) = quoted.split_once('"').ok_or_else(bad)?;
            tags.push(tag.to_owned());
            rest = after.trim_start();
            if !rest.is_empty() {
                rest = rest.strip_prefix(',').ok_or_else(bad)?.trim_start();
            }
        }
        if tags.is_empty() { Err(bad()) } else { Ok(Self::Listed(tags)) }
    }

    /// Whether a version is among them: a write with `If-Match` goes on only if it is, a read with `If-None-Match` is
    /// answered with the document only if it is not.
    pub fn matches(&self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| *tag == version.0.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_name_versions() {
        for (header, of_seven) in [
            ("W/\"7\"", true),
            ("\"7\"", true),
            ("*", true),
            (" W/\"1\" , W/\"7\" ", true),
            ("W/\"70\"", false),
            ("\"a,b\",\"7\"", true),
            ("\"\"", false),
        ] {
            assert_eq!(EntityTags::parse(header).unwrap().matches(Version(7)), of_seven, "{header}");
        }
        assert!(EntityTags::parse(&Version(7).to_string()).unwrap().matches(Version(7)));
    }

    #[test]
    fn hostile_headers_are_refused() {
        for header in
            ["", " ", "7", "W/7", "\"7", "7\"", "\"7\" \"8\"", "*, \"7\"", "w/\"7\"", &"\"7\",".repeat(2000)]
        {
            assert!(EntityTags::parse(header).is_err(), "{header}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(header in r#"[W/"*, 7é]{0,20}"#) {
            let _ = EntityTags::parse(&header);
        }
    }
}

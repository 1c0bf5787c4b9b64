//! Versions of the client.

use std::fmt;

use serde::{Serialize, Serializer};

/// A version of the client: three numbers. What follows them, such as `-beta.1`, is read over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version of the client (expected such as 2.1.330)")]
pub struct BadVersion(String);

impl ClientVersion {
    /// Reads a version.
    ///
    /// # Errors
    /// The text does not begin with three numbers.
    pub fn parse(text: &str) -> Result<Self, BadVersion> {
        let bad = || BadVersion(text.chars().take(40).flat_map(char::escape_debug).collect());
        let numbers = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts = numbers.split('.').map(|part| {
            let digits = !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit());
            if digits { part.parse().ok() } else { None }
        });
        match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten(), parts.next()) {
            (Some(major), Some(minor), Some(patch), None) => Ok(Self { major, minor, patch }),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Serialize for ClientVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        let version = |text| ClientVersion::parse(text).unwrap();
        assert!(version("2.1.330") > version("2.1.99") && version("2.1.0") < version("3.0.0-beta.1"));
        assert_eq!(version("2.1.0").to_string(), "2.1.0");
        for text in [
            "",
            "2",
            "2.1",
            "2.1.",
            "2.1.x",
            "2.1.3.4",
            "v2.1.3",
            "-1.2.3",
            "2.1.9999999999",
            "2..3",
            " 2.1.3",
        ] {
            assert!(ClientVersion::parse(text).is_err(), "{text}");
        }
    }
}

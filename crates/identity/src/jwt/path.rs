//! Where in a token a claim stands.

use std::fmt;

use serde_json::{Map, Value};

use super::shown;

/// Longest path, in bytes.
const MAX_PATH: usize = 256;
/// Most names in one path. Every way of joining neighbors is tried, so this bounds the work.
const MAX_PARTS: usize = 8;

/// The place of a claim: `groups`, or names joined by dots, such as `realm_access.roles`.
///
/// Names may hold dots themselves (`https://example.com/groups`, `kubernetes.io.namespace`): of all readings, the one
/// with the longest first name that is there wins.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClaimPath(Vec<String>);

/// A text that is no path of a claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a claim (expected up to {MAX_PARTS} names joined by dots, {MAX_PATH} bytes in all, such as \
     `groups` or `realm_access.roles`)"
)]
pub struct BadPath(String);

impl ClaimPath {
    /// Reads a path.
    ///
    /// # Errors
    /// If a name is empty, or there is too much of it.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let parts: Vec<String> = text.split('.').take(MAX_PARTS + 1).map(str::to_owned).collect();
        if text.len() > MAX_PATH || parts.len() > MAX_PARTS || parts.iter().any(String::is_empty) {
            return Err(BadPath(shown(text)));
        }
        Ok(Self(parts))
    }

    /// The claim at this path. A `null` is no claim.
    pub fn find<'v>(&self, claims: &'v Map<String, Value>) -> Option<&'v Value> {
        find(&self.0, claims).filter(|value| !value.is_null())
    }

    /// The names that the outermost claim may have.
    pub(super) fn roots(&self) -> impl Iterator<Item = String> {
        (1..=self.0.len()).map(|len| self.0[..len].join("."))
    }
}

fn find<'v>(parts: &[String], object: &'v Map<String, Value>) -> Option<&'v Value> {
    (1..=parts.len()).rev().find_map(|len| {
        let value = object.get(&parts[..len].join("."))?;
        if len == parts.len() { Some(value) } else { find(&parts[len..], value.as_object()?) }
    })
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl fmt::Debug for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_claims_however_they_are_nested() {
        let claims = serde_json::json!({
            "groups": ["a"],
            "realm_access": {"roles": ["b"]},
            "https://example.com/groups": ["c"],
            "kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "runner"}},
            "a.b": {"c": 1}, "a": {"b": {"d": 2}},
            "nothing": null,
        });
        let claims = claims.as_object().unwrap();
        for (path, found) in [
            ("groups", Some(r#"["a"]"#)),
            ("realm_access.roles", Some(r#"["b"]"#)),
            ("https://example.com/groups", Some(r#"["c"]"#)),
            ("kubernetes.io.namespace", Some(r#""ci""#)),
            ("kubernetes.io.serviceaccount.name", Some(r#""runner""#)),
            ("a.b.c", Some("1")),
            ("a.b.d", Some("2")),
            ("groups.x", None),
            ("nothing", None),
            ("missing.x", None),
        ] {
            let value = ClaimPath::parse(path).unwrap().find(claims).map(ToString::to_string);
            assert_eq!(value.as_deref(), found, "{path}");
        }
    }

    #[test]
    fn refuses_what_names_no_claim() {
        for text in ["", ".", "a.", ".a", "a..b", "a.b.c.d.e.f.g.h.i", &"a".repeat(257)] {
            assert!(ClaimPath::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,300}") {
            if let Ok(path) = ClaimPath::parse(&text) {
                proptest::prop_assert_eq!(path.to_string(), text);
                proptest::prop_assert!(path.find(&Map::new()).is_none());
            }
        }
    }
}

//! Where something stands in a settings document.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Longest path as text, in bytes.
pub const MAX_PATH: usize = 1024;

/// The way from a document's root to one of its values: `permissions.deny`, `hooks.PreToolUse[0]`.
///
/// A key that has a dot, a bracket, a quotation mark or white space, or is empty, is written as a JSON string:
/// `modelOverrides."claude-opus-4.6"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Path(Vec<Step>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Into an object, by key.
    Key(String),
    /// Into a list, by position from zero.
    Index(usize),
}

/// A text that is no path of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It has no step.
    #[error("the path is empty; name a key, such as `permissions.deny`")]
    Empty,
    /// It is longer than [`MAX_PATH`].
    #[error("the path `{0}…` is longer than {MAX_PATH} bytes")]
    TooLong(String),
    /// Something in it is neither a key nor a quoted key.
    #[error(
        "the path `{given}` cannot be read from `{at}` on; quote keys that have dots, as in `env.\"A.B\"`"
    )]
    Key {
        /// The path.
        given: String,
        /// The rest that cannot be read.
        at: String,
    },
}

impl Path {
    /// The document itself.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Reads a path of keys. Positions in lists cannot be given: lists are decided as a whole.
    ///
    /// # Errors
    /// The text is empty, too long, or has something that is no key.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        if text.is_empty() {
            return Err(BadPath::Empty);
        }
        if text.len() > MAX_PATH {
            return Err(BadPath::TooLong(text.chars().take(40).flat_map(char::escape_debug).collect()));
        }
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let bad = || BadPath::Key {
                given: text.escape_debug().to_string(),
                at: rest.escape_debug().to_string(),
            };
            let (key, after) = split_key(rest).ok_or_else(bad)?;
            steps.push(Step::Key(key));
            if after.is_empty() {
                return Ok(Self(steps));
            }
            rest = after.strip_prefix('.').ok_or_else(bad)?;
        }
    }

    /// The path that leads one key deeper.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// The path that leads to an entry of a list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    /// Its steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether this is the document itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it leads through no list.
    pub fn has_only_keys(&self) -> bool {
        self.0.iter().all(|step| matches!(step, Step::Key(_)))
    }

    /// The path without its last step.
    pub fn parent(&self) -> Option<Self> {
        let (_, before) = self.0.split_last()?;
        Some(Self(before.to_vec()))
    }

    /// The path, then what it lies beneath, up to but without the document itself.
    pub fn and_above(&self) -> impl Iterator<Item = Self> + use<'_> {
        (1..=self.0.len()).rev().map(|length| Self(self.0[..length].to_vec()))
    }

    /// The last step, if it is a key.
    pub fn last_key(&self) -> Option<&str> {
        match self.0.last()? {
            Step::Key(key) => Some(key),
            Step::Index(_) => None,
        }
    }

    /// Whether `other` is this path or lies beneath it.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether one of the two lies beneath the other, or both are the same.
    pub fn touches(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The value at this path.
    pub fn find<'a>(&self, root: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        let Step::Key(key) = first else { return None };
        rest.iter().try_fold(root.get(key)?, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }
}

/// The first key of a path, and what follows it.
fn split_key(text: &str) -> Option<(String, &str)> {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let key = values.next()?.ok()?;
        return Some((key, &text[values.byte_offset()..]));
    }
    let end = text.find('.').unwrap_or(text.len());
    let (key, after) = text.split_at(end);
    is_plain(key).then(|| (key.to_owned(), after))
}

/// Whether a key can stand in a path without quotation marks.
fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && !key.chars().any(|c| matches!(c, '.' | '"' | '[' | ']') || c.is_whitespace() || c.is_control())
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if position > 0 {
                        f.write_str(".")?;
                    }
                    if is_plain(key) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{}", Value::from(key.as_str()))?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl FromStr for Path {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        Self::parse(text)
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_with_dots_are_quoted() {
        let path = Path::root().key("modelOverrides").key("claude-opus-4.6");
        assert_eq!(path.to_string(), r#"modelOverrides."claude-opus-4.6""#);
        assert_eq!(Path::parse(&path.to_string()).unwrap(), path);
    }

    #[test]
    fn finds_values() {
        let Value::Object(root) = json!({ "a": { "b": [{ "c": 1 }] } }) else { unreachable!() };
        let path = Path::root().key("a").key("b").index(0).key("c");
        assert_eq!(path.to_string(), "a.b[0].c");
        assert_eq!(path.find(&root), Some(&json!(1)));
        assert_eq!(Path::parse("a.x").unwrap().find(&root), None);
    }

    #[test]
    fn hostile_paths_are_refused() {
        let long = "a".repeat(MAX_PATH + 1);
        for text in
            ["", ".", "a.", ".a", "a..b", "a[0]", "a b", "\"", "\"a", "\"a\"b", "a.\"\\ud800\"", &long]
        {
            assert!(Path::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(keys in prop::collection::vec("\\PC{0,8}|[a.\"\\[\n ]{0,4}", 1..5)) {
            let path = keys.iter().fold(Path::root(), |path, key| path.key(key));
            prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
        }

        #[test]
        fn any_text_is_a_path_or_an_error(text in "\\PC{0,40}") {
            if let Ok(path) = Path::parse(&text) {
                prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
            }
        }
    }
}

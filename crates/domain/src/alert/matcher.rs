//! Conditions on the labels of an alert: `severity=critical`, `budget!=spare`, `node=node_01*`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Labels;

/// Longest condition, in bytes.
const LONGEST: usize = 300;

/// A condition on one label. A label that is not there counts as the empty text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matcher {
    label: String,
    is: bool,
    value: String,
    is_prefix: bool,
}

/// A text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no condition: expected a label, `=` or `!=`, and a value (with `*` at its end for all that begin so), such as \
     severity=critical"
)]
pub struct BadMatcher(String);

impl Matcher {
    /// The condition that a label has this value.
    pub fn is(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), is: true, value: value.to_owned(), is_prefix: false }
    }

    /// Whether these labels fulfill it.
    pub fn fits(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.label).map_or("", String::as_str);
        let same = if self.is_prefix { found.starts_with(&self.value) } else { found == self.value };
        same == self.is
    }

    /// The condition in Prometheus' words: `label="value"`.
    pub(super) fn selector(&self) -> String {
        let operator = match (self.is, self.is_prefix) {
            (true, false) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (false, true) => "!~",
        };
        let value = if self.is_prefix { format!("{}.*", escaped(&self.value)) } else { self.value.clone() };
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{}{operator}\"{quoted}\"", self.label)
    }
}

/// A text that a regular expression takes as it is.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = if self.is { "=" } else { "!=" };
        write!(f, "{}{operator}{}{}", self.label, self.value, if self.is_prefix { "*" } else { "" })
    }
}

impl FromStr for Matcher {
    type Err = BadMatcher;

    fn from_str(text: &str) -> Result<Self, BadMatcher> {
        let bad =
            || BadMatcher(text.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect());
        let (label, value) = text.split_once('=').ok_or_else(bad)?;
        let (label, is) = label.strip_suffix('!').map_or((label, true), |label| (label, false));
        let (value, is_prefix) = value.strip_suffix('*').map_or((value, false), |value| (value, true));
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let starts = label.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if text.len() > LONGEST
            || !starts
            || !label.bytes().all(is_name)
            || value.chars().any(char::is_control)
        {
            return Err(bad());
        }
        Ok(Self { label: label.to_owned(), is, value: value.to_owned(), is_prefix })
    }
}

impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Reads several conditions.
///
/// # Errors
/// The first that is none.
pub fn parse_all<T: AsRef<str>>(texts: &[T]) -> Result<Vec<Matcher>, BadMatcher> {
    texts.iter().map(|text| text.as_ref().parse()).collect()
}

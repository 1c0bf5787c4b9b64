//! What a claim's value must be.

use std::fmt;

use serde_json::Value;

use crate::jwt::shown;

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 512;

/// What a claim's value must be: exactly a text, or a text with anything after it (written with a `*` at the end).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This text.
    Exactly(String),
    /// This text and anything after it.
    Prefix(String),
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// It is empty or too long.
    #[error("a pattern must have 1 to {MAX_PATTERN} bytes")]
    Length,
    /// A star stands elsewhere than at the end.
    #[error("the pattern `{0}` has a `*` that is not at its end; only such as `repo:acme/*` are supported")]
    Star(String),
    /// It is nothing but a star.
    #[error("the pattern `*` matches everything; leave the claim out if it does not matter")]
    Everything,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// If it would match everything, or has its star elsewhere than at the end.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        if !(1..=MAX_PATTERN).contains(&text.len()) {
            return Err(BadPattern::Length);
        }
        let (fixed, is_prefix) = match text.strip_suffix('*') {
            Some(fixed) => (fixed, true),
            None => (text, false),
        };
        if is_prefix && fixed.trim_matches(|c: char| c == '*' || c.is_whitespace()).is_empty() {
            return Err(BadPattern::Everything);
        }
        if fixed.contains('*') {
            return Err(BadPattern::Star(shown(text)));
        }
        Ok(if is_prefix { Self::Prefix(fixed.to_owned()) } else { Self::Exactly(fixed.to_owned()) })
    }

    /// Whether a claim's value, or one entry of a list of values, is like this.
    pub fn fits(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.fits_text(text),
            Value::Bool(_) | Value::Number(_) => self.fits_text(&value.to_string()),
            Value::Array(list) => list.iter().any(|entry| !entry.is_array() && self.fits(entry)),
            Value::Null | Value::Object(_) => false,
        }
    }

    fn fits_text(&self, text: &str) -> bool {
        match self {
            Self::Exactly(fixed) => text == fixed,
            Self::Prefix(fixed) => text.starts_with(fixed),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(fixed) => f.write_str(fixed),
            Self::Prefix(fixed) => write!(f, "{fixed}*"),
        }
    }
}

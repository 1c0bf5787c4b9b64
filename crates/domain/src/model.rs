//! Model names and the scopes that limit them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest model name that is accepted, in bytes.
pub const MAX_MODEL_NAME: usize = 200;

/// A list of models that a key may use. A pattern is an exact name, or a prefix ending in `*`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelScope(Option<Arc<[String]>>);

/// A model pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a model pattern (a model name, or a beginning of one followed by `*`)")]
pub struct BadPattern(String);

impl ModelScope {
    /// Every model.
    pub const fn all() -> Self {
        Self(None)
    }

    /// Only models that match one of these patterns. An empty list means every model.
    ///
    /// # Errors
    /// A pattern that is empty, too long, has characters no model name has, or a `*` before its end.
    pub fn only<S: AsRef<str>>(patterns: &[S]) -> Result<Self, BadPattern> {
        let list = patterns
            .iter()
            .map(|p| {
                let p = p.as_ref().trim();
                if is_pattern(p) { Ok(p.to_owned()) } else { Err(BadPattern(p.chars().take(80).collect())) }
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(if list.is_empty() { Self(None) } else { Self(Some(list.into())) })
    }

    /// The patterns; `None` means every model.
    pub fn patterns(&self) -> Option<&[String]> {
        self.0.as_deref()
    }

    /// Whether the scope lets this model through.
    pub fn allows(&self, model: &str) -> bool {
        let Some(patterns) = &self.0 else { return true };
        patterns.iter().any(|p| match p.strip_suffix('*') {
            Some(prefix) => model.starts_with(prefix),
            None => p == model,
        })
    }
}

fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    !text.is_empty() && text.len() <= MAX_MODEL_NAME && name.bytes().all(is_model_byte)
}

/// Whether a text can be a model's name (letters, digits and `-._:/@[]`).
pub fn is_model_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_MODEL_NAME && text.bytes().all(is_model_byte)
}

/// A model's name without what may stand around it: in lower case, without the place and the vendor that some providers
/// put before it, without date, version, `@…`, `[…]` and `-latest` behind it. Two names of one model have the same plain
/// name, as far as the text tells; rules that forbid a model forbid all of them.
pub fn plain_name(model: &str) -> String {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let mut name = name.as_str();
    while let Some((before, rest)) = name.split_once('.') {
        // `us.anthropic.`, but not the `claude-3.` of a number.
        if rest.is_empty() || !before.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') {
            break;
        }
        name = rest;
    }
    loop {
        let shorter = without_ending(name);
        if shorter.len() == name.len() || shorter.is_empty() {
            return name.to_owned();
        }
        name = shorter;
    }
}

/// Without one ending that tells nothing of the model.
fn without_ending(name: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some((before, _)) = name.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) {
        return before;
    }
    if let Some((before, _)) = name.split_once('@') {
        return before;
    }
    let Some((before, last)) = name.rsplit_once('-') else { return name };
    let version = last.strip_prefix('v').map(|v| v.split_once(':').unwrap_or((v, "0")));
    let is_version = version.is_some_and(|(major, minor)| is_number(major) && is_number(minor));
    let is_date = last.len() == 8 && is_number(last);
    if is_version || is_date || last == "latest" { before } else { name }
}

fn is_model_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._:/@[]".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_match_names_and_prefixes() {
        let scope = ModelScope::only(&["claude-haiku-*", "claude-opus-5-5"]).unwrap();
        for (model, allowed) in [
            ("claude-haiku-5-5", true),
            ("claude-opus-5-5", true),
            ("claude-opus-5-5-x", false),
            ("claude-haiku", false),
            ("", false),
        ] {
            assert_eq!(scope.allows(model), allowed, "{model}");
        }
        assert!(ModelScope::all().allows("anything"));
    }

    #[test]
    fn all_names_of_a_model_have_one_plain_name() {
        for name in [
            "claude-opus-5-5",
            "CLAUDE-Opus-5-5",
            "claude-opus-5-5-20261001",
            "claude-opus-5-5-latest",
            "claude-opus-5-5[1m]",
            "claude-opus-5-5@20261001",
            "claude-opus-5-5-20261001-v1:0",
            "anthropic.claude-opus-5-5-20261001-v2:0",
            "us.anthropic.claude-opus-5-5-v1",
            "ap-southeast.anthropic.claude-opus-5-5",
            "models/anthropic/claude-opus-5-5@default",
        ] {
            assert_eq!(plain_name(name), "claude-opus-5-5", "{name}");
        }
        for name in
            ["claude-3.5-sonnet", "claude-opus-5", "a", "-latest", "claude-2.", "claude-12345678x", "[1m]"]
        {
            assert_eq!(plain_name(name), name, "{name}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for p in ["", "a*b", "a b", "\u{e9}", &"x".repeat(201)] {
            assert!(ModelScope::only(&[p]).is_err(), "{p}");
        }
    }
}

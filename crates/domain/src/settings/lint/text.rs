//! Forms of single texts: permission rules, addresses, and what looks like a credential.

use serde_json::Value;

use super::{Code, Details, Findings, Lint, shown};
use crate::key::{KeyKind, VirtualKey};
use crate::settings::document::Document;
use crate::settings::path::Path;

/// A rule is the name of a tool, which may be followed by what it is about, in parentheses.
pub(super) fn check_rule(path: &Path, given: &str, by: &Lint<'_>, found: &mut Findings) {
    if given.strip_prefix("mcp__").is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_control)) {
        return;
    }
    let (tool, subject) = match given.split_once('(') {
        None => (given, None),
        Some((tool, rest)) => (tool, Some(rest.strip_suffix(')'))),
    };
    let is_name = tool.starts_with(|c: char| c.is_ascii_alphabetic())
        && tool.bytes().all(|b| b.is_ascii_alphanumeric());
    let subject_ok = subject.is_none_or(|subject| subject.is_some_and(|subject| !subject.trim().is_empty()));
    if !is_name || !subject_ok {
        found.about(Code::BadRule, path, given, "");
    } else if !by.catalogue.tools().iter().any(|known| known == tool) {
        let hint = found.suggest(tool, by.catalogue.tools().iter().map(String::as_str));
        found.add(Code::UnknownTool, path, Details { given: shown(tool), expected: String::new(), hint });
    }
}

/// Whether a text is an address with a scheme and a host.
pub(super) fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    scheme_ok
        && !rest.is_empty()
        && !rest.starts_with('/')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Finds texts anywhere in a document that look like credentials.
pub(super) fn find_secrets(document: &Document, found: &mut Findings) {
    for (key, value) in document.as_map() {
        search(&Path::root().key(key), value, found);
    }
}

fn search(path: &Path, value: &Value, found: &mut Findings) {
    match value {
        Value::String(text) if has_secret(text) => found.plain(Code::SecretValue, path),
        Value::Array(entries) => {
            entries.iter().enumerate().for_each(|(index, entry)| search(&path.index(index), entry, found));
        }
        Value::Object(entries) => {
            entries.iter().for_each(|(key, entry)| search(&path.key(key), entry, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Beginnings of credentials, with the least length of the whole.
const BEGINNINGS: &[(&str, usize)] = &[
    ("sk-ant-", 24),
    ("sk-proj-", 24),
    ("ghp_", 36),
    ("gho_", 36),
    ("ghs_", 36),
    ("github_pat_", 36),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("AIza", 39),
    ("npm_", 36),
];

fn has_secret(text: &str) -> bool {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return true;
    }
    let is_edge = |c: char| c.is_whitespace() || "\"'`=:,;()<>|&@/".contains(c);
    text.split(is_edge).any(is_secret)
}

fn is_secret(word: &str) -> bool {
    let aws = |word: &str| {
        word.len() == 20
            && (word.starts_with("AKIA") || word.starts_with("ASIA"))
            && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    let jwt = |word: &str| {
        let parts: Vec<&str> = word.split('.').collect();
        parts.len() == 3
            && parts.iter().all(|part| {
                part.len() >= 16 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            })
            && word.starts_with("eyJ")
    };
    BEGINNINGS.iter().any(|(start, length)| word.starts_with(start) && word.len() >= *length)
        || aws(word)
        || jwt(word)
        || [KeyKind::Virtual, KeyKind::Admin]
            .into_iter()
            .any(|kind| VirtualKey::parse(kind, word.as_bytes()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_by_their_looks() {
        let jwt = format!("Bearer eyJ{}.eyJ{}.{}", "a".repeat(20), "b".repeat(20), "c".repeat(20));
        let own = VirtualKey::generate(KeyKind::Virtual, &[7; crate::key::RANDOM_LEN]).reveal();
        let anthropic = format!("Authorization: Bearer sk-ant-api03-{}", "x".repeat(20));
        let aws = format!("AKIA{}", "A1".repeat(8));
        for text in [jwt.as_str(), &own, &anthropic, &aws, "-----BEGIN RSA PRIVATE KEY-----\nMII"] {
            assert!(has_secret(text), "{text}");
        }
        for text in [
            "",
            "example",
            "eyJhbGciOiJIUzI1NiJ9.example",
            "sk-ant-",
            "$WEBHOOK_SECRET",
            "/bin/gh_helper",
            "AKIA",
        ] {
            assert!(!has_secret(text), "{text}");
        }
    }

    #[test]
    fn addresses() {
        for text in ["https://example.com", "http://localhost:8080/x", "ssh://git@example.com/a.git"] {
            assert!(is_url(text), "{text}");
        }
        for text in
            ["", "example.com", "://x", "https://", "https:///x", "https://a b", "1x://a", "https://a\n"]
        {
            assert!(!is_url(text), "{text:?}");
        }
    }
}

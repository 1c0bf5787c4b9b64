//! What is wrong with a settings document, or worth knowing before it is published.
//!
//! Types and forms are those of the catalogue. On top of them stand the mistakes that no schema finds: keys without
//! effect on the channel, restrictions that block everything or nothing, credentials in plain sight.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::catalogue::Catalogue;
use super::document::Document;
use super::path::Path;
use super::similar::nearest;
use super::version::ClientVersion;

pub use code::{Code, Severity};
pub use layers::lint_merge;

mod code;
mod types;
mod text;
mod env;
mod models;
mod reach;
mod cross;
mod layers;
#[cfg(test)]
mod tests;

/// Most findings that are reported; the worst come first.
pub const MAX_FINDINGS: usize = 500;
/// Longest part of a value that is shown, in characters.
const MAX_SHOWN: usize = 80;

/// What a document is checked against.
#[derive(Clone, Copy)]
pub struct Lint<'a> {
    /// The known keys.
    pub catalogue: &'a Catalogue,
    /// How the document reaches the client.
    pub channel: Channel,
    /// What is known of a model that is no alias.
    pub models: &'a dyn Fn(&str) -> ModelState,
    /// The oldest client in use, where known. The document's own `requiredMinimumVersion` counts if it is newer.
    pub oldest_client: Option<ClientVersion>,
}

/// How a document reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The gateway serves it to those who have signed in.
    Gateway,
    /// It is on the machine: a file, device management, or a policy helper.
    Machine,
}

/// What is known of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelState {
    /// It is served.
    Served,
    /// It is no longer served.
    Retired,
    /// Nothing.
    Unknown,
}

/// The languages of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Simplified Chinese.
    SimplifiedChinese,
    /// Traditional Chinese.
    TraditionalChinese,
}

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub code: Code,
    /// Where it is.
    pub path: Path,
    /// The particulars that its sentence names.
    pub details: Details,
}

/// The particulars of a finding; those that its sentence does not name are empty. No credential is ever in them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Details {
    /// What was found.
    pub given: String,
    /// What would be right, or what it is about.
    pub expected: String,
    /// What was probably meant; of a lock, where it is.
    pub hint: String,
}

impl Finding {
    /// The finding as a sentence.
    pub fn sentence(&self, language: Language) -> String {
        let [en, cn, tw] = self.code.entry().texts;
        let (text, did_you_mean) = match language {
            Language::English => (en, ["; did you mean `", "`?"]),
            Language::SimplifiedChinese => (cn, ["；是否想用 `", "`？"]),
            Language::TraditionalChinese => (tw, ["；是否想用 `", "`？"]),
        };
        let hint = if self.details.hint.is_empty() || self.code == Code::RefusedByLock {
            self.details.hint.clone()
        } else {
            format!("{}{}{}", did_you_mean[0], self.details.hint, did_you_mean[1])
        };
        let path = if self.path.is_root() { String::from("{}") } else { self.path.to_string() };
        fill(
            text,
            &[
                ("path", &path),
                ("given", &self.details.given),
                ("expected", &self.details.expected),
                ("hint", &hint),
            ],
        )
    }
}

/// Puts values in the places of their names in braces, each once, so that a value that has braces stays as it is.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        out.extend(values.iter().filter(|(known, _)| *known == name).map(|(_, value)| *value));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Checks a document. The worst findings come first; there are at most [`MAX_FINDINGS`].
pub fn lint(document: &Document, by: &Lint<'_>) -> Vec<Finding> {
    let mut found = Findings::default();
    types::check(document, by, &mut found);
    env::check(document, by, &mut found);
    models::check(document, by, &mut found);
    reach::check(document, by, &mut found);
    cross::check(document, &mut found);
    text::find_secrets(document, &mut found);
    found.sorted()
}

/// Findings as they are made.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, code: Code, path: &Path, details: Details) {
        self.0.push(Finding { severity: code.severity(), code, path: path.clone(), details });
    }

    fn about(&mut self, code: Code, path: &Path, given: &str, expected: &str) {
        self.add(
            code,
            path,
            Details { given: shown(given), expected: expected.to_owned(), hint: String::new() },
        );
    }

    fn plain(&mut self, code: Code, path: &Path) {
        self.add(code, path, Details::default());
    }

    /// What was probably meant by a word. With more findings than are reported there is no point in looking.
    fn suggest<'a>(&self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
        let meant = if self.is_full() { None } else { nearest(word, candidates) };
        meant.unwrap_or_default().to_owned()
    }

    fn is_full(&self) -> bool {
        self.0.len() >= MAX_FINDINGS
    }

    fn errors(&self) -> usize {
        self.0.iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    fn sorted(mut self) -> Vec<Finding> {
        // A value that looks like a credential is shown by no finding, whatever else is wrong with it.
        let secrets = self.0.iter().filter(|finding| finding.code == Code::SecretValue);
        let secrets: BTreeSet<Path> = secrets.map(|finding| finding.path.clone()).collect();
        for finding in self.0.iter_mut().filter(|finding| !finding.details.given.is_empty()) {
            let first_beneath = secrets.range(&finding.path..).next();
            if first_beneath.is_some_and(|secret| finding.path.covers(secret)) {
                "[redacted]".clone_into(&mut finding.details.given);
            }
        }
        self.0.sort_by(|a, b| {
            b.severity.cmp(&a.severity).then_with(|| a.path.cmp(&b.path)).then_with(|| a.code.cmp(&b.code))
        });
        self.0.truncate(MAX_FINDINGS);
        self.0
    }
}

/// A value for a sentence: on one line, not too long.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        out.push('…');
    }
    out
}

/// The texts of a list at a path; nothing if it is no list.
fn texts_at<'a>(document: &'a Document, path: &Path) -> Vec<(usize, &'a str)> {
    let list = path.find(document.as_map()).and_then(Value::as_array);
    list.into_iter().flatten().enumerate().filter_map(|(at, entry)| Some((at, entry.as_str()?))).collect()
}

/// The value at a path that is written in this program.
fn at<'a>(document: &'a Document, path: &str) -> Option<&'a Value> {
    path_of(path).find(document.as_map())
}

/// A path that is written in this program, without quoted keys.
fn path_of(path: &str) -> Path {
    path.split('.').fold(Path::root(), |path, key| path.key(key))
}

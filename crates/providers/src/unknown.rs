//! What a provider says that it does not know of a request, and requests without it.
//!
//! New members of the body and new betas come with nearly every release of a client, while providers learn of them later
//! and refuse the whole request. Their refusals name what they do not know; the sentences are below.

use std::fmt;

use bytes::Bytes;

use crate::cloud::Table;
use crate::fault::Fault;
use crate::json::{Edits, Raw, Root, Scanner, Wanted};

/// Most names that are taken from one refusal, and most members that are looked for at once.
const MOST: usize = 8;
/// Longest name of a member; the scanner's limit.
const MAX_NAME: usize = 32;
/// Longest name of a beta.
const MAX_BETA: usize = 64;
/// Most names from the body's object to an inner member, as in `a.b.c`.
const MAX_DEPTH: usize = 3;
/// Largest value of a member that is looked into.
const MAX_VALUE: usize = 256 * 1024;

/// Something of a request that a provider does not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// A member of the body, or of an object in it: `a`, `a.b`.
    Field(String),
    /// A beta.
    Beta(String),
}

impl Unknown {
    /// What it is: `field` or `beta`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Field(_) => "field",
            Self::Beta(_) => "beta",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Field(name) | Self::Beta(name) => name,
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a refusal (400) names that the provider does not know; nothing of most. Members of lists (`tools.0.x`) are not among
/// it: they cannot be told apart by a name.
pub fn named(body: &[u8]) -> Vec<Unknown> {
    let said = Fault::of_reply(400, None, body).message;
    let mut out = Vec::new();
    let mut add = |found: Option<Unknown>| {
        if let Some(found) = found
            && out.len() < MOST
            && !out.contains(&found)
        {
            out.push(found);
        }
    };
    // Anthropic, and whoever passes its words on: "a.b: Extra inputs are not permitted".
    for (at, _) in said.match_indices(": Extra inputs are not permitted") {
        add(field(said[..at].rsplit(is_around).next().unwrap_or_default()));
    }
    // Bedrock: "#: extraneous key [a] is not permitted", where "#" is the body's object.
    for (at, before) in said.match_indices("#: extraneous key [") {
        add(said[at + before.len()..].split_once("] is not permitted").and_then(|(name, _)| field(name)));
    }
    // Google: "Unknown name \"a\": Cannot find field."; of inner members it says "at 'b'" before the colon.
    for (at, before) in said.match_indices("Unknown name \"") {
        add(said[at + before.len()..].split_once("\": Cannot find field").and_then(|(name, _)| field(name)));
    }
    // Anthropic: "Unexpected value(s) `a`, `b` for the `anthropic-beta` header."
    let betas = said
        .split_once("Unexpected value(s) ")
        .and_then(|(_, rest)| rest.split_once(" for the `anthropic-beta`"));
    for name in betas.map_or("", |(list, _)| list).split(", ") {
        add(beta(name.trim_matches('`')));
    }
    out
}

fn is_around(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ';' | ':' | '(' | '[')
}

fn field(path: &str) -> Option<Unknown> {
    let is_name = |name: &str| {
        (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.bytes().all(|b| b.is_ascii_digit())
    };
    let is_path = path.split('.').count() <= MAX_DEPTH && path.split('.').all(is_name);
    is_path.then(|| Unknown::Field(path.to_owned()))
}

fn beta(name: &str) -> Option<Unknown> {
    let is_name = (1..=MAX_BETA).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    is_name.then(|| Unknown::Beta(name.to_owned()))
}

/// A request without what its provider does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Without {
    /// The body, every other byte as it was.
    pub pieces: Vec<Bytes>,
    /// Betas that are not to be sent, by name or by the beginning of one followed by `*`.
    pub betas: Vec<String>,
    /// The members that were there and have been left out.
    pub fields: Vec<String>,
}

impl Table {
    /// Whether something may be left out: not what an answer without it would not be one to the same question.
    pub fn may_leave_out(&self, unknown: &Unknown) -> bool {
        match unknown {
            Unknown::Field(path) => !self.needed.iter().any(|needed| needed == path),
            Unknown::Beta(_) => true,
        }
    }

    /// Leaves out what a provider does not know. A beta and the members that belong to it go together, as far as the table
    /// has them as a pair for any kind: one without the other is refused.
    pub fn without(&self, pieces: Vec<Bytes>, unknown: &[Unknown]) -> Without {
        let (mut paths, mut betas) = (Vec::new(), Vec::new());
        for one in unknown {
            match one {
                Unknown::Field(path) => {
                    paths.push(path.as_str());
                    betas.extend(
                        self.pairs()
                            .filter(|(_, fields)| fields.contains(path))
                            .flat_map(|(betas, _)| betas.to_vec()),
                    );
                }
                Unknown::Beta(name) => {
                    let own = self.pairs().filter(|(betas, _)| super::cloud::is_any(betas, name));
                    paths.extend(own.flat_map(|(_, fields)| fields).map(String::as_str));
                    betas.push(name.clone());
                }
            }
        }
        let needed: Vec<&str> = self.needed.iter().map(String::as_str).collect();
        paths.retain(|path| !needed.contains(path));
        paths.sort_unstable();
        paths.dedup();
        paths.truncate(MOST);
        betas.sort_unstable();
        betas.dedup();
        let (pieces, fields) = left_out(pieces, &paths, &needed);
        Without { pieces, betas, fields }
    }
}

/// An object without the members at these paths, and which of them were there. One that has a needed member stays.
fn left_out(pieces: Vec<Bytes>, paths: &[&str], needed: &[&str]) -> (Vec<Bytes>, Vec<String>) {
    let mut names: Vec<&str> = paths.iter().map(|path| first(path)).collect();
    names.dedup();
    let wanted: Vec<Wanted<'_>> = names.iter().map(|name| Wanted { name, limit: MAX_VALUE }).collect();
    let mut scanner = Scanner::new(&wanted);
    let is_read = !wanted.is_empty() && pieces.iter().all(|piece| scanner.feed(piece).is_ok());
    let Some(document) = is_read.then(|| scanner.finish().ok()).flatten() else {
        return (pieces, Vec::new());
    };
    let (mut edits, mut out) = (Edits::default(), Vec::new());
    for member in &document.members {
        let place = member.key_at..member.end;
        let (inner, kept) = (below(paths, member.name), below(needed, member.name));
        if inner.is_empty() || paths.contains(&member.name) {
            if kept.is_empty() || !has_any(&member.raw, &kept) {
                edits.cut.push(place);
                out.push(member.name.to_owned());
            }
            continue;
        }
        let Raw::Whole(value) = &member.raw else { continue };
        let (value, gone) = left_out(vec![Bytes::copy_from_slice(value)], &inner, &kept);
        if !gone.is_empty() {
            let mut text = format!("\"{}\":", member.name).into_bytes();
            for piece in &value {
                text.extend_from_slice(piece);
            }
            edits.replace.push((place, text.into()));
            out.extend(gone.into_iter().map(|path| format!("{}.{path}", member.name)));
        }
    }
    if out.is_empty() {
        return (pieces, out);
    }
    // It is an object, and these are places of its members; should that be wrong, nothing is changed.
    match edits.apply(pieces.clone()) {
        Some(changed) => (changed, out),
        None => (pieces, Vec::new()),
    }
}

fn first(path: &str) -> &str {
    path.split('.').next().unwrap_or_default()
}

/// The paths that lead into this member, from there on.
fn below<'p>(paths: &[&'p str], name: &str) -> Vec<&'p str> {
    paths.iter().filter_map(|path| path.strip_prefix(name)?.strip_prefix('.')).collect()
}

/// Whether a value has one of these members; one that was too long to be looked into counts as if it had.
fn has_any(value: &Raw, names: &[&str]) -> bool {
    let Raw::Whole(text) = value else { return true };
    let wanted: Vec<Wanted<'_>> = names.iter().map(|name| Wanted { name: first(name), limit: 0 }).collect();
    let mut scanner = Scanner::new(&wanted);
    if scanner.feed(text).is_err() {
        return true;
    }
    scanner.finish().is_ok_and(|document| document.root == Root::Object && !document.members.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str) -> Vec<String> {
        let body = serde_json::json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}});
        named(body.to_string().as_bytes()).iter().map(|one| format!("{} {one}", one.kind())).collect()
    }

    #[test]
    fn refusals_name_what_is_not_known() {
        for (message, expected) in [
            ("context_management: Extra inputs are not permitted", &["field context_management"][..]),
            (
                "a: Extra inputs are not permitted, b.c: Extra inputs are not permitted",
                &["field a", "field b.c"],
            ),
            ("1 validation error for Body: speed: Extra inputs are not permitted", &["field speed"]),
            ("tools.0.custom.defer_loading: Extra inputs are not permitted", &[]),
            ("messages.0.x: Extra inputs are not permitted", &[]),
            (
                "Malformed input request: #: extraneous key [tags] is not permitted, please reformat",
                &["field tags"],
            ),
            ("Malformed input request: #/messages/0: extraneous key [x] is not permitted", &[]),
            ("Invalid JSON payload received. Unknown name \"speed\": Cannot find field.", &["field speed"]),
            ("Invalid JSON payload received. Unknown name \"x\" at 'y': Cannot find field.", &[]),
            (
                "Unexpected value(s) `a-2026-01-01`, `b` for the `anthropic-beta` header. Please consult",
                &["beta a-2026-01-01", "beta b"],
            ),
            ("prompt is too long: 210000 tokens > 200000 maximum", &[]),
            ("max_tokens: must be greater than 0", &[]),
            (": Extra inputs are not permitted", &[]),
            ("ü: Extra inputs are not permitted", &[]),
        ] {
            assert_eq!(said(message), expected, "{message}");
        }
        let amazon = br#"{"message":"context_management: Extra inputs are not permitted"}"#;
        assert_eq!(named(amazon), [Unknown::Field("context_management".to_owned())]);
        assert_eq!(named(b"<html>"), []);
        let many: Vec<String> = (0..50).map(|n| format!("f{n}: Extra inputs are not permitted")).collect();
        assert_eq!(said(&many.join(" ")).len(), MOST);
    }

    fn without(text: &str, names: &[&str]) -> (String, Vec<String>, Vec<String>) {
        let unknown: Vec<Unknown> = names
            .iter()
            .map(|name| {
                if name.contains('-') {
                    Unknown::Beta((*name).to_owned())
                } else {
                    Unknown::Field((*name).to_owned())
                }
            })
            .collect();
        let mut all = Vec::new();
        for size in [1, 7, text.len()] {
            let pieces = text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
            let out = Table::built_in().without(pieces, &unknown);
            all.push((String::from_utf8(out.pieces.concat()).unwrap(), out.fields, out.betas));
        }
        assert!(all.windows(2).all(|two| two[0] == two[1]), "in whatever pieces");
        all.remove(0)
    }

    #[test]
    fn members_go_and_every_other_byte_stays() {
        for (text, names, expected, fields) in [
            (
                r#"{"model":"m", "new" : {"a":1} ,"z":[ ]}"#,
                &["new"][..],
                r#"{"model":"m" ,"z":[ ]}"#,
                &["new"][..],
            ),
            (r#"{"new":1}"#, &["new"], "{}", &["new"]),
            (r#"{"x":{"a": 1,"b":2},"y":1e3}"#, &["x.b"], r#"{"x":{"a": 1},"y":1e3}"#, &["x.b"]),
            (r#"{"x":{"a":{"b":[1]}}}"#, &["x.a.b", "y"], r#"{"x":{"a":{}}}"#, &["x.a.b"]),
            (r#"{"x":[{"b":2}]}"#, &["x.b"], r#"{"x":[{"b":2}]}"#, &[]),
            (r#"{"\u006eew":1,"a":2}"#, &["new"], r#"{"a":2}"#, &["new"]),
            (r#"{"a":1}"#, &["new"], r#"{"a":1}"#, &[]),
            ("[1]", &["new"], "[1]", &[]),
            ("{broken", &["new"], "{broken", &[]),
        ] {
            let (out, gone, _) = without(text, names);
            assert_eq!(
                (out.as_str(), gone.iter().map(String::as_str).collect::<Vec<_>>()),
                (expected, fields.to_vec()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_an_answer_needs_is_never_left_out() {
        for text in [
            r#"{"messages":[],"tools":[],"model":"m"}"#,
            r#"{"output_config":{"effort":"low","format":{"type":"json_schema"}}}"#,
            r#"{"safeguards":{}}"#,
        ] {
            let names = ["messages", "tools", "model", "output_config", "output_config.format", "safeguards"];
            assert_eq!(without(text, &names), (text.to_owned(), Vec::new(), Vec::new()));
        }
        let (out, gone, _) = without(r#"{"output_config":{"effort":"low"},"a":1}"#, &["output_config"]);
        assert_eq!((out.as_str(), gone), (r#"{"a":1}"#, vec!["output_config".to_owned()]));
        assert!(!Table::built_in().may_leave_out(&Unknown::Field("tools".to_owned())));
    }

    #[test]
    fn a_beta_and_its_members_go_together() {
        let text = r#"{"a":1,"context_management":{},"speed":"fast"}"#;
        let (out, gone, betas) = without(text, &["context_management"]);
        assert_eq!(
            (out.as_str(), gone),
            (r#"{"a":1,"speed":"fast"}"#, vec!["context_management".to_owned()])
        );
        assert_eq!(betas, ["context-management-*"]);
        let (out, gone, betas) = without(text, &["fast-mode-2026-02-01"]);
        assert_eq!((out.as_str(), gone), (r#"{"a":1,"context_management":{}}"#, vec!["speed".to_owned()]));
        assert_eq!(betas, ["fast-mode-2026-02-01"]);
    }
}

//! Types and forms, as the catalogue has them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Code, Details, Findings, Lint, shown, text};
use crate::settings::catalogue::{Fields, Kind, Mistake, Range, Shape, Text};
use crate::settings::document::{Document, type_of};
use crate::settings::path::Path;
use crate::settings::version::ClientVersion;

pub(super) fn check(document: &Document, by: &Lint<'_>, found: &mut Findings) {
    check_object(&Path::root(), document.as_map(), by, found);
}

/// An object whose keys stand in the catalogue.
fn check_object(path: &Path, entries: &Map<String, Value>, by: &Lint<'_>, found: &mut Findings) {
    for (name, value) in entries {
        let path = path.key(name);
        let Some(key) = by.catalogue.key(&path) else {
            let hint = if found.is_full() { None } else { by.catalogue.suggest(&path) }.unwrap_or_default();
            found.add(Code::UnknownKey, &path, Details { hint, ..Details::default() });
            continue;
        };
        let errors = found.errors();
        check_value(&key.kind, &path, value, by, found);
        if found.errors() > errors {
            match key.mistake {
                Some(Mistake::Closed) => found.plain(Code::FailsClosed, &path),
                Some(Mistake::Open) => found.plain(Code::FailsOpen, &path),
                None => {}
            }
        }
        if let Some(instead) = &key.instead {
            found.about(Code::Replaced, &path, "", instead);
        }
    }
}

fn check_value(kind: &Kind, path: &Path, value: &Value, by: &Lint<'_>, found: &mut Findings) {
    match (kind, value) {
        // The variables themselves are checked elsewhere.
        (Kind::Any, _)
        | (Kind::Null, Value::Null)
        | (Kind::Bool, Value::Bool(_))
        | (Kind::Env, Value::Object(_)) => {}
        (Kind::Integer(range), Value::Number(number)) => {
            let value = number.as_f64().filter(|number| number.fract() == 0.0);
            check_number(kind, range, path, &number.to_string(), value, found);
        }
        (Kind::Number(range), Value::Number(number)) => {
            check_number(kind, range, path, &number.to_string(), number.as_f64(), found);
        }
        (Kind::Text(form), Value::String(given)) => check_text(*form, path, given, by, found),
        (Kind::Literal(text), Value::String(given)) => {
            if text != given {
                found.about(Code::BadValue, path, given, &kind.to_string());
            }
        }
        (Kind::List(inner, limit), Value::Array(entries)) => {
            if let Some(limit) = limit.filter(|limit| entries.len() > *limit) {
                found.about(Code::TooMany, path, &entries.len().to_string(), &limit.to_string());
            }
            for (index, entry) in entries.iter().enumerate() {
                check_value(inner, &path.index(index), entry, by, found);
            }
        }
        (Kind::Map(inner), Value::Object(entries)) => {
            entries.iter().for_each(|(key, entry)| check_value(inner, &path.key(key), entry, by, found));
        }
        (Kind::PairMap(inner), Value::Object(entries)) => {
            for (key, entry) in entries {
                if key.chars().count() != 2 {
                    found.about(Code::BadValue, &path.key(key), key, "a key of two characters");
                }
                check_value(inner, &path.key(key), entry, by, found);
            }
        }
        (Kind::Object, Value::Object(entries)) => check_object(path, entries, by, found),
        (Kind::Shape(name), value) => {
            if let Some(shape) = by.catalogue.shape(name) {
                check_shape(shape, path, value, by, found);
            }
        }
        (Kind::OneOf(kinds), value) => check_one_of(kinds, kind, path, value, by, found),
        (
            Kind::Null
            | Kind::Bool
            | Kind::Integer(_)
            | Kind::Number(_)
            | Kind::Text(_)
            | Kind::Literal(_)
            | Kind::List(..)
            | Kind::Map(_)
            | Kind::PairMap(_)
            | Kind::Object
            | Kind::Env,
            value,
        ) => found.about(Code::WrongType, path, type_of(value), &kind.to_string()),
    }
}

fn check_number(
    kind: &Kind,
    range: &Range,
    path: &Path,
    given: &str,
    value: Option<f64>,
    found: &mut Findings,
) {
    if value.is_none_or(|value| !range.contains(value)) {
        found.about(Code::OutOfRange, path, given, &kind.to_string());
    }
}

fn check_text(form: Text, path: &Path, given: &str, by: &Lint<'_>, found: &mut Findings) {
    let good = match form {
        Text::Any => true,
        Text::Filled | Text::Model => !given.is_empty(),
        Text::Rule => return text::check_rule(path, given, by, found),
        Text::ServerName => {
            !given.is_empty() && given.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        }
        Text::GitUrl => given.strip_suffix(".git").is_some_and(|rest| !rest.is_empty()),
        Text::Url => text::is_url(given),
        Text::Version => ClientVersion::parse(given).is_ok(),
    };
    if !good {
        found.about(Code::BadValue, path, given, &Kind::Text(form).to_string());
    }
}

/// A value that may be one of several kinds: its findings are those of the kind that fits best.
fn check_one_of(
    kinds: &[Kind],
    whole: &Kind,
    path: &Path,
    value: &Value,
    by: &Lint<'_>,
    found: &mut Findings,
) {
    if let (Some(literals), Value::String(given)) = (literals(kinds), value) {
        if !literals.contains(&given.as_str()) {
            let hint = found.suggest(given, literals.iter().copied());
            let details = Details { given: shown(given), expected: whole.to_string(), hint };
            found.add(Code::BadValue, path, details);
        }
        return;
    }
    let mut nearly = None;
    for kind in kinds {
        let mut attempt = Findings::default();
        check_value(kind, path, value, by, &mut attempt);
        if attempt.errors() == 0 {
            return found.0.append(&mut attempt.0);
        }
        let fits = !attempt.0.iter().any(|finding| finding.code == Code::WrongType && finding.path == *path);
        if fits && nearly.is_none() {
            nearly = Some(attempt);
        }
    }
    match nearly {
        Some(mut attempt) => found.0.append(&mut attempt.0),
        None => found.about(Code::WrongType, path, type_of(value), &whole.to_string()),
    }
}

/// The texts that are allowed, if only texts are.
fn literals(kinds: &[Kind]) -> Option<Vec<&str>> {
    kinds.iter().map(|kind| if let Kind::Literal(text) = kind { Some(text.as_str()) } else { None }).collect()
}

fn check_shape(shape: &Shape, path: &Path, value: &Value, by: &Lint<'_>, found: &mut Findings) {
    let entries = match (shape, value) {
        (Shape::Alias(kind), value) => return check_value(kind, path, value, by, found),
        (Shape::Object(_) | Shape::Tagged { .. }, Value::Object(entries)) => entries,
        (Shape::Object(_) | Shape::Tagged { .. }, value) => {
            return found.about(Code::WrongType, path, type_of(value), &Kind::Object.to_string());
        }
    };
    match shape {
        Shape::Alias(_) => {}
        Shape::Object(fields) => check_fields(fields, None, path, entries, by, found),
        Shape::Tagged { tag, forms } => check_tagged(tag, forms, path, entries, by, found),
    }
}

fn check_tagged(
    tag: &str,
    forms: &BTreeMap<String, Fields>,
    path: &Path,
    entries: &Map<String, Value>,
    by: &Lint<'_>,
    found: &mut Findings,
) {
    let names = || forms.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match entries.get(tag) {
        None => found.about(Code::MissingField, path, "", tag),
        Some(Value::String(name)) => {
            if let Some(fields) = forms.get(name) {
                return check_fields(fields, Some(tag), path, entries, by, found);
            }
            let hint = found.suggest(name, forms.keys().map(String::as_str));
            let details = Details { given: shown(name), expected: names(), hint };
            found.add(Code::BadValue, &path.key(tag), details);
        }
        Some(other) => found.about(Code::WrongType, &path.key(tag), type_of(other), &names()),
    }
}

fn check_fields(
    fields: &Fields,
    tag: Option<&str>,
    path: &Path,
    entries: &Map<String, Value>,
    by: &Lint<'_>,
    found: &mut Findings,
) {
    for (name, value) in entries.iter().filter(|(name, _)| tag != Some(name.as_str())) {
        let kind = fields
            .required
            .get(name)
            .or_else(|| fields.optional.get(name))
            .or_else(|| fields.choice.get(name));
        if let Some(kind) = kind {
            check_value(kind, &path.key(name), value, by, found);
        } else {
            let known = fields.required.keys().chain(fields.optional.keys()).chain(fields.choice.keys());
            let hint = found.suggest(name, known.map(String::as_str));
            found.add(Code::UnknownField, &path.key(name), Details { hint, ..Details::default() });
        }
    }
    for name in fields.required.keys().filter(|name| !entries.contains_key(*name)) {
        found.about(Code::MissingField, path, "", name);
    }
    let chosen = fields.choice.keys().filter(|name| entries.contains_key(*name)).count();
    if !fields.choice.is_empty() && chosen != 1 {
        let names: Vec<String> = fields.choice.keys().map(|name| format!("`{name}`")).collect();
        found.about(Code::FieldChoice, path, "", &names.join(", "));
    }
}

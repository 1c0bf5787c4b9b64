//! Brings a given value to the canonical form of its attribute.
//!
//! Strict where meaning is at stake (types, one primary value), lenient where directories are known to differ: booleans
//! as texts, one object where a list of one is meant, a bare text for an object that has a `value`, `Work` for `work`.

use std::collections::HashSet;

use gatehouse_domain::name::is_unprintable;
use serde_json::Value;

use super::document::Document;
use super::error::ErrorKind;
use super::filter::boolean;
use super::schema::{Attribute, Kind, Mutability};
use super::text::{fold, parse_time};

/// Longest text, in bytes.
pub const MAX_TEXT: usize = 8192;
/// Longest name that a resource must have (`userName`, a group's `displayName`), in characters.
pub const MAX_NAME: usize = 256;
/// Most values of a list.
pub const MAX_LIST: usize = 100;
/// Most members of a group.
pub const MAX_MEMBERS: usize = 100_000;

/// A value that an attribute cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Of the wrong type.
    #[error("`{name}` must be {expected}")]
    WrongType {
        /// The attribute.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A text longer than [`MAX_TEXT`].
    #[error("`{0}` is longer than {MAX_TEXT} bytes")]
    TooLong(&'static str),
    /// A name that is empty but for white space.
    #[error("`{0}` must not be empty")]
    Blank(&'static str),
    /// A name longer than [`MAX_NAME`].
    #[error("`{0}` is longer than {MAX_NAME} characters")]
    NameTooLong(&'static str),
    /// A name with a character that cannot be seen or reorders text.
    #[error("`{name}` has the character U+{character:04X}, which is invisible or reorders text")]
    Unprintable {
        /// The attribute.
        name: &'static str,
        /// The first such character.
        character: u32,
    },
    /// A list with too many values.
    #[error("`{name}` has more than {most} values")]
    TooMany {
        /// The attribute.
        name: &'static str,
        /// How many it may have.
        most: usize,
    },
    /// More than one value that claims to be preferred.
    #[error("more than one value of `{0}` is primary")]
    TwoPrimaries(&'static str),
}

impl ValueError {
    /// How the protocol calls it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::WrongType { .. }
            | Self::TooLong(_)
            | Self::Blank(_)
            | Self::NameTooLong(_)
            | Self::Unprintable { .. }
            | Self::TooMany { .. }
            | Self::TwoPrimaries(_) => ErrorKind::InvalidValue,
        }
    }
}

/// The canonical form of a value; `None` if it stands for no value (RFC 7643, section 2.5).
///
/// # Errors
/// The attribute cannot have it.
pub(crate) fn accept(attribute: &'static Attribute, given: &Value) -> Result<Option<Value>, ValueError> {
    if !attribute.multi_valued {
        // Entra has sent a manager as a list of one.
        let one = match given.as_array() {
            Some(items) if attribute.kind == Kind::Complex && items.len() <= 1 => items.first(),
            Some(_) | None => Some(given),
        };
        return one.map_or(Ok(None), |one| accept_one(attribute, one));
    }
    let given = each(given);
    if given.len() > most(attribute) {
        return Err(ValueError::TooMany { name: attribute.name, most: most(attribute) });
    }
    let mut seen = HashSet::new();
    let mut values = Vec::with_capacity(given.len());
    for one in given {
        let Some(value) = accept_one(attribute, one)? else { continue };
        if identity(attribute, &value).is_none_or(|identity| seen.insert(identity)) {
            values.push(value);
        }
    }
    if values.iter().filter(|value| is_primary(value)).count() > 1 {
        return Err(ValueError::TwoPrimaries(attribute.name));
    }
    Ok((!values.is_empty()).then_some(Value::Array(values)))
}

/// The canonical form of one value of an attribute, were it a list or not.
pub(crate) fn accept_one(attribute: &'static Attribute, given: &Value) -> Result<Option<Value>, ValueError> {
    let wrong = |expected| ValueError::WrongType { name: attribute.name, expected };
    if given.is_null() {
        return Ok(None);
    }
    match attribute.kind {
        Kind::Text | Kind::Reference => {
            let given = given.as_str().ok_or_else(|| wrong("a text"))?;
            Ok(Some(Value::from(text(attribute, given)?)))
        }
        Kind::Boolean => {
            // Entra writes "False".
            let value = given.as_bool().or_else(|| given.as_str().and_then(boolean));
            Ok(Some(Value::from(value.ok_or_else(|| wrong("`true` or `false`"))?)))
        }
        Kind::DateTime => {
            let at = given.as_str().and_then(parse_time);
            let at = at.ok_or_else(|| wrong("a time such as \"2026-11-22T23:37:08Z\""))?;
            Ok(Some(Value::from(at.to_string())))
        }
        Kind::Complex => {
            let value = attribute.sub("value").filter(|value| value.mutability != Mutability::ReadOnly);
            match (given.as_object(), value) {
                (Some(given), _) => object(attribute, given),
                (None, Some(value)) if given.is_string() => {
                    let accepted = accept(value, given)?;
                    Ok(accepted.map(|value| Document::from_iter([("value".to_owned(), value)]).into()))
                }
                (None, _) => Err(wrong("an object")),
            }
        }
    }
}

/// The values of a list; a single value is a list of one.
pub(crate) fn each(given: &Value) -> &[Value] {
    given.as_array().map_or(std::slice::from_ref(given), Vec::as_slice)
}

fn text(attribute: &'static Attribute, given: &str) -> Result<String, ValueError> {
    let name = attribute.name;
    if given.len() > MAX_TEXT {
        return Err(ValueError::TooLong(name));
    }
    if attribute.required {
        return required_name(name, given);
    }
    let usual = attribute.canonical.iter().find(|usual| usual.eq_ignore_ascii_case(given));
    Ok(usual.map_or(given, |usual| usual).to_owned())
}

/// A name that a resource must have: it is shown to people and told apart by them.
fn required_name(name: &'static str, given: &str) -> Result<String, ValueError> {
    let given = given.trim();
    if given.is_empty() {
        return Err(ValueError::Blank(name));
    }
    if given.chars().nth(MAX_NAME).is_some() {
        return Err(ValueError::NameTooLong(name));
    }
    match given.chars().find(|c| is_unprintable(*c)) {
        Some(c) => Err(ValueError::Unprintable { name, character: u32::from(c) }),
        None => Ok(given.to_owned()),
    }
}

/// The known attributes of an object that the directory may set.
fn object(attribute: &'static Attribute, given: &Document) -> Result<Option<Value>, ValueError> {
    let mut object = Document::new();
    for (name, given) in given {
        let Some(sub) = attribute.sub(name).filter(|sub| sub.mutability != Mutability::ReadOnly) else {
            continue;
        };
        if let Some(value) = accept(sub, given)? {
            object.insert(sub.name.to_owned(), value);
        }
    }
    Ok((!object.is_empty()).then_some(Value::Object(object)))
}

/// How many values a list may have.
pub(crate) fn most(attribute: &Attribute) -> usize {
    if attribute.name == "members" { MAX_MEMBERS } else { MAX_LIST }
}

/// What tells a value of a list from the others: its `value` and its `type` (RFC 7643, section 2.4); a member's
/// identifier alone. `None` where nothing does, as for postal addresses.
pub(crate) fn identity(attribute: &Attribute, value: &Value) -> Option<(String, String)> {
    let part = |name: &str, value: &Value| {
        let exact = attribute.sub.iter().any(|sub| sub.name == name && sub.case_exact);
        value.as_str().map(|text| if exact { text.to_owned() } else { fold(text) })
    };
    match value {
        Value::String(text) => Some((text.clone(), String::new())),
        Value::Object(object) => {
            let id = part("value", object.get("value")?)?;
            let kind = object.get("type").filter(|_| attribute.name != "members");
            Some((id, kind.and_then(|kind| part("type", kind)).unwrap_or_default()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// Whether a value of a list is the preferred one.
pub(crate) fn is_primary(value: &Value) -> bool {
    value.get("primary").and_then(Value::as_bool) == Some(true)
}

//! Reads JSON bodies within bounds.
//!
//! `serde_json` alone would take the last of two equal names. SCIM's names have no case (RFC 7643, section 2.1), so
//! `{"active": true, "Active": false}` says two things at once; whoever sent it must not learn by chance which one counts.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::error::ErrorKind;
use super::text::excerpt;

/// A JSON object.
pub type Document = Map<String, Value>;

/// Longest body. Room for some forty thousand members of a group.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Deepest nesting of objects and arrays. The deepest that the protocol needs is six.
pub const MAX_DEPTH: usize = 16;
/// Most values in one body, all levels together.
pub const MAX_VALUES: usize = 400_000;
/// Most members of one object.
pub const MAX_NAMES: usize = 100;

/// A body that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// More than [`MAX_BYTES`].
    #[error("the body has {0} bytes, more than {MAX_BYTES}; send it in parts")]
    TooLong(usize),
    /// Not JSON.
    #[error("the body is not valid JSON: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the body is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More values than [`MAX_VALUES`].
    #[error("the body has more than {MAX_VALUES} values; send it in parts")]
    TooManyValues,
    /// An object with more than [`MAX_NAMES`] members.
    #[error("an object of the body has more than {MAX_NAMES} attributes")]
    TooManyNames,
    /// A name given twice in one object, whatever its case.
    #[error(
        "the attribute `{0}` is given more than once in one object (case does not tell attributes apart)"
    )]
    Duplicate(String),
}

impl DocumentError {
    /// How the protocol calls it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLong(_) | Self::TooManyValues => ErrorKind::TooLarge,
            Self::NotJson(_)
            | Self::NotAnObject
            | Self::TooDeep
            | Self::TooManyNames
            | Self::Duplicate(_) => ErrorKind::InvalidSyntax,
        }
    }
}

/// Reads a body that must be a JSON object.
///
/// # Errors
/// It is not one, goes beyond a bound, or has a name twice.
pub fn parse(body: &[u8]) -> Result<Document, DocumentError> {
    if body.len() > MAX_BYTES {
        return Err(DocumentError::TooLong(body.len()));
    }
    let bounds = Bounds { left: Cell::new(MAX_VALUES), broken: RefCell::new(None) };
    let mut json = serde_json::Deserializer::from_slice(body);
    let value =
        Level { depth: 0, bounds: &bounds }.deserialize(&mut json).and_then(|v| json.end().map(|()| v));
    match (value, bounds.broken.into_inner()) {
        (_, Some(broken)) => Err(broken),
        (Ok(Value::Object(object)), None) => Ok(object),
        (Ok(_), None) => Err(DocumentError::NotAnObject),
        (Err(error), None) => Err(DocumentError::NotJson(error.to_string())),
    }
}

/// The member of an object with this name, whatever its case.
pub(crate) fn member<'d>(object: &'d Document, name: &str) -> Option<&'d Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// What is left of the bounds, and which was broken first.
struct Bounds {
    left: Cell<usize>,
    broken: RefCell<Option<DocumentError>>,
}

impl Bounds {
    fn refuse<E: serde::de::Error>(&self, error: DocumentError) -> E {
        let text = E::custom(&error);
        self.broken.borrow_mut().get_or_insert(error);
        text
    }
}

/// One level of a document.
#[derive(Clone, Copy)]
struct Level<'b> {
    depth: usize,
    bounds: &'b Bounds,
}

impl Level<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.bounds.refuse(DocumentError::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, bounds: self.bounds })
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.bounds.left.get().checked_sub(1) {
            Some(left) => self.bounds.left.set(left),
            None => return Err(self.bounds.refuse(DocumentError::TooManyValues)),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let level = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(level)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let level = self.deeper()?;
        let mut object = Document::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.len() == MAX_NAMES {
                return Err(self.bounds.refuse(DocumentError::TooManyNames));
            }
            if member(&object, &name).is_some() {
                return Err(self.bounds.refuse(DocumentError::Duplicate(excerpt(&name))));
            }
            let value = members.next_value_seed(level)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_bodies_are_refused() {
        let deep = format!("{}{}", "{\"a\":".repeat(100_000), "1");
        let deep_array = format!("{{\"a\":{}", "[".repeat(100_000));
        let many = format!("{{\"a\":[{}0]}}", "0,".repeat(MAX_VALUES));
        let names: Vec<String> = (0..=MAX_NAMES).map(|n| format!("\"a{n}\":0")).collect();
        let names = format!("{{{}}}", names.join(","));
        for (body, why) in [
            (deep.as_str(), DocumentError::TooDeep),
            (&deep_array, DocumentError::TooDeep),
            (&many, DocumentError::TooManyValues),
            (&names, DocumentError::TooManyNames),
            (&" ".repeat(MAX_BYTES + 1), DocumentError::TooLong(MAX_BYTES + 1)),
            (r#"{"active":true,"active":false}"#, DocumentError::Duplicate("active".into())),
            (r#"{"active":true,"ACTIVE":false}"#, DocumentError::Duplicate("ACTIVE".into())),
            (r#"{"a":[{"b":1,"\u0062":2}]}"#, DocumentError::Duplicate("b".into())),
            ("[]", DocumentError::NotAnObject),
            ("\"x\"", DocumentError::NotAnObject),
            ("null", DocumentError::NotAnObject),
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap_err(), why);
        }
        for body in
            [&b""[..], b"{", b"{}{}", b"{\"a\":\xff}", b"{\"\\ud800\":1}", b"{'a':1}", b"{\"a\":NaN}", b"\0"]
        {
            assert!(matches!(parse(body), Err(DocumentError::NotJson(_))), "{body:?}");
        }
    }

    #[test]
    fn the_deepest_that_is_allowed_is_read() {
        let body = format!("{}1{}", "{\"a\":".repeat(MAX_DEPTH), "}".repeat(MAX_DEPTH));
        assert!(parse(body.as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }

        #[test]
        fn agrees_with_serde_json(body in r#"[\{\}\[\]",:a-c0-9 ]{0,40}"#) {
            if let Ok(document) = parse(body.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), Value::Object(document));
            }
        }
    }
}

//! A settings document: what is read from outside, within bounds.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// Longest document, in bytes: the most that the client takes from a policy helper.
pub const MAX_BYTES: usize = 1_000_000;
/// Deepest nesting.
pub const MAX_DEPTH: usize = 24;
/// Most values of a document, counting lists and objects.
pub const MAX_VALUES: usize = 20_000;
/// Longest key, in bytes.
pub const MAX_KEY: usize = 512;

/// A JSON object of settings that is within bounds and means the same to every reader: no key is given twice, and none
/// is `__proto__`, which JavaScript drops.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document(Map<String, Value>);

/// A text that is no settings document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDocument {
    /// It is longer than [`MAX_BYTES`].
    #[error("the settings have {0} bytes; at most {MAX_BYTES} are taken")]
    TooLong(usize),
    /// It is not JSON, or breaks one of the other bounds.
    #[error("the settings cannot be read: {0}")]
    Syntax(String),
    /// It is JSON, but no object.
    #[error("the settings are {0}; they must be a JSON object such as `{{\"model\": \"sonnet\"}}`")]
    NotAnObject(&'static str),
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// The text is too long, no JSON, no object, too deep or too large, or gives a key twice.
    pub fn parse(text: &[u8]) -> Result<Self, BadDocument> {
        if text.len() > MAX_BYTES {
            return Err(BadDocument::TooLong(text.len()));
        }
        let left = Cell::new(MAX_VALUES);
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = Bounded::new(&left)
            .deserialize(&mut reader)
            .and_then(|value| reader.end().map(|()| value))
            .map_err(|error| BadDocument::Syntax(error.to_string()))?;
        Self::object(value)
    }

    /// Takes a value that is already in memory, under the same rules.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn from_value(value: Value) -> Result<Self, BadDocument> {
        let left = Cell::new(MAX_VALUES);
        let checked =
            Bounded::new(&left).deserialize(value).map_err(|error| BadDocument::Syntax(error.to_string()))?;
        let bytes = checked.to_string().len();
        if bytes > MAX_BYTES {
            return Err(BadDocument::TooLong(bytes));
        }
        Self::object(checked)
    }

    /// Its keys and values.
    pub const fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    fn object(value: Value) -> Result<Self, BadDocument> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            other
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err(BadDocument::NotAnObject(type_of(&other)))
            }
        }
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Document {
    /// Reads a document that is part of something longer, which must bound its length itself.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Bounded::new(&Cell::new(MAX_VALUES)).deserialize(deserializer)?;
        Self::object(value).map_err(D::Error::custom)
    }
}

/// What a value is, for sentences.
pub(super) const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Reads a value while the bounds hold.
#[derive(Clone, Copy)]
struct Bounded<'a> {
    left: &'a Cell<usize>,
    depth: usize,
}

impl<'a> Bounded<'a> {
    const fn new(left: &'a Cell<usize>) -> Self {
        Self { left, depth: 0 }
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("it is nested more than {MAX_DEPTH} deep")));
        }
        Ok(Self { left: self.left, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(D::Error::custom(format_args!("it has more than {MAX_VALUES} values")));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element_seed(inner)? {
            list.push(entry);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if key.len() > MAX_KEY {
                let start: String = key.chars().take(40).flat_map(char::escape_debug).collect();
                return Err(A::Error::custom(format_args!(
                    "the key `{start}…` is longer than {MAX_KEY} bytes"
                )));
            }
            if key == "__proto__" {
                return Err(A::Error::custom("the key `__proto__` would be lost in the client; remove it"));
            }
            if map.contains_key(&key) {
                let key = key.escape_debug();
                return Err(A::Error::custom(format_args!("the key `{key}` is given twice in one object")));
            }
            map.insert(key, entries.next_value_seed(inner)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn order_of_keys_is_kept() {
        let document = Document::parse(br#"{"b": 1, "a": {"d": [], "c": null}}"#).unwrap();
        assert_eq!(Value::Object(document.as_map().clone()).to_string(), r#"{"b":1,"a":{"d":[],"c":null}}"#);
    }

    #[test]
    fn hostile_documents_are_refused() {
        let deep = format!("{}1{}", "{\"a\":".repeat(MAX_DEPTH + 1), "}".repeat(MAX_DEPTH + 1));
        let many = format!("{{\"a\":[{}0]}}", "0,".repeat(MAX_VALUES));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BYTES));
        let long_key = format!("{{\"{}\":1}}", "x".repeat(MAX_KEY + 1));
        for (text, why) in [
            ("", "cannot be read"),
            ("[]", "are a list"),
            ("null", "are null"),
            ("{} {}", "cannot be read"),
            ("{'a': 1}", "cannot be read"),
            ("{\"a\": 1, \"a\": 1}", "given twice"),
            ("{\"a\": {\"b\": 1, \"\\u0062\": 2}}", "given twice"),
            ("{\"a\": {\"__proto__\": {}}}", "`__proto__`"),
            ("{\"a\": 1e999}", "cannot be read"),
            ("{\"a\": \"\\ud800\"}", "cannot be read"),
            ("{\"a\": NaN}", "cannot be read"),
            (&deep, "nested"),
            (&many, "values"),
            (&long, "bytes"),
            (&long_key, "longer than"),
        ] {
            let error = Document::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error} for {}", &text[..text.len().min(60)]);
        }
        assert!(Document::parse(b"{\"a\": \"\xff\"}").is_err());
        assert!(Document::from_value(json!([1])).is_err());
        assert!(Document::from_value(json!({ "__proto__": 1 })).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_document_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Document::parse(&bytes);
        }

        #[test]
        fn both_ways_in_agree(text in r#"\{("[ab]":(1|\[\]|"x"|\{"c":null\}),?){0,3}\}"#) {
            let embedded: Option<Document> = serde_json::from_str(&text).ok();
            prop_assert_eq!(embedded, Document::parse(text.as_bytes()).ok());
            if let Ok(document) = Document::parse(text.as_bytes()) {
                let value = Value::Object(document.as_map().clone());
                prop_assert_eq!(Document::from_value(value), Ok(document));
            }
        }
    }
}

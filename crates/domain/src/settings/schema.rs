//! A published JSON schema of the client's settings, read for what it says of keys that are not in the catalogue yet.
//!
//! Only what the catalogue can express is taken from it: types, ranges and lists of values. What goes beyond that (patterns,
//! dependencies) makes a key take more than the schema allows, never less. Nothing is fetched: a reference leads elsewhere
//! in the same document, or the schema is refused.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::catalogue::{Bound, Kind, Range, Text};
use super::checksum::Checksum;
use super::document::{BadDocument, Document};
use super::path::Path;

/// Most keys that are taken from a schema.
pub const MAX_KEYS: usize = 5000;
/// Most parts that are visited when all references are followed.
const MAX_VISITS: usize = 50_000;
/// Deepest nesting when all references are followed.
const MAX_DEPTH: usize = 32;
/// Longest help, in characters.
const MAX_HELP: usize = 300;
/// Most values that a text may be one of before any text is taken.
const MAX_LITERALS: usize = 200;

/// Words in a key's name, or the names of fields in its value, that speak of programs.
const PROGRAMS: &[&str] = &["command", "helper", "hook", "script", "exec", "shell", "program", "binary"];

/// What a schema says of keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    digest: Checksum,
    keys: BTreeMap<Path, Described>,
}

/// What a schema says of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// What it takes. [`Kind::Object`] if the keys beneath it are described too.
    pub kind: Kind,
    /// Its description, on one line; may be empty.
    pub help: String,
    /// Whether its name or its form speaks of programs.
    pub speaks_of_programs: bool,
}

/// A text that is no schema of settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchema {
    /// It is no JSON object, or breaks the bounds of one.
    #[error("the schema cannot be used: {0}")]
    Document(#[from] BadDocument),
    /// It describes no keys.
    #[error(
        "the schema describes no keys: expected a JSON schema of the client's settings, an object with \
         `\"properties\": {{\"model\": …}}`"
    )]
    NoKeys,
    /// A reference leads to itself.
    #[error("the schema's `$ref` `{0}` leads back to itself; expected references that end")]
    Circle(String),
    /// A reference leads out of the document or nowhere.
    #[error(
        "the schema's `$ref` `{0}` leads to nothing in the schema; only references such as `#/$defs/name` are followed, and \
         nothing is fetched"
    )]
    Reference(String),
    /// It is too deep when references are followed.
    #[error("the schema is more than {MAX_DEPTH} deep at `{0}` when its references are followed")]
    TooDeep(String),
    /// It is too large when references are followed.
    #[error("the schema has more than {MAX_VISITS} parts when its references are followed")]
    TooLarge,
    /// It describes too many keys.
    #[error("the schema describes more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// A part that should be a schema is none.
    #[error("the schema has {what} at `{at}`, where an object that describes a value is expected")]
    Part {
        /// Where.
        at: String,
        /// What is there.
        what: &'static str,
    },
}

impl Schema {
    /// Reads a schema (draft 7 or later, as far as it is used here).
    ///
    /// # Errors
    /// It is none, or too large, too deep, or its references do not end in it.
    pub fn parse(text: &[u8]) -> Result<Self, BadSchema> {
        let document = Document::parse(text)?;
        let mut reading = Reading { root: document.as_map(), visits: 0, keys: BTreeMap::new() };
        let top = reading.root.get("properties").and_then(Value::as_object).ok_or(BadSchema::NoKeys)?;
        if top.is_empty() {
            return Err(BadSchema::NoKeys);
        }
        reading.keys_of(top, &Path::root(), &mut Vec::new())?;
        Ok(Self { digest: Checksum::from_bytes(Sha256::digest(text).into()), keys: reading.keys })
    }

    /// The SHA-256 of its text.
    pub const fn digest(&self) -> Checksum {
        self.digest
    }

    /// What it says of keys, by path.
    pub const fn keys(&self) -> &BTreeMap<Path, Described> {
        &self.keys
    }
}

/// A schema while it is read. `way` is the references that are being followed.
struct Reading<'a> {
    root: &'a Map<String, Value>,
    visits: usize,
    keys: BTreeMap<Path, Described>,
}

impl<'a> Reading<'a> {
    fn keys_of(
        &mut self,
        properties: &'a Map<String, Value>,
        above: &Path,
        way: &mut Vec<&'a str>,
    ) -> Result<(), BadSchema> {
        for (name, part) in properties {
            let path = above.key(name);
            if Path::parse(&path.to_string()).is_err() {
                return Err(BadSchema::TooDeep(shortened(name)));
            }
            let before = way.len();
            let part = self.resolved(part, &path, way)?;
            let beneath = part.get("properties").and_then(Value::as_object).filter(|all| !all.is_empty());
            let kind = match beneath {
                Some(_) => Kind::Object,
                None => self.kind_of(part, &path, way)?,
            };
            let described = Described {
                help: help_of(part),
                speaks_of_programs: speaks_of_programs(name) || self.has_programs(part, way, 0)?,
                kind,
            };
            self.keys.insert(path.clone(), described);
            if self.keys.len() > MAX_KEYS {
                return Err(BadSchema::TooManyKeys);
            }
            if let Some(beneath) = beneath {
                self.keys_of(beneath, &path, way)?;
            }
            way.truncate(before);
        }
        Ok(())
    }

    /// The part that this one stands for. References that were followed are added to the way.
    fn resolved(
        &mut self,
        part: &'a Value,
        at: &Path,
        way: &mut Vec<&'a str>,
    ) -> Result<&'a Map<String, Value>, BadSchema> {
        self.visit()?;
        if at.steps().len() > MAX_DEPTH {
            return Err(BadSchema::TooDeep(shortened(&at.to_string())));
        }
        let part = match part {
            Value::Object(part) => part,
            // `true` takes anything.
            Value::Bool(true) => return Ok(empty()),
            other @ (Value::Null
            | Value::Bool(false)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)) => {
                return Err(BadSchema::Part {
                    at: shortened(&at.to_string()),
                    what: super::document::type_of(other),
                });
            }
        };
        let Some(reference) = part.get("$ref") else { return Ok(part) };
        let target =
            reference.as_str().ok_or_else(|| BadSchema::Reference(shortened(&reference.to_string())))?;
        if way.contains(&target) {
            return Err(BadSchema::Circle(shortened(target)));
        }
        if way.len() >= MAX_DEPTH {
            return Err(BadSchema::TooDeep(shortened(target)));
        }
        way.push(target);
        let found = self.find(target).ok_or_else(|| BadSchema::Reference(shortened(target)))?;
        self.resolved(found, at, way)
    }

    fn find(&self, target: &str) -> Option<&'a Value> {
        let mut steps =
            target.strip_prefix("#/")?.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
        let first = self.root.get(&steps.next()?)?;
        steps.try_fold(first, |value, step| value.as_object()?.get(&step))
    }

    fn kind_of(
        &mut self,
        part: &'a Map<String, Value>,
        at: &Path,
        way: &mut Vec<&'a str>,
    ) -> Result<Kind, BadSchema> {
        if let Some(kind) = literals(part) {
            return Ok(kind);
        }
        for several in ["anyOf", "oneOf"] {
            if let Some(Value::Array(parts)) = part.get(several) {
                let kinds =
                    parts.iter().map(|part| self.inner(part, at, way)).collect::<Result<Vec<_>, _>>()?;
                return Ok(one_of(kinds));
            }
        }
        match part.get("type") {
            Some(Value::String(name)) => self.named(name, part, at, way),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                let kinds =
                    names.map(|name| self.named(name, part, at, way)).collect::<Result<Vec<_>, _>>()?;
                Ok(one_of(kinds))
            }
            _ => Ok(Kind::Any),
        }
    }

    fn named(
        &mut self,
        name: &str,
        part: &'a Map<String, Value>,
        at: &Path,
        way: &mut Vec<&'a str>,
    ) -> Result<Kind, BadSchema> {
        Ok(match name {
            "null" => Kind::Null,
            "boolean" => Kind::Bool,
            "integer" => Kind::Integer(range_of(part)),
            "number" => Kind::Number(range_of(part)),
            "string" if part.get("minLength").and_then(Value::as_u64).is_some_and(|least| least > 0) => {
                Kind::Text(Text::Filled)
            }
            "string" => Kind::Text(Text::Any),
            "array" => {
                let inner = part.get("items").map_or(Ok(Kind::Any), |items| self.inner(items, at, way))?;
                let most = part.get("maxItems").and_then(Value::as_u64).and_then(|most| most.try_into().ok());
                Kind::List(Box::new(inner), most)
            }
            "object" => {
                let inner = match part.get("additionalProperties") {
                    Some(inner @ Value::Object(_)) if !part.contains_key("properties") => {
                        self.inner(inner, at, way)?
                    }
                    _ => Kind::Any,
                };
                Kind::Map(Box::new(inner))
            }
            _ => Kind::Any,
        })
    }

    /// What a part within another takes.
    fn inner(&mut self, part: &'a Value, at: &Path, way: &mut Vec<&'a str>) -> Result<Kind, BadSchema> {
        let before = way.len();
        let deeper = at.key("…");
        let part = self.resolved(part, &deeper, way)?;
        let kind = self.kind_of(part, &deeper, way)?;
        way.truncate(before);
        Ok(kind)
    }

    /// Whether a field in a value, however deep, speaks of programs. Circles are refused here too.
    fn has_programs(
        &mut self,
        part: &'a Map<String, Value>,
        way: &mut Vec<&'a str>,
        depth: usize,
    ) -> Result<bool, BadSchema> {
        if depth > MAX_DEPTH {
            return Err(BadSchema::TooDeep("$ref".to_owned()));
        }
        let mut found = false;
        if let Some(Value::Object(fields)) = part.get("properties") {
            found |= fields.keys().any(|name| speaks_of_programs(name));
            for field in fields.values() {
                found |= self.part_has_programs(field, way, depth)?;
            }
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(inner @ Value::Object(_)) = part.get(inner) {
                found |= self.part_has_programs(inner, way, depth)?;
            }
        }
        for several in ["anyOf", "oneOf", "allOf"] {
            for inner in part.get(several).and_then(Value::as_array).into_iter().flatten() {
                found |= self.part_has_programs(inner, way, depth)?;
            }
        }
        Ok(found)
    }

    fn part_has_programs(
        &mut self,
        part: &'a Value,
        way: &mut Vec<&'a str>,
        depth: usize,
    ) -> Result<bool, BadSchema> {
        let before = way.len();
        let part = self.resolved(part, &Path::root(), way)?;
        let found = self.has_programs(part, way, depth + 1)?;
        way.truncate(before);
        Ok(found)
    }

    fn visit(&mut self) -> Result<(), BadSchema> {
        self.visits += 1;
        if self.visits > MAX_VISITS { Err(BadSchema::TooLarge) } else { Ok(()) }
    }
}

/// The description of a value of which nothing is said.
fn empty() -> &'static Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    &EMPTY
}

/// The texts that a value may be, if it is one of some texts.
fn literals(part: &Map<String, Value>) -> Option<Kind> {
    let one = part.get("const").into_iter();
    let several = part.get("enum").and_then(Value::as_array).into_iter().flatten();
    let values: Vec<&Value> = one.chain(several).collect();
    if values.is_empty() {
        return None;
    }
    let texts: Option<Vec<&str>> = values.iter().map(|value| value.as_str()).collect();
    Some(match texts {
        Some(texts) if texts.len() <= MAX_LITERALS => {
            one_of(texts.into_iter().map(|text| Kind::Literal(text.to_owned())).collect())
        }
        Some(_) => Kind::Text(Text::Any),
        None => Kind::Any,
    })
}

/// One of several kinds; what takes anything takes the others too.
fn one_of(kinds: Vec<Kind>) -> Kind {
    if kinds.contains(&Kind::Any) {
        return Kind::Any;
    }
    let mut different: Vec<Kind> = Vec::new();
    for kind in kinds {
        let several = if let Kind::OneOf(several) = kind { several } else { vec![kind] };
        for kind in several {
            if !different.contains(&kind) {
                different.push(kind);
            }
        }
    }
    match (different.pop(), different.is_empty()) {
        (None, _) => Kind::Any,
        (Some(only), true) => only,
        (Some(last), false) => {
            different.push(last);
            Kind::OneOf(different)
        }
    }
}

fn range_of(part: &Map<String, Value>) -> Range {
    let number = |key: &str| part.get(key).and_then(Value::as_f64);
    let from = number("minimum").map(Bound::At).or_else(|| number("exclusiveMinimum").map(Bound::Above));
    Range { from, to: number("maximum") }
}

/// The first of a description, on one line.
fn help_of(part: &Map<String, Value>) -> String {
    let text = part.get("description").and_then(Value::as_str).unwrap_or_default();
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(MAX_HELP) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn speaks_of_programs(name: &str) -> bool {
    let name = name.to_lowercase();
    PROGRAMS.iter().any(|word| name.contains(word))
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;

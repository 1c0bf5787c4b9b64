//! Settings before they are understood: a tree of values, each of which knows where it was written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::mistake::Mistake;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the defaults that the binary carries.
    Default,
    /// In a file, at a line (counted from 1).
    File(Arc<str>, usize),
    /// In an environment variable.
    Variable(String),
    /// On the command line, as `--set KEY=VALUE`.
    Flag(String),
}

impl Origin {
    /// Whether the value is text only because nothing else can be written there.
    pub(crate) const fn is_text_only(&self) -> bool {
        matches!(self, Self::Variable(_) | Self::Flag(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in defaults"),
            Self::File(name, line) => write!(f, "{name}:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(key) => write!(f, "--set {key}"),
        }
    }
}

/// A value. Numbers keep their digits, so that prices never pass through a float.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A text.
    Text(String),
    /// A number, as written (integers in decimal).
    Number(String),
    /// True or false.
    Boolean(bool),
    /// A list.
    List(Vec<Node>),
    /// Settings by name.
    Section(BTreeMap<String, Node>),
    /// Something no setting takes; the name of its type.
    Other(&'static str),
}

impl Value {
    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The items, if it is a list.
    pub(crate) fn items(&self) -> Option<&[Node]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The members, if it is a section.
    pub(crate) const fn members(&self) -> Option<&BTreeMap<String, Node>> {
        if let Self::Section(members) = self { Some(members) } else { None }
    }

    /// The name of its type, for people.
    pub(crate) const fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Section(_) => "a section",
            Self::Other(name) => name,
        }
    }
}

/// A value and where it was written. Has no `Debug`: it may hold what should have been kept secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where it was written.
    pub(crate) origin: Origin,
    /// The value.
    pub(crate) value: Value,
}

impl Node {
    /// An empty section.
    pub(crate) const fn empty(origin: Origin) -> Self {
        Self { origin, value: Value::Section(BTreeMap::new()) }
    }

    /// Its member `name`, if this is a section and that is a text.
    pub(crate) fn name(&self) -> Option<&str> {
        self.value.members()?.get("name")?.value.text()
    }

    /// The member of a section, made as an empty section if it is not there. `None` if this is no section.
    pub(crate) fn member(&mut self, name: &str, origin: &Origin) -> Option<&mut Self> {
        match &mut self.value {
            Value::Section(members) => {
                Some(members.entry(name.to_owned()).or_insert_with(|| Self::empty(origin.clone())))
            }
            Value::Text(_) | Value::Number(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => None,
        }
    }

    /// Says of the whole tree that it is the defaults.
    pub(crate) fn mark_default(&mut self) {
        self.origin = Origin::Default;
        match &mut self.value {
            Value::Section(members) => members.values_mut().for_each(Self::mark_default),
            Value::List(items) => items.iter_mut().for_each(Self::mark_default),
            Value::Text(_) | Value::Number(_) | Value::Boolean(_) | Value::Other(_) => {}
        }
    }

    /// Lays another tree over this one: sections member by member, everything else is replaced.
    pub(crate) fn overlay(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Section(under), Value::Section(members)) => {
                for (name, node) in members {
                    match under.get_mut(&name) {
                        Some(old) => old.overlay(node),
                        None => {
                            under.insert(name, node);
                        }
                    }
                }
            }
            (under, value) => {
                *under = value;
                self.origin = over.origin;
            }
        }
    }
}

/// Reads a TOML text. What cannot be read becomes a mistake; the rest is returned all the same, so that one misplaced
/// quotation mark does not hide the other mistakes.
pub(crate) fn parse(name: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Node {
    let source = Source { name: name.into(), text };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        mistakes.push(Mistake::new(source.origin(at), "", format!("not TOML: {}", error.message())));
    }
    Node { origin: source.origin(0), value: Value::Section(source.members(table.get_ref())) }
}

struct Source<'a> {
    name: Arc<str>,
    text: &'a str,
}

impl Source<'_> {
    fn origin(&self, at: usize) -> Origin {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        Origin::File(Arc::clone(&self.name), before.split(|b| *b == b'\n').count())
    }

    fn members(&self, table: &DeTable<'_>) -> BTreeMap<String, Node> {
        table
            .iter()
            .map(|(key, value)| {
                let node = Node { origin: self.origin(key.span().start), value: self.value(value.get_ref()) };
                (key.get_ref().to_string(), node)
            })
            .collect()
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => Value::Number(number.to_string()),
                Err(_) => Value::Number(digits.as_str().to_owned()),
            },
            DeValue::Float(digits) => Value::Number(digits.as_str().to_owned()),
            DeValue::Boolean(yes) => Value::Boolean(*yes),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(items) => Value::List(
                items
                    .iter()
                    .map(|item| Node {
                        origin: self.origin(item.span().start),
                        value: self.value(item.get_ref()),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Section(self.members(table)),
        }
    }
}

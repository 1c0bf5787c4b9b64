//! What a key takes.

use std::collections::BTreeMap;
use std::fmt;

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Anything.
    Any,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number without fraction.
    Integer(Range),
    /// A number.
    Number(Range),
    /// A text of some form.
    Text(Text),
    /// One certain text.
    Literal(String),
    /// A list, of at most so many entries.
    List(Box<Self>, Option<usize>),
    /// An object with keys of one's own.
    Map(Box<Self>),
    /// An object whose keys have two characters.
    PairMap(Box<Self>),
    /// An object whose keys stand in the catalogue.
    Object,
    /// Environment variables.
    Env,
    /// A named shape.
    Shape(String),
    /// One of several.
    OneOf(Vec<Self>),
}

/// The form of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// Any.
    Any,
    /// Not empty.
    Filled,
    /// A permission rule.
    Rule,
    /// The name of a model.
    Model,
    /// The name of an MCP server.
    ServerName,
    /// An address that ends in `.git`.
    GitUrl,
    /// An address that begins with a scheme.
    Url,
    /// A version of the client.
    Version,
}

/// The numbers from one bound to another.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Range {
    /// The lowest.
    pub from: Option<Bound>,
    /// The highest.
    pub to: Option<f64>,
}

/// The lower end of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// This number belongs to the range.
    At(f64),
    /// Only greater numbers do.
    Above(f64),
}

/// What an object in a list or map looks like.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Another name of a kind.
    Alias(Kind),
    /// An object with these fields.
    Object(Fields),
    /// An object of one of several forms, told by a field.
    Tagged {
        /// The field.
        tag: String,
        /// The forms by its value.
        forms: BTreeMap<String, Fields>,
    },
}

/// The fields of an object. It may have no others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields {
    /// Those it must have.
    pub required: BTreeMap<String, Kind>,
    /// Those it may have.
    pub optional: BTreeMap<String, Kind>,
    /// Those of which it must have exactly one.
    pub choice: BTreeMap<String, Kind>,
}

/// A text that names no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no type; see the head of `settings.toml`")]
pub struct BadKind(pub String);

impl Kind {
    /// Reads a type as the catalogue writes it.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, BadKind> {
        let mut kinds = text.split(" | ").map(parse_one).collect::<Result<Vec<_>, _>>()?;
        Ok(if kinds.len() == 1 { kinds.remove(0) } else { Self::OneOf(kinds) })
    }

    /// The names of shapes in it.
    pub(super) fn shapes(&self) -> Vec<&str> {
        match self {
            Self::Shape(name) => vec![name],
            Self::List(inner, _) | Self::Map(inner) | Self::PairMap(inner) => inner.shapes(),
            Self::OneOf(kinds) => kinds.iter().flat_map(Self::shapes).collect(),
            Self::Any
            | Self::Null
            | Self::Bool
            | Self::Integer(_)
            | Self::Number(_)
            | Self::Text(_)
            | Self::Literal(_)
            | Self::Object
            | Self::Env => Vec::new(),
        }
    }
}

fn parse_one(text: &str) -> Result<Kind, BadKind> {
    let bad = || BadKind(text.to_owned());
    if let Some(rest) = text.strip_prefix("list of ") {
        let (inner, limit) = match rest.split_once(" up to ") {
            Some((inner, limit)) => (inner, Some(limit.parse().map_err(|_| bad())?)),
            None => (rest, None),
        };
        return Ok(Kind::List(Box::new(parse_one(inner)?), limit));
    }
    if let Some(inner) = text.strip_prefix("map of ") {
        return Ok(Kind::Map(Box::new(parse_one(inner)?)));
    }
    if let Some(inner) = text.strip_prefix("map by pairs of ") {
        return Ok(Kind::PairMap(Box::new(parse_one(inner)?)));
    }
    if let Some(literal) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return Ok(Kind::Literal(literal.to_owned()));
    }
    let (name, range) = text.split_once(' ').map_or((text, None), |(name, range)| (name, Some(range)));
    let range = range.map(|range| Range::parse(range).ok_or_else(bad)).transpose()?;
    match (name, range) {
        ("integer", range) => Ok(Kind::Integer(range.unwrap_or_default())),
        ("number", range) => Ok(Kind::Number(range.unwrap_or_default())),
        (_, Some(_)) => Err(bad()),
        (name, None) => named(name).ok_or_else(bad),
    }
}

fn named(name: &str) -> Option<Kind> {
    Some(match name {
        "any" => Kind::Any,
        "null" => Kind::Null,
        "bool" => Kind::Bool,
        "object" => Kind::Object,
        "env" => Kind::Env,
        "string" => Kind::Text(Text::Any),
        "text" => Kind::Text(Text::Filled),
        "rule" => Kind::Text(Text::Rule),
        "model" => Kind::Text(Text::Model),
        "server-name" => Kind::Text(Text::ServerName),
        "git-url" => Kind::Text(Text::GitUrl),
        "url" => Kind::Text(Text::Url),
        "version" => Kind::Text(Text::Version),
        shape if !shape.is_empty() && shape.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') => {
            Kind::Shape(shape.to_owned())
        }
        _ => return None,
    })
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once("..")?;
        let from = match from.strip_prefix('>') {
            _ if from.is_empty() => None,
            Some(above) => Some(Bound::Above(above.parse().ok()?)),
            None => Some(Bound::At(from.parse().ok()?)),
        };
        let to = if to.is_empty() { None } else { Some(to.parse().ok()?) };
        Some(Self { from, to })
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: f64) -> bool {
        let high_enough = match self.from {
            None => true,
            Some(Bound::At(from)) => number >= from,
            Some(Bound::Above(from)) => number > from,
        };
        high_enough && self.to.is_none_or(|to| number <= to)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            None => {}
            Some(Bound::At(from)) => write!(f, " from {from}")?,
            Some(Bound::Above(from)) => write!(f, " above {from}")?,
        }
        self.to.map_or(Ok(()), |to| write!(f, " up to {to}"))
    }
}

/// As it stands in a sentence: "expected …".
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("true or false"),
            Self::Integer(range) => write!(f, "a whole number{range}"),
            Self::Number(range) => write!(f, "a number{range}"),
            Self::Text(text) => f.write_str(match text {
                Text::Any => "a text",
                Text::Filled => "a text that is not empty",
                Text::Rule => "a permission rule",
                Text::Model => "a model",
                Text::ServerName => "a name of letters, digits, `_` and `-`",
                Text::GitUrl => "an address that ends in `.git`",
                Text::Url => "an address such as https://example.com",
                Text::Version => "a version such as 2.1.330",
            }),
            Self::Literal(text) => write!(f, "`{text}`"),
            Self::List(inner, None) => write!(f, "a list ({inner})"),
            Self::List(inner, Some(limit)) => write!(f, "a list of at most {limit} ({inner})"),
            Self::Map(inner) | Self::PairMap(inner) => write!(f, "an object ({inner})"),
            Self::Object | Self::Env => f.write_str("an object"),
            Self::Shape(name) => f.write_str(name),
            Self::OneOf(kinds) => {
                for (position, kind) in kinds.iter().enumerate() {
                    if position > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{kind}")?;
                }
                Ok(())
            }
        }
    }
}

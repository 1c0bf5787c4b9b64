//! Paths to attributes: of filters (RFC 7644, section 3.4.2.2) and of PATCH operations (section 3.5.2).

use std::fmt;

use serde_json::Value;

use super::document::Document;
use super::error::ErrorKind;
use super::filter::{Filter, FilterError};
use super::schema::{Attribute, Kind, Mutability, ResourceType, Schema};
use super::text::excerpt;

/// Longest path, in bytes. It may hold a filter.
pub const MAX_PATH: usize = 4096;

/// An attribute, or an attribute of an attribute, of some kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttrPath {
    /// The schema that defines the attribute.
    pub schema: &'static Schema,
    /// The attribute.
    pub attribute: &'static Attribute,
    /// The attribute of the attribute, if one was named.
    pub sub: Option<&'static Attribute>,
}

/// What a PATCH operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// All attributes of a schema: its URN alone.
    Schema(&'static Schema),
    /// An attribute: `userName`, `name.givenName`, `urn:…:User:department`.
    Attribute(AttrPath),
    /// Some values of a list, or an attribute of each: `emails[type eq "work"]`, `emails[type eq "work"].value`.
    Values {
        /// The list; its `sub` is what stands after the bracket.
        list: AttrPath,
        /// Which values.
        filter: Filter,
    },
}

/// A text that is no path of a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Longer than [`MAX_PATH`].
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
    /// Not of a path's form.
    #[error(
        "the path `{0}` is malformed (expected such as `userName`, `name.givenName`, `emails[type eq \"work\"].value`)"
    )]
    Malformed(String),
    /// Begins with the URN of no schema of this kind of resource.
    #[error("the path `{0}` begins with the URN of no schema that this resource has")]
    UnknownSchema(String),
    /// Names no attribute of this kind of resource.
    #[error("the path `{0}` names no attribute of this resource")]
    Unknown(String),
    /// Has a filter after what holds no list of objects.
    #[error("the path `{0}` filters an attribute that is no list of objects")]
    NotAList(String),
    /// Its filter is wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl PathError {
    /// How the protocol calls it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLong
            | Self::Malformed(_)
            | Self::UnknownSchema(_)
            | Self::Unknown(_)
            | Self::NotAList(_) => ErrorKind::InvalidPath,
            Self::Filter(error) => error.kind(),
        }
    }
}

impl AttrPath {
    /// Reads a path without a filter.
    ///
    /// # Errors
    /// It is malformed, or names nothing that this kind of resource has.
    pub fn parse(text: &str, kind: &'static ResourceType) -> Result<Self, PathError> {
        match Path::parse_plain(text, kind)? {
            Path::Attribute(path) => Ok(path),
            Path::Schema(_) | Path::Values { .. } => Err(PathError::Malformed(excerpt(text))),
        }
    }

    /// The attribute that values are compared by: the innermost one.
    pub const fn leaf(&self) -> &'static Attribute {
        match self.sub {
            Some(sub) => sub,
            None => self.attribute,
        }
    }

    /// Whether the path leads to at most one value.
    pub const fn is_single(&self) -> bool {
        !self.attribute.multi_valued
    }

    /// Whether only we may change what it leads to.
    pub fn is_read_only(&self) -> bool {
        [Some(self.attribute), self.sub].into_iter().flatten().any(|a| a.mutability == Mutability::ReadOnly)
    }

    /// The object of a document in canonical form that holds the attribute.
    pub(crate) fn container<'d>(&self, document: &'d Document) -> Option<&'d Document> {
        if is_extension(self.schema) { document.get(self.schema.id)?.as_object() } else { Some(document) }
    }

    /// The values that it leads to in a document in canonical form.
    pub(crate) fn values<'d>(&self, document: &'d Document) -> impl Iterator<Item = &'d Value> + use<'d> {
        let found = self.container(document).and_then(|object| object.get(self.attribute.name));
        let all: &[Value] = match found {
            Some(Value::Array(values)) => values,
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        let sub = self.sub;
        all.iter().filter_map(move |value| match sub {
            None => Some(value),
            Some(sub) => value.get(sub.name),
        })
    }
}

/// Whether a schema's attributes stand below its URN, not at the top of a document.
pub(crate) fn is_extension(schema: &Schema) -> bool {
    schema.id.starts_with("urn:ietf:params:scim:schemas:extension:")
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_extension(self.schema) {
            write!(f, "{}:", self.schema.id)?;
        }
        f.write_str(self.attribute.name)?;
        self.sub.map_or(Ok(()), |sub| write!(f, ".{}", sub.name))
    }
}

impl Path {
    /// Reads the path of a PATCH operation.
    ///
    /// # Errors
    /// It is malformed, or names nothing that this kind of resource has.
    pub fn parse(text: &str, kind: &'static ResourceType) -> Result<Self, PathError> {
        if text.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        let malformed = || PathError::Malformed(excerpt(text));
        let Some((list, rest)) = text.split_once('[') else { return Self::parse_plain(text, kind) };
        // The last bracket closes the filter: a text within it may hold brackets, what follows it may not.
        let (filter, after) = rest.rsplit_once(']').ok_or_else(malformed)?;
        let mut list = AttrPath::parse(list, kind)?;
        if list.sub.is_some() || !list.attribute.multi_valued || list.attribute.kind != Kind::Complex {
            return Err(PathError::NotAList(excerpt(text)));
        }
        let filter = Filter::parse_of_values(filter, list)?;
        if !after.is_empty() {
            let name = after.strip_prefix('.').ok_or_else(malformed)?;
            let unknown = || PathError::Unknown(excerpt(text));
            list.sub = Some(list.attribute.sub(name).ok_or_else(unknown)?);
        }
        Ok(Self::Values { list, filter })
    }

    /// Reads a path without a filter.
    fn parse_plain(text: &str, kind: &'static ResourceType) -> Result<Self, PathError> {
        let unknown = || PathError::Unknown(excerpt(text));
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"$-_.:".contains(&b);
        if text.is_empty() || text.len() > MAX_PATH || !text.bytes().all(is_name) {
            return Err(PathError::Malformed(excerpt(text)));
        }
        if let Some(schema) = kind.schema(text) {
            return Ok(Self::Schema(schema));
        }
        // A URN has dots and colons of its own, so the schema is recognized as a whole.
        let (within, name) = if text.contains(':') {
            kind.schemas()
                .find_map(|schema| Some((Some(schema), after_urn(text, schema.id)?)))
                .ok_or_else(|| PathError::UnknownSchema(excerpt(text)))?
        } else {
            (None, text)
        };
        let (name, sub) = match name.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (name, None),
        };
        let (schema, attribute) = match within {
            Some(schema) if is_extension(schema) => (schema, schema.attribute(name).ok_or_else(unknown)?),
            Some(_) | None => kind.attribute(name).ok_or_else(unknown)?,
        };
        let sub = sub.map(|sub| attribute.sub(sub).ok_or_else(unknown)).transpose()?;
        Ok(Self::Attribute(AttrPath { schema, attribute, sub }))
    }
}

fn after_urn<'t>(text: &'t str, urn: &str) -> Option<&'t str> {
    let begins = text.get(..urn.len())?.eq_ignore_ascii_case(urn);
    text.get(urn.len()..)?.strip_prefix(':').filter(|_| begins)
}

/// Prints a path that reads back as the same path.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(schema) => f.write_str(schema.id),
            Self::Attribute(path) => path.fmt(f),
            Self::Values { list, filter } => {
                write!(f, "{}[", AttrPath { sub: None, ..*list })?;
                filter.print_of_values(f)?;
                f.write_str("]")?;
                list.sub.map_or(Ok(()), |sub| write!(f, ".{}", sub.name))
            }
        }
    }
}

#[cfg(test)]
mod tests;

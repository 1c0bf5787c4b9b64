//! Filters (RFC 7644, section 3.4.2.2): read within bounds, resolved against the schema, evaluated, printed.
//!
//! A filter that names an attribute nobody has is refused, not answered with nothing: a directory that asks for a
//! misspelled name and finds nobody would create everybody a second time.

use std::fmt;

use gatehouse_domain::time::UnixMillis;
use serde_json::Value;

use super::document::Document;
use super::error::ErrorKind;
use super::path::AttrPath;
use super::schema::ResourceType;

pub use index::{Index, Narrowed};

pub(crate) use parse::boolean;

mod parse;
mod evaluate;
mod print;
mod index;
#[cfg(test)]
mod tests;

/// Longest filter, in bytes.
pub const MAX_LENGTH: usize = 4096;
/// Deepest nesting of parentheses, brackets and `not`.
pub const MAX_DEPTH: usize = 32;
/// Most comparisons in one filter.
pub const MAX_TERMS: usize = 100;

/// A condition on a resource, or on a value of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All of them (two or more).
    And(Vec<Self>),
    /// Any of them (two or more).
    Or(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// A comparison of an attribute with a value.
    Compare(Comparison),
    /// The attribute has a value that is not empty.
    Present(AttrPath),
    /// One value of a list fulfills a condition of its own: `emails[type eq "work" and value co "@example.com"]`.
    Value {
        /// The list.
        list: AttrPath,
        /// The condition, on its attributes.
        filter: Box<Self>,
    },
}

/// A comparison of an attribute with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The attribute.
    pub path: AttrPath,
    /// How it is compared.
    pub operator: Operator,
    /// With what: of the attribute's type.
    pub literal: Literal,
}

/// How an attribute is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal. An absent attribute is equal to nothing, so it fulfills this.
    Ne,
    /// Contains.
    Co,
    /// Starts with.
    Sw,
    /// Ends with.
    Ew,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Ge,
    /// Less than.
    Lt,
    /// Less than or equal.
    Le,
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::Eq, Self::Ne, Self::Co, Self::Sw, Self::Ew, Self::Gt, Self::Ge, Self::Lt, Self::Le];

    /// How filters spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Co => "co",
            Self::Sw => "sw",
            Self::Ew => "ew",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        }
    }
}

/// What an attribute is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// Text, as it was given.
    Text(String),
    /// `true` or `false`; directories also send them as texts.
    Boolean(bool),
    /// A time.
    Time(UnixMillis),
    /// No value.
    Null,
}

/// A text that is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Longer than [`MAX_LENGTH`].
    #[error("the filter is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the filter is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More comparisons than [`MAX_TERMS`].
    #[error("the filter has more than {MAX_TERMS} comparisons")]
    TooManyTerms,
    /// Not of a filter's form.
    #[error("the filter is malformed at byte {at}: expected {expected}")]
    Malformed {
        /// Where, in bytes from its beginning.
        at: usize,
        /// What should have stood there.
        expected: &'static str,
    },
    /// Names no attribute.
    #[error("the filter names `{0}`, which is no attribute here")]
    Unknown(String),
    /// Compares an attribute in a way, or with a value, that its type does not have.
    #[error("the filter cannot compare `{path}` with `{operator}` and this value: it holds {holds}")]
    Incomparable {
        /// The attribute.
        path: String,
        /// The operator.
        operator: &'static str,
        /// What the attribute holds.
        holds: &'static str,
    },
    /// Has brackets after an attribute that is no list of objects.
    #[error("the filter has brackets after `{0}`, which is no list of objects")]
    NotAList(String),
}

impl FilterError {
    /// How the protocol calls it.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidFilter
    }
}

impl Filter {
    /// Reads a filter on resources of a kind.
    ///
    /// # Errors
    /// It is malformed, goes beyond a bound, names unknown attributes or compares what cannot be compared.
    pub fn parse(text: &str, kind: &'static ResourceType) -> Result<Self, FilterError> {
        parse::resource(text, kind)
    }

    /// Reads a filter on the values of a list: what stands in brackets.
    ///
    /// # Errors
    /// As [`Filter::parse`].
    pub fn parse_of_values(text: &str, list: AttrPath) -> Result<Self, FilterError> {
        parse::values(text, list)
    }

    /// Whether a resource fulfills it. The resource is in canonical form, with all that we add (`id`, `meta`, `groups`).
    pub fn matches(&self, resource: &Document) -> bool {
        evaluate::resource(self, resource)
    }

    /// Whether a value of a list fulfills a filter of [`Filter::parse_of_values`].
    pub fn matches_value(&self, value: &Value) -> bool {
        evaluate::value(self, value)
    }

    /// The look-up in an index that finds every resource which fulfills it, if there is one.
    pub fn narrowed(&self) -> Option<Narrowed> {
        index::narrowed(self)
    }

    /// The object of which a filter on values says what each attribute is, if it says only that:
    /// `{"type": "work"}` for `type eq "work"`.
    pub(crate) fn template(&self) -> Option<Document> {
        index::template(self)
    }

    /// Prints a filter on values, without brackets.
    pub(crate) fn print_of_values(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::values(self, f)
    }
}

/// Prints a filter that reads back as the same filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::resource(self, f)
    }
}

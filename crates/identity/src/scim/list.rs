//! Lists of resources: what is asked for (RFC 7644, sections 3.4.2 and 3.4.3), and the answer.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::document::{self, Document, DocumentError};
use super::error::ErrorKind;
use super::filter::{Filter, FilterError};
use super::path::{AttrPath, PathError};
use super::projection::Projection;
use super::schema::{Kind, ResourceType};
use super::text::{fold, parse_time};
use super::value::is_primary;

pub use root::RootQuery;

use given::Given;

mod given;
mod root;
#[cfg(test)]
mod tests;

/// Most resources in one answer.
pub const MAX_RESULTS: u64 = 200;
/// The schema of a list.
pub const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// The schema of the body of `POST …/.search`.
pub const SEARCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Which resources.
    pub filter: Option<Filter>,
    /// In which order; else in the store's.
    pub sort: Option<Sort>,
    /// Which of them.
    pub page: Page,
    /// Which attributes of each.
    pub projection: Projection,
}

/// Which resources of a long list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The number of the first, from 1.
    pub start_index: u64,
    /// How many at most; 0 asks only how many there are.
    pub count: u64,
}

/// The order of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// By which attribute.
    pub by: AttrPath,
    /// Which end first.
    pub order: SortOrder,
}

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SortOrder {
    /// The least; those without the attribute last.
    #[default]
    Ascending,
    /// The greatest; those without the attribute first.
    Descending,
}

/// A query that cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The body cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The body is of another schema.
    #[error("`schemas` must hold `{SEARCH_SCHEMA}`")]
    Foreign,
    /// The filter is wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A number is none.
    #[error("`{name}` is `{given}` (expected a whole number)")]
    NotANumber {
        /// The parameter.
        name: &'static str,
        /// What was given.
        given: String,
    },
    /// The attribute to sort by is wrong.
    #[error("`sortBy`: {0}")]
    SortBy(PathError),
    /// The order is neither of the two.
    #[error("`sortOrder` is `{0}` (expected `ascending` or `descending`)")]
    SortOrder(String),
    /// A parameter of a body is of the wrong type.
    #[error("`{name}` must be {expected}")]
    WrongType {
        /// The parameter.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl QueryError {
    /// How the protocol calls it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Document(error) => error.kind(),
            Self::Foreign => ErrorKind::InvalidSyntax,
            Self::Filter(error) => error.kind(),
            Self::NotANumber { .. } | Self::SortOrder(_) | Self::WrongType { .. } => ErrorKind::InvalidValue,
            Self::SortBy(error) => error.kind(),
        }
    }
}

impl ListQuery {
    /// Reads the decoded parameters of a query. Of one given twice the last counts; unknown ones are ignored.
    ///
    /// # Errors
    /// One of them is wrong.
    pub fn parse<'q>(
        parameters: impl IntoIterator<Item = (&'q str, &'q str)>,
        kind: &'static ResourceType,
    ) -> Result<Self, QueryError> {
        Given::of_query(parameters)?.read(kind)
    }

    /// Reads the body of `POST /Users/.search` or `POST /Groups/.search` (RFC 7644, section 3.4.3).
    ///
    /// # Errors
    /// It is malformed, or one of its parameters is wrong.
    pub fn parse_search(body: &[u8], kind: &'static ResourceType) -> Result<Self, QueryError> {
        Given::of_search(&document::parse(body)?)?.read(kind)
    }

    /// Answers from all documents that there are: filters, sorts, cuts out the page and what was asked for of each.
    /// A store that can do a part of it in its own way does so, and passes the rest.
    pub fn answer(
        &self,
        documents: impl IntoIterator<Item = Document>,
        kind: &'static ResourceType,
    ) -> ListResponse {
        let fulfills =
            |document: &Document| self.filter.as_ref().is_none_or(|filter| filter.matches(document));
        let mut found: Vec<Document> = documents.into_iter().filter(fulfills).collect();
        if let Some(sort) = &self.sort {
            sort.sort(&mut found);
        }
        self.page.cut(found, |document| self.projection.apply(document, kind))
    }
}

impl Page {
    /// A start below 1 is 1, a count below 0 is 0 (RFC 7644, section 3.4.2.4), a count beyond [`MAX_RESULTS`] is that.
    fn of(start_index: Option<i64>, count: Option<i64>) -> Self {
        let natural = |number: i64| u64::try_from(number).unwrap_or(0);
        Self {
            start_index: natural(start_index.unwrap_or(1)).max(1),
            count: count.map_or(MAX_RESULTS, natural).min(MAX_RESULTS),
        }
    }

    /// Cuts the page out of all that was found.
    fn cut<T>(self, found: Vec<T>, render: impl Fn(T) -> Document) -> ListResponse {
        let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
        let skip = usize::try_from(self.offset()).unwrap_or(usize::MAX);
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        let resources = found.into_iter().skip(skip).take(count).map(|one| render(one).into()).collect();
        ListResponse { total, start_index: self.start_index, resources }
    }

    /// How many resources come before the first.
    pub const fn offset(self) -> u64 {
        self.start_index.saturating_sub(1)
    }
}

impl Sort {
    /// Sorts documents in canonical form; equal ones stay in their order.
    pub fn sort(&self, documents: &mut [Document]) {
        documents.sort_by_cached_key(|document| self.key(document));
    }

    fn key(&self, document: &Document) -> Key {
        Key { value: self.value(document), order: self.order }
    }

    /// What a document is sorted by: of a list, its primary or first value (RFC 7644, section 3.4.2.3).
    fn value(&self, document: &Document) -> Option<String> {
        let mut by = self.by;
        if by.sub.is_none() && by.attribute.kind == Kind::Complex {
            by.sub = by.attribute.sub("value").or_else(|| by.attribute.sub("formatted"));
        }
        let whole = AttrPath { sub: None, ..by };
        let value = whole
            .values(document)
            .find(|value| is_primary(value))
            .or_else(|| whole.values(document).next())?;
        let value = by.sub.map_or(Some(value), |sub| value.get(sub.name))?;
        match value {
            // Times are written in one form, in UTC, so their order is that of their texts.
            Value::String(text) if by.leaf().kind == Kind::DateTime => Some(parse_time(text)?.to_string()),
            Value::String(text) if by.leaf().case_exact => Some(text.clone()),
            Value::String(text) => Some(fold(text)),
            Value::Bool(value) => Some(value.to_string()),
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// A sort key: no value comes after all values.
#[derive(PartialEq, Eq)]
struct Key {
    value: Option<String>,
    order: SortOrder,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let ascending = (self.value.is_none(), &self.value).cmp(&(other.value.is_none(), &other.value));
        match self.order {
            SortOrder::Ascending => ascending,
            SortOrder::Descending => ascending.reverse(),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListResponse {
    /// How many there are in all.
    pub total: u64,
    /// The number of the first, from 1.
    pub start_index: u64,
    /// The documents.
    pub resources: Vec<Value>,
}

impl ListResponse {
    /// A list in one page.
    pub fn of_all(resources: impl Into<Vec<Value>>) -> Self {
        let resources = resources.into();
        Self { total: u64::try_from(resources.len()).unwrap_or(u64::MAX), start_index: 1, resources }
    }

    /// The body of the answer.
    pub fn document(&self) -> Value {
        json!({
            "schemas": [LIST_SCHEMA],
            "totalResults": self.total,
            "startIndex": self.start_index,
            "itemsPerPage": self.resources.len(),
            "Resources": self.resources,
        })
    }
}

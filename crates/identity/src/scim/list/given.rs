//! The parameters of a list, from a query or a body.

use serde_json::Value;

use super::super::document::{Document, member};
use super::super::filter::Filter;
use super::super::path::AttrPath;
use super::super::projection::Projection;
use super::super::schema::ResourceType;
use super::super::text::excerpt;
use super::{ListQuery, Page, QueryError, SEARCH_SCHEMA, Sort, SortOrder};

/// The parameters before they are read for a kind of resource.
#[derive(Debug, Clone, Default)]
pub(super) struct Given<'q> {
    filter: Option<&'q str>,
    sort_by: Option<&'q str>,
    sort_order: Option<&'q str>,
    start_index: Option<i64>,
    count: Option<i64>,
    only: Option<Vec<&'q str>>,
    without: Option<Vec<&'q str>>,
}

impl<'q> Given<'q> {
    pub(super) fn of_query(
        parameters: impl IntoIterator<Item = (&'q str, &'q str)>,
    ) -> Result<Self, QueryError> {
        let mut given = Self::default();
        for (name, value) in parameters {
            match name {
                "filter" => given.filter = Some(value),
                "sortBy" => given.sort_by = Some(value),
                "sortOrder" => given.sort_order = Some(value),
                "startIndex" => given.start_index = Some(number("startIndex", value)?),
                "count" => given.count = Some(number("count", value)?),
                "attributes" => given.only = Some(value.split(',').collect()),
                "excludedAttributes" => given.without = Some(value.split(',').collect()),
                _ => {}
            }
        }
        Ok(given)
    }

    pub(super) fn of_search(body: &'q Document) -> Result<Self, QueryError> {
        let is_search = |urn: &Value| urn.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(SEARCH_SCHEMA));
        let schemas = member(body, "schemas");
        if schemas.is_some_and(|urns| !urns.as_array().is_some_and(|urns| urns.iter().any(is_search))) {
            return Err(QueryError::Foreign);
        }
        Ok(Self {
            filter: text(body, "filter")?,
            sort_by: text(body, "sortBy")?,
            sort_order: text(body, "sortOrder")?,
            start_index: integer(body, "startIndex")?,
            count: integer(body, "count")?,
            only: names(body, "attributes")?,
            without: names(body, "excludedAttributes")?,
        })
    }

    /// The same, in no particular order.
    pub(super) fn unsorted(&self) -> Self {
        Self { sort_by: None, ..self.clone() }
    }

    pub(super) fn read(&self, kind: &'static ResourceType) -> Result<ListQuery, QueryError> {
        let filter = filled(self.filter).map(|text| Filter::parse(text, kind)).transpose()?;
        let order = match filled(self.sort_order) {
            None => SortOrder::default(),
            Some(text) if text.eq_ignore_ascii_case("ascending") => SortOrder::Ascending,
            Some(text) if text.eq_ignore_ascii_case("descending") => SortOrder::Descending,
            Some(text) => return Err(QueryError::SortOrder(excerpt(text))),
        };
        let by = filled(self.sort_by).map(|text| AttrPath::parse(text, kind)).transpose();
        let sort = by.map_err(QueryError::SortBy)?.map(|by| Sort { by, order });
        let projection = Projection::of_names(self.only.clone(), self.without.clone(), kind);
        Ok(ListQuery { filter, sort, page: Page::of(self.start_index, self.count), projection })
    }
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn number(name: &'static str, given: &str) -> Result<i64, QueryError> {
    let given = given.trim();
    let digits = given.strip_prefix('-').unwrap_or(given);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(QueryError::NotANumber { name, given: excerpt(given) });
    }
    // A number that is too great for us is as good as the greatest.
    let bound = if given.starts_with('-') { i64::MIN } else { i64::MAX };
    Ok(given.parse().unwrap_or(bound))
}

fn text<'b>(body: &'b Document, name: &'static str) -> Result<Option<&'b str>, QueryError> {
    match member(body, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(QueryError::WrongType { name, expected: "a text" }),
    }
}

fn integer(body: &Document, name: &'static str) -> Result<Option<i64>, QueryError> {
    match member(body, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(given)) => number(name, &given.to_string()).map(Some),
        Some(_) => Err(QueryError::WrongType { name, expected: "a whole number" }),
    }
}

fn names<'b>(body: &'b Document, name: &'static str) -> Result<Option<Vec<&'b str>>, QueryError> {
    let wrong = || QueryError::WrongType { name, expected: "a list of texts" };
    match member(body, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(all)) => {
            all.iter().map(|name| name.as_str().ok_or_else(wrong)).collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(wrong()),
    }
}

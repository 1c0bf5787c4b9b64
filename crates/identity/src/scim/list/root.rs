//! A search at the root: `POST /.search`, over all kinds of resource (RFC 7644, section 3.4.3).

use super::super::discovery::RESOURCE_TYPES;
use super::super::document::{self, Document};
use super::super::schema::ResourceType;
use super::given::Given;
use super::{ListQuery, ListResponse, QueryError};

/// What a search at the root asks for, for each kind of resource that can fulfill it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootQuery {
    /// Never empty.
    queries: Vec<(&'static ResourceType, ListQuery)>,
}

impl RootQuery {
    /// Reads the body. A kind of resource that has not every attribute which the filter names is left out; one without
    /// the attribute to sort by comes last.
    ///
    /// # Errors
    /// It is malformed, or no kind of resource can fulfill it.
    pub fn parse(body: &[u8]) -> Result<Self, QueryError> {
        let body = document::parse(body)?;
        let given = Given::of_search(&body)?;
        let unsorted = given.unsorted();
        let mut queries = Vec::new();
        let mut refused = None;
        let is_sortable = RESOURCE_TYPES.iter().any(|kind| given.read(kind).is_ok());
        for kind in RESOURCE_TYPES {
            let query = match given.read(kind) {
                Err(QueryError::SortBy(_)) if is_sortable => unsorted.read(kind),
                query => query,
            };
            match query {
                Ok(query) => queries.push((kind, query)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(error) if queries.is_empty() => Err(error),
            Some(_) | None => Ok(Self { queries }),
        }
    }

    /// The kinds of resource that can fulfill it, each with its own query.
    pub fn queries(&self) -> impl Iterator<Item = (&'static ResourceType, &ListQuery)> {
        self.queries.iter().map(|(kind, query)| (*kind, query))
    }

    /// Answers from all documents that there are, of all kinds.
    pub fn answer(
        &self,
        documents: impl IntoIterator<Item = (&'static ResourceType, Document)>,
    ) -> ListResponse {
        let mut found: Vec<(&'static ResourceType, &ListQuery, Document)> = Vec::new();
        for (kind, document) in documents {
            let query = self.queries().find(|(of, _)| *of == kind).map(|(_, query)| query);
            if let Some(query) = query.filter(|q| q.filter.as_ref().is_none_or(|f| f.matches(&document))) {
                found.push((kind, query, document));
            }
        }
        // A kind without the attribute has no keys, and comes last.
        found.sort_by_cached_key(|(_, query, document)| {
            let key = query.sort.as_ref().map(|sort| sort.key(document));
            (key.is_none(), key)
        });
        let Some((_, first)) = self.queries.first() else { return ListResponse::of_all([]) };
        let projected = |(kind, query, document): (_, &ListQuery, _)| query.projection.apply(document, kind);
        first.page.cut(found, projected)
    }
}

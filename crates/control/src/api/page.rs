//! Pages of lists.

use gatehouse_store::{Listed, Page};
use serde::Serialize;
use utoipa::ToSchema;

/// Items of a page when the caller does not say how many.
pub const DEFAULT_LIMIT: u32 = 100;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Items<T> {
    /// The items.
    pub items: Vec<T>,
    /// Cursor of the page that follows; `null` on the last one.
    pub next: Option<String>,
}

impl<T> Items<T> {
    /// A page with each item as the API shows it.
    pub fn of<S>(page: Listed<S>, view: impl Fn(S) -> T) -> Self {
        Self { items: page.items.into_iter().map(view).collect(), next: page.next }
    }

    /// A list that is never long.
    pub fn all(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// The page that is asked for. The store refuses limits and cursors that cannot be used.
pub fn page(after: Option<String>, limit: Option<u32>) -> Page {
    Page { after, limit: limit.unwrap_or(DEFAULT_LIMIT) }
}

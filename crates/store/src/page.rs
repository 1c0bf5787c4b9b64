//! Listing in pages.

use crate::error::StoreError;

/// Most items of a page.
pub const MAX_LIMIT: u32 = 1000;
/// Longest cursor and longest search text, in bytes.
const MAX_TEXT: usize = 512;

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The [`Listed::next`] of the page before; `None` for the first page.
    pub after: Option<String>,
    /// How many items at most, 1 to [`MAX_LIMIT`].
    pub limit: u32,
}

impl Page {
    /// The first page.
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// The page after the one that ended with this cursor.
    pub const fn after(cursor: String, limit: u32) -> Self {
        Self { after: Some(cursor), limit }
    }

    /// Checks the limit and gives the number of rows to ask for: one more than wanted, which tells whether there is
    /// another page.
    pub(crate) fn rows(&self) -> Result<i64, StoreError> {
        if !(1..=MAX_LIMIT).contains(&self.limit) {
            let why = format!("is {}, expected 1 to {MAX_LIMIT}", self.limit);
            return Err(StoreError::Invalid { field: "limit", why });
        }
        Ok(i64::from(self.limit) + 1)
    }

    /// The cursor, read as what this list is ordered by.
    pub(crate) fn cursor<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, StoreError> {
        let Some(text) = &self.after else { return Ok(None) };
        let bad = || {
            let given: String = text.chars().take(64).flat_map(char::escape_debug).collect();
            StoreError::Invalid {
                field: "after",
                why: format!("is `{given}`, which is no cursor of this list"),
            }
        };
        check_text("after", text)?;
        read(text).map(Some).ok_or_else(bad)
    }
}

/// Refuses texts that no name contains: overlong ones and those with control characters (PostgreSQL cannot even take a
/// zero byte).
pub(crate) fn check_text(field: &'static str, text: &str) -> Result<(), StoreError> {
    if text.len() > MAX_TEXT {
        return Err(StoreError::Invalid { field, why: format!("is longer than {MAX_TEXT} bytes") });
    }
    if text.chars().any(char::is_control) {
        return Err(StoreError::Invalid { field, why: "has control characters".to_owned() });
    }
    Ok(())
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` when this is the last.
    pub next: Option<String>,
}

impl<T> Listed<T> {
    /// Makes a page from the rows that were read: one more than the limit if there are more.
    pub(crate) fn new(mut items: Vec<T>, page: &Page, cursor: impl FnOnce(&T) -> String) -> Self {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }
}

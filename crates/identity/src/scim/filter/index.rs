//! What a filter says plainly enough for an index, or for making a value that fulfills it.

use serde_json::Value;

use super::super::document::Document;
use super::super::text::fold;
use super::{Comparison, Filter, Literal, Operator};

/// An index that a store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Index {
    /// `id`, exact.
    Id,
    /// `externalId`, exact.
    ExternalId,
    /// `userName`, folded.
    UserName,
    /// `displayName`, folded.
    DisplayName,
    /// `members.value` of groups, exact.
    Member,
    /// `emails.value`, folded.
    Email,
}

/// A look-up in an index, which finds every resource that fulfills a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrowed {
    /// The index.
    pub index: Index,
    /// The value to look up: as given where case counts, else folded by [`fold`].
    pub value: String,
    /// Whether every resource found fulfills the filter, so that it need not be evaluated.
    pub exact: bool,
}

pub(super) fn narrowed(filter: &Filter) -> Option<Narrowed> {
    match filter {
        Filter::Compare(comparison) => of_comparison(comparison),
        // `members[value eq "x"]` says the same as `members.value eq "x"`, and so for addresses.
        Filter::Value { list, filter } => {
            matches!(list.attribute.name, "members" | "emails").then(|| narrowed(filter)).flatten()
        }
        Filter::And(all) => {
            let found = all.iter().find_map(narrowed)?;
            Some(Narrowed { exact: false, ..found })
        }
        Filter::Or(_) | Filter::Not(_) | Filter::Present(_) => None,
    }
}

fn of_comparison(comparison: &Comparison) -> Option<Narrowed> {
    let Comparison { path, operator: Operator::Eq, literal: Literal::Text(text) } = comparison else {
        return None;
    };
    let index = match (path.attribute.name, path.sub.map(|sub| sub.name)) {
        ("id", None) => Index::Id,
        ("externalId", None) => Index::ExternalId,
        ("userName", None) => Index::UserName,
        ("displayName", None) => Index::DisplayName,
        ("members", Some("value")) => Index::Member,
        ("emails", Some("value")) => Index::Email,
        _ => return None,
    };
    let value = if path.leaf().case_exact { text.clone() } else { fold(text) };
    Some(Narrowed { index, value, exact: true })
}

pub(super) fn template(filter: &Filter) -> Option<Document> {
    let mut object = Document::new();
    match filter {
        Filter::Compare(comparison) => says(comparison, &mut object)?,
        Filter::And(all) => {
            for part in all {
                let Filter::Compare(comparison) = part else { return None };
                says(comparison, &mut object)?;
            }
        }
        Filter::Or(_) | Filter::Not(_) | Filter::Present(_) | Filter::Value { .. } => return None,
    }
    Some(object)
}

/// Notes what an equality says of an attribute; nothing if it says something else than another one before.
fn says(comparison: &Comparison, object: &mut Document) -> Option<()> {
    let Comparison { path, operator: Operator::Eq, literal } = comparison else { return None };
    let value = match literal {
        Literal::Text(text) => Value::from(text.as_str()),
        Literal::Boolean(value) => Value::from(*value),
        Literal::Time(_) | Literal::Null => return None,
    };
    let before = object.insert(path.sub?.name.to_owned(), value.clone());
    before.is_none_or(|before| before == value).then_some(())
}

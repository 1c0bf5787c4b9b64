//! Evaluates filters.
//!
//! An attribute with several values fulfills a comparison if one of them does (RFC 7644, section 3.4.2.2).

use std::cmp::Ordering;

use serde_json::Value;

use super::super::document::Document;
use super::super::path::AttrPath;
use super::super::text::{fold, parse_time, same};
use super::{Comparison, Filter, Literal, Operator};

pub(super) fn resource(filter: &Filter, resource: &Document) -> bool {
    fulfills(filter, Subject::Resource(resource))
}

pub(super) fn value(filter: &Filter, value: &Value) -> bool {
    fulfills(filter, Subject::Value(value))
}

/// What a filter is evaluated on.
#[derive(Clone, Copy)]
enum Subject<'d> {
    Resource(&'d Document),
    Value(&'d Value),
}

impl<'d> Subject<'d> {
    /// Whether one of the attribute's values passes a test.
    fn any(self, path: &AttrPath, test: impl Fn(&'d Value) -> bool) -> bool {
        match self {
            Self::Resource(resource) => path.values(resource).any(test),
            Self::Value(value) => path.sub.and_then(|sub| value.get(sub.name)).is_some_and(test),
        }
    }
}

fn fulfills(filter: &Filter, subject: Subject<'_>) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|part| fulfills(part, subject)),
        Filter::Or(all) => all.iter().any(|part| fulfills(part, subject)),
        Filter::Not(part) => !fulfills(part, subject),
        Filter::Present(path) => subject.any(path, is_present),
        Filter::Value { list, filter } => subject.any(list, |value| fulfills(filter, Subject::Value(value))),
        Filter::Compare(comparison) => compares(comparison, subject),
    }
}

/// Whether a value is there and not empty.
fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => items.iter().any(is_present),
        Value::Object(members) => members.values().any(is_present),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compares(comparison: &Comparison, subject: Subject<'_>) -> bool {
    let Comparison { path, operator, literal } = comparison;
    let exact = path.leaf().case_exact;
    match operator {
        Operator::Ne if *literal == Literal::Null => subject.any(path, is_present),
        Operator::Ne => {
            !subject.any(path, |_| true) || subject.any(path, |value| !equals(value, literal, exact))
        }
        Operator::Eq if *literal == Literal::Null => !subject.any(path, is_present),
        Operator::Eq => subject.any(path, |value| equals(value, literal, exact)),
        Operator::Co => subject.any(path, |value| on_text(value, literal, exact, |a, b| a.contains(b))),
        Operator::Sw => subject.any(path, |value| on_text(value, literal, exact, |a, b| a.starts_with(b))),
        Operator::Ew => subject.any(path, |value| on_text(value, literal, exact, |a, b| a.ends_with(b))),
        Operator::Gt => subject.any(path, |value| order(value, literal, exact) == Some(Ordering::Greater)),
        Operator::Lt => subject.any(path, |value| order(value, literal, exact) == Some(Ordering::Less)),
        Operator::Ge => subject.any(path, |value| order(value, literal, exact).is_some_and(Ordering::is_ge)),
        Operator::Le => subject.any(path, |value| order(value, literal, exact).is_some_and(Ordering::is_le)),
    }
}

fn equals(value: &Value, literal: &Literal, exact: bool) -> bool {
    match (value, literal) {
        (Value::String(text), Literal::Text(given)) if exact => text == given,
        (Value::String(text), Literal::Text(given)) => same(text, given),
        (Value::String(text), Literal::Time(given)) => parse_time(text) == Some(*given),
        (Value::Bool(value), Literal::Boolean(given)) => value == given,
        _ => false,
    }
}

fn on_text(value: &Value, literal: &Literal, exact: bool, test: fn(&str, &str) -> bool) -> bool {
    match (value, literal) {
        (Value::String(text), Literal::Text(given)) if exact => test(text, given),
        (Value::String(text), Literal::Text(given)) => test(&fold(text), &fold(given)),
        _ => false,
    }
}

fn order(value: &Value, literal: &Literal, exact: bool) -> Option<Ordering> {
    match (value, literal) {
        (Value::String(text), Literal::Text(given)) if exact => Some(text.as_str().cmp(given)),
        (Value::String(text), Literal::Text(given)) => Some(fold(text).cmp(&fold(given))),
        (Value::String(text), Literal::Time(given)) => Some(parse_time(text)?.cmp(given)),
        _ => None,
    }
}

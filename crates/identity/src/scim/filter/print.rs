//! Prints filters, with parentheses only where reading needs them.

use std::fmt::{self, Formatter, Write as _};

use serde_json::Value;

use super::super::path::AttrPath;
use super::{Comparison, Filter, Literal};

pub(super) fn resource(filter: &Filter, f: &mut Formatter<'_>) -> fmt::Result {
    print(filter, Within::Resource, f)
}

pub(super) fn values(filter: &Filter, f: &mut Formatter<'_>) -> fmt::Result {
    print(filter, Within::Values, f)
}

/// Where a filter stands: names in brackets are those of the list's values.
#[derive(Clone, Copy)]
enum Within {
    Resource,
    Values,
}

fn print(filter: &Filter, within: Within, f: &mut Formatter<'_>) -> fmt::Result {
    match filter {
        Filter::And(all) => joined(all, " and ", within, f),
        Filter::Or(all) => joined(all, " or ", within, f),
        Filter::Not(part) => {
            f.write_str("not (")?;
            print(part, within, f)?;
            f.write_char(')')
        }
        Filter::Present(path) => {
            name(path, within, f)?;
            f.write_str(" pr")
        }
        Filter::Compare(Comparison { path, operator, literal }) => {
            name(path, within, f)?;
            write!(f, " {} ", operator.as_str())?;
            match literal {
                Literal::Text(text) => write!(f, "{}", Value::from(text.as_str())),
                Literal::Boolean(value) => write!(f, "{value}"),
                Literal::Time(at) => write!(f, "\"{at}\""),
                Literal::Null => f.write_str("null"),
            }
        }
        Filter::Value { list, filter } => {
            name(list, within, f)?;
            f.write_char('[')?;
            print(filter, Within::Values, f)?;
            f.write_char(']')
        }
    }
}

fn joined(all: &[Filter], word: &str, within: Within, f: &mut Formatter<'_>) -> fmt::Result {
    for (at, part) in all.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        match part {
            Filter::And(_) | Filter::Or(_) => {
                f.write_char('(')?;
                print(part, within, f)?;
                f.write_char(')')?;
            }
            Filter::Not(_) | Filter::Present(_) | Filter::Compare(_) | Filter::Value { .. } => {
                print(part, within, f)?;
            }
        }
    }
    Ok(())
}

fn name(path: &AttrPath, within: Within, f: &mut Formatter<'_>) -> fmt::Result {
    match (within, path.sub) {
        (Within::Values, Some(sub)) => f.write_str(sub.name),
        (Within::Values, None) | (Within::Resource, _) => write!(f, "{path}"),
    }
}

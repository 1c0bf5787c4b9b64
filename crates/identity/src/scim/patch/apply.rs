//! Applies one change to a document in canonical form.

use serde_json::Value;

use super::super::document::Document;
use super::super::path::{AttrPath, Path, is_extension};
use super::super::value::accept;
use super::{Act, Change, OperationError, list};

pub(super) fn change(
    change: &Change,
    document: &mut Document,
    work: &mut usize,
) -> Result<(), OperationError> {
    let at = match &change.path {
        Path::Schema(schema) => {
            document.remove(schema.id);
            return Ok(());
        }
        Path::Attribute(at) | Path::Values { list: at, .. } => at,
    };
    if !is_extension(at.schema) {
        return within(change, at, document, work);
    }
    let mut extension = match document.remove(at.schema.id) {
        Some(Value::Object(extension)) => extension,
        Some(_) | None => Document::new(),
    };
    within(change, at, &mut extension, work)?;
    if !extension.is_empty() {
        document.insert(at.schema.id.to_owned(), Value::Object(extension));
    }
    Ok(())
}

/// The change, on the object that holds the attribute.
fn within(
    change: &Change,
    at: &AttrPath,
    object: &mut Document,
    work: &mut usize,
) -> Result<(), OperationError> {
    let Change { act, path, value, .. } = change;
    match path {
        Path::Values { filter, .. } => list::filtered(*act, at, filter, object, value, work),
        Path::Attribute(_) | Path::Schema(_) if at.is_single() => single(*act, at, object, value),
        Path::Attribute(_) | Path::Schema(_) => list::whole(*act, at, object, value, work),
    }
}

/// The change of an attribute that is no list.
fn single(act: Act, at: &AttrPath, object: &mut Document, value: &Value) -> Result<(), OperationError> {
    let name = at.attribute.name;
    let given = match act {
        Act::Add | Act::Replace => accept(at.leaf(), value)?,
        Act::Remove => None,
    };
    match (given, at.sub) {
        // To add nothing is to do nothing.
        (None, _) if act == Act::Add => {}
        (None, None) if at.attribute.required => return Err(OperationError::Required(at.to_string())),
        (None, None) => {
            object.remove(name);
        }
        (None, Some(sub)) => {
            let Some(Value::Object(parts)) = object.get_mut(name) else { return Ok(()) };
            parts.remove(sub.name);
            if parts.is_empty() {
                object.remove(name);
            }
        }
        (Some(value), Some(sub)) => {
            merge(object, name, Document::from_iter([(sub.name.to_owned(), value)]));
        }
        // The parts that are not given stay (RFC 7644, sections 3.5.2.1 and 3.5.2.3).
        (Some(Value::Object(parts)), None) => merge(object, name, parts),
        (Some(value), None) => {
            object.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

/// Sets some parts of an object.
fn merge(object: &mut Document, name: &str, parts: Document) {
    let Some(Value::Object(old)) = object.get_mut(name) else {
        object.insert(name.to_owned(), Value::Object(parts));
        return;
    };
    // An address belongs to the identifier it came with: a new manager does not keep the old one's.
    if parts.contains_key("value") {
        old.remove("$ref");
    }
    old.extend(parts);
}

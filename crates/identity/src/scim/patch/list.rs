//! Changes of lists: of the whole, of values that a filter selects, of one attribute of each.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::super::document::Document;
use super::super::filter::Filter;
use super::super::path::AttrPath;
use super::super::schema::{Attribute, Mutability};
use super::super::text::fold;
use super::super::value::{ValueError, accept, accept_one, each, identity, is_primary, most};
use super::{Act, OperationError};

/// A change of all values of a list.
pub(super) fn whole(
    act: Act,
    at: &AttrPath,
    object: &mut Document,
    value: &Value,
    work: &mut usize,
) -> Result<(), OperationError> {
    let mut values = take(at, object, work)?;
    match (act, at.sub) {
        (Act::Remove, None) if value.is_null() => values.clear(),
        (Act::Remove, None) => {
            let gone = listed_in(at, &values, value)?;
            retain(&mut values, &gone);
        }
        (Act::Replace, None) => values = given(at.attribute, value)?,
        (Act::Add, None) => add(at.attribute, &mut values, given(at.attribute, value)?),
        (Act::Add | Act::Replace | Act::Remove, Some(sub)) => {
            let all = vec![true; values.len()];
            set_each(act, at, sub, &mut values, value, &all, Some(Document::new()))?;
        }
    }
    put(at, object, values)
}

/// A change of those values of a list that a filter selects.
pub(super) fn filtered(
    act: Act,
    at: &AttrPath,
    filter: &Filter,
    object: &mut Document,
    value: &Value,
    work: &mut usize,
) -> Result<(), OperationError> {
    let mut values = take(at, object, work)?;
    let selected: Vec<bool> = values.iter().map(|value| filter.matches_value(value)).collect();
    let is_new = selected.iter().all(|selected| !selected);
    let outcome = match (act, at.sub) {
        (Act::Remove, None) => {
            retain(&mut values, &selected);
            Ok(true)
        }
        (Act::Replace, None) if is_new => Ok(false),
        (Act::Replace, None) => replace(at.attribute, &mut values, value, &selected).map(|()| true),
        (Act::Add, None) => extend(at, &mut values, value, &selected, template(at, filter)),
        (Act::Add | Act::Replace | Act::Remove, Some(sub)) => {
            let template = template(at, filter).filter(|object| !object.contains_key(sub.name));
            set_each(act, at, sub, &mut values, value, &selected, template)
        }
    };
    if !outcome? {
        let path = super::Path::Values { list: *at, filter: filter.clone() };
        return Err(OperationError::NoTarget(path.to_string()));
    }
    put(at, object, values)
}

/// What a value that a filter describes looks like. A member is not made so: who is meant does not exist here.
fn template(at: &AttrPath, filter: &Filter) -> Option<Document> {
    let is_fixed =
        |name: &String| at.attribute.sub(name).is_some_and(|s| s.mutability == Mutability::Immutable);
    filter.template().filter(|object| !object.keys().any(is_fixed))
}

/// Takes the list out of the object that holds it.
fn take(at: &AttrPath, object: &mut Document, work: &mut usize) -> Result<Vec<Value>, OperationError> {
    let values = listed(object.remove(at.attribute.name));
    *work = work.checked_sub(values.len()).ok_or(OperationError::TooMuchWork)?;
    Ok(values)
}

/// Puts the list back, if it holds anything.
fn put(at: &AttrPath, object: &mut Document, values: Vec<Value>) -> Result<(), OperationError> {
    let Attribute { name, .. } = *at.attribute;
    if values.len() > most(at.attribute) {
        return Err(ValueError::TooMany { name, most: most(at.attribute) }.into());
    }
    let has_primary = at.attribute.sub("primary").is_some();
    if has_primary && values.iter().filter(|value| is_primary(value)).count() > 1 {
        return Err(ValueError::TwoPrimaries(name).into());
    }
    if !values.is_empty() {
        object.insert(name.to_owned(), Value::Array(values));
    }
    Ok(())
}

fn given(attribute: &'static Attribute, value: &Value) -> Result<Vec<Value>, OperationError> {
    Ok(listed(accept(attribute, value)?))
}

fn listed(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(values)) => values,
        Some(value) => vec![value],
        None => Vec::new(),
    }
}

/// One value; a list of one is taken as that one.
fn given_one(attribute: &'static Attribute, value: &Value) -> Result<Option<Document>, OperationError> {
    let value = if let [only] = each(value) { only } else { value };
    Ok(match accept_one(attribute, value)? {
        Some(Value::Object(value)) => Some(value),
        Some(_) | None => None,
    })
}

/// Adds values; one that is there already takes over what is new about it.
fn add(attribute: &Attribute, values: &mut Vec<Value>, new: Vec<Value>) {
    if new.iter().any(is_primary) {
        demote(values, |_| true);
    }
    let mut places = HashMap::with_capacity(values.len());
    for (place, value) in values.iter().enumerate() {
        if let Some(identity) = identity(attribute, value) {
            places.insert(identity, place);
        }
    }
    for value in new {
        let place = identity(attribute, &value).and_then(|identity| places.get(&identity)).copied();
        if let Some(old) = place.and_then(|place| values.get_mut(place)) {
            fill(attribute, old, value);
        } else if values.len() <= most(attribute) && !is_repeated(attribute, values, &value) {
            // One beyond the bound is enough to be refused; more need no room.
            values.push(value);
        }
    }
}

/// Whether a value that nothing tells from others is in the list, the same in everything.
fn is_repeated(attribute: &Attribute, values: &[Value], value: &Value) -> bool {
    identity(attribute, value).is_none() && values.contains(value)
}

/// Takes over the attributes of another value, but for those that stay what they are.
fn fill(attribute: &Attribute, old: &mut Value, new: Value) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return };
    for (name, value) in new {
        let stays = attribute.sub(&name).is_some_and(|sub| sub.mutability == Mutability::Immutable);
        if !stays || !old.contains_key(&name) {
            old.insert(name, value);
        }
    }
}

/// Replaces the selected values, of which there is at least one, by one other.
fn replace(
    attribute: &'static Attribute,
    values: &mut Vec<Value>,
    value: &Value,
    selected: &[bool],
) -> Result<(), OperationError> {
    let new = given_one(attribute, value)?;
    if new.as_ref().is_some_and(claims_primary) {
        demote(values, |place| !is_selected(selected, place));
    }
    let first = selected.iter().position(|selected| *selected);
    let mut place = 0;
    values.retain_mut(|value| {
        let (here, keep) = (place, !is_selected(selected, place));
        place += 1;
        match &new {
            Some(new) if Some(here) == first => {
                *value = Value::Object(new.clone());
                true
            }
            Some(_) | None => keep,
        }
    });
    Ok(())
}

/// Adds attributes to the selected values, or makes a value. `false` if there is none, nor any that could be made.
fn extend(
    at: &AttrPath,
    values: &mut Vec<Value>,
    value: &Value,
    selected: &[bool],
    template: Option<Document>,
) -> Result<bool, OperationError> {
    let Some(new) = given_one(at.attribute, value)? else { return Ok(true) };
    if claims_primary(&new) {
        demote(values, |place| !is_selected(selected, place));
    }
    let mut found = false;
    for (place, value) in values.iter_mut().enumerate() {
        if is_selected(selected, place) {
            found = true;
            for (name, part) in &new {
                set(at.attribute, name, value, Some(part))?;
            }
        }
    }
    match template {
        Some(mut made) if !found => {
            made.extend(new);
            push_made(at.attribute, values, made)?;
            Ok(true)
        }
        Some(_) | None => Ok(found),
    }
}

/// Sets or removes one attribute of each selected value, or makes a value of the template. `false` if there is neither.
fn set_each(
    act: Act,
    at: &AttrPath,
    sub: &'static Attribute,
    values: &mut Vec<Value>,
    value: &Value,
    selected: &[bool],
    template: Option<Document>,
) -> Result<bool, OperationError> {
    let new = match act {
        Act::Add | Act::Replace => accept(sub, value)?,
        Act::Remove => None,
    };
    let Some(new) = new else {
        if act != Act::Add {
            remove_each(at.attribute, sub, values, selected)?;
        }
        return Ok(true);
    };
    if sub.name == "primary" && new == Value::Bool(true) {
        demote(values, |place| !is_selected(selected, place));
    }
    let mut found = false;
    for (place, value) in values.iter_mut().enumerate() {
        if is_selected(selected, place) {
            found = true;
            set(at.attribute, sub.name, value, Some(&new))?;
        }
    }
    match template {
        Some(mut made) if !found => {
            made.insert(sub.name.to_owned(), new);
            push_made(at.attribute, values, made)?;
            Ok(true)
        }
        Some(_) | None => Ok(found),
    }
}

/// Removes one attribute of each selected value. A value without its `value` is none, so it goes as a whole.
fn remove_each(
    attribute: &Attribute,
    sub: &Attribute,
    values: &mut Vec<Value>,
    selected: &[bool],
) -> Result<(), OperationError> {
    for (place, value) in values.iter_mut().enumerate() {
        if is_selected(selected, place) {
            set(attribute, sub.name, value, None)?;
        }
    }
    let mut place = 0;
    values.retain(|value| {
        let gone = is_selected(selected, place) && sub.name == "value";
        place += 1;
        !gone && value.as_object().is_none_or(|object| !object.is_empty())
    });
    Ok(())
}

/// Sets or removes an attribute of a value, unless it stays what it is.
fn set(
    attribute: &Attribute,
    name: &str,
    value: &mut Value,
    new: Option<&Value>,
) -> Result<(), OperationError> {
    let Value::Object(object) = value else { return Ok(()) };
    let fixed = attribute.sub(name).is_some_and(|sub| sub.mutability == Mutability::Immutable);
    if fixed && object.get(name).is_some_and(|old| Some(old) != new) {
        return Err(OperationError::Immutable(format!("{}.{name}", attribute.name)));
    }
    match new {
        Some(new) => object.insert(name.to_owned(), new.clone()),
        None => object.remove(name),
    };
    Ok(())
}

/// Adds a value that a filter described.
fn push_made(
    attribute: &'static Attribute,
    values: &mut Vec<Value>,
    made: Document,
) -> Result<(), OperationError> {
    if claims_primary(&made) {
        demote(values, |_| true);
    }
    values.extend(accept_one(attribute, &Value::Object(made))?);
    Ok(())
}

/// Which of the values a list names, by their `value`.
fn listed_in<'v>(at: &AttrPath, values: &'v [Value], named: &'v Value) -> Result<Vec<bool>, OperationError> {
    let exact = at.attribute.sub("value").is_none_or(|value| value.case_exact);
    let name_of = |value: &'v Value| {
        let name = value.as_str().or_else(|| super::member(value.as_object()?, "value")?.as_str())?;
        Some(if exact { Cow::Borrowed(name) } else { Cow::Owned(fold(name)) })
    };
    let nameless = || OperationError::Nameless(at.to_string());
    let gone: HashSet<Cow<'v, str>> =
        each(named).iter().map(|value| name_of(value).ok_or_else(nameless)).collect::<Result<_, _>>()?;
    Ok(values.iter().map(|value| name_of(value).is_some_and(|name| gone.contains(&name))).collect())
}

fn retain(values: &mut Vec<Value>, gone: &[bool]) {
    let mut place = 0;
    values.retain(|_| {
        place += 1;
        !is_selected(gone, place - 1)
    });
}

fn is_selected(selected: &[bool], place: usize) -> bool {
    selected.get(place).copied().unwrap_or(false)
}

fn claims_primary(value: &Document) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

/// When one value becomes primary, no other is any more (RFC 7644, section 3.5.2).
fn demote(values: &mut [Value], others: impl Fn(usize) -> bool) {
    for (place, value) in values.iter_mut().enumerate() {
        if others(place) && is_primary(value) {
            value["primary"] = Value::Bool(false);
        }
    }
}

//! What the server has.

use std::collections::BTreeMap;

use gatehouse_domain::ownership::Noun;
use serde_json::Value;

use super::super::Failure;
use super::super::client::Client;
use super::super::output::field;
use super::shape::{Key, Objects, POLICY_PATH, SHAPES, name_of, object, policy};

/// Reads all objects that files can describe; what is built in is left out.
pub(super) fn objects(client: &Client) -> Result<Objects, Failure> {
    let mut found = Objects::new();
    for shape in &SHAPES {
        client.each(shape.path, &[], None, |item| {
            if item["built_in"] != Value::Bool(true) {
                let name = name_of(shape.noun, &field(&item, shape.id));
                found.insert((shape.noun, name), object(shape, |field| item[field].clone()));
            }
            Ok(())
        })?;
    }
    client.each(POLICY_PATH, &[], None, |item| {
        if item["built_in"] != Value::Bool(true) {
            found.insert((Noun::AccessPolicy, field(&item, "name")), policy(&field(&item, "text")));
        }
        Ok(())
    })?;
    Ok(found)
}

/// Reads what is owned by code, each with the digest of what was last written. Marks of a newer program are left alone.
pub(super) fn owned(client: &Client) -> Result<BTreeMap<Key, String>, Failure> {
    let mut found = BTreeMap::new();
    client.each("/api/v1/owned-objects", &[], None, |item| {
        if let Ok(noun) = field(&item, "noun").parse::<Noun>() {
            found.insert((noun, field(&item, "name")), field(&item, "digest"));
        }
        Ok(())
    })?;
    Ok(found)
}

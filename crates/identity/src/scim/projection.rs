//! Which attributes an answer has: `attributes` and `excludedAttributes` (RFC 7644, section 3.9).

use serde_json::Value;

use super::document::Document;
use super::path::{AttrPath, Path};
use super::schema::{Attribute, ResourceType, Returned, Schema};

/// Most names in one list. Further ones are ignored.
pub const MAX_NAMES: usize = 100;

/// Which attributes an answer has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Projection {
    only: Option<Vec<Named>>,
    without: Vec<Named>,
}

/// What a name in such a list stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Schema(&'static Schema),
    Attribute(AttrPath),
}

impl Projection {
    /// Of lists with commas between names, as in a query. Names that nobody knows are ignored: they are not in the
    /// answer either way.
    pub fn parse(only: Option<&str>, without: Option<&str>, kind: &'static ResourceType) -> Self {
        Self::of_names(only.map(|list| list.split(',')), without.map(|list| list.split(',')), kind)
    }

    /// Of lists of names.
    pub fn of_names<'n>(
        only: Option<impl IntoIterator<Item = &'n str>>,
        without: Option<impl IntoIterator<Item = &'n str>>,
        kind: &'static ResourceType,
    ) -> Self {
        // An empty list asks for nothing in particular; one of unknown names asks for nothing at all.
        let given = |name: &&str| !name.trim().is_empty();
        let only: Vec<&str> = only.into_iter().flatten().filter(given).take(MAX_NAMES).collect();
        let without = without.into_iter().flatten().take(MAX_NAMES);
        Self { only: (!only.is_empty()).then(|| named(only, kind)), without: named(without, kind) }
    }

    /// Whether an attribute is part of the answer, so that a store need not fetch what is not: `members`, above all.
    pub fn wants(&self, attribute: &str, kind: &'static ResourceType) -> bool {
        kind.attribute(attribute).is_some_and(|(schema, attribute)| {
            attribute.returned == Returned::Always || self.keeps(schema, attribute, None)
        })
    }

    /// The part of a document that was asked for.
    pub fn apply(&self, document: Document, kind: &'static ResourceType) -> Document {
        if *self == Self::default() {
            return document;
        }
        let mut part = Document::new();
        for (name, value) in document {
            if let Some((schema, attribute)) = kind.attribute(&name) {
                if let Some(value) = self.part(schema, attribute, value) {
                    part.insert(name, value);
                }
            } else if let (Some(schema), Value::Object(extension)) = (kind.schema(&name), value) {
                let known = |(name, value): (String, Value)| {
                    let attribute = schema.attribute(&name)?;
                    Some((name, self.part(schema, attribute, value)?))
                };
                let extension: Document = extension.into_iter().filter_map(known).collect();
                if !extension.is_empty() {
                    part.insert(name, Value::Object(extension));
                }
            }
        }
        part
    }

    /// The part of an attribute's value that was asked for.
    fn part(&self, schema: &'static Schema, attribute: &'static Attribute, value: Value) -> Option<Value> {
        if attribute.returned == Returned::Always {
            return Some(value);
        }
        if attribute.sub.is_empty() {
            return self.keeps(schema, attribute, None).then_some(value);
        }
        let keeps = |name: &str| {
            attribute.sub.iter().any(|sub| sub.name == name && self.keeps(schema, attribute, Some(sub)))
        };
        if attribute.sub.iter().all(|sub| keeps(sub.name)) {
            return Some(value);
        }
        let Value::Array(values) = value else { return kept_part(value, &keeps) };
        let values: Vec<Value> = values.into_iter().filter_map(|value| kept_part(value, &keeps)).collect();
        (!values.is_empty()).then_some(Value::Array(values))
    }

    /// Whether an attribute, or an attribute of one, was asked for.
    fn keeps(&self, schema: &Schema, attribute: &Attribute, sub: Option<&Attribute>) -> bool {
        let covers = |named: &Named| match named {
            Named::Schema(named) => *named == schema,
            Named::Attribute(path) => {
                path.schema == schema
                    && path.attribute == attribute
                    && path.sub.is_none_or(|named| sub.is_some_and(|sub| sub.name == named.name))
            }
        };
        // A part of the attribute is enough to want the attribute.
        let touches = |named: &Named| match named {
            Named::Schema(_) => covers(named),
            Named::Attribute(path) => {
                covers(named) || (sub.is_none() && path.schema == schema && path.attribute == attribute)
            }
        };
        self.only.as_ref().is_none_or(|only| only.iter().any(touches)) && !self.without.iter().any(covers)
    }
}

/// The attributes of an object that are kept, if any is.
fn kept_part(value: Value, keeps: &dyn Fn(&str) -> bool) -> Option<Value> {
    let Value::Object(object) = value else { return Some(value) };
    let object: Document = object.into_iter().filter(|(name, _)| keeps(name)).collect();
    (!object.is_empty()).then_some(Value::Object(object))
}

fn named<'n>(names: impl IntoIterator<Item = &'n str>, kind: &'static ResourceType) -> Vec<Named> {
    let known = |name: &str| match Path::parse(name.trim(), kind) {
        Ok(Path::Schema(schema)) => Some(Named::Schema(schema)),
        Ok(Path::Attribute(path)) => Some(Named::Attribute(path)),
        Ok(Path::Values { .. }) | Err(_) => None,
    };
    names.into_iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::{GROUP, USER};
    use super::*;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn names(only: Option<&str>, without: Option<&str>) -> Value {
        let Value::Object(document) = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": "usr_1",
            "userName": "ada",
            "name": { "givenName": "Ada", "familyName": "Lovelace" },
            "emails": [{ "value": "a@example.com", "type": "work" }, { "type": "home" }],
            ENTERPRISE: { "department": "Engines", "manager": { "value": "usr_9" } },
            "meta": { "resourceType": "User" },
        }) else {
            panic!("an object")
        };
        let mut part = Projection::parse(only, without, &USER).apply(document, &USER);
        part.remove("schemas").unwrap();
        part.remove("id").unwrap();
        Value::Object(part)
    }

    #[test]
    fn an_answer_has_what_was_asked_for() {
        let department = format!("{ENTERPRISE}:department");
        for (only, without, expected) in [
            (Some("userName"), None, json!({ "userName": "ada" })),
            (Some("USERNAME, meta"), None, json!({ "userName": "ada", "meta": { "resourceType": "User" } })),
            (Some("name.givenName"), None, json!({ "name": { "givenName": "Ada" } })),
            (Some("emails.value"), None, json!({ "emails": [{ "value": "a@example.com" }] })),
            (
                Some("emails,emails.type"),
                Some("emails.type"),
                json!({ "emails": [{ "value": "a@example.com" }] }),
            ),
            (Some(department.as_str()), None, json!({ ENTERPRISE: { "department": "Engines" } })),
            (
                Some(ENTERPRISE),
                None,
                json!({ ENTERPRISE: { "department": "Engines", "manager": { "value": "usr_9" } } }),
            ),
            (Some("name"), Some("name"), json!({})),
            (Some("urn:ietf:params:scim:schemas:core:2.0:User:userName"), None, json!({ "userName": "ada" })),
            (
                None,
                Some(
                    "id,schemas,name,emails,meta,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
                ),
                json!({ "userName": "ada" }),
            ),
        ] {
            assert_eq!(names(only, without), expected, "{only:?} {without:?}");
        }
        assert_eq!(names(Some("' OR 1=1"), Some("password")), json!({}));
        assert_eq!(names(Some(""), Some("")), names(None, None));
    }

    #[test]
    fn a_store_learns_that_members_are_not_wanted() {
        let wants = |only, without| Projection::parse(only, without, &GROUP).wants("members", &GROUP);
        assert!(wants(None, None) && wants(Some("members.value"), None) && wants(None, Some("members.type")));
        assert!(!wants(None, Some("members")) && !wants(Some("displayName"), None));
    }
}

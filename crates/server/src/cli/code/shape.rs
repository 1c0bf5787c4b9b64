//! What can be written in files, and its one form on both sides.

use std::collections::BTreeMap;

use gatehouse_domain::audit::Hash;
use gatehouse_domain::name::{Email, Name};
use gatehouse_domain::ownership::Noun;
use serde_json::{Map, Value, json};

/// An object's noun and name.
pub(super) type Key = (Noun, String);

/// Objects in the order in which they are made. Two that are the same are equal, wherever they were read.
pub(super) type Objects = BTreeMap<Key, Value>;

/// The folder of access policies.
pub(super) const POLICIES: &str = "access";
/// How the name of a policy's file ends.
pub(super) const POLICY_ENDING: &str = ".cedar";

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text that may be missing.
    Text,
    /// Texts without order.
    Words,
    /// `active` or `disabled`; `active` if missing.
    State,
}

/// The folder of settings profiles.
pub(super) const SETTINGS: &str = "settings";
/// How the name of a profile's file ends.
pub(super) const SETTINGS_ENDING: &str = ".json";
/// Where the API has groups.
pub(super) const GROUP_PATH: &str = "/api/v1/groups";

/// A field of an object.
pub(super) struct Field {
    /// Its name, in files and in the API.
    pub(super) name: &'static str,
    /// What it holds.
    pub(super) kind: Kind,
}

/// A noun that is written as a list in one file.
pub(super) struct Shape {
    /// The noun.
    pub(super) noun: Noun,
    /// The file.
    pub(super) file: &'static str,
    /// What each entry begins with, between double brackets.
    pub(super) table: &'static str,
    /// The field that names an object.
    pub(super) id: &'static str,
    /// Its other fields.
    pub(super) fields: &'static [Field],
    /// Where the API has it.
    pub(super) path: &'static str,
}

/// Where the API has access policies.
pub(super) const POLICY_PATH: &str = "/api/v1/access-policies";

/// How sensitive the data of a team or project is.
const CLASS: Field = Field { name: "data_class", kind: Kind::Text };

/// The nouns that are written as lists.
pub(super) const SHAPES: [Shape; 5] = [
    Shape {
        noun: Noun::Team,
        file: "teams.toml",
        table: "team",
        id: "name",
        fields: &[CLASS, Field { name: "models", kind: Kind::Words }],
        path: "/api/v1/teams",
    },
    Shape {
        noun: Noun::Project,
        file: "projects.toml",
        table: "project",
        id: "name",
        fields: &[CLASS],
        path: "/api/v1/projects",
    },
    Shape {
        noun: Noun::Role,
        file: "roles.toml",
        table: "role",
        id: "name",
        fields: &[Field { name: "permissions", kind: Kind::Words }],
        path: "/api/v1/roles",
    },
    Shape {
        noun: Noun::User,
        file: "users.toml",
        table: "user",
        id: "email",
        fields: &[
            Field { name: "name", kind: Kind::Text },
            Field { name: "state", kind: Kind::State },
            Field { name: "teams", kind: Kind::Words },
        ],
        path: "/api/v1/users",
    },
    Shape {
        noun: Noun::GroupMapping,
        file: "groups.toml",
        table: "group",
        id: "name",
        fields: &[Field { name: "team", kind: Kind::Text }],
        path: GROUP_PATH,
    },
];

/// The noun as people read it.
pub(super) const fn spoken(noun: Noun) -> &'static str {
    match noun {
        Noun::Team => "team",
        Noun::Project => "project",
        Noun::Role => "role",
        Noun::AccessPolicy => "access policy",
        Noun::User => "user",
        Noun::GroupMapping => "group mapping",
        Noun::SettingsProfile => "settings profile",
    }
}

/// An object's name in the form that the server keeps it in.
pub(super) fn name_of(noun: Noun, given: &str) -> String {
    match (noun, Email::parse(given)) {
        (Noun::User, Ok(email)) => email.as_str().to_owned(),
        (Noun::GroupMapping, _) => given.trim().to_owned(),
        _ => normal(given),
    }
}

/// A text in the form that the server keeps names in; one that is no name stays for the server to refuse.
pub(super) fn normal(text: &str) -> String {
    Name::parse(text).map_or_else(|_| text.trim().to_owned(), |name| name.as_str().to_owned())
}

/// An object in its one form: fields in order, lists sorted, what is missing or empty left out.
pub(super) fn object(shape: &Shape, value_of: impl Fn(&str) -> Value) -> Value {
    let mut members = Map::new();
    for field in shape.fields {
        let value = value_of(field.name);
        let value = match field.kind {
            Kind::Text => value.as_str().map(normal).filter(|text| !text.is_empty()).map(Value::String),
            Kind::State => Some(json!(value.as_str().unwrap_or("active"))),
            Kind::Words => {
                let mut words: Vec<String> =
                    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(normal).collect();
                words.sort_unstable();
                words.dedup();
                (!words.is_empty()).then(|| json!(words))
            }
        };
        if let Some(value) = value {
            members.insert(field.name.to_owned(), value);
        }
    }
    Value::Object(members)
}

/// A value whose objects have their members in order.
pub(super) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut all: Vec<(&String, &Value)> = members.iter().collect();
            all.sort_unstable_by_key(|(name, _)| *name);
            Value::Object(all.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// An access policy in its one form.
pub(super) fn policy(text: &str) -> Value {
    json!({"text": text})
}

/// What tells an object from what it was.
pub(super) fn digest(object: &Value) -> String {
    Hash::of(object.to_string().as_bytes()).to_string()
}

/// Whether this can be the name of an access policy, and thereby of a file.
pub(super) fn is_policy_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(good)
}

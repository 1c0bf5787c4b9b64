//! Resources: brought to canonical form on their way in, completed by what is ours on their way out.

use gatehouse_domain::time::UnixMillis;
use serde_json::{Value, json};

use super::document::{Document, DocumentError};
use super::error::ErrorKind;
use super::etag::Version;
use super::path::is_extension;
use super::schema::{Mutability, ResourceType, Schema};
use super::value::{ValueError, accept};

/// A body that is no resource of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// The body cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// `schemas` names other schemas.
    #[error("`schemas` must hold `{0}`")]
    Foreign(&'static str),
    /// An extension is no object.
    #[error("`{0}` must be an object")]
    NoObject(&'static str),
    /// A value is wrong.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A required attribute is missing.
    #[error("`{0}` is required")]
    Missing(&'static str),
    /// A member of a group has no identifier.
    #[error("each of `members` must have a `value`")]
    NamelessMember,
}

impl ResourceError {
    /// How the protocol calls it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Document(error) => error.kind(),
            Self::Foreign(_) => ErrorKind::InvalidSyntax,
            Self::NoObject(_) | Self::Missing(_) | Self::NamelessMember => ErrorKind::InvalidValue,
            Self::Value(error) => error.kind(),
        }
    }
}

/// When a resource was made and changed, and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// When it was made.
    pub created: UnixMillis,
    /// When it was last changed.
    pub last_modified: UnixMillis,
    /// Its version.
    pub version: Version,
}

/// What we know of a resource and the directory does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed<'p> {
    /// The configured address of the SCIM endpoints, without a `/` at its end. Never taken from a request.
    pub base: &'p str,
    /// Our identifier of the resource.
    pub id: &'p str,
    /// When it was made and changed, and its version.
    pub meta: &'p Meta,
}

/// The address of a resource: for `meta.location` and the `Location` header.
pub fn location(kind: &ResourceType, base: &str, id: &str) -> String {
    format!("{base}{}/{id}", kind.endpoint)
}

/// The canonical form of a body: known attributes that the directory may set.
pub(crate) fn read(given: &Document, kind: &'static ResourceType) -> Result<Document, ResourceError> {
    let mut document = Document::new();
    for (name, value) in given {
        if let Some(schema) = kind.schema(name).filter(|schema| is_extension(schema)) {
            let extension = extension(schema, value)?;
            if !extension.is_empty() {
                document.insert(schema.id.to_owned(), Value::Object(extension));
            }
        } else if name.eq_ignore_ascii_case("schemas") {
            check_schemas(value, kind)?;
        } else if let Some((_, attribute)) = kind.attribute(name)
            && attribute.mutability != Mutability::ReadOnly
            && let Some(value) = accept(attribute, value)?
        {
            document.insert(attribute.name.to_owned(), value);
        }
    }
    match kind.core.attributes.iter().find(|a| a.required && !document.contains_key(a.name)) {
        Some(missing) => Err(ResourceError::Missing(missing.name)),
        None => Ok(document),
    }
}

fn extension(schema: &Schema, given: &Value) -> Result<Document, ResourceError> {
    let mut extension = Document::new();
    if given.is_null() {
        return Ok(extension);
    }
    let given = given.as_object().ok_or(ResourceError::NoObject(schema.id))?;
    for (name, value) in given {
        if let Some(attribute) = schema.attribute(name)
            && let Some(value) = accept(attribute, value)?
        {
            extension.insert(attribute.name.to_owned(), value);
        }
    }
    Ok(extension)
}

/// `schemas` may be missing, since the address says what the body is; but it must not say something else.
fn check_schemas(given: &Value, kind: &ResourceType) -> Result<(), ResourceError> {
    let is_core = |urn: &Value| urn.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(kind.core.id));
    let named = given.as_array().is_some_and(|urns| urns.iter().any(is_core));
    if named { Ok(()) } else { Err(ResourceError::Foreign(kind.core.id)) }
}

/// The whole document of a resource in canonical form, in the order of its schema. `ours` are further attributes of it
/// that are read-only.
pub(crate) fn rendered(
    kind: &'static ResourceType,
    canonical: &Document,
    placed: Placed<'_>,
    ours: &[(&'static str, Value)],
) -> Document {
    let mut document = Document::new();
    let schemas: Vec<&str> = kind
        .schemas()
        .map(|s| s.id)
        .filter(|id| *id == kind.core.id || canonical.contains_key(*id))
        .collect();
    document.insert("schemas".to_owned(), json!(schemas));
    document.insert("id".to_owned(), Value::from(placed.id));
    let names = std::iter::once("externalId").chain(kind.core.attributes.iter().map(|a| a.name));
    let extensions = kind.extensions.iter().map(|schema| schema.id);
    for name in names.chain(extensions) {
        let own = ours.iter().find(|(own, _)| *own == name).map(|(_, value)| value);
        if let Some(value) = own.or_else(|| canonical.get(name)) {
            document.insert(name.to_owned(), value.clone());
        }
    }
    let Placed { base, id, meta } = placed;
    document.insert(
        "meta".to_owned(),
        json!({
            "resourceType": kind.name,
            "created": meta.created.to_string(),
            "lastModified": meta.last_modified.to_string(),
            "location": location(kind, base, id),
            "version": meta.version.to_string(),
        }),
    );
    document
}

//! PATCH (RFC 7644, section 3.5.2): reads the operations and applies them, all or none.
//!
//! Reading resolves every path and turns operations without a path into one change per attribute, so that applying knows
//! one form only. What directories send and the protocol does not foresee is taken where its meaning is plain:
//!
//! - `op` in any case, `Operations` as well; booleans as texts (Entra).
//! - In an operation without a path, names that are paths themselves: `name.givenName`, `urn:…:User:department`,
//!   `emails[type eq "work"].value` (Entra). Read-only and unknown names among them are ignored, as in a body: Okta
//!   renames a group by `{"id": "…", "displayName": "…"}`.
//! - `emails[type eq "work"].value` creates the value when there is none (Entra).
//! - `remove` of `members` with a list in `value` removes those on the list, not all (Entra's old style).
//! - Removing what is not there succeeds: a directory that repeats itself must not be stuck with an error.

use serde_json::Value;

use super::document::{self, Document, DocumentError, member};
use super::error::ErrorKind;
use super::path::{Path, PathError, is_extension};
use super::resource::ResourceError;
use super::schema::{ResourceType, Schema};
use super::text::excerpt;
use super::value::ValueError;

mod apply;
mod list;
#[cfg(test)]
mod tests;

/// The schema of a PATCH body.
pub const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Most operations in one body.
pub const MAX_OPERATIONS: usize = 1000;
/// Most values of lists that one body may make us look at.
pub const MAX_WORK: usize = 5_000_000;

/// The changes that a PATCH asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    changes: Vec<Change>,
}

/// A change of one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    /// The number of the operation that it is of, from 1.
    operation: usize,
    act: Act,
    path: Path,
    /// `null` if there is none.
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Add,
    Replace,
    Remove,
}

/// A PATCH that cannot be done. The resource is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The body cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The body is of another schema.
    #[error("`schemas` must hold `{PATCH_SCHEMA}`")]
    Foreign,
    /// The body has no list of operations.
    #[error("`Operations` must be a list of at least one object")]
    NoOperations,
    /// More than [`MAX_OPERATIONS`].
    #[error("the body has {0} operations, more than {MAX_OPERATIONS}; send it in parts")]
    TooMany(usize),
    /// One operation cannot be done.
    #[error("operation {number}: {error}")]
    Operation {
        /// Which one, from 1.
        number: usize,
        /// Why not.
        error: OperationError,
    },
    /// What came out is no resource any more.
    #[error("the changed resource cannot be: {0}")]
    Result(ResourceError),
}

/// An operation that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// `op` is none of the three.
    #[error("`op` is `{0}` (expected `add`, `replace` or `remove`)")]
    Unknown(String),
    /// It is no object, or `path` is no text.
    #[error("it must be an object whose `op` and `path` are texts")]
    Malformed,
    /// Its path is wrong.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Its value is wrong.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// It adds or replaces, and has no value.
    #[error("`value` is missing")]
    NoValue,
    /// It has no path, or that of a schema, and its value is no object.
    #[error("`value` must be an object of attributes, since `path` names none")]
    NoObject,
    /// It removes nothing in particular.
    #[error("`remove` needs a `path`")]
    NoPath,
    /// The path leads to no value.
    #[error("no value fulfills the filter of `{0}`")]
    NoTarget(String),
    /// The attribute is ours to change.
    #[error("`{0}` is read-only")]
    ReadOnly(String),
    /// The attribute has a value, which stays.
    #[error("`{0}` cannot be changed; remove the whole value and add another")]
    Immutable(String),
    /// The attribute must have a value.
    #[error("`{0}` is required and cannot be removed")]
    Required(String),
    /// A value to remove is not named.
    #[error("each value to remove from `{0}` must name its `value`")]
    Nameless(String),
    /// All operations together would look at more than [`MAX_WORK`] values.
    #[error("the operations up to this one are too much work for one request; send them in parts")]
    TooMuchWork,
}

impl PatchError {
    /// How the protocol calls it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Document(error) => error.kind(),
            Self::Foreign | Self::NoOperations => ErrorKind::InvalidSyntax,
            Self::TooMany(_) => ErrorKind::TooLarge,
            Self::Result(error) => error.kind(),
            Self::Operation { error, .. } => error.kind(),
        }
    }
}

impl OperationError {
    const fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown(_) | Self::Malformed => ErrorKind::InvalidSyntax,
            Self::Path(error) => error.kind(),
            Self::Value(error) => error.kind(),
            Self::NoValue | Self::NoObject | Self::Nameless(_) => ErrorKind::InvalidValue,
            Self::NoPath | Self::NoTarget(_) => ErrorKind::NoTarget,
            Self::ReadOnly(_) | Self::Immutable(_) | Self::Required(_) => ErrorKind::Mutability,
            Self::TooMuchWork => ErrorKind::TooLarge,
        }
    }
}

impl Patch {
    /// Reads the body of a PATCH of a resource of a kind.
    ///
    /// # Errors
    /// The body goes beyond a bound, is malformed, or has paths that lead nowhere.
    pub fn parse(body: &[u8], kind: &'static ResourceType) -> Result<Self, PatchError> {
        let body = document::parse(body)?;
        let schemas = member(&body, "schemas");
        let names_it = |urn: &Value| urn.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(PATCH_SCHEMA));
        if schemas.is_some_and(|schemas| !schemas.as_array().is_some_and(|all| all.iter().any(names_it))) {
            return Err(PatchError::Foreign);
        }
        let operations = member(&body, "Operations").and_then(Value::as_array).filter(|all| !all.is_empty());
        let operations = operations.ok_or(PatchError::NoOperations)?;
        if operations.len() > MAX_OPERATIONS {
            return Err(PatchError::TooMany(operations.len()));
        }
        let mut changes = Vec::with_capacity(operations.len());
        for (number, operation) in (1..).zip(operations) {
            let read = Reader { kind, number, changes: &mut changes }.operation(operation);
            read.map_err(|error| PatchError::Operation { number, error })?;
        }
        Ok(Self { changes })
    }

    /// Applies the changes to a copy of a resource in canonical form.
    ///
    /// # Errors
    /// One of them cannot be done; nothing has happened then.
    pub(crate) fn apply(&self, resource: &Document) -> Result<Document, PatchError> {
        let mut changed = resource.clone();
        let mut work = MAX_WORK;
        for change in &self.changes {
            apply::change(change, &mut changed, &mut work)
                .map_err(|error| PatchError::Operation { number: change.operation, error })?;
        }
        Ok(changed)
    }
}

/// Reads one operation into changes.
struct Reader<'c> {
    kind: &'static ResourceType,
    number: usize,
    changes: &'c mut Vec<Change>,
}

impl Reader<'_> {
    fn operation(mut self, operation: &Value) -> Result<(), OperationError> {
        let operation = operation.as_object().ok_or(OperationError::Malformed)?;
        let op = member(operation, "op").and_then(Value::as_str).ok_or(OperationError::Malformed)?;
        let act = [("add", Act::Add), ("replace", Act::Replace), ("remove", Act::Remove)]
            .into_iter()
            .find_map(|(name, act)| op.eq_ignore_ascii_case(name).then_some(act))
            .ok_or_else(|| OperationError::Unknown(excerpt(op)))?;
        let path = match member(operation, "path") {
            None | Some(Value::Null) => None,
            Some(Value::String(path)) if path.is_empty() => None,
            Some(Value::String(path)) => Some(Path::parse(path, self.kind)?),
            Some(_) => return Err(OperationError::Malformed),
        };
        let value = member(operation, "value");
        match (act, path) {
            (Act::Remove, None) => Err(OperationError::NoPath),
            (Act::Remove, Some(path)) => self.push(act, path, value.unwrap_or(&Value::Null)),
            (Act::Add | Act::Replace, path) => {
                let value = value.ok_or(OperationError::NoValue)?;
                match path {
                    None => self.attributes(act, None, value),
                    Some(Path::Schema(schema)) => self.schema(act, schema, value),
                    Some(path @ (Path::Attribute(_) | Path::Values { .. })) => self.push(act, path, value),
                }
            }
        }
    }

    /// A change whose path was given as such.
    fn push(&mut self, act: Act, path: Path, value: &Value) -> Result<(), OperationError> {
        let read_only = match &path {
            Path::Schema(schema) => !is_extension(schema),
            // `schemas` follows from what else the resource has.
            Path::Attribute(path) if path.attribute.name == "schemas" => return Ok(()),
            Path::Attribute(path) | Path::Values { list: path, .. } => path.is_read_only(),
        };
        if read_only {
            return Err(OperationError::ReadOnly(path.to_string()));
        }
        self.changes.push(Change { operation: self.number, act, path, value: value.clone() });
        Ok(())
    }

    /// The attributes of one schema.
    fn schema(&mut self, act: Act, schema: &'static Schema, value: &Value) -> Result<(), OperationError> {
        match (act, value) {
            // As for an attribute: to add nothing is to do nothing, to replace by nothing is to remove.
            (Act::Add, Value::Null) => Ok(()),
            (Act::Replace, Value::Null) => self.push(Act::Remove, Path::Schema(schema), value),
            (Act::Add | Act::Replace | Act::Remove, _) => self.attributes(act, Some(schema), value),
        }
    }

    /// One change per attribute of an object, whose names are paths: of the resource, or of a schema.
    fn attributes(
        &mut self,
        act: Act,
        within: Option<&'static Schema>,
        value: &Value,
    ) -> Result<(), OperationError> {
        let object = value.as_object().ok_or(OperationError::NoObject)?;
        for (name, value) in object {
            let path = match within.filter(|schema| is_extension(schema)) {
                Some(schema) => Path::parse(&format!("{}:{name}", schema.id), self.kind),
                None => Path::parse(name, self.kind),
            };
            match path {
                Ok(Path::Schema(schema)) if within.is_none() => self.schema(act, schema, value)?,
                Ok(Path::Attribute(path) | Path::Values { list: path, .. }) if path.is_read_only() => {}
                Ok(path @ (Path::Attribute(_) | Path::Values { .. })) => self.push(act, path, value)?,
                // A filter that cannot be read is a mistake; a name that nobody knows is another server's attribute.
                Err(error @ (PathError::Filter(_) | PathError::NotAList(_) | PathError::TooLong)) => {
                    return Err(error.into());
                }
                Ok(Path::Schema(_))
                | Err(PathError::Malformed(_) | PathError::UnknownSchema(_) | PathError::Unknown(_)) => {}
            }
        }
        Ok(())
    }
}

//! What goes wrong, in the words of the protocol (RFC 7644, section 3.12).

use serde_json::{Value, json};

use super::document::DocumentError;
use super::etag::BadEntityTags;
use super::filter::FilterError;
use super::list::QueryError;
use super::patch::PatchError;
use super::path::PathError;
use super::resource::ResourceError;
use super::schema::ResourceType;
use super::text::excerpt;
use super::value::ValueError;

/// The schema of an error document.
pub const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// What kind of error it is: decides status and `scimType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The filter is malformed, or compares what cannot be compared.
    InvalidFilter,
    /// More results or more work than the server is willing to do.
    TooMany,
    /// Another resource has this value already.
    Uniqueness,
    /// The attribute must not be changed so.
    Mutability,
    /// The body is malformed.
    InvalidSyntax,
    /// The path of a PATCH operation is malformed, or names nothing known.
    InvalidPath,
    /// The path of a PATCH operation leads to no value.
    NoTarget,
    /// A value is missing, or of the wrong type or form.
    InvalidValue,
    /// The caller has not said who they are.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// There is no such resource.
    NotFound,
    /// The resource has another version than `If-Match` demands.
    VersionMismatch,
    /// The body is too large.
    TooLarge,
    /// What this server deliberately does not do.
    NotImplemented,
    /// Our fault.
    Internal,
}

impl ErrorKind {
    /// The HTTP status. It stands here since the body repeats it, and since RFC 7644 ties it to `scimType` (table 9).
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidFilter
            | Self::TooMany
            | Self::Mutability
            | Self::InvalidSyntax
            | Self::InvalidPath
            | Self::NoTarget
            | Self::InvalidValue => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Uniqueness => 409,
            Self::VersionMismatch => 412,
            Self::TooLarge => 413,
            Self::Internal => 500,
            Self::NotImplemented => 501,
        }
    }

    /// The `scimType`, where the protocol has one.
    pub const fn scim_type(self) -> Option<&'static str> {
        match self {
            Self::InvalidFilter => Some("invalidFilter"),
            Self::TooMany => Some("tooMany"),
            Self::Uniqueness => Some("uniqueness"),
            Self::Mutability => Some("mutability"),
            Self::InvalidSyntax => Some("invalidSyntax"),
            Self::InvalidPath => Some("invalidPath"),
            Self::NoTarget => Some("noTarget"),
            Self::InvalidValue => Some("invalidValue"),
            Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::VersionMismatch
            | Self::TooLarge
            | Self::NotImplemented
            | Self::Internal => None,
        }
    }
}

/// An error as the directory is told of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// A sentence for the directory's administrator.
    pub detail: String,
}

impl ScimError {
    /// An error of a kind, with a sentence.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// There is no such resource.
    pub fn not_found(kind: &ResourceType, id: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("there is no {} `{}`", kind.name, excerpt(id)))
    }

    /// Another resource has this value, which must be unique.
    pub fn taken(attribute: &str, value: &str) -> Self {
        Self::new(ErrorKind::Uniqueness, format!("the `{attribute}` `{}` is taken", excerpt(value)))
    }

    /// The answer to `/Bulk`.
    pub fn no_bulk() -> Self {
        Self::new(ErrorKind::NotImplemented, "bulk requests are not supported; send each operation by itself")
    }

    /// The body of the answer. `status` is a string there (RFC 7644, section 3.12).
    pub fn document(&self) -> Value {
        let mut body = json!({ "schemas": [ERROR_SCHEMA], "detail": self.detail });
        if let Some(scim_type) = self.kind.scim_type() {
            body["scimType"] = Value::from(scim_type);
        }
        body["status"] = Value::from(self.kind.status().to_string());
        body
    }
}

macro_rules! told_as_scim_error {
    ($($error:ty),*) => {$(
        impl From<$error> for ScimError {
            fn from(error: $error) -> Self {
                Self { kind: error.kind(), detail: error.to_string() }
            }
        }
    )*};
}

told_as_scim_error!(
    DocumentError,
    PathError,
    FilterError,
    ValueError,
    PatchError,
    ResourceError,
    QueryError,
    BadEntityTags
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_its_status_as_text() {
        let error = ScimError::taken("userName", "ada");
        assert_eq!(
            error.document(),
            json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                "detail": "the `userName` `ada` is taken",
                "scimType": "uniqueness",
                "status": "409",
            })
        );
        let missing = ScimError::not_found(&super::super::schema::USER, "7\n").document();
        assert_eq!((missing.get("scimType"), &missing["status"]), (None, &Value::from("404")));
        assert_eq!(missing["detail"], r"there is no User `7\n`");
        assert_eq!(ScimError::no_bulk().document()["status"], "501");
    }
}

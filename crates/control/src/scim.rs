//! What directories do by SCIM: users and groups, as the protocol's core reads them and the store keeps them.
//!
//! A directory sees only what it brought in itself. Who it disables or deletes is disabled here at once.

pub mod user;
pub mod group;
pub mod search;

use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::scim::ScimError;
use gatehouse_identity::scim::error::ErrorKind;
use gatehouse_identity::scim::etag::{EntityTags, Version};
use gatehouse_identity::scim::resource::Meta;
use gatehouse_store::StoreError;

/// How often a change is tried again that met another change of the same resource.
const ATTEMPTS: usize = 6;
/// Most resources that are read for a filter or an order that the database cannot do.
pub const MAX_SCANNED: u64 = 100_000;
/// Resources read at a time for that.
const BATCH: u32 = 200;

/// A resource as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<T> {
    /// Its identifier.
    pub id: String,
    /// When it was made and changed, and its version.
    pub meta: Meta,
    /// The resource.
    pub resource: T,
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// For a reason that the protocol has a word for.
    #[error(transparent)]
    Told(#[from] ScimError),
    /// The database failed.
    #[error(transparent)]
    Store(StoreError),
}

macro_rules! told {
    ($($error:ty),*) => {$(
        impl From<$error> for Refused {
            fn from(error: $error) -> Self {
                Self::Told(error.into())
            }
        }
    )*};
}

told!(
    gatehouse_identity::scim::resource::ResourceError,
    gatehouse_identity::scim::patch::PatchError,
    gatehouse_identity::scim::list::QueryError
);

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused { .. } => {
                Self::Told(ScimError::new(ErrorKind::Uniqueness, error.to_string()))
            }
            StoreError::Invalid { .. } => Self::Told(ScimError::new(ErrorKind::TooLarge, error.to_string())),
            StoreError::NotFound { noun: "member", given } => Self::Told(ScimError::new(
                ErrorKind::InvalidValue,
                format!("there is no user or group `{given}` that could be a member"),
            )),
            StoreError::NotFound { .. }
            | StoreError::Conflict { .. }
            | StoreError::Unavailable(_)
            | StoreError::Unexpected(_)
            | StoreError::Corrupt { .. } => Self::Store(error),
        }
    }
}

fn meta(created: UnixMillis, last_modified: UnixMillis, version: u64) -> Meta {
    Meta { created, last_modified, version: Version(version) }
}

/// Refuses a change whose `If-Match` names another version.
fn check_version(if_match: Option<&EntityTags>, version: u64) -> Result<(), Refused> {
    match if_match {
        Some(tags) if !tags.matches(Version(version)) => {
            let why = "the resource has another version than `If-Match` names; read it again";
            Err(ScimError::new(ErrorKind::VersionMismatch, why).into())
        }
        _ => Ok(()),
    }
}

/// A resource that others keep changing.
fn contended() -> Refused {
    let why = "the resource was changed by others at the same time, again and again; try again";
    Refused::Told(ScimError::new(ErrorKind::VersionMismatch, why))
}

fn too_many() -> Refused {
    let why = format!(
        "the filter or order needs more than {MAX_SCANNED} resources to be read; filter by `id`, `userName`, \
         `externalId`, `displayName` or `emails.value` with `eq`"
    );
    Refused::Told(ScimError::new(ErrorKind::TooMany, why))
}

/// A text without zero bytes, which no column takes.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

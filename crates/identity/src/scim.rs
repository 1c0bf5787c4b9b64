//! The core of a SCIM 2.0 service provider (RFC 7643, RFC 7644): bytes and typed values in, typed values out.
//!
//! A directory such as Okta or Entra ID creates, changes and disables our users and groups by it. This module reads
//! bodies, filters, paths and query parameters, applies PATCH, and renders documents; who may call, where resources are
//! kept and how an answer travels is for others.
//!
//! Two rules run through it. Every resource is held in *canonical form*: attribute names spelled as the schema spells
//! them, values of the schema's types, unknown attributes dropped; so only the edge must know that SCIM's names have no
//! case. And nothing that a directory sends to disable somebody may fail for a reason that has nothing to do with it.
//!
//! Deliberately absent: bulk requests (refused, and said so in [`discovery`]), passwords and certificates (we never take
//! them, so the schema does not offer them), and `/Me`.

pub mod error;
pub mod text;
pub mod document;
pub mod schema;
pub mod discovery;
pub mod path;
pub mod filter;
pub mod value;
pub mod patch;
pub mod resource;
pub mod projection;
pub mod list;
pub mod etag;
pub mod user;
pub mod group;

pub use document::Document;
pub use error::{ErrorKind, ScimError};
pub use filter::Filter;
pub use group::ScimGroup;
pub use patch::Patch;
pub use path::Path;
pub use user::ScimUser;

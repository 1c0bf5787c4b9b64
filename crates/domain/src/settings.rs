//! Settings that the organization gives to its users' clients.
//!
//! A [`Document`] is what the client reads. It is made by [`merge()`] from the [`Layer`]s that concern a user, identified
//! by its [`Checksum`], compared by [`diff()`], and checked by [`lint()`] against the [`Catalogue`] of the client's keys.

pub use audience::{Audience, Member, Percent};
pub use catalogue::Catalogue;
pub use checksum::Checksum;
pub use diff::{Change, Difference, diff, needs_two_people};
pub use document::{BadDocument, Document};
pub use layer::{Layer, LayerId, Rank};
pub use lint::{Finding, Lint, lint, lint_merge};
pub use machine::{Machine, MachineId, Platform};
pub use merge::{Merged, merge};
pub use path::Path;
pub use profile::{Content, Target};
pub use receipt::{Receipt, ReceiptState};
pub use review::{Move, Step, StepKind, VersionState};
pub use schema::Schema;
pub use version::ClientVersion;

pub mod path;
pub mod document;
pub mod version;
pub mod checksum;
pub mod catalogue;
pub mod schema;
pub mod layer;
pub mod profile;
pub mod audience;
pub mod review;
pub mod receipt;
pub mod machine;
pub mod merge;
pub mod diff;
pub mod lint;
pub(crate) mod similar;

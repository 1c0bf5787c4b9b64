//! What the provider itself says of people's use of the coding client, by the day: its client analytics
//! (<https://platform.claude.com/docs/en/api/admin-api/claude-code/get-claude-code-usage-report>).
//!
//! It is a third word beside the ledger, which counts what went through the gateway, and beside telemetry, which clients send
//! here. Of the same day and person it tells the same as telemetry does, so that one of the two counts, never both.

use crate::telemetry::{Measure, Sums};
use crate::time::UnixMillis;

/// What the provider tells. Requests and their errors are not among it.
pub const TOLD: [Measure; 12] = [
    Measure::Sessions,
    Measure::LinesAdded,
    Measure::LinesRemoved,
    Measure::Commits,
    Measure::PullRequests,
    Measure::EditsAccepted,
    Measure::EditsRejected,
    Measure::Input,
    Measure::Output,
    Measure::CacheRead,
    Measure::CacheWrite,
    Measure::Cost,
];

/// Who used the client, as the provider knows them. Ordered, so that two nodes lock rows in the same order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// A person, by their e-mail address in lower case.
    Person(String),
    /// A key of the provider's, by its name there.
    Key(String),
}

impl Actor {
    /// What kind it is: `person` or `key`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Person(_) => "person",
            Self::Key(_) => "key",
        }
    }

    /// The address or the name.
    pub fn name(&self) -> &str {
        match self {
            Self::Person(name) | Self::Key(name) => name,
        }
    }
}

/// What one record is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The start of the UTC day.
    pub day: UnixMillis,
    /// The provider's identifier of the organization.
    pub organization: String,
    /// Who.
    pub actor: Actor,
    /// How it is paid: `api` or `subscription`.
    pub customer: String,
    /// In which terminal, such as `vscode`.
    pub terminal: String,
    /// The model; empty for what belongs to none: sessions, lines, commits, pull requests, edits.
    pub model: String,
}

/// A figure of what one record is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Of what.
    pub of: Subject,
    /// How much.
    pub sums: Sums,
}

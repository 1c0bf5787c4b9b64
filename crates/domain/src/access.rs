//! Who may use which model, from where: what is asked, and how it is answered.
//!
//! The answer comes from rules that the organization writes. They are part of the policy snapshot; how they are written
//! and compiled is the management plane's matter.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::data_class::{DataClasses, Level};
use crate::exchange::Principal;

/// May this principal use this model of this provider?
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The model asked for.
    pub model: &'a str,
    /// The provider it would be sent to.
    pub provider: &'a str,
    /// The client's address.
    pub peer: Option<IpAddr>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// The order of data classes.
    pub classes: &'a DataClasses,
    /// The class that the client itself says its data has; it counts if it is higher than what else is known.
    pub raised: Level,
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum Rule {
    /// No rule had anything against it.
    None,
    /// The models of a team.
    Team(Arc<str>),
    /// A policy that the organization wrote, or the built-in one of that name.
    Policy(Arc<str>),
    /// No policy permits it.
    NothingPermits,
    /// A policy could not be evaluated or read, so that nothing is let through.
    Broken(Arc<str>),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no rule"),
            Self::Team(name) => write!(f, "the models of the team `{name}`"),
            Self::Policy(name) => write!(f, "the access policy `{name}`"),
            Self::NothingPermits => f.write_str("no access policy permits it"),
            Self::Broken(name) => write!(f, "the access policy `{name}`, which cannot be evaluated"),
        }
    }
}

/// An answer, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether they may.
    pub allowed: bool,
    /// What decided.
    pub by: Rule,
}

impl Verdict {
    /// They may, by this rule.
    pub const fn allowed(by: Rule) -> Self {
        Self { allowed: true, by }
    }

    /// They may not, by this rule.
    pub const fn denied(by: Rule) -> Self {
        Self { allowed: false, by }
    }
}

/// The rules of an organization.
pub trait Rules: fmt::Debug + Send + Sync {
    /// Answers. Called for every request, so it must not block.
    fn decide(&self, question: &Question<'_>) -> Verdict;

    /// Whether an answer may depend on data classes. Nobody needs to find out what a client says of its data otherwise.
    fn speaks_of_classes(&self) -> bool;
}

//! Audit entries and the hash chain over them (promise P5).
//!
//! Every organization has one chain. An entry is a line of canonical JSON that begins with nothing secret and never
//! holds content; its hash is SHA-256 over the previous entry's hash and that line. Checkpoints sign a hash of the
//! chain, so that who can write the database but has no signing key cannot rewrite history unseen.
//! [`verify()`] checks an export without a database.
//!
//! Exchanges are chained in batches: one entry holds the hash of the records of many ([`Batch`]).
//!
//! What a chain cannot show: entries that were cut off *after* the newest checkpoint anybody kept. Therefore
//! checkpoints are frequent, and an export ends with a fresh one.

mod batch;
mod canonical;
mod chain;
mod checkpoint;
mod deletion;
mod export;
mod verify;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::OrgId;
use crate::time::UnixMillis;

pub use batch::{Batch, EXCHANGES, Leaf, Leaves, Promised};
pub use chain::{BadEntry, Hash, Head, Linked};
pub use checkpoint::{BadCheckpoint, Checkpoint, PublicKey, Signature, Signer};
pub use deletion::{DELETION, deleted_through};
pub use export::{
    BadLine, Export, MAX_CHECKPOINT, export_deleted, export_exchange, export_fault, export_line, export_lost,
};
pub use verify::{Fault, MAX_LINE, Report, Wrong, verify, verify_against};

/// Longest text of an entry (a name, a reason, a detail), in characters. Longer ones are cut.
pub const MAX_TEXT: usize = 256;
/// Most texts of a list in an entry's detail. The rest is left out.
pub const MAX_LIST: usize = 64;

/// What kind of party acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// The holder of an administrator's token.
    Admin,
    /// The holder of a virtual key.
    User,
    /// A directory: the holder of a provisioning token.
    Directory,
    /// Gatehouse itself: first start, jobs, the configuration file.
    System,
    /// Somebody whose credential was not recognized.
    Anonymous,
}

impl ActorKind {
    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
            Self::Directory => "directory",
            Self::System => "system",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// What kind of party.
    pub kind: ActorKind,
    /// Its identifier; empty for [`ActorKind::Anonymous`].
    pub id: String,
    /// Its name at the time.
    pub name: String,
}

impl Actor {
    /// Gatehouse itself; `part` names the part of it, such as `bootstrap`.
    pub fn system(part: &str) -> Self {
        Self { kind: ActorKind::System, id: part.to_owned(), name: "gatehouse".to_owned() }
    }

    /// Somebody whose credential was not recognized.
    pub const fn anonymous() -> Self {
        Self { kind: ActorKind::Anonymous, id: String::new(), name: String::new() }
    }
}

/// What was acted upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// The noun: `key`, `user`, `exchange`.
    pub kind: Cow<'static, str>,
    /// Its identifier.
    pub id: String,
    /// Its name at the time; may be empty.
    pub name: String,
}

impl Object {
    /// An object by noun, identifier and name.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "identifiers are `Copy`, and calls read better without `&`"
    )]
    pub fn new(kind: &'static str, id: impl ToString, name: impl Into<String>) -> Self {
        Self { kind: Cow::Borrowed(kind), id: id.to_string(), name: name.into() }
    }
}

/// What became of the act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not allowed.
    Refused,
    /// It was allowed and did not succeed.
    Failed,
}

impl Outcome {
    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One value of an entry's detail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A whole number. Unlike RFC 8785, all 64 bits are kept (amounts in nano-dollars need them).
    Int(i64),
    /// A text of at most [`MAX_TEXT`] characters.
    Text(String),
    /// At most [`MAX_LIST`] texts.
    List(Vec<String>),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

/// Numbers beyond the range of `i64` count as its largest.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<String>> for Value {
    fn from(value: Vec<String>) -> Self {
        Self::List(value)
    }
}

impl From<UnixMillis> for Value {
    fn from(value: UnixMillis) -> Self {
        Self::Int(value.0)
    }
}

/// The particulars of an act: few, small, never content and never a secret. Keys are lower-case ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Detail(BTreeMap<Cow<'static, str>, Value>);

impl Detail {
    /// No particulars.
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// With one more particular.
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.insert(Cow::Borrowed(key), value.into());
        self
    }

    /// With one more particular if there is a value.
    pub fn with_some(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// All keys and values in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An act as its caller describes it, before it has a place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// When it happened. It is also the time written into what the act changes.
    pub at: UnixMillis,
    /// Who acted.
    pub actor: Actor,
    /// What was done: noun and verb, `key.rotate`. Exchanges are [`EXCHANGES`].
    pub action: Cow<'static, str>,
    /// What was acted upon.
    pub object: Object,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, when it was refused or failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<IpAddr>,
    /// The request by which it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// Particulars.
    pub detail: Detail,
}

impl Draft {
    /// An act that was done, from nowhere in particular and without particulars.
    pub fn new(at: UnixMillis, actor: Actor, action: &'static str, object: Object) -> Self {
        Self {
            at,
            actor,
            action: Cow::Borrowed(action),
            object,
            outcome: Outcome::Done,
            reason: None,
            from: None,
            request_id: None,
            detail: Detail::none(),
        }
    }

    /// The same act, refused or failed for this reason.
    pub fn ended(mut self, outcome: Outcome, reason: impl Into<String>) -> Self {
        self.outcome = outcome;
        self.reason = Some(reason.into());
        self
    }

    /// With one more particular.
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.detail = self.detail.with(key, value);
        self
    }

    /// With one more particular if there is a value.
    #[must_use]
    pub fn with_some(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

/// An entry of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its place in the organization's chain, from 1, without gaps.
    pub seq: u64,
    /// The organization.
    pub org: OrgId,
    /// The act.
    #[serde(flatten)]
    pub act: Draft,
    /// The hash of the entry before it.
    pub prev_hash: Hash,
    /// SHA-256 over `prev_hash` and the entry's canonical JSON.
    pub hash: Hash,
}

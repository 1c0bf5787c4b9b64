//! What all acts share: who acts, what can go wrong, pages.

use std::net::IpAddr;

use gatehouse_domain::audit::{Actor, Draft, Object};
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::ldap::Stopped;
use gatehouse_identity::seal::SealError;
use gatehouse_store::StoreError;
use gatehouse_store::audit::CheckpointError;

use crate::app::{InForce, NotFlushed};
use crate::config::ReloadRefused;
use crate::period::BadPeriod;

/// Who acts, from where, by which request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The party.
    pub actor: Actor,
    /// Its address.
    pub from: Option<IpAddr>,
    /// The request by which it asks.
    pub request_id: Option<String>,
}

impl Caller {
    /// Gatehouse itself; `part` names the part of it, such as `bootstrap`.
    pub fn system(part: &str) -> Self {
        Self { actor: Actor::system(part), from: None, request_id: None }
    }

    /// An audit entry about this caller.
    pub fn draft(&self, at: UnixMillis, action: &'static str, object: Object) -> Draft {
        let mut draft = Draft::new(at, self.actor.clone(), action, object);
        draft.from = self.from;
        draft.request_id.clone_from(&self.request_id);
        draft
    }
}

/// What an act changed, and whether this node decides by it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed<T> {
    /// As it is now.
    pub now: T,
    /// Whether this node decides by it.
    pub in_force: InForce,
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The database refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value that cannot be used.
    #[error("`{field}`: {message}")]
    Field {
        /// The field it was given in.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// It does not exist.
    #[error("there is no {noun} `{given}`")]
    NotFound {
        /// What was looked for.
        noun: &'static str,
        /// By which name.
        given: String,
    },
    /// The ledger is behind.
    #[error("reading the ledger: {0}")]
    Ledger(#[from] NotFlushed),
    /// The audit log cannot be signed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A secret cannot be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Somebody else is at it.
    #[error("{0}")]
    Busy(String),
    /// A directory cannot be read.
    #[error("{0}")]
    Directory(String),
    /// A listing would disable too many accounts.
    #[error(transparent)]
    Stopped(Stopped),
    /// The new configuration has mistakes.
    #[error(transparent)]
    ConfigRefused(#[from] ReloadRefused),
}

impl ActError {
    /// A value that cannot be used.
    #[expect(clippy::needless_pass_by_value, reason = "calls read better without `&`")]
    pub fn field(field: &'static str, message: impl ToString) -> Self {
        Self::Field { field, message: message.to_string() }
    }

    /// Whether something that was named does not exist.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(StoreError::NotFound { .. }) | Self::NotFound { .. })
    }
}

/// Reads a value, naming the field when it cannot be used.
///
/// # Errors
/// [`ActError::Field`].
pub fn read<T, E: ToString>(field: &'static str, value: Result<T, E>) -> Result<T, ActError> {
    value.map_err(|e| ActError::field(field, e.to_string()))
}

/// Shortens a text from outside before it is repeated in a message.
pub fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// A range of time, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// The first moment; a point in time or a span back from now.
    pub since: Option<String>,
    /// The moment after the last; a point in time or a span back from now.
    pub until: Option<String>,
}

impl Range {
    /// Reads both ends.
    ///
    /// # Errors
    /// [`ActError::Field`] naming the end that cannot be read, or `until` when it lies before `since`.
    pub fn read(&self, now: UnixMillis) -> Result<(Option<UnixMillis>, Option<UnixMillis>), ActError> {
        let end = |field, text: &Option<String>| {
            let read = text.as_deref().map(|text| crate::period::back_from(now, text)).transpose();
            self::read::<_, BadPeriod>(field, read)
        };
        let (since, until) = (end("since", &self.since)?, end("until", &self.until)?);
        match (since, until) {
            (Some(since), Some(until)) if until <= since => {
                Err(ActError::field("until", "the range ends before it begins"))
            }
            _ => Ok((since, until)),
        }
    }
}

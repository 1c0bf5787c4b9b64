//! What can go wrong with a statement, in words that may leave the process.

use std::error::Error as _;
use std::fmt::Display;

/// Why a call of the store did not succeed. The texts name what was asked for and never a statement or a table; the
/// database's own words are in the `source`, for the log only.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing in this organization.
    #[error("no {noun} `{given}`")]
    NotFound {
        /// What was looked for: `user`.
        noun: &'static str,
        /// The identifier or name given.
        given: String,
    },
    /// There is one already.
    #[error("{noun} `{given}` exists already")]
    Conflict {
        /// What was to be made.
        noun: &'static str,
        /// The name it would have had.
        given: String,
    },
    /// The thing is in a state that does not allow the act.
    #[error("{noun} `{given}` {why}")]
    Refused {
        /// What was to be changed.
        noun: &'static str,
        /// Its identifier.
        given: String,
        /// The rest of the sentence: `is revoked`.
        why: &'static str,
    },
    /// An argument has a value that cannot be used.
    #[error("`{field}` {why}")]
    Invalid {
        /// The argument: `limit`.
        field: &'static str,
        /// The rest of the sentence: `is 0, expected 1 to 1000`.
        why: String,
    },
    /// The database is away, out of room, or did not answer in time. Trying again may help.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The database answered with something that should not happen. Trying again will not help.
    #[error("the database answered unexpectedly")]
    Unexpected(#[source] sqlx::Error),
    /// A stored value is not what was written. Somebody changed the database, or it is damaged.
    #[error("{noun} `{given}` cannot be read from the database: {why}")]
    Corrupt {
        /// What was to be read.
        noun: &'static str,
        /// Its identifier.
        given: String,
        /// What is wrong with it.
        why: String,
    },
}

impl StoreError {
    /// No such thing.
    pub(crate) fn not_found(noun: &'static str, given: impl Display) -> Self {
        Self::NotFound { noun, given: given.to_string() }
    }

    /// A state that does not allow the act.
    pub(crate) fn refused(noun: &'static str, given: impl Display, why: &'static str) -> Self {
        Self::Refused { noun, given: given.to_string(), why }
    }

    /// A stored value that cannot be read.
    pub(crate) fn corrupt(noun: &'static str, given: impl Display, why: impl Display) -> Self {
        Self::Corrupt { noun, given: given.to_string(), why: why.to_string() }
    }

    /// What a failed insertion means for the thing that was to be made.
    pub(crate) fn inserting(noun: &'static str, given: impl Display) -> impl FnOnce(sqlx::Error) -> Self {
        move |e| match e.as_database_error() {
            Some(told) if told.is_unique_violation() => Self::Conflict { noun, given: given.to_string() },
            Some(told) if told.is_foreign_key_violation() => {
                Self::refused(noun, given, "belongs to something that does not exist (any more)")
            }
            _ => Self::from(e),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(e: sqlx::Error) -> Self {
        if is_away(&e) { Self::Unavailable(e) } else { Self::Unexpected(e) }
    }
}

/// Whether an error says something about the database's condition rather than about the statement.
fn is_away(e: &sqlx::Error) -> bool {
    if matches!(
        e,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
    ) {
        return true;
    }
    let Some(told) = e.as_database_error() else {
        return e.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    };
    let Some(code) = told.code() else { return false };
    crate::dialect::is_away_code(&code)
}

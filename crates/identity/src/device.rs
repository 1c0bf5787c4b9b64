//! The device grant (RFC 8628) as the client's sign-in uses it: a state machine, with time as an argument.
//!
//! The client gets a [`DeviceCode`] and polls with it; the person types or clicks a [`UserCode`] in a browser, signs in,
//! and so approves the [`Grant`]. What is kept holds only the device code's hash. The store changes a grant by
//! compare-and-set on [`Grant::state`], so that of two nodes only one delivers.

pub use code::{DEVICE_CODE_RANDOM, DeviceCode, DeviceCodeHash, USER_CODE_RANDOM};
pub use user_code::{BadUserCode, UserCode};

mod code;
mod user_code;
#[cfg(test)]
mod tests;

use gatehouse_domain::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// How long a grant can be approved and collected, in seconds (`expires_in`).
pub const EXPIRES_IN: i64 = 600;
/// The seconds between two polls that the client is told (`interval`). The protocol's default of 5 makes people wait.
pub const INTERVAL: i64 = 2;
/// By how many seconds a poll may come early: the client counts from the last answer, we from the last question.
const TOLERANCE: i64 = 1;
/// By how many seconds `slow_down` lengthens the interval, at the client and here (RFC 8628 section 3.5).
const SLOWER: i64 = 5;
/// The longest interval that is held against a client.
const MAX_INTERVAL: i64 = 60;

/// A device grant: what is kept of it. `A` is what approval gives, such as the session to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant<A> {
    /// The hash of the device code: the key for polls.
    pub device: DeviceCodeHash,
    /// The user code: the key for the browser.
    pub user_code: UserCode,
    /// When it ends.
    pub expires_at: UnixMillis,
    /// The seconds that must lie between two polls.
    pub interval: i64,
    /// When the client last polled.
    pub polled_at: Option<UnixMillis>,
    /// How far it is.
    pub state: GrantState<A>,
}

/// How far a grant is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantState<A> {
    /// Nobody has decided.
    Pending,
    /// Approved, and not collected yet.
    Approved(A),
    /// Denied by the person, or because the sign-in failed.
    Denied,
    /// Collected. The code is worth nothing any more.
    Delivered,
}

/// What a poll is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll<A> {
    /// Nobody has decided; go on.
    Pending,
    /// Nobody has decided, and the client asks too often.
    SlowDown,
    /// Denied. Over.
    Denied,
    /// Run out, collected already, or never known. Over.
    Expired,
    /// Here it is, once.
    Deliver(A),
}

impl<A> Poll<A> {
    /// The `error` of RFC 8628 section 3.5, unless there is something to deliver.
    pub const fn error(&self) -> Option<&'static str> {
        match self {
            Self::Pending => Some("authorization_pending"),
            Self::SlowDown => Some("slow_down"),
            Self::Denied => Some("access_denied"),
            Self::Expired => Some("expired_token"),
            Self::Deliver(_) => None,
        }
    }
}

/// The grant cannot be decided any more. The page says the same for an unknown code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the code is unknown, used or expired; begin the sign-in again")]
pub struct NotPending;

impl<A> Grant<A> {
    /// A grant that begins now.
    pub const fn new(device: DeviceCodeHash, user_code: UserCode, now: UnixMillis) -> Self {
        Self {
            device,
            user_code,
            expires_at: UnixMillis(now.0.saturating_add(EXPIRES_IN * 1000)),
            interval: INTERVAL,
            polled_at: None,
            state: GrantState::Pending,
        }
    }

    /// Whether the person can still decide.
    pub fn is_open(&self, now: UnixMillis) -> bool {
        matches!(self.state, GrantState::Pending) && now < self.expires_at
    }

    /// The person has signed in and agreed.
    ///
    /// # Errors
    /// If it was decided before, or has run out.
    pub fn approve(&mut self, approval: A, now: UnixMillis) -> Result<(), NotPending> {
        self.decide(GrantState::Approved(approval), now)
    }

    /// The person has denied it, or could not sign in.
    ///
    /// # Errors
    /// If it was decided before, or has run out.
    pub fn deny(&mut self, now: UnixMillis) -> Result<(), NotPending> {
        self.decide(GrantState::Denied, now)
    }

    fn decide(&mut self, state: GrantState<A>, now: UnixMillis) -> Result<(), NotPending> {
        if !self.is_open(now) {
            return Err(NotPending);
        }
        self.state = state;
        Ok(())
    }

    /// The client asks. An approval is given out whenever it is asked for, even too early; there is nothing to gain by
    /// asking often, since nobody guesses 256 bits.
    pub fn poll(&mut self, now: UnixMillis) -> Poll<A> {
        if now >= self.expires_at {
            return Poll::Expired;
        }
        match std::mem::replace(&mut self.state, GrantState::Delivered) {
            GrantState::Approved(approval) => Poll::Deliver(approval),
            GrantState::Delivered => Poll::Expired,
            GrantState::Denied => {
                self.state = GrantState::Denied;
                Poll::Denied
            }
            GrantState::Pending => {
                self.state = GrantState::Pending;
                self.pending_poll(now)
            }
        }
    }

    fn pending_poll(&mut self, now: UnixMillis) -> Poll<A> {
        // A clock that was set back does not make a client early.
        let since = self.polled_at.map(|at| now.0.saturating_sub(at.0)).filter(|since| *since >= 0);
        self.polled_at = Some(now);
        if since.is_none_or(|since| since >= (self.interval - TOLERANCE) * 1000) {
            return Poll::Pending;
        }
        self.interval = (self.interval + SLOWER).min(MAX_INTERVAL);
        Poll::SlowDown
    }
}

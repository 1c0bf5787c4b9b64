//! What went wrong with an attempt, and what follows from it.

use serde::{Deserialize, Serialize};

/// What went wrong with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No connection, or no TLS over it.
    Connect,
    /// No head of a reply, or no beginning of it, in time.
    Timeout,
    /// It broke off before its reply began.
    Broken,
    /// It answered what no Messages API answers.
    Garbage,
    /// 429.
    RateLimited,
    /// 529, or another status that an overloaded server gives.
    Overloaded,
    /// Another 5xx.
    ServerError,
    /// 401 or 403: our credential, not the client's.
    Credential,
    /// 404, or a request that it does not take: others may.
    NotServed,
    /// Nothing was sent: no credential at the moment, or no room for another connection.
    NotSent,
    /// It named something of the request that it does not know; the same provider was asked again without it.
    Unsupported,
    /// It had not begun when another one, asked beside it, did.
    Hedged,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Connect,
        Self::Timeout,
        Self::Broken,
        Self::Garbage,
        Self::RateLimited,
        Self::Overloaded,
        Self::ServerError,
        Self::Credential,
        Self::NotServed,
        Self::NotSent,
        Self::Unsupported,
        Self::Hedged,
    ];

    /// The name used in records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Garbage => "garbage",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::Credential => "credential",
            Self::NotServed => "not_served",
            Self::NotSent => "not_sent",
            Self::Unsupported => "unsupported",
            Self::Hedged => "hedged",
        }
    }

    /// What a reply's status says; none where another provider would say the same (400 above all) or it is no failure.
    pub const fn of_status(status: u16) -> Option<Self> {
        match status {
            429 => Some(Self::RateLimited),
            503 | 529 => Some(Self::Overloaded),
            401 | 403 => Some(Self::Credential),
            404 | 501 => Some(Self::NotServed),
            500..=599 => Some(Self::ServerError),
            _ => None,
        }
    }

    /// Whether it speaks against the provider's health, so that its breaker counts it.
    pub const fn is_illness(self) -> bool {
        match self {
            Self::Connect
            | Self::Timeout
            | Self::Broken
            | Self::Garbage
            | Self::Overloaded
            | Self::ServerError => true,
            Self::RateLimited
            | Self::Credential
            | Self::NotServed
            | Self::NotSent
            | Self::Unsupported
            | Self::Hedged => false,
        }
    }

    /// Whether the same provider may be asked again for the same request.
    pub const fn may_pass(self) -> bool {
        match self {
            Self::Credential | Self::NotServed => false,
            Self::Connect
            | Self::Timeout
            | Self::Broken
            | Self::Garbage
            | Self::RateLimited
            | Self::Overloaded
            | Self::ServerError
            | Self::NotSent
            | Self::Unsupported
            | Self::Hedged => true,
        }
    }
}

//! Sessions: the sign-ins of people, as the management plane sees them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::{SessionId, UserId};
use crate::time::UnixMillis;

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// Its client signed out.
    SignedOut,
    /// An administrator ended it.
    Revoked,
    /// A refresh token that was used long ago came again: it is in two hands.
    TokenReused,
    /// The identity provider said that the person may not go on.
    SourceRefused,
    /// The person's password was set anew or removed.
    PasswordChanged,
    /// The person was disabled, here or by the directory they come from.
    UserDisabled,
    /// Where the person signs in was forgotten: who comes next must show who they are.
    IdentityForgotten,
    /// The person's second factors were removed by an administrator.
    FactorsReset,
    /// Its time was over.
    Expired,
}

impl SessionEnd {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::SignedOut,
        Self::Revoked,
        Self::TokenReused,
        Self::SourceRefused,
        Self::PasswordChanged,
        Self::UserDisabled,
        Self::IdentityForgotten,
        Self::FactorsReset,
        Self::Expired,
    ];

    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Revoked => "revoked",
            Self::TokenReused => "token_reused",
            Self::SourceRefused => "source_refused",
            Self::PasswordChanged => "password_changed",
            Self::UserDisabled => "user_disabled",
            Self::IdentityForgotten => "identity_forgotten",
            Self::FactorsReset => "factors_reset",
            Self::Expired => "expired",
        }
    }
}

/// A session as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its identifier.
    pub id: SessionId,
    /// Who signed in.
    pub user: UserId,
    /// Their e-mail address.
    pub email: String,
    /// Name of the team it charges.
    pub team: Option<String>,
    /// Where they signed in: `local`, `oidc:NAME`, `ldap:NAME` or `ci:NAME`.
    pub source: String,
    /// Which product asked for it, as that says of itself.
    pub surface: Option<String>,
    /// The client's program and version.
    pub client: Option<String>,
    /// The address that it was asked for from.
    pub peer: Option<IpAddr>,
    /// When it began.
    pub created_at: UnixMillis,
    /// When it was last refreshed.
    pub refreshed_at: Option<UnixMillis>,
    /// When it ends, however often it is refreshed.
    pub expires_at: UnixMillis,
    /// When it was ended before that.
    pub ended_at: Option<UnixMillis>,
    /// Why it was.
    pub ended_why: Option<SessionEnd>,
}

//! The people and groups of an organization, as the management plane sees them.

use serde::{Deserialize, Serialize};

use crate::id::{KeyId, OrgId, ProjectId, TeamId, UserId};
use crate::model::ModelScope;
use crate::time::UnixMillis;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Org {
    /// Its identifier.
    pub id: OrgId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// Whether a user may use anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserState {
    /// May use their keys.
    Active,
    /// All their keys are refused until re-enabled.
    Disabled,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Their identifier.
    pub id: UserId,
    /// E-mail address, lower case, unique in the organization.
    pub email: String,
    /// Name for people to read.
    pub name: Option<String>,
    /// Whether they may use anything.
    pub state: UserState,
    /// Names of their teams, sorted.
    pub teams: Vec<String>,
    /// When they were added.
    pub created_at: UnixMillis,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// Its identifier.
    pub id: TeamId,
    /// Its name, unique in the organization.
    pub name: String,
    /// How many members it has.
    pub members: u64,
    /// The models its members may use.
    pub models: ModelScope,
    /// How sensitive the data is that it works on; see [`crate::data_class`].
    pub data_class: Option<String>,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its identifier.
    pub id: ProjectId,
    /// Its name, unique in the organization.
    pub name: String,
    /// How sensitive its data is; see [`crate::data_class`].
    pub data_class: Option<String>,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Usable, unless expired.
    Active,
    /// Refused until enabled again.
    Disabled,
    /// Refused for good.
    Revoked,
}

/// Where a key is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// For model requests at the gateway.
    #[default]
    Gateway,
    /// For the forward proxy: whoever finds it in a proxy's address gets no model for it.
    Proxy,
    /// For both.
    Both,
}

impl Purpose {
    /// Its name in the database, JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Proxy => "proxy",
            Self::Both => "both",
        }
    }

    /// The purpose of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Gateway, Self::Proxy, Self::Both].into_iter().find(|purpose| purpose.as_str() == name)
    }

    /// Whether the gateway takes it.
    pub const fn includes_gateway(self) -> bool {
        matches!(self, Self::Gateway | Self::Both)
    }

    /// Whether the forward proxy takes it.
    pub const fn includes_proxy(self) -> bool {
        matches!(self, Self::Proxy | Self::Both)
    }
}

/// A virtual key as administrators see it: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Its identifier.
    pub id: KeyId,
    /// The public part of the key's text, by which it can be recognized in logs: `gh_Ab12Cd34`.
    pub hint: String,
    /// A name for people to read.
    pub name: Option<String>,
    /// Its holder.
    pub user: UserId,
    /// Its holder's e-mail address.
    pub email: String,
    /// Name of the team it charges.
    pub team: Option<String>,
    /// Name of the project it charges.
    pub project: Option<String>,
    /// The models it may use.
    pub models: ModelScope,
    /// What became of it.
    pub state: KeyState,
    /// Where it is good.
    pub purpose: Purpose,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
    /// The key that replaces it, once rotated.
    pub replaced_by: Option<KeyId>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last used, to the minute.
    pub last_used_at: Option<UnixMillis>,
}

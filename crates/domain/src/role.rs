//! What an administrator may do: four roles to begin with.

use serde::{Deserialize, Serialize};

/// An administrator's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, administrators included.
    Owner,
    /// Everything but making and removing administrators.
    Admin,
    /// Reads everything, the audit log included, and exports it; changes nothing.
    Auditor,
    /// Reads people, keys and usage; neither the audit log nor the configuration.
    Viewer,
}

/// Something an administrator may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See users, teams, projects and keys (never secrets), usage and exchanges.
    ReadDirectory,
    /// Add and change users, teams and projects.
    WriteDirectory,
    /// Make, rotate, disable and revoke keys.
    WriteKeys,
    /// Read, verify and export the audit log.
    ReadAudit,
    /// See the effective configuration and the providers.
    ReadConfig,
    /// Reload the configuration, seal provider keys.
    WriteConfig,
    /// Say who may use which model: access policies, the models of teams.
    WriteAccess,
    /// Make and revoke administrators' tokens.
    WriteAdmins,
}

impl Role {
    /// All roles, widest first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Auditor, Self::Viewer];

    /// The name used in the database, JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Viewer => "viewer",
        }
    }

    /// Whether the role includes the permission.
    pub const fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::ReadDirectory => true,
            Permission::WriteDirectory
            | Permission::WriteKeys
            | Permission::WriteConfig
            | Permission::WriteAccess => {
                matches!(self, Self::Owner | Self::Admin)
            }
            Permission::ReadAudit | Permission::ReadConfig => {
                matches!(self, Self::Owner | Self::Admin | Self::Auditor)
            }
            Permission::WriteAdmins => matches!(self, Self::Owner),
        }
    }
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role (owner, admin, auditor, viewer)")]
pub struct BadRole(String);

impl std::str::FromStr for Role {
    type Err = BadRole;

    fn from_str(text: &str) -> Result<Self, BadRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| BadRole(text.chars().take(40).collect()))
    }
}

//! What an administrator may do, and for whom: roles, permissions and scopes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{TeamId, UserId};

/// Something an administrator may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// See users, teams, projects and keys (never secrets).
    ReadDirectory,
    /// See usage, costs and exchanges.
    ReadUsage,
    /// Add and change users, teams and projects.
    WriteDirectory,
    /// Make, rotate, disable and revoke keys.
    WriteKeys,
    /// Read, verify and export the audit log.
    ReadAudit,
    /// See the effective configuration, the providers, the access policies and the roles.
    ReadConfig,
    /// Reload the configuration, seal provider keys.
    WriteConfig,
    /// Say who may use which model: access policies, the models of teams.
    WriteAccess,
    /// Say what may be spent: make, change and remove budgets.
    WriteBudgets,
    /// Close months, and say how overhead is shared and by which rates money is shown.
    CloseMonths,
    /// See settings profiles, what they amount to for a user, and what clients report.
    ReadSettings,
    /// Write settings profiles and submit them for review.
    WriteSettings,
    /// Approve, publish, retire and roll back settings profiles that others wrote.
    ApproveSettings,
    /// Make and revoke administrators' tokens, write roles.
    WriteAdmins,
    /// Rotate and retire the keys of the server itself.
    RotateSecrets,
    /// Make backups, which hold everything there is, and see which there are.
    MakeBackups,
}

use Permission::{
    ApproveSettings, CloseMonths, MakeBackups, ReadAudit, ReadConfig, ReadDirectory, ReadSettings, ReadUsage,
    RotateSecrets, WriteAccess, WriteAdmins, WriteBudgets, WriteConfig, WriteDirectory, WriteKeys,
    WriteSettings,
};

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 16] = [
        ReadDirectory,
        ReadUsage,
        WriteDirectory,
        WriteKeys,
        ReadAudit,
        ReadConfig,
        WriteConfig,
        WriteAccess,
        WriteBudgets,
        CloseMonths,
        ReadSettings,
        WriteSettings,
        ApproveSettings,
        WriteAdmins,
        RotateSecrets,
        MakeBackups,
    ];

    /// The name used in the database, JSON, the API's scopes and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReadDirectory => "read_directory",
            ReadUsage => "read_usage",
            WriteDirectory => "write_directory",
            WriteKeys => "write_keys",
            ReadAudit => "read_audit",
            ReadConfig => "read_config",
            WriteConfig => "write_config",
            WriteAccess => "write_access",
            WriteBudgets => "write_budgets",
            CloseMonths => "close_months",
            ReadSettings => "read_settings",
            WriteSettings => "write_settings",
            ApproveSettings => "approve_settings",
            WriteAdmins => "write_admins",
            RotateSecrets => "rotate_secrets",
            MakeBackups => "make_backups",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A text that names no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a permission (there are {})", Permission::ALL.map(Permission::as_str).join(", "))]
pub struct BadPermission {
    given: String,
}

impl FromStr for Permission {
    type Err = BadPermission;

    fn from_str(text: &str) -> Result<Self, BadPermission> {
        let found = Self::ALL.into_iter().find(|permission| permission.as_str() == text);
        found.ok_or_else(|| BadPermission { given: text.chars().take(40).collect() })
    }
}

/// Several permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Permissions(u32);

impl Permissions {
    /// None.
    pub const NONE: Self = Self(0);

    /// These.
    pub const fn of(list: &[Permission]) -> Self {
        let (mut bits, mut n) = (0, 0);
        while n < list.len() {
            bits |= list[n].bit();
            n += 1;
        }
        Self(bits)
    }

    /// Whether this one is among them.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// Whether all of these are among the others.
    pub const fn within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.has(*permission))
    }
}

/// A role that is there from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, administrators included.
    Owner,
    /// The platform's administrator: everything but making and removing administrators and rotating the server's own keys.
    Admin,
    /// Decides who may use what: access policies, approval of settings, revoking keys, rotating the
    /// server's own; reads the audit log.
    SecurityAdmin,
    /// Sees usage and costs, and whom they belong to; says what may be spent.
    Finance,
    /// Reads everything, the audit log included, and exports it; changes nothing.
    Auditor,
    /// Looks after people's keys and costs; meant to be limited to a team.
    ProjectManager,
    /// Makes keys and sees what they cost; meant to be limited to the person.
    Developer,
    /// Sees what tests cost; meant to be limited to the person or a team.
    Qa,
    /// Reads people, keys and usage; neither the audit log nor the configuration.
    Viewer,
}

impl Role {
    /// All roles that are there from the beginning, widest first.
    pub const ALL: [Self; 9] = [
        Self::Owner,
        Self::Admin,
        Self::SecurityAdmin,
        Self::Finance,
        Self::Auditor,
        Self::ProjectManager,
        Self::Developer,
        Self::Qa,
        Self::Viewer,
    ];

    /// The name used in the database, JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::SecurityAdmin => "security_admin",
            Self::Finance => "finance",
            Self::Auditor => "auditor",
            Self::ProjectManager => "project_manager",
            Self::Developer => "developer",
            Self::Qa => "qa",
            Self::Viewer => "viewer",
        }
    }

    /// What it includes.
    pub const fn permissions(self) -> Permissions {
        match self {
            Self::Owner => Permissions::of(&Permission::ALL),
            Self::Admin => Permissions::of(&[
                ReadDirectory,
                ReadUsage,
                WriteDirectory,
                WriteKeys,
                ReadAudit,
                ReadConfig,
                WriteConfig,
                WriteAccess,
                WriteBudgets,
                ReadSettings,
                WriteSettings,
                ApproveSettings,
            ]),
            Self::SecurityAdmin => Permissions::of(&[
                ReadDirectory,
                ReadUsage,
                WriteKeys,
                ReadAudit,
                ReadConfig,
                WriteAccess,
                ReadSettings,
                ApproveSettings,
                RotateSecrets,
            ]),
            Self::Finance => Permissions::of(&[ReadDirectory, ReadUsage, WriteBudgets, CloseMonths]),
            Self::Qa | Self::Viewer => Permissions::of(&[ReadDirectory, ReadUsage]),
            Self::Auditor => {
                Permissions::of(&[ReadDirectory, ReadUsage, ReadAudit, ReadConfig, ReadSettings])
            }
            Self::ProjectManager | Self::Developer => Permissions::of(&[ReadDirectory, ReadUsage, WriteKeys]),
        }
    }

    /// Whether the role includes the permission.
    pub const fn may(self, permission: Permission) -> bool {
        self.permissions().has(permission)
    }

    /// The role of this name, if it is one that is there from the beginning.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// The name of a role: one that is there from the beginning, or one that the organization wrote.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleName(String);

/// Longest name of a role, in bytes.
pub const MAX_ROLE_NAME: usize = 40;

/// A text that cannot be the name of a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be the name of a role: expected 1 to {MAX_ROLE_NAME} of a-z, 0-9 and `_`")]
pub struct BadRoleName(String);

impl RoleName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The role that is there from the beginning, if it is one.
    pub fn built_in(&self) -> Option<Role> {
        Role::named(&self.0)
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        Self(role.as_str().to_owned())
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RoleName {
    type Err = BadRoleName;

    fn from_str(text: &str) -> Result<Self, BadRoleName> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if text.is_empty() || text.len() > MAX_ROLE_NAME || !text.bytes().all(good) {
            return Err(BadRoleName(text.chars().take(MAX_ROLE_NAME).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// For whom a role holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scope {
    /// The whole organization.
    #[default]
    Organization,
    /// What is charged to a team, and its members.
    Team(TeamId),
    /// One person.
    User(UserId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_is_wider_than_the_owner_and_only_the_owner_makes_administrators() {
        for role in Role::ALL {
            assert!(role.permissions().within(Role::Owner.permissions()), "{role:?}");
            assert_eq!(role.may(WriteAdmins), role == Role::Owner, "{role:?}");
            assert_eq!(Role::named(role.as_str()), Some(role));
            assert_eq!(RoleName::from(role).built_in(), Some(role));
        }
        // Who writes settings is not the one who approves them, unless they administer everything.
        let both = Permissions::of(&[WriteSettings, ApproveSettings]);
        let who = Role::ALL.into_iter().filter(|role| both.within(role.permissions()));
        assert_eq!(who.collect::<Vec<_>>(), [Role::Owner, Role::Admin]);
    }

    #[test]
    fn permissions_are_told_apart_by_name_and_bit() {
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(permission));
            assert_eq!(Permissions::of(&[permission]).iter().collect::<Vec<_>>(), [permission]);
        }
        let told = "fly".parse::<Permission>().unwrap_err().to_string();
        assert!(told.contains("`fly`") && told.contains("read_audit"), "{told}");
        assert!(!Permissions::NONE.has(ReadDirectory));
    }

    #[test]
    fn names_of_roles_are_checked() {
        assert!("release_manager2".parse::<RoleName>().is_ok());
        for bad in ["", "Owner", "a b", "é", &"x".repeat(41), "a-b"] {
            assert!(bad.parse::<RoleName>().is_err(), "{bad}");
        }
    }
}

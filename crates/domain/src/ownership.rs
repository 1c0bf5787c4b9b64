//! What is owned by code: objects that were written from files in a repository.

use std::fmt;
use std::str::FromStr;

use crate::audit::Hash;
use crate::time::UnixMillis;

/// Most objects that are marked or released by one act.
pub const MAX_BATCH: usize = 500;

/// Longest name of an object, in bytes: that of an e-mail address.
pub const MAX_NAME: usize = 320;

/// A kind of object that files can describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Noun {
    /// A team, by its name.
    Team,
    /// A project, by its name.
    Project,
    /// A role that the organization wrote, by its name.
    Role,
    /// An access policy, by its name.
    AccessPolicy,
    /// A person, by their e-mail address.
    User,
    /// The team that a directory's group stands for, by the directory and the group's name: `scim:okta/Engineers`.
    GroupMapping,
    /// What a settings profile has published, by the profile's name.
    SettingsProfile,
}

impl Noun {
    /// All of them, each after those it may speak of.
    pub const ALL: [Self; 7] = [
        Self::Team,
        Self::Project,
        Self::Role,
        Self::AccessPolicy,
        Self::User,
        Self::GroupMapping,
        Self::SettingsProfile,
    ];

    /// The name used in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Team => "team",
            Self::Project => "project",
            Self::Role => "role",
            Self::AccessPolicy => "access_policy",
            Self::User => "user",
            Self::GroupMapping => "group_mapping",
            Self::SettingsProfile => "settings_profile",
        }
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no kind of object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` cannot be owned by code (there are {})", Noun::ALL.map(Noun::as_str).join(", "))]
pub struct BadNoun {
    given: String,
}

impl FromStr for Noun {
    type Err = BadNoun;

    fn from_str(text: &str) -> Result<Self, BadNoun> {
        let found = Self::ALL.into_iter().find(|noun| noun.as_str() == text);
        found.ok_or_else(|| BadNoun { given: text.chars().take(40).collect() })
    }
}

/// The mark on an object that was written from files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What kind of object it is.
    pub noun: Noun,
    /// Its name; it need not exist any more.
    pub name: String,
    /// SHA-256 of what was written, in the form of who wrote it. An object that gives another now was changed by hand.
    pub digest: Hash,
}

/// A mark and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The mark.
    pub mark: Mark,
    /// When it was last set.
    pub applied_at: UnixMillis,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_are_told_apart_by_name() {
        for noun in Noun::ALL {
            assert_eq!(noun.as_str().parse(), Ok(noun));
        }
        let told = "key".parse::<Noun>().unwrap_err().to_string();
        assert!(told.contains("`key`") && told.contains("access_policy"), "{told}");
    }
}

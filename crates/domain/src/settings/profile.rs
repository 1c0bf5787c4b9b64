//! What one part of the organization contributes to its people's settings.

use sha2::{Digest as _, Sha256};

use super::catalogue::Catalogue;
use super::checksum::{Checksum, canonical};
use super::diff::{diff, needs_two_people};
use super::document::Document;
use super::layer::{BadLayer, Layer, LayerId, Rank};
use super::path::Path;
use crate::id::{ProjectId, TeamId, UserId};

/// Whose settings a profile contributes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Everybody's.
    Organization,
    /// A team's members'.
    Team(TeamId),
    /// Those of the people who hold a key that charges a project and is not revoked.
    Project(ProjectId),
    /// Those of the people in its audience, over all that teams and projects say.
    Rollout,
    /// One person's.
    User(UserId),
}

/// What a version of a profile says. Never changed once it is stored: another content is another version.
///
/// The default is nothing at all: what a profile contributes that has no published version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Content {
    settings: Document,
    locks: Vec<Path>,
    priority: u32,
}

/// A content that no profile can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadContent {
    /// Its locks cannot be used.
    #[error(transparent)]
    Locks(#[from] BadLayer),
    /// Only teams are told apart by priority.
    #[error("only a team's profile has a priority: a user has one organization, but may have several teams")]
    Priority,
}

impl Target {
    /// The name used in the database and JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Team(_) => "team",
            Self::Project(_) => "project",
            Self::Rollout => "rollout",
            Self::User(_) => "user",
        }
    }

    /// The rank of its layer.
    const fn rank(self, priority: u32) -> Rank {
        match self {
            Self::Organization => Rank::Org,
            Self::Team(_) => Rank::Team { priority },
            Self::Project(_) => Rank::Project,
            Self::Rollout => Rank::Rollout,
            Self::User(_) => Rank::User,
        }
    }
}

impl Content {
    /// Checks what a profile of this target shall say. Locks are sorted, and each counts once.
    ///
    /// # Errors
    /// Too many locks, or one that is not on a key; a priority where there is nothing to decide between.
    pub fn new(
        target: Target,
        settings: Document,
        locks: Vec<Path>,
        priority: u32,
    ) -> Result<Self, BadContent> {
        if priority != 0 && !matches!(target, Target::Team(_)) {
            return Err(BadContent::Priority);
        }
        let id = LayerId { rank: target.rank(priority), name: target.kind().to_owned() };
        let layer = Layer::new(id, settings, locks)?;
        Ok(Self { settings: layer.settings().clone(), locks: layer.locks().to_vec(), priority })
    }

    /// What it sets.
    pub const fn settings(&self) -> &Document {
        &self.settings
    }

    /// The paths that weaker layers cannot change, sorted.
    pub fn locks(&self) -> &[Path] {
        &self.locks
    }

    /// Of two teams of a user, the one with the greater priority wins; 0 for everything but teams.
    pub const fn priority(&self) -> u32 {
        self.priority
    }

    /// The SHA-256 of all of it: the settings in canonical form, the priority and the locks, a line each. It names the
    /// content; the client's own checksum, of a document made of several contents, is another.
    pub fn checksum(&self) -> Checksum {
        let mut lines = vec![canonical(&self.settings), self.priority.to_string()];
        lines.extend(self.locks.iter().map(ToString::to_string));
        Checksum::from_bytes(Sha256::digest(lines.join("\n")).into())
    }

    /// The layer that it is in a user's settings. Profiles have names of their own, so that none is there twice.
    ///
    /// # Errors
    /// None for a content that was made for this target; the locks were checked then.
    pub fn layer(&self, target: Target, profile: &str) -> Result<Layer, BadLayer> {
        let id = LayerId { rank: target.rank(self.priority), name: profile.to_owned() };
        Layer::new(id, self.settings.clone(), self.locks.clone())
    }

    /// The paths at which it makes programs run on people's machines, or decides which, sorted.
    pub fn runs_programs(&self, catalogue: &Catalogue) -> Vec<Path> {
        self.running_difference(&Document::default(), catalogue)
    }

    /// The paths at which it and another document let different programs run: taking a hook away is a change as well.
    pub fn running_difference(&self, from: &Document, catalogue: &Catalogue) -> Vec<Path> {
        let differences = diff(from, &self.settings);
        needs_two_people(catalogue, &differences).into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TEAM: Target = Target::Team(TeamId::from_bits(1));

    fn content(settings: Value, locks: &[&str], priority: u32) -> Content {
        let locks = locks.iter().map(|lock| Path::parse(lock).unwrap()).collect();
        Content::new(TEAM, Document::from_value(settings).unwrap(), locks, priority).unwrap()
    }

    #[test]
    fn the_checksum_names_every_part_and_no_order() {
        let one = content(json!({"model": "opus", "env": {"A": "1", "B": "2"}}), &["model", "env"], 3);
        let same =
            content(json!({"env": {"B": "2", "A": "1"}, "model": "opus"}), &["env", "model", "env"], 3);
        assert_eq!(one.checksum(), same.checksum());
        for other in [
            content(json!({"model": "opus", "env": {"A": "1", "B": "3"}}), &["model", "env"], 3),
            content(json!({"model": "opus", "env": {"A": "1", "B": "2"}}), &["model"], 3),
            content(json!({"model": "opus", "env": {"A": "1", "B": "2"}}), &["model", "env"], 4),
        ] {
            assert_ne!(one.checksum(), other.checksum());
        }
    }

    #[test]
    fn only_teams_have_a_priority() {
        let new = |target, priority| Content::new(target, Document::default(), vec![], priority);
        assert!(new(TEAM, 7).is_ok() && new(Target::Organization, 0).is_ok());
        for target in [
            Target::Organization,
            Target::Project(ProjectId::from_bits(1)),
            Target::Rollout,
            Target::User(UserId::from_bits(1)),
        ] {
            assert_eq!(new(target, 1), Err(BadContent::Priority));
        }
        assert!(Content::new(TEAM, Document::default(), vec![Path::root()], 0).is_err());
    }

    #[test]
    fn programs_count_when_they_come_and_when_they_go() {
        let catalogue = Catalogue::builtin();
        let hook =
            json!({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "x"}]}]}, "model": "opus"});
        let with = content(hook.clone(), &[], 0);
        let without = content(json!({"model": "opus"}), &[], 0);
        assert!(!with.runs_programs(&catalogue).is_empty());
        assert!(without.runs_programs(&catalogue).is_empty());
        let before = Document::from_value(hook).unwrap();
        assert!(with.running_difference(&before, &catalogue).is_empty());
        assert!(!without.running_difference(&before, &catalogue).is_empty());
    }
}

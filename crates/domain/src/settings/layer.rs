//! One contribution to a user's settings.

use std::cmp::{Ordering, Reverse};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Document;
use super::path::Path;

/// Most locks of one layer.
pub const MAX_LOCKS: usize = 256;

/// Settings that one part of the organization contributes, and the paths on which it has the last word.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    id: LayerId,
    settings: Document,
    locks: Vec<Path>,
}

/// Which layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LayerId {
    /// Whose it is.
    pub rank: Rank,
    /// Its name: of the team, the project, the rollout.
    pub name: String,
}

/// Whose a layer is, from the general to the particular.
///
/// The particular wins over the general, unless the general has locked the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// The organization's.
    Org,
    /// A team's. A user may be in several; of two teams the one with the greater priority wins, by value and by lock.
    Team {
        /// The greater, the stronger.
        priority: u32,
    },
    /// A project's.
    Project,
    /// What a rollout puts over all that.
    Rollout,
    /// One user's.
    User,
}

/// A layer that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLayer {
    /// It has more than [`MAX_LOCKS`] locks.
    #[error("the layer `{layer}` has {count} locks; at most {MAX_LOCKS} are taken, so lock keys further up")]
    TooManyLocks {
        /// The layer.
        layer: LayerId,
        /// How many.
        count: usize,
    },
    /// A lock is on the whole document or within a list.
    #[error("the layer `{layer}` locks `{path}`; lock a key, such as `permissions.deny`")]
    Lock {
        /// The layer.
        layer: LayerId,
        /// The path.
        path: Path,
    },
}

impl Layer {
    /// Makes a layer.
    ///
    /// # Errors
    /// Too many locks, or one that is not on a key.
    pub fn new(id: LayerId, settings: Document, mut locks: Vec<Path>) -> Result<Self, BadLayer> {
        if locks.len() > MAX_LOCKS {
            return Err(BadLayer::TooManyLocks { layer: id, count: locks.len() });
        }
        let of_keys = |path: &Path| !path.is_root() && path.has_only_keys();
        if let Some(path) = locks.iter().find(|path| !of_keys(path)) {
            return Err(BadLayer::Lock { path: path.clone(), layer: id });
        }
        locks.sort();
        locks.dedup();
        Ok(Self { id, settings, locks })
    }

    /// Which layer it is.
    pub const fn id(&self) -> &LayerId {
        &self.id
    }

    /// What it sets.
    pub const fn settings(&self) -> &Document {
        &self.settings
    }

    /// The paths that weaker layers cannot change, sorted.
    pub fn locks(&self) -> &[Path] {
        &self.locks
    }
}

impl LayerId {
    /// Whether this layer's locks hold against the other.
    pub fn outranks(&self, other: &Self) -> bool {
        self.authority() < other.authority()
    }

    /// The order in which layers are applied: the general before the particular.
    pub fn order(&self, other: &Self) -> Ordering {
        self.turn().cmp(&other.turn())
    }

    /// The smaller, the stronger are its locks.
    fn authority(&self) -> (u8, Reverse<u32>, &str) {
        let (rank, priority) = self.rank.parts();
        (rank, Reverse(priority), &self.name)
    }

    /// The greater, the later it is applied: after the more general ones, and among equals the strongest last.
    pub(super) fn turn(&self) -> (u8, u32, Reverse<&str>) {
        let (rank, priority) = self.rank.parts();
        (rank, priority, Reverse(&self.name))
    }
}

impl Rank {
    const fn parts(self) -> (u8, u32) {
        match self {
            Self::Org => (0, 0),
            Self::Team { priority } => (1, priority),
            Self::Project => (2, 0),
            Self::Rollout => (3, 0),
            Self::User => (4, 0),
        }
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rank = match self.rank {
            Rank::Org => "org",
            Rank::Team { .. } => "team",
            Rank::Project => "project",
            Rank::Rollout => "rollout",
            Rank::User => "user",
        };
        write!(f, "{rank} {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(rank: Rank, name: &str) -> LayerId {
        LayerId { rank, name: name.to_owned() }
    }

    #[test]
    fn authority_and_turn() {
        let org = id(Rank::Org, "acme");
        let strong = id(Rank::Team { priority: 9 }, "security");
        let weak = id(Rank::Team { priority: 1 }, "apps");
        let user = id(Rank::User, "ada@example.com");
        assert!(org.outranks(&strong) && strong.outranks(&weak) && weak.outranks(&user));
        assert!(!user.outranks(&user));
        let overlay = id(Rank::Rollout, "pilot");
        assert!(overlay.order(&user).is_lt() && overlay.order(&id(Rank::Project, "zeus")).is_gt());
        assert!(org.turn() < weak.turn() && weak.turn() < strong.turn() && strong.turn() < user.turn());
        assert_eq!(strong.to_string(), "team security");
    }

    #[test]
    fn locks_are_on_keys() {
        let new = |locks| Layer::new(id(Rank::Org, "acme"), Document::default(), locks);
        let key = Path::root().key("a");
        assert!(new(vec![Path::root()]).is_err() && new(vec![key.index(0)]).is_err());
        assert!(new((0..=MAX_LOCKS).map(|n| key.key(&n.to_string())).collect()).is_err());
        assert_eq!(new(vec![key.clone(), key.clone()]).unwrap().locks(), [key]);
    }
}

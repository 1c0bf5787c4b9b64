//! Data classes: how sensitive the data is that a team or project works on, in an order that the organization gives.
//!
//! The class of a request is the highest of what is known of it. A class that the order does not have (any more) counts
//! above all of them, so that what is forbidden for sensitive data is not opened by a change of the order.

use std::sync::Arc;

/// Most classes of an order.
pub const MAX_CLASSES: usize = 16;
/// Longest name of a class, in bytes.
pub const MAX_NAME: usize = 32;
/// What policies and people are told of a class that the order does not have.
pub const UNLISTED: &str = "unlisted";

/// A place in the order: 0 is the lowest, the number of classes is above all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Level(u8);

impl Level {
    /// As a number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The classes, from the least sensitive to the most. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataClasses(Arc<[Box<str>]>);

/// Why a list of names is no order of classes, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadClasses(String);

impl DataClasses {
    /// Takes the classes, the least sensitive first.
    ///
    /// # Errors
    /// There is none, or more than [`MAX_CLASSES`]; a name that is twice there, or is not 1 to [`MAX_NAME`] of a-z, 0-9 and
    /// `-`, or is [`UNLISTED`].
    pub fn new(names: &[&str]) -> Result<Self, BadClasses> {
        if names.is_empty() || names.len() > MAX_CLASSES {
            let count = names.len();
            return Err(BadClasses(format!("expected 1 to {MAX_CLASSES} data classes, found {count}")));
        }
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        for (at, name) in names.iter().enumerate() {
            let brief: String = name.chars().take(MAX_NAME + 1).collect();
            if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(good) || *name == UNLISTED {
                let told = format!(
                    "`{brief}` cannot be a data class: expected 1 to {MAX_NAME} of a-z, 0-9 and `-`, and not `{UNLISTED}`"
                );
                return Err(BadClasses(told));
            }
            if names[..at].contains(name) {
                return Err(BadClasses(format!("the data class `{brief}` is there twice")));
            }
        }
        Ok(Self(names.iter().map(|name| Box::from(*name)).collect()))
    }

    /// The names, the least sensitive first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// The level of a class; none if there is no such class.
    pub fn find(&self, name: &str) -> Option<Level> {
        let at = self.0.iter().position(|known| &**known == name)?;
        u8::try_from(at).ok().map(Level)
    }

    /// The level of what somebody says is a class; above all if there is no such class.
    pub fn level_of(&self, name: &str) -> Level {
        self.find(name).unwrap_or(Level(u8::try_from(self.0.len()).unwrap_or(u8::MAX)))
    }

    /// The name of a level; [`UNLISTED`] above all classes.
    pub fn name(&self, level: Level) -> &str {
        self.0.get(usize::from(level.0)).map_or(UNLISTED, |name| name)
    }
}

impl Default for DataClasses {
    fn default() -> Self {
        Self::new(&["public", "internal", "confidential", "restricted"]).expect("these are good names")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_order_does_not_have_counts_above_all() {
        let classes = DataClasses::default();
        let levels: Vec<u8> = classes.names().map(|name| classes.level_of(name).number()).collect();
        assert_eq!(levels, [0, 1, 2, 3]);
        for unknown in ["", "Public", "public ", "public,restricted", UNLISTED, "secret"] {
            assert_eq!(classes.find(unknown), None, "{unknown}");
            assert!(classes.level_of(unknown) > classes.level_of("restricted"), "{unknown}");
            assert_eq!(classes.name(classes.level_of(unknown)), UNLISTED);
        }
    }

    #[test]
    fn an_order_without_sense_is_refused() {
        let seventeen: Vec<String> = (0..17).map(|n| format!("c{n}")).collect();
        let seventeen: Vec<&str> = seventeen.iter().map(String::as_str).collect();
        for (names, part) in [
            (&[][..], "found 0"),
            (&seventeen, "found 17"),
            (&["a", "b", "a"], "twice"),
            (&["Public"], "cannot be"),
            (&["unlisted"], "cannot be"),
            (&[""], "cannot be"),
        ] {
            let why = DataClasses::new(names).unwrap_err().to_string();
            assert!(why.contains(part), "{why}");
        }
    }
}

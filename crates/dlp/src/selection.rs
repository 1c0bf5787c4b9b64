//! Which detectors are used.

use crate::detector::{Detector, Kind, all};

/// Which detectors are used. The same words give the same selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(Vec<&'static Detector>);

/// There is no such detector and no such group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no detector `{0}`")]
pub struct UnknownDetector(pub String);

impl Selection {
    /// The words for several detectors at once.
    pub const GROUPS: [&'static str; 3] = ["all", "secrets", "personal"];

    /// Those that are named, by their identifiers or by a word of [`Selection::GROUPS`], without these others.
    ///
    /// # Errors
    /// A name that nothing has: the first of them.
    pub fn new<'a>(
        wanted: impl IntoIterator<Item = &'a str>,
        except: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, UnknownDetector> {
        let (wanted, except) = (named(wanted)?, named(except)?);
        Ok(Self(all().filter(|one| wanted.contains(one) && !except.contains(one)).collect()))
    }

    /// The detectors, in the catalogue's order.
    pub fn detectors(&self) -> &[&'static Detector] {
        &self.0
    }

    /// Whether there is one at least.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn named<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Vec<&'static Detector>, UnknownDetector> {
    let mut out = Vec::new();
    for word in words {
        let before = out.len();
        out.extend(all().filter(|one| match word {
            "all" => true,
            "secrets" => one.kind == Kind::Secret,
            "personal" => one.kind == Kind::Personal,
            id => one.id == id,
        }));
        if out.len() == before {
            return Err(UnknownDetector(word.to_owned()));
        }
    }
    Ok(out)
}

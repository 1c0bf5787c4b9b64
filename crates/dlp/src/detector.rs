//! What is looked for.

use crate::catalogue::{cloud, key, model, personal, service};
use crate::check::Check;
use crate::number::Number;

/// What kind of data a detector finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What opens something.
    Secret,
    /// What identifies a person, or pays.
    Personal,
}

impl Kind {
    /// The name used in output for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Personal => "personal",
        }
    }
}

/// One kind of thing that is looked for. There is one of each, in the catalogue.
pub struct Detector {
    /// Its stable name, such as `github-token`: a-z, 0-9 and `-`, at most 32 bytes.
    pub id: &'static str,
    /// What kind of data it finds.
    pub kind: Kind,
    /// What it finds, as a sentence has it: `a GitHub token`.
    pub what: &'static str,
    pub(crate) how: How,
}

/// How something is found.
pub(crate) enum How {
    /// By keywords and what is around them.
    Pattern(Pattern),
    /// By its digits.
    Number(Number),
}

/// The form of a secret.
pub(crate) struct Pattern {
    /// Every text of this form has one of these; upper and lower case matter.
    pub(crate) keywords: &'static [&'static str],
    /// So many bytes before a keyword the form may begin. At 0 it begins with the keyword.
    pub(crate) before: usize,
    /// So many bytes from the keyword's beginning on the form may take; nothing behind them is looked at.
    pub(crate) after: usize,
    /// The form. If it has a group, that is the secret; else all of it is.
    pub(crate) form: &'static str,
    /// What has to hold of the secret besides.
    pub(crate) check: Check,
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

impl PartialEq for Detector {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Detector {}

/// All detectors, in the order in which they are numbered.
pub fn all() -> impl Iterator<Item = &'static Detector> {
    [key::ALL, cloud::ALL, model::ALL, service::ALL, personal::ALL].into_iter().flatten()
}

/// The detector of this name.
pub fn find(id: &str) -> Option<&'static Detector> {
    all().find(|detector| detector.id == id)
}

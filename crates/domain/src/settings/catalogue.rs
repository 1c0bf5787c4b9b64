//! What is known of each of the client's settings: its type, how layers of it merge, who must agree to it.
//!
//! The list is data (`data/settings.toml`) and never complete, since the client gains keys with almost every release.
//! A key that is not in it is delivered all the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::path::{Path, Step};
use super::similar;
use super::version::ClientVersion;

pub use env::{EnvRules, EnvValues};
pub use file::BadCatalogue;
pub use kind::{BadKind, Bound, Fields, Kind, Range, Shape, Text};
pub use learn::Learned;

mod env;
mod file;
mod kind;
mod learn;

/// The known keys of a settings document.
#[derive(Debug, Clone)]
pub struct Catalogue {
    as_of: ClientVersion,
    keys: BTreeMap<Path, Key>,
    shapes: BTreeMap<String, Shape>,
    env: EnvRules,
    tools: Vec<String>,
    aliases: Vec<String>,
}

/// A key of a settings document.
#[derive(Debug, Clone)]
pub struct Key {
    /// Where it stands.
    pub path: Path,
    /// What it takes.
    pub kind: Kind,
    /// Who may set it.
    pub scope: Scope,
    /// How values of several layers become one.
    pub merge: Merge,
    /// Whether a later layer may only add to it, as to a deny-list.
    pub grows: bool,
    /// Whether it raises the user's approval dialog if the gateway delivers it.
    pub asks: bool,
    /// Whether it makes the client run programs, so that a change of it needs two people.
    pub runs: bool,
    /// What the client does with a malformed value, where that is known and matters.
    pub mistake: Option<Mistake>,
    /// Whether the client reads it from the gateway.
    pub remote: Remote,
    /// The first version that knows it, where it matters.
    pub since: Option<ClientVersion>,
    /// The key that has replaced it.
    pub instead: Option<String>,
    /// One line of help.
    pub help: Texts,
    /// Who describes it.
    pub origin: Origin,
}

/// Who describes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// This release.
    Release,
    /// A published schema that was imported.
    Schema,
}

/// Who may set a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Anybody.
    #[default]
    Any,
    /// Only an administrator; the client ignores it elsewhere.
    Managed,
}

/// How values of several layers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// Lists unite without duplicates, objects merge key by key, of anything else the last value stands.
    #[default]
    Unite,
    /// The last value stands as a whole.
    Replace,
    /// The last value of each entry stands as a whole.
    ReplaceEntries,
}

/// What the client does with a malformed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mistake {
    /// It takes the strict side, such as allowing nothing.
    Closed,
    /// It does as if the key were not there.
    Open,
}

/// Whether the client reads a key from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Remote {
    /// It does.
    #[default]
    Applied,
    /// It does not.
    Ignored,
    /// It does not, because the key says how to sign in and is needed before the gateway can be asked.
    Login,
}

/// A text in the three languages of the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Texts {
    /// English.
    pub en: String,
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    pub zh_cn: String,
    /// Traditional Chinese.
    #[serde(rename = "zh-TW")]
    pub zh_tw: String,
}

impl Catalogue {
    /// The catalogue that comes with this release.
    pub fn builtin() -> Self {
        Self::parse(include_str!("../../data/settings.toml"))
            .expect("the built-in catalogue is parsed by a test")
    }

    /// Reads a catalogue in the form of `data/settings.toml`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadCatalogue> {
        file::parse(text)
    }

    /// The version of the client it was made for.
    pub const fn as_of(&self) -> ClientVersion {
        self.as_of
    }

    /// All keys, sorted by path.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.values()
    }

    /// The key at exactly this path.
    pub fn key(&self, path: &Path) -> Option<&Key> {
        self.keys.get(path)
    }

    /// The key that decides about a path: the one at it, or the nearest above it.
    pub fn governing(&self, path: &Path) -> Option<&Key> {
        path.and_above().find_map(|at| self.keys.get(&at))
    }

    /// The keys at a path and beneath it.
    pub fn beneath(&self, path: &Path) -> impl Iterator<Item = &Key> {
        self.keys.range(path..).take_while(|(known, _)| path.covers(known)).map(|(_, key)| key)
    }

    /// Whether of several layers' values at this path the last stands as a whole.
    pub fn replaces_whole(&self, path: &Path) -> bool {
        match self.keys.get(path).map(|key| key.merge) {
            Some(Merge::Replace) => true,
            Some(Merge::Unite | Merge::ReplaceEntries) => false,
            None => path
                .parent()
                .and_then(|above| self.keys.get(&above))
                .is_some_and(|key| key.merge == Merge::ReplaceEntries),
        }
    }

    /// Whether the list at this path may only grow.
    pub fn only_grows(&self, path: &Path) -> bool {
        self.keys.get(path).is_some_and(|key| key.grows)
    }

    /// The known key beside a path whose name is most like it.
    pub fn suggest(&self, path: &Path) -> Option<String> {
        let above = path.parent()?;
        let siblings = self.keys.keys().filter(|known| known.parent().as_ref() == Some(&above));
        similar::nearest(path.last_key()?, siblings.filter_map(Path::last_key)).map(str::to_owned)
    }

    /// The shape of this name.
    pub fn shape(&self, name: &str) -> Option<&Shape> {
        self.shapes.get(name)
    }

    /// What is known of environment variables.
    pub const fn env(&self) -> &EnvRules {
        &self.env
    }

    /// Names of tools that permission rules may have.
    pub fn tools(&self) -> &[String] {
        &self.tools
    }

    /// Whether a text stands for a model without being a model's identifier, such as `sonnet` or `opus[1m]`.
    pub fn is_model_alias(&self, text: &str) -> bool {
        let name = text.strip_suffix("[1m]").unwrap_or(text);
        self.aliases.iter().any(|alias| alias == name)
    }

    /// Whether a change at this path lets programs run and so needs two people. The path may lead into a list, and a
    /// path above such a key counts too.
    pub fn runs_programs(&self, path: &Path) -> bool {
        let keys_only: Vec<&Step> =
            path.steps().iter().take_while(|step| matches!(step, Step::Key(_))).collect();
        let variable = match keys_only.as_slice() {
            [Step::Key(env), Step::Key(name), ..] if env == "env" => Some(name),
            _ => None,
        };
        variable.is_some_and(|name| self.env.runs(name))
            || self.governing(path).is_some_and(|key| key.runs)
            || self.beneath(path).any(|key| key.runs)
    }
}

#[cfg(test)]
mod tests;

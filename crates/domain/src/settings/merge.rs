//! Layers of settings become one document, and every value in it knows where it came from.
//!
//! Values merge as the client merges its own sources: lists unite, objects merge key by key, of anything else the last
//! value stands; the catalogue names the keys that are replaced whole. On top of that a layer can lock a path against
//! weaker layers, and deny-lists only ever grow.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::catalogue::Catalogue;
use super::checksum::canonical_value;
use super::document::{BadDocument, Document};
use super::layer::{Layer, LayerId};
use super::path::{Path, Step};

#[cfg(test)]
mod tests;

/// Most layers of one user.
pub const MAX_LAYERS: usize = 64;

/// One document made of layers, with the history of each of its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    settings: Document,
    leaves: BTreeMap<Path, Vec<Event>>,
    locks: Vec<Lock>,
}

/// What a layer did to a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// The layer.
    pub layer: LayerId,
    /// What it did.
    pub act: Act,
}

/// A deed of a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It set the value; one that was there before is overridden.
    Set(Value),
    /// It added these entries to a list, those that were not there yet.
    Joined(Vec<Value>),
    /// It put something else in the value's place, further up or further down.
    Removed,
    /// It wanted this value and did not get it.
    Refused {
        /// The value.
        value: Value,
        /// Why.
        why: Refusal,
    },
}

/// Why a layer's value was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A stronger layer has the last word on it.
    Locked(Lock),
    /// It would put something else in the place of a deny-list, which only grows.
    OnlyGrows,
}

/// A path on which a layer has the last word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// The path.
    pub path: Path,
    /// The layer.
    pub by: LayerId,
}

/// Where the values at a path come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation<'a> {
    /// The value in the merged document.
    pub value: Option<&'a Value>,
    /// Locks on the path or above it.
    pub locks: Vec<&'a Lock>,
    /// What happened at the path, beneath it, and above it as far as it concerned the path.
    pub leaves: Vec<Leaf<'a>>,
}

/// A value that is decided as one, with its history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Leaf<'a> {
    /// Where it stands.
    pub path: &'a Path,
    /// What the layers did, in order.
    pub events: &'a [Event],
}

/// Layers that cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLayers {
    /// There are more than [`MAX_LAYERS`].
    #[error("{0} layers cannot be merged for one user; at most {MAX_LAYERS} are taken")]
    TooMany(usize),
    /// Two have the same rank and name, so that neither comes first.
    #[error("the layer `{0}` is given twice; merge each layer once")]
    Twice(LayerId),
    /// All together are too large.
    #[error("the merged settings cannot be delivered: {0}")]
    TooLarge(#[from] BadDocument),
}

/// Merges layers. The order in which they are given does not matter.
///
/// # Errors
/// Too many layers, one of them twice, or a result that is larger than a document may be.
pub fn merge(catalogue: &Catalogue, layers: &[Layer]) -> Result<Merged, BadLayers> {
    if layers.len() > MAX_LAYERS {
        return Err(BadLayers::TooMany(layers.len()));
    }
    let mut sorted: Vec<&Layer> = layers.iter().collect();
    sorted.sort_by(|a, b| a.id().turn().cmp(&b.id().turn()));
    if let Some([layer, _]) = sorted.array_windows().find(|[a, b]| a.id().turn() == b.id().turn()) {
        return Err(BadLayers::Twice(layer.id().clone()));
    }
    let mut merging =
        Merging { catalogue, locks: locks_of(&sorted), settings: Map::new(), leaves: BTreeMap::new() };
    for layer in sorted {
        for (key, value) in layer.settings().as_map() {
            merging.put(layer.id(), &Path::root().key(key), value);
        }
    }
    Ok(Merged {
        settings: Document::from_value(Value::Object(merging.settings))?,
        leaves: merging.leaves,
        locks: merging.locks.into_iter().map(|(path, by)| Lock { path, by }).collect(),
    })
}

/// Who has the last word on which path; of several layers that lock the same, the strongest.
fn locks_of(layers: &[&Layer]) -> BTreeMap<Path, LayerId> {
    let mut locks = BTreeMap::<Path, LayerId>::new();
    for layer in layers {
        for path in layer.locks() {
            if locks.get(path).is_none_or(|by| layer.id().outranks(by)) {
                locks.insert(path.clone(), layer.id().clone());
            }
        }
    }
    locks
}

impl Merged {
    /// The document to deliver.
    pub const fn settings(&self) -> &Document {
        &self.settings
    }

    /// Every value that is or was decided as one, with its history, sorted by path.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf<'_>> {
        self.leaves.iter().map(|(path, events)| Leaf { path, events })
    }

    /// All locks, sorted by path; of several on one path the strongest.
    pub fn locks(&self) -> &[Lock] {
        &self.locks
    }

    /// Where the values at a path come from.
    pub fn explain(&self, path: &Path) -> Explanation<'_> {
        Explanation {
            value: path.find(self.settings.as_map()),
            locks: self.locks.iter().filter(|lock| lock.path.covers(path)).collect(),
            leaves: self.leaves().filter(|leaf| leaf.path.touches(path)).collect(),
        }
    }
}

impl Leaf<'_> {
    /// The value that its history amounts to; nothing if it was removed or never taken.
    pub fn value(&self) -> Option<Value> {
        replay(self.events)
    }

    /// The layers that the value comes from: one, or for a list all that added to it.
    pub fn decided_by(&self) -> Vec<&LayerId> {
        let mut layers = Vec::new();
        for event in self.events {
            match &event.act {
                Act::Set(_) => layers = vec![&event.layer],
                Act::Joined(added) if !added.is_empty() => layers.push(&event.layer),
                Act::Removed => layers.clear(),
                Act::Joined(_) | Act::Refused { .. } => {}
            }
        }
        layers
    }

    /// The layers whose value was taken and then overridden by another.
    pub fn overridden(&self) -> Vec<&LayerId> {
        let decided = self.decided_by();
        let taken = self.events.iter().filter(|event| match &event.act {
            Act::Set(_) => true,
            Act::Joined(added) => !added.is_empty(),
            Act::Removed | Act::Refused { .. } => false,
        });
        taken.map(|event| &event.layer).filter(|layer| !decided.contains(layer)).collect()
    }
}

fn replay(events: &[Event]) -> Option<Value> {
    let mut value = None;
    for event in events {
        match &event.act {
            Act::Set(new) => value = Some(new.clone()),
            Act::Joined(added) => {
                if let Some(Value::Array(list)) = &mut value {
                    list.extend(added.iter().cloned());
                }
            }
            Act::Removed => value = None,
            Act::Refused { .. } => {}
        }
    }
    value
}

/// Whether the history ends with a value.
fn stands(events: &[Event]) -> bool {
    let last = events.iter().rev().find(|event| !matches!(event.act, Act::Refused { .. }));
    last.is_some_and(|event| event.act != Act::Removed)
}

/// A merge that is under way.
struct Merging<'a> {
    catalogue: &'a Catalogue,
    locks: BTreeMap<Path, LayerId>,
    settings: Map<String, Value>,
    leaves: BTreeMap<Path, Vec<Event>>,
}

impl Merging<'_> {
    /// Merges a layer's value into what is there.
    fn put(&mut self, layer: &LayerId, path: &Path, value: &Value) {
        if let Some(lock) = self.lock_over(layer, path) {
            return self.refuse(layer, path, value, Refusal::Locked(lock));
        }
        let whole = self.catalogue.replaces_whole(path);
        match (path.find(&self.settings), value) {
            (None | Some(Value::Object(_)), Value::Object(entries)) if !whole && !entries.is_empty() => {
                for (key, entry) in entries {
                    self.put(layer, &path.key(key), entry);
                }
            }
            // An empty object adds nothing to one that is there, and takes nothing away.
            (Some(Value::Object(_)), Value::Object(_)) if !whole => {}
            (Some(Value::Array(_)), Value::Array(entries)) if !whole => self.join(layer, path, entries),
            (standing, _) => {
                let harmless = standing.is_none() && value.as_object().is_some_and(Map::is_empty);
                let beneath = self.lock_beneath(layer, path).filter(|_| !harmless);
                if let Some(lock) = beneath {
                    self.refuse(layer, path, value, Refusal::Locked(lock));
                } else if self.displaces_a_deny_list(path, value) {
                    self.refuse(layer, path, value, Refusal::OnlyGrows);
                } else {
                    self.set(layer, path, value);
                }
            }
        }
    }

    /// A stronger layer's lock on a path or above it.
    fn lock_over(&self, layer: &LayerId, path: &Path) -> Option<Lock> {
        let lock = path
            .and_above()
            .find_map(|at| self.locks.get_key_value(&at).filter(|(_, by)| by.outranks(layer)));
        lock.map(|(path, by)| Lock { path: path.clone(), by: by.clone() })
    }

    /// A stronger layer's lock on a path or beneath it.
    fn lock_beneath(&self, layer: &LayerId, path: &Path) -> Option<Lock> {
        let mut beneath = self.locks.range(path..).take_while(|(lock, _)| path.covers(lock));
        let (path, by) = beneath.find(|(_, by)| by.outranks(layer))?;
        Some(Lock { path: path.clone(), by: by.clone() })
    }

    /// Whether a value is no list where a deny-list belongs, or no object above one.
    ///
    /// It is refused even if no list is there yet: otherwise it would depend on weaker layers whether it counts.
    fn displaces_a_deny_list(&self, path: &Path, value: &Value) -> bool {
        if self.catalogue.only_grows(path) {
            return !value.is_array();
        }
        !value.is_object() && self.catalogue.beneath(path).any(|key| key.grows)
    }

    fn join(&mut self, layer: &LayerId, path: &Path, entries: &[Value]) {
        let Some(Value::Array(list)) = find_mut(&mut self.settings, path) else { return };
        let mut present: HashSet<String> = list.iter().map(canonical_value).collect();
        let added: Vec<Value> =
            entries.iter().filter(|entry| present.insert(canonical_value(entry))).cloned().collect();
        list.extend(added.iter().cloned());
        self.record(layer, path, Act::Joined(added));
    }

    fn set(&mut self, layer: &LayerId, path: &Path, value: &Value) {
        self.retire(layer, path, self.is_leaf(path, value));
        insert(&mut self.settings, path, value);
        self.record_leaves(layer, path, value);
    }

    /// Whether a value is decided as one.
    fn is_leaf(&self, path: &Path, value: &Value) -> bool {
        value.as_object().is_none_or(Map::is_empty) || self.catalogue.replaces_whole(path)
    }

    /// Notes that what stands beneath a path, or as an empty object above it, makes room; and what stands at it, unless
    /// a new leaf comes there.
    fn retire(&mut self, layer: &LayerId, path: &Path, by_leaf: bool) {
        let beneath = self.leaves.range(path..).take_while(|(leaf, _)| path.covers(leaf));
        let beneath = beneath.map(|(leaf, _)| leaf.clone()).filter(|leaf| !by_leaf || leaf != path);
        let displaced: Vec<Path> = beneath.chain(path.and_above().skip(1)).collect();
        for leaf in displaced {
            if self.leaves.get(&leaf).is_some_and(|events| stands(events)) {
                self.record(layer, &leaf, Act::Removed);
            }
        }
    }

    fn record_leaves(&mut self, layer: &LayerId, path: &Path, value: &Value) {
        match value {
            Value::Object(entries) if !self.is_leaf(path, value) => {
                for (key, entry) in entries {
                    self.record_leaves(layer, &path.key(key), entry);
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => self.record(layer, path, Act::Set(value.clone())),
        }
    }

    fn refuse(&mut self, layer: &LayerId, path: &Path, value: &Value, why: Refusal) {
        self.record(layer, path, Act::Refused { value: value.clone(), why });
    }

    fn record(&mut self, layer: &LayerId, path: &Path, act: Act) {
        self.leaves.entry(path.clone()).or_default().push(Event { layer: layer.clone(), act });
    }
}

fn find_mut<'a>(root: &'a mut Map<String, Value>, path: &Path) -> Option<&'a mut Value> {
    let (first, rest) = path.steps().split_first()?;
    let Step::Key(key) = first else { return None };
    rest.iter().try_fold(root.get_mut(key)?, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    })
}

/// Puts a value at a path of keys, with objects on the way.
fn insert(root: &mut Map<String, Value>, path: &Path, value: &Value) {
    let mut at = root;
    let Some((last, way)) = path.steps().split_last() else { return };
    for step in way {
        let Step::Key(key) = step else { return };
        let next = at.entry(key.as_str()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(next) = next else { return };
        at = next;
    }
    if let Step::Key(key) = last {
        at.insert(key.clone(), value.clone());
    }
}

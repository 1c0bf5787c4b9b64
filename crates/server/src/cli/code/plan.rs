//! In what the files and the server differ.

use std::collections::BTreeMap;

use gatehouse_domain::ownership::Noun;
use gatehouse_domain::settings::{Document, diff};
use serde_json::{Map, Value, json};

use super::super::table::{Align, Table};
use super::files::Files;
use super::shape::{Key, Objects, digest, spoken};

/// Longest value in a table, in characters.
const MAX_SHOWN: usize = 60;

/// What has to be done about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Make it.
    Add,
    /// Write it anew.
    Change,
    /// Remove it; a person is disabled.
    Remove,
    /// Let go of it: it cannot be removed.
    Release,
}

/// A difference.
pub(super) struct Difference {
    /// What has to be done about it.
    pub(super) act: Act,
    /// Which object.
    pub(super) key: Key,
    /// Whether somebody changed it by hand since it was applied.
    pub(super) by_hand: bool,
    /// As the server has it; empty if it does not.
    pub(super) has: Value,
    /// As the files have it; empty if they do not.
    pub(super) wanted: Value,
}

/// All differences, in the order in which they can be done away with.
pub(super) struct Plan {
    /// The differences.
    pub(super) differences: Vec<Difference>,
    /// What only the server has and nobody applied; it is left alone.
    pub(super) others: Vec<Key>,
    /// What is marked as owned, and neither the server nor the files have it (or a person is disabled already).
    pub(super) stale: Vec<Key>,
}

/// Compares files and server. Nouns of which the files do not speak are left alone.
pub(super) fn compare(files: &Files, has: &Objects, owned: &BTreeMap<Key, String>) -> Plan {
    let nothing = Value::Object(Map::new());
    let by_hand =
        |key: &Key| owned.get(key).is_some_and(|was| has.get(key).map(digest).as_ref() != Some(was));
    let difference = |act, key: &Key| Difference {
        act,
        key: key.clone(),
        by_hand: by_hand(key),
        has: has.get(key).unwrap_or(&nothing).clone(),
        wanted: files.objects.get(key).unwrap_or(&nothing).clone(),
    };
    let mut differences = Vec::new();
    for (key, wanted) in &files.objects {
        match has.get(key) {
            None => differences.push(difference(Act::Add, key)),
            Some(now) if now != wanted => differences.push(difference(Act::Change, key)),
            Some(_) => {}
        }
    }
    let mut stale = Vec::new();
    // What speaks of others goes before them.
    for key in
        owned.keys().rev().filter(|key| files.nouns.contains(&key.0) && !files.objects.contains_key(key))
    {
        match (has.get(key), key.0) {
            (None, _) => stale.push(key.clone()),
            (Some(now), Noun::User) if now["state"] == "disabled" => stale.push(key.clone()),
            (Some(_), Noun::Project) => differences.push(difference(Act::Release, key)),
            (Some(_), _) => differences.push(difference(Act::Remove, key)),
        }
    }
    let is_other = |key: &&Key| {
        files.nouns.contains(&key.0) && !files.objects.contains_key(*key) && !owned.contains_key(*key)
    };
    Plan { differences, others: has.keys().filter(is_other).cloned().collect(), stale }
}

impl Difference {
    /// Whether it is done away with only on request.
    pub(super) const fn is_pruning(&self) -> bool {
        matches!(self.act, Act::Remove | Act::Release)
    }

    /// What kind of difference it is, in a word.
    pub(super) const fn kind(&self) -> &'static str {
        match self.act {
            Act::Add | Act::Change if self.by_hand => "drift",
            Act::Add => "add",
            Act::Change => "change",
            Act::Remove => "remove",
            Act::Release => "release",
        }
    }

    /// The object's noun and name, for people.
    pub(super) fn title(&self) -> String {
        title(&self.key)
    }

    /// For programs.
    pub(super) fn shown(&self) -> Value {
        let fields: Vec<Value> = self
            .fields()
            .map(|(name, has, wanted)| json!({"field": name, "server": has, "files": wanted}))
            .collect();
        let (noun, name) = &self.key;
        json!({"kind": self.kind(), "noun": noun.as_str(), "name": name, "by_hand": self.by_hand, "fields": fields})
    }

    fn fields(&self) -> impl Iterator<Item = (&String, &Value, &Value)> {
        let mut names: Vec<&String> =
            self.has.as_object().into_iter().flatten().map(|(name, _)| name).collect();
        names.extend(self.wanted.as_object().into_iter().flatten().map(|(name, _)| name));
        names.sort_unstable();
        names.dedup();
        let both =
            names.into_iter().map(|name| (name, &self.has[name.as_str()], &self.wanted[name.as_str()]));
        both.filter(|(_, has, wanted)| has != wanted)
    }

    /// What is different in a settings profile: paths rather than whole documents.
    fn settings(&self) -> impl Iterator<Item = String> {
        let document = |value: &Value| Document::from_value(value["settings"].clone()).unwrap_or_default();
        let paths: Vec<String> = diff(&document(&self.has), &document(&self.wanted))
            .iter()
            .map(|one| one.path.to_string())
            .collect();
        let others = self.fields().filter(|(name, _, _)| *name != "settings");
        let others: Vec<String> = others
            .map(|(name, has, wanted)| format!("{name}: {} -> {}", short(has), short(wanted)))
            .collect();
        let keys = (!paths.is_empty()).then(|| format!("settings: {}", short(&Value::from(paths))));
        others.into_iter().chain(keys)
    }

    fn detail(&self) -> String {
        let why = match self.act {
            Act::Add if self.by_hand => Some("removed by hand since it was applied"),
            Act::Change if self.by_hand => Some("changed by hand since it was applied"),
            Act::Add | Act::Change => None,
            Act::Remove if self.key.0 == Noun::User => Some("not in the files any more: to be disabled"),
            Act::Remove if self.key.0 == Noun::SettingsProfile => {
                Some("not in the files any more: to be taken from clients")
            }
            Act::Remove => Some("not in the files any more"),
            Act::Release => Some("not in the files any more; it cannot be removed and stays"),
        };
        let mut parts: Vec<String> = why.map(str::to_owned).into_iter().collect();
        if !self.is_pruning() && self.key.0 == Noun::SettingsProfile {
            parts.push("goes to review, unless it was approved already".to_owned());
            parts.extend(self.settings());
        } else if !self.is_pruning() {
            parts.extend(self.fields().map(|(name, has, wanted)| match self.act {
                Act::Add => format!("{name}: {}", short(wanted)),
                Act::Change | Act::Remove | Act::Release => {
                    format!("{name}: {} -> {}", short(has), short(wanted))
                }
            }));
        }
        parts.join("; ")
    }
}

/// An object's noun and name, for people.
pub(super) fn title((noun, name): &Key) -> String {
    format!("{} {name}", spoken(*noun))
}

/// Differences as a table.
pub(super) fn table<'a>(differences: impl IntoIterator<Item = &'a Difference>) -> Table {
    let columns = ["KIND", "NOUN", "NAME", "DETAIL"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for one in differences {
        let cells = [one.kind().to_owned(), spoken(one.key.0).to_owned(), one.key.1.clone(), one.detail()];
        table.row(cells);
    }
    table
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.contains('\n') => {
            let lines = text.lines().count();
            format!("{lines} line{}", if lines == 1 { "" } else { "s" })
        }
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    };
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

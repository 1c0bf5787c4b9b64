//! Reads a folder of files. Whatever is not understood is a mistake, told with file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use gatehouse_domain::ownership::Noun;
use serde_json::{Value, json};

use super::super::Failure;
use super::profile;
use super::shape::{
    Field, Key, Kind, Objects, POLICIES, POLICY_ENDING, SETTINGS, SETTINGS_ENDING, SHAPES, Shape,
    is_policy_name, name_of, object, policy,
};
use crate::config::Mistake;
use crate::config::tree::{self, Node, Value as Written};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// Most files of a folder.
const MAX_FILES: usize = 10_000;
/// Most mistakes that are told at once.
const MAX_TOLD: usize = 50;

/// What a folder says.
#[derive(Default)]
pub(super) struct Files {
    /// The objects it describes.
    pub(super) objects: Objects,
    /// The nouns of which it speaks: those whose file is there, be it empty.
    pub(super) nouns: BTreeSet<Noun>,
    mistakes: Vec<String>,
}

/// Reads a folder.
pub(super) fn read(folder: &Path) -> Result<Files, Failure> {
    let mut files = Files::default();
    for name in names_in(folder)? {
        let path = folder.join(&name);
        if let Some(shape) = SHAPES.iter().find(|shape| shape.file == name) {
            files.nouns.insert(shape.noun);
            files.list(shape, &path.display().to_string(), &text_of(&path)?);
        } else if name == POLICIES && path.is_dir() {
            files.nouns.insert(Noun::AccessPolicy);
            files.policies(&path)?;
        } else if name == SETTINGS && path.is_dir() {
            files.nouns.insert(Noun::SettingsProfile);
            files.settings(&path)?;
        } else {
            files.mistakes.push(format!("{}: unknown; expected {}", path.display(), expected()));
        }
    }
    if files.nouns.is_empty() && files.mistakes.is_empty() {
        return Err(Failure::Usage(format!(
            "there is nothing to read in `{}`; expected {}. `gatehouse export -o DIR` writes them",
            folder.display(),
            expected()
        )));
    }
    let count = files.mistakes.len();
    if count == 0 {
        return Ok(files);
    }
    files.mistakes.truncate(MAX_TOLD);
    let more = if count > MAX_TOLD { format!("\n… and {} more", count - MAX_TOLD) } else { String::new() };
    Err(Failure::Usage(format!("the files have mistakes:\n{}{more}", files.mistakes.join("\n"))))
}

/// What a folder may hold.
fn expected() -> String {
    let lists: Vec<&str> = SHAPES.iter().map(|shape| shape.file).collect();
    format!("{}, {POLICIES}/NAME{POLICY_ENDING}, {SETTINGS}/NAME{SETTINGS_ENDING}", lists.join(", "))
}

/// The sorted names in a folder. Those that begin with a dot belong to other programs.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>, Failure> {
    let failed =
        |error: std::io::Error| Failure::Usage(format!("cannot read `{}`: {error}", folder.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
        if names.len() > MAX_FILES {
            let told = format!("there are more than {MAX_FILES} files in `{}`", folder.display());
            return Err(Failure::Usage(told));
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let failed =
        |why: &dyn std::fmt::Display| Failure::Usage(format!("cannot read `{}`: {why}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if text.len() as u64 > MAX_FILE {
        return Err(failed(&format!("it is longer than {MAX_FILE} bytes")));
    }
    Ok(text)
}

impl Files {
    /// Takes over the server's spelling of teams, projects and profiles, whose names are the same in whatever case.
    pub(super) fn spelled_as(mut self, has: &Objects) -> Self {
        let known: BTreeMap<Key, &String> = has
            .keys()
            .filter(|(noun, _)| matches!(noun, Noun::Team | Noun::Project | Noun::SettingsProfile))
            .map(|(noun, name)| ((*noun, name.to_lowercase()), name))
            .collect();
        let spelled = |noun, name: &str| {
            known.get(&(noun, name.to_lowercase())).map_or_else(|| name.to_owned(), |name| (*name).clone())
        };
        let renamed = std::mem::take(&mut self.objects).into_iter().map(|((noun, name), mut object)| {
            if let (Noun::User, Some(Value::Array(teams))) = (noun, object.get_mut("teams")) {
                let mut names: Vec<String> =
                    teams.iter().filter_map(Value::as_str).map(|name| spelled(Noun::Team, name)).collect();
                names.sort_unstable();
                names.dedup();
                *teams = names.into_iter().map(Value::String).collect();
            }
            if let (Noun::GroupMapping, Some(Value::String(team))) = (noun, object.get_mut("team")) {
                *team = spelled(Noun::Team, team);
            }
            if noun == Noun::SettingsProfile {
                for (kind, of) in [("team", Noun::Team), ("project", Noun::Project)] {
                    if let Some(Value::String(name)) = object["target"].get_mut(kind) {
                        *name = spelled(of, name);
                    }
                }
            }
            let audience = object.get_mut(super::audience::MEMBER);
            if let Some(Value::Array(teams)) = audience.and_then(|audience| audience.get_mut("teams")) {
                let mut names: Vec<String> =
                    teams.iter().filter_map(Value::as_str).map(|name| spelled(Noun::Team, name)).collect();
                names.sort_unstable();
                *teams = names.into_iter().map(Value::String).collect();
            }
            ((noun, spelled(noun, &name)), object)
        });
        self.objects = renamed.collect();
        self
    }

    fn policies(&mut self, folder: &Path) -> Result<(), Failure> {
        for file in names_in(folder)? {
            let path = folder.join(&file);
            match file.strip_suffix(POLICY_ENDING).filter(|name| is_policy_name(name)) {
                Some(name) => {
                    self.objects.insert((Noun::AccessPolicy, name.to_owned()), policy(&text_of(&path)?));
                }
                None => self.mistakes.push(format!(
                    "{}: expected NAME{POLICY_ENDING}, with 1 to 64 of a-z, 0-9 and `-` as NAME",
                    path.display()
                )),
            }
        }
        Ok(())
    }

    fn settings(&mut self, folder: &Path) -> Result<(), Failure> {
        let mut seen = BTreeSet::new();
        for file in names_in(folder)? {
            let path = folder.join(&file);
            if !file.ends_with(SETTINGS_ENDING) {
                self.mistakes.push(format!("{}: expected NAME{SETTINGS_ENDING}", path.display()));
                continue;
            }
            match profile::read(&text_of(&path)?) {
                Ok((name, _)) if !seen.insert(name.to_lowercase()) => {
                    self.mistakes.push(format!("{}: a second settings profile `{name}`", path.display()));
                }
                Ok((name, object)) => {
                    self.objects.insert((Noun::SettingsProfile, name), object);
                }
                Err(why) => self.mistakes.push(format!("{}: {why}", path.display())),
            }
        }
        Ok(())
    }

    fn list(&mut self, shape: &Shape, file: &str, text: &str) {
        let mut unreadable = Vec::new();
        let root = tree::parse(file, text, &mut unreadable);
        self.mistakes.extend(unreadable.iter().map(Mistake::to_string));
        for (key, node) in root.value.members().into_iter().flatten() {
            match node.value.items() {
                Some(items) if key == shape.table => {
                    for item in items {
                        self.entry(shape, item);
                    }
                }
                _ => self.wrong(node, &format!("unknown `{key}`; expected [[{}]]", shape.table)),
            }
        }
    }

    fn entry(&mut self, shape: &Shape, item: &Node) {
        let Some(members) = item.value.members() else {
            return self.wrong(item, &format!("expected [[{}]] with members", shape.table));
        };
        let known = |name: &str| name == shape.id || shape.fields.iter().any(|field| field.name == name);
        for (name, node) in members.iter().filter(|(name, _)| !known(name)) {
            let names: Vec<&str> =
                std::iter::once(shape.id).chain(shape.fields.iter().map(|field| field.name)).collect();
            self.wrong(node, &format!("unknown key `{name}`; a {} has {}", shape.table, names.join(", ")));
        }
        let mut values = serde_json::Map::new();
        for field in shape.fields {
            let Some(node) = members.get(field.name) else { continue };
            match value_of(field, node) {
                Ok(value) => {
                    values.insert(field.name.to_owned(), value);
                }
                Err((node, expected)) => self.wrong(node, &format!("{}: expected {expected}", field.name)),
            }
        }
        let name =
            members.get(shape.id).and_then(|node| node.value.text()).map(|text| name_of(shape.noun, text));
        match name.filter(|name| !name.is_empty()) {
            None => self.wrong(item, &format!("a {} without `{}`", shape.table, shape.id)),
            Some(name) => {
                let object = object(shape, |field| values.get(field).cloned().unwrap_or_default());
                if self.objects.insert((shape.noun, name.clone()), object).is_some() {
                    self.wrong(item, &format!("a second {} `{name}`", shape.table));
                }
            }
        }
    }

    fn wrong(&mut self, node: &Node, what: &str) {
        self.mistakes.push(format!("{}: {what}", node.origin));
    }
}

fn value_of<'n>(field: &Field, node: &'n Node) -> Result<Value, (&'n Node, &'static str)> {
    match field.kind {
        Kind::Text => node.value.text().map(|text| json!(text)).ok_or((node, "a text")),
        Kind::State => match node.value.text() {
            Some(state @ ("active" | "disabled")) => Ok(json!(state)),
            _ => Err((node, "\"active\" or \"disabled\"")),
        },
        Kind::Words => {
            let items = node.value.items().ok_or((node, "a list of texts"))?;
            let word = |item: &'n Node| match &item.value {
                Written::Text(text) => Ok(json!(text)),
                Written::Number(_)
                | Written::Boolean(_)
                | Written::List(_)
                | Written::Section(_)
                | Written::Other(_) => Err((item, "a list of texts")),
            };
            items.iter().map(word).collect()
        }
    }
}

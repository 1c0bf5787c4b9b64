//! Writes a folder of files: the same objects give the same bytes.

use std::path::{Path, PathBuf};

use gatehouse_domain::ownership::Noun;
use serde_json::Value;

use super::super::Failure;
use super::super::table::printable;
use super::files::names_in;
use super::profile;
use super::shape::{
    Objects, POLICIES, POLICY_ENDING, SETTINGS, SETTINGS_ENDING, SHAPES, Shape, is_policy_name,
};

/// Writes objects to a folder and gives the files written. A file that would contradict them is not touched, and nothing
/// is written while there is one.
pub(super) fn write(folder: &Path, objects: &Objects) -> Result<Vec<PathBuf>, Failure> {
    let mut files: Vec<(PathBuf, String)> =
        SHAPES.iter().map(|shape| (folder.join(shape.file), list(shape, objects))).collect();
    let policies = folder.join(POLICIES);
    for ((_, name), object) in objects.iter().filter(|((noun, _), _)| *noun == Noun::AccessPolicy) {
        // The server names the file, so one that leads elsewhere is refused.
        if !is_policy_name(name) {
            return Err(Failure::Failed(format!("the server named a policy `{}`", printable(name))));
        }
        let text = object["text"].as_str().unwrap_or_default().to_owned();
        files.push((policies.join(format!("{name}{POLICY_ENDING}")), text));
    }
    let settings = folder.join(SETTINGS);
    for ((_, name), object) in objects.iter().filter(|((noun, _), _)| *noun == Noun::SettingsProfile) {
        let path = settings.join(format!("{}{SETTINGS_ENDING}", profile::file_name(name)));
        files.push((path, profile::file(name, object)));
    }
    for folder in [folder, &policies, &settings] {
        make(folder)?;
    }
    for folder in [folder, &policies, &settings] {
        for name in names_in(folder)? {
            let path = folder.join(name);
            if path != policies && path != settings && files.iter().all(|(file, _)| *file != path) {
                return Err(Failure::Usage(format!(
                    "`{}` is in the way: the server has nothing that belongs there. Move it away or choose another folder",
                    path.display()
                )));
            }
        }
    }
    for (path, text) in &files {
        std::fs::write(path, text).map_err(|error| failed(path, &error))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn make(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot write `{}`: {error}", path.display()))
}

fn list(shape: &Shape, objects: &Objects) -> String {
    let mut text = String::new();
    for ((_, name), object) in objects.iter().filter(|((noun, _), _)| *noun == shape.noun) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.extend(["[[", shape.table, "]]\n", shape.id, " = ", &quoted(name), "\n"]);
        for (field, value) in object.as_object().into_iter().flatten() {
            text.extend([field, " = ", &literal(value), "\n"]);
        }
    }
    text
}

fn literal(value: &Value) -> String {
    match value.as_array() {
        None => quoted(value.as_str().unwrap_or_default()),
        Some(items) => {
            let items: Vec<String> = items.iter().filter_map(Value::as_str).map(quoted).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

/// A text between quotation marks, as TOML has it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(["\\u", &format!("{:04X}", u32::from(c))]),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

//! Models: whether they are known, and whether the document lets them through.

use serde_json::Value;

use super::{Code, Findings, Lint, ModelState, at, path_of, texts_at};
use crate::settings::document::Document;
use crate::settings::path::Path;

/// Keys that name one model.
const SINGLE: &[&str] = &["model", "advisorModel", "teammateDefaultModel"];
/// Keys that list models.
const LISTS: &[&str] = &["availableModels", "deniedModels", "fallbackModel"];

pub(super) fn check(document: &Document, by: &Lint<'_>, found: &mut Findings) {
    for (path, name) in named(document, by) {
        check_known(&path, &name, by, found);
    }
    check_allowed(document, found);
    let has_list = at(document, "availableModels").is_some_and(Value::is_array);
    let enforced = at(document, "enforceAvailableModels") == Some(&Value::Bool(true));
    if has_list && !enforced {
        found.plain(Code::ModelsNotEnforced, &path_of("availableModels"));
    }
    if enforced && texts_at(document, &path_of("availableModels")).is_empty() {
        found.about(Code::NeedsOther, &path_of("enforceAvailableModels"), "", "availableModels");
    }
}

/// Every model that the document names, with its place.
fn named(document: &Document, by: &Lint<'_>) -> Vec<(Path, String)> {
    let mut names = Vec::new();
    for key in SINGLE {
        if let Some(Value::String(name)) = at(document, key) {
            names.push((path_of(key), name.clone()));
        }
    }
    for key in LISTS {
        let path = path_of(key);
        names.extend(
            texts_at(document, &path).into_iter().map(|(index, name)| (path.index(index), name.to_owned())),
        );
    }
    if let Some(Value::Object(overrides)) = at(document, "modelOverrides") {
        names.extend(overrides.keys().map(|name| (path_of("modelOverrides").key(name), name.clone())));
    }
    if let Some(Value::Object(variables)) = at(document, "env") {
        let models = variables.iter().filter(|(name, _)| by.catalogue.env().is_model(name));
        names.extend(
            models.filter_map(|(name, value)| Some((path_of("env").key(name), value.as_str()?.to_owned()))),
        );
    }
    names.retain(|(_, name)| !name.is_empty());
    names
}

fn check_known(path: &Path, name: &str, by: &Lint<'_>, found: &mut Findings) {
    let bare = name.strip_suffix("[1m]").unwrap_or(name);
    if by.catalogue.is_model_alias(name) {
        return;
    }
    match (by.models)(bare) {
        ModelState::Served => {}
        ModelState::Retired => found.about(Code::RetiredModel, path, name, ""),
        ModelState::Unknown => found.about(Code::UnknownModel, path, name, ""),
    }
}

/// Models that the document itself shuts out.
fn check_allowed(document: &Document, found: &mut Findings) {
    let denied = texts_at(document, &path_of("deniedModels"));
    let available = texts_at(document, &path_of("availableModels"));
    let mut chosen = Vec::new();
    if let Some(Value::String(name)) = at(document, "model") {
        chosen.push((path_of("model"), name.as_str()));
    }
    let fallbacks = path_of("fallbackModel");
    chosen.extend(
        texts_at(document, &fallbacks).into_iter().map(|(index, name)| (fallbacks.index(index), name)),
    );
    for (path, name) in &chosen {
        if !available.is_empty() && !available.iter().any(|(_, entry)| may_be_same(entry, name)) {
            found.about(Code::ModelNotAllowed, path, name, "availableModels");
        }
    }
    let path = path_of("availableModels");
    chosen.extend(available.iter().map(|(index, name)| (path.index(*index), *name)));
    for (path, name) in chosen {
        if denied.iter().any(|(_, entry)| *entry == name) {
            found.about(Code::ModelNotAllowed, &path, name, "deniedModels");
        }
    }
}

/// Whether two names can stand for one model: an alias is part of the identifiers it may stand for.
fn may_be_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.strip_suffix("[1m]").unwrap_or(one), other.strip_suffix("[1m]").unwrap_or(other));
    one.contains(other) || other.contains(one) || matches!(other, "default" | "best" | "opusplan" | "inherit")
}

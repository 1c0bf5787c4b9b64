//! Environment variables.

use serde_json::Value;

use super::{Channel, Code, Findings, Lint, at, path_of};
use crate::settings::catalogue::EnvValues;
use crate::settings::document::{Document, type_of};
use crate::settings::path::Path;

pub(super) fn check(document: &Document, by: &Lint<'_>, found: &mut Findings) {
    let Some(Value::Object(variables)) = at(document, "env") else { return };
    let env = by.catalogue.env();
    for (name, value) in variables {
        let path = path_of("env").key(name);
        check_name(name, &path, env.redirects(name), found);
        let Value::String(value) = value else {
            found.about(Code::WrongType, &path, type_of(value), "a text, such as `\"1\"`");
            continue;
        };
        check_value(env.values(name), value, &path, found);
        // An empty variable takes a setting away: there is nothing to steal, and nowhere to go.
        if value.is_empty() {
            continue;
        }
        if env.is_secret(name) {
            found.plain(Code::SecretVariable, &path);
        }
        if env.redirects(name) {
            let to_us = name.starts_with("OTEL_EXPORTER_OTLP") && by.channel == Channel::Gateway;
            found.plain(if to_us { Code::TelemetryEndpoint } else { Code::Redirect }, &path);
        }
        if env.exports_content(name) && value != "0" {
            found.plain(Code::ContentExported, &path);
        }
        if env.runs(name) {
            found.plain(Code::TwoPeople, &path);
        }
        if by.channel == Channel::Gateway && !env.is_quiet(name) {
            found.plain(Code::ApprovalDialog, &path);
        }
    }
}

fn check_name(name: &str, path: &Path, is_known: bool, found: &mut Findings) {
    let form_ok = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !form_ok {
        found.plain(Code::BadVariable, path);
    } else if !is_known && name.bytes().any(|b| b.is_ascii_lowercase()) {
        // `https_proxy` and its kin are known and read in small letters.
        found.plain(Code::LowercaseVariable, path);
    }
}

fn check_value(values: EnvValues<'_>, value: &str, path: &Path, found: &mut Findings) {
    let expected = match values {
        EnvValues::Any => return,
        EnvValues::Switch if matches!(value, "" | "0" | "1" | "true" | "false") => return,
        EnvValues::Switch => String::from("`0`, `1`"),
        EnvValues::OneOf(values) if values.iter().any(|known| known == value) => return,
        EnvValues::OneOf(values) => {
            values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
        }
    };
    found.about(Code::OddVariableValue, path, value, &expected);
}

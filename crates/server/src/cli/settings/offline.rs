//! What needs no server: check a file, and help for keys.

use std::path::Path;

use gatehouse_domain::price::PriceTable;
use gatehouse_domain::settings::catalogue::{Key, Origin, Remote, Scope};
use gatehouse_domain::settings::lint::{Channel, Language, ModelState, Severity};
use gatehouse_domain::settings::{Catalogue, Lint, lint};
use serde_json::{Value, json};

use super::super::language::Language as Wished;
use super::super::table::{Align, Table};
use super::super::{Failure, Out};
use crate::clock;
use crate::environment::Environment;

/// Exit code for a file with errors.
const WRONG: u8 = 1;

/// `settings lint`.
pub(super) fn check(
    file: &Path,
    machine: bool,
    catalogue: &Catalogue,
    language: &Wished,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    let language = language.wished(environment);
    let document = super::read_document(file)?;
    let (prices, now) = (PriceTable::builtin(), clock::now());
    let models = |name: &str| match prices.find(name) {
        None => ModelState::Unknown,
        Some(known) if prices.models(now).any(|served| served == known) => ModelState::Served,
        Some(_) => ModelState::Retired,
    };
    let channel = if machine { Channel::Machine } else { Channel::Gateway };
    let found = lint(&document, &Lint { catalogue, channel, models: &models, oldest_client: None });
    let mut table = Table::new(&[("SEVERITY", Align::Left), ("FINDING", Align::Left)]);
    let mut items = Vec::new();
    for finding in &found {
        let severity = json!(finding.severity).as_str().unwrap_or_default().to_owned();
        let message = finding.sentence(language);
        items.push(json!({
            "severity": severity, "code": finding.code, "path": finding.path, "message": message,
        }));
        table.row([severity, message]);
    }
    out.list(&items, &table, "Nothing was found.")?;
    Ok(if found.iter().any(|finding| finding.severity == Severity::Error) { WRONG } else { 0 })
}

/// `settings catalogue`.
pub(super) fn catalogue(
    wanted: Option<&str>,
    catalogue: &Catalogue,
    language: &Wished,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    let language = language.wished(environment);
    let is_wanted = |key: &&Key| {
        let path = key.path.to_string();
        wanted.is_none_or(|wanted| path == wanted || path.starts_with(&format!("{wanted}.")))
    };
    let keys: Vec<&Key> = catalogue.keys().filter(is_wanted).collect();
    let Some(wanted) = wanted else {
        let mut table = Table::new(&[("KEY", Align::Left), ("TAKES", Align::Left), ("HELP", Align::Left)]);
        for key in &keys {
            table.row([key.path.to_string(), key.kind.to_string(), help(key, language)]);
        }
        let items: Vec<Value> = keys.iter().map(|key| item(key)).collect();
        out.list(&items, &table, "")?;
        return Ok(0);
    };
    if keys.is_empty() {
        return Err(Failure::Failed(format!(
            "`{wanted}` is no known key; `gatehouse settings catalogue` lists them all"
        )));
    }
    let mut table = Table::new(&[("KEY", Align::Left), ("WHAT", Align::Left), ("VALUE", Align::Left)]);
    for key in &keys {
        for (what, value) in facts(key, language) {
            table.row([key.path.to_string(), what.to_owned(), value]);
        }
    }
    let items: Vec<Value> = keys.iter().map(|key| item(key)).collect();
    out.list(&items, &table, "")?;
    Ok(0)
}

fn help(key: &Key, language: Language) -> String {
    match language {
        Language::English => key.help.en.clone(),
        Language::SimplifiedChinese => key.help.zh_cn.clone(),
        Language::TraditionalChinese => key.help.zh_tw.clone(),
    }
}

fn facts(key: &Key, language: Language) -> Vec<(&'static str, String)> {
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut facts = vec![("help", help(key, language)), ("takes", key.kind.to_string())];
    facts.push(("layers", text(json!(key.merge))));
    let flags = [
        (key.scope == Scope::Managed, "scope", "administrators only"),
        (key.grows, "grows", "later layers may only add to it"),
        (key.asks, "asks", "raises the approval dialog when the gateway delivers it"),
        (key.runs, "runs", "makes programs run: two people must agree"),
        (key.origin == Origin::Schema, "known from", "an imported schema"),
        (key.remote == Remote::Ignored, "remote", "not read from the gateway"),
        (key.remote == Remote::Login, "remote", "must be on the machine before anybody signs in"),
    ];
    facts.extend(flags.iter().filter(|(is, _, _)| *is).map(|(_, what, text)| (*what, (*text).to_owned())));
    facts.extend(key.mistake.map(|mistake| ("if malformed", text(json!(mistake)))));
    facts.extend(key.since.map(|version| ("since", version.to_string())));
    facts.extend(key.instead.clone().map(|instead| ("replaced by", instead)));
    facts
}

fn item(key: &Key) -> Value {
    json!({
        "key": key.path, "kind": key.kind.to_string(), "managed": key.scope == Scope::Managed, "merge": key.merge,
        "grows": key.grows, "asks": key.asks, "runs": key.runs, "mistake": key.mistake, "remote": key.remote,
        "since": key.since, "instead": key.instead, "help": key.help, "origin": key.origin,
    })
}

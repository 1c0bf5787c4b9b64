//! `settings schema …`: keys that this program does not know.

use std::path::Path;

use gatehouse_domain::settings::document::MAX_BYTES;
use gatehouse_domain::settings::{Catalogue, Schema};
use serde_json::{Value, json};

use super::super::client::Client;
use super::super::output::{field, number, warn};
use super::super::table::{Align, Table};
use super::super::{Failure, Out};
use super::read_file;
use super::words::SchemaCommand;

const SCHEMAS: &str = "/api/v1/settings/schemas";

/// The catalogue of this program, with the keys of a schema if one is given.
pub(super) fn offline(file: Option<&Path>) -> Result<Catalogue, Failure> {
    let builtin = Catalogue::builtin();
    let Some(file) = file else { return Ok(builtin) };
    let schema = Schema::parse(&read_file(file)?)
        .map_err(|why| Failure::Usage(format!("cannot use `{}`: {why}", file.display())))?;
    Ok(builtin.taught_by(&schema, None).0)
}

/// Runs `settings schema …`.
pub(super) fn run(command: &SchemaCommand, client: &Client, out: &mut Out) -> Result<(), Failure> {
    match command {
        SchemaCommand::Import { file, client: version, dry_run } => {
            let failed = |why: &dyn std::fmt::Display| {
                Failure::Usage(format!("cannot use `{}`: {why}", file.display()))
            };
            let bytes = read_file(file)?;
            if bytes.len() > MAX_BYTES {
                return Err(failed(&format!("it has more than {MAX_BYTES} bytes")));
            }
            let text = String::from_utf8(bytes).map_err(|error| failed(&error))?;
            let mut body = json!({"text": text, "dry_run": dry_run});
            if let Some(version) = version {
                body["client"] = json!(version);
            }
            imported(&client.post(SCHEMAS, &body)?, *dry_run, out)
        }
        SchemaCommand::List => {
            let schemas = client.list(SCHEMAS, &[], None)?;
            let columns =
                ["NUMBER", "KIND", "CLIENT", "BY", "AT", "DIGEST"].map(|title| (title, Align::Left));
            let mut table = Table::new(&columns);
            for schema in &schemas {
                let text = ["kind", "client", "by", "imported_at", "digest"].map(|key| field(schema, key));
                let [kind, version, by, at, digest] = text;
                table.row([number(schema, "number"), kind, version, by, at, digest]);
            }
            Ok(out.list(
                &schemas,
                &table,
                "No schema was imported: only what this release knows is known.",
            )?)
        }
        SchemaCommand::Show { number } => {
            let number = match number {
                Some(number) => u64::from(*number),
                None => client
                    .list(SCHEMAS, &[], Some(1))?
                    .first()
                    .and_then(|newest| newest["number"].as_u64())
                    .ok_or_else(|| Failure::Failed("no schema was imported".to_owned()))?,
            };
            let found = client.get(&format!("{SCHEMAS}/{number}"), &[])?;
            if out.wants_json() {
                return Ok(out.json(&found)?);
            }
            match found["text"].as_str() {
                Some(text) => Ok(out.line(text.trim_end())?),
                None => Ok(out.line(format!("Number {number} put all schemas before it out of force."))?),
            }
        }
        SchemaCommand::Reset => {
            let answer = client.post(&format!("{SCHEMAS}/reset"), &json!({}))?;
            Ok(out
                .done(&answer, "Imported schemas are out of force: only what this release knows is known.")?)
        }
    }
}

fn imported(answer: &Value, dry_run: bool, out: &mut Out) -> Result<(), Failure> {
    warn(answer);
    if out.wants_json() {
        return Ok(out.json(answer)?);
    }
    let titles =
        ["WHAT", "KEY", "TAKES", "LAYERS", "APPROVAL", "TWO PEOPLE"].map(|title| (title, Align::Left));
    let mut table = Table::new(&titles);
    let yes = |key: &Value, name: &str| if key[name] == true { "yes" } else { "no" }.to_owned();
    for (what, list) in [("new", &answer["added"]), ("changed", &answer["changed"])] {
        for key in list.as_array().into_iter().flatten() {
            let [name, kind, merge] = ["key", "kind", "merge"].map(|name| field(key, name));
            table.row([what.to_owned(), name, kind, merge, yes(key, "asks"), yes(key, "runs")]);
        }
    }
    out.table(&table, "The schema has no key that is not known already.")?;
    let missing = answer["missing"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_set = |key: &&Value| key["profiles"].as_array().is_some_and(|profiles| !profiles.is_empty());
    for key in missing.iter().filter(is_set) {
        let profiles: Vec<&str> =
            key["profiles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let told = format!(
            "warning: `{}` is set by {} and not in the schema; clients may ignore it",
            field(key, "key"),
            profiles.join(", ")
        );
        out.line(told)?;
    }
    let unset = missing.iter().filter(|key| !is_set(key)).count();
    if unset > 0 {
        out.line(format!("{unset} more known keys are not in the schema; no published profile sets them."))?;
    }
    let sentence = match answer["number"].as_u64() {
        Some(number) => format!("Imported as number {number}; in force on all nodes within seconds."),
        None if dry_run => "Nothing was done: this is what the import would bring.".to_owned(),
        None => "Nothing was done: it is the newest one already.".to_owned(),
    };
    Ok(out.line(sentence)?)
}

//! `settings`.

mod words;
mod show;
mod offline;
mod export;
mod audience;
mod schema;

use std::io::Read as _;
use std::path::Path;

use gatehouse_domain::settings::Document;
use gatehouse_domain::settings::document::MAX_BYTES;
use serde_json::{Value, json};

use super::client::{Client, connect, escaped};
use super::{Failure, Global, Out, output};
use crate::environment::Environment;

pub(crate) use export::bundle;
pub(crate) use words::{BundleCommand, SettingsCommand};

use words::{Step, Text};

const PROFILES: &str = "/api/v1/settings/profiles";

/// Runs `settings …`.
pub(crate) fn run(
    command: SettingsCommand,
    global: &Global,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    let client = || connect(global, environment);
    match command {
        SettingsCommand::Lint { file, machine, schema, language } => {
            let catalogue = schema::offline(schema.as_deref())?;
            return offline::check(&file, machine, &catalogue, &language, environment, out);
        }
        SettingsCommand::Catalogue { key, schema, language } => {
            let catalogue = schema::offline(schema.as_deref())?;
            return offline::catalogue(key.as_deref(), &catalogue, &language, environment, out);
        }
        SettingsCommand::List => show::profiles(&client()?, out)?,
        SettingsCommand::Show { profile, version: None } => show::profile(&profile, &client()?, out)?,
        SettingsCommand::Show { profile, version: Some(version) } => {
            show::version(&profile, version, &client()?, out)?;
        }
        SettingsCommand::New { name, target, text } => new(&name, &target, &text, &client()?, out)?,
        SettingsCommand::Edit { profile, text } => {
            show::written(&client()?.put(&path_of(&profile, "/draft"), &body_of(&text)?)?, out)?;
        }
        SettingsCommand::Submit(step) => take(&step, "submit", &client()?, out)?,
        SettingsCommand::Approve(step) => take(&step, "approve", &client()?, out)?,
        SettingsCommand::Return(step) => take(&step, "return", &client()?, out)?,
        SettingsCommand::Publish { step, at: None } => take(&step, "publish", &client()?, out)?,
        SettingsCommand::Publish { step, at: Some(at) } => audience::schedule(&step, &at, &client()?, out)?,
        SettingsCommand::Unschedule { profile } => audience::unschedule(&profile, &client()?, out)?,
        SettingsCommand::Audience(command) => audience::run(&command, &client()?, out)?,
        SettingsCommand::Schema(command) => schema::run(&command, &client()?, out)?,
        SettingsCommand::Retire(step) => take(&step, "retire", &client()?, out)?,
        SettingsCommand::Rollback { profile, version, note } => {
            let step = Step { profile, version: Some(version), note, checksum: None };
            take(&step, "rollback", &client()?, out)?;
        }
        SettingsCommand::Diff { profile, version, against, users } => {
            let client = client()?;
            let version = version.map_or_else(|| newest(&profile, &client), Ok)?;
            show::diff(&profile, version, against.as_deref(), users, &client, out)?;
        }
        SettingsCommand::Explain { user, key } => show::explain(&user, &key, &client()?, out)?,
        SettingsCommand::Effective { user } => show::effective(&user, &client()?, out)?,
        SettingsCommand::Receipts { state, profile, machines: false } => {
            show::receipts(state.as_deref(), profile.as_deref(), &client()?, out)?;
        }
        SettingsCommand::Receipts { state, profile, machines: true } => {
            show::machines(state.as_deref(), profile.as_deref(), &client()?, out)?;
        }
        SettingsCommand::Export(wanted) => export::run(&wanted, &client()?, out)?,
    }
    Ok(0)
}

fn new(name: &str, target: &str, text: &Text, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let mut body = body_of(text)?;
    body["name"] = json!(name);
    body["target"] = target_of(target)?;
    show::written(&client.post(PROFILES, &body)?, out)
}

fn path_of(profile: &str, rest: &str) -> String {
    format!("{PROFILES}/{}{rest}", escaped(profile))
}

fn newest(profile: &str, client: &Client) -> Result<u32, Failure> {
    number(&client.get(&path_of(profile, ""), &[])?, "newest")
        .ok_or_else(|| Failure::Failed("the server's answer names no version".to_owned()))
}

fn number(answer: &Value, key: &str) -> Option<u32> {
    u32::try_from(answer[key].as_u64()?).ok()
}

/// Takes a version a step further.
fn take(step: &Step, verb: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let profile = &step.profile;
    let version = match step.version {
        Some(version) => version,
        None => under_way(profile, verb, client)?,
    };
    let mut body = json!({});
    output::put(&mut body, "note", step.note.clone());
    output::put(&mut body, "checksum", step.checksum.clone());
    let answer = client.post(&path_of(profile, &format!("/versions/{version}/{verb}")), &body)?;
    let state = output::field(&answer, "state");
    let sentence = match state.as_str() {
        "review" => {
            let agreed = agreed(&answer);
            let needed = answer["approvals_needed"].as_u64().unwrap_or(1);
            format!(
                "Version {version} of {profile} is under review: {agreed} of {needed} approvals.\n\
                 Next: somebody who did not write it runs `gatehouse settings approve {profile} {version}`"
            )
        }
        "approved" => format!(
            "Version {version} of {profile} is approved.\nNext: gatehouse settings publish {profile} {version}"
        ),
        "published" => {
            format!("Version {version} of {profile} is published: clients get it when they next ask.")
        }
        "retired" => format!("Version {version} of {profile} is retired."),
        _ => format!("Version {version} of {profile} is a draft again."),
    };
    Ok(out.done(&answer, &sentence)?)
}

/// How many people agree since it was last submitted.
fn agreed(version: &Value) -> usize {
    let steps = version["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let submitted = steps.iter().rposition(|step| step["kind"] == "submitted").unwrap_or(0);
    steps[submitted..].iter().filter(|step| step["kind"] == "approved").count()
}

/// The version that a step is meant for if none is named.
fn under_way(profile: &str, verb: &str, client: &Client) -> Result<u32, Failure> {
    let found = client.get(&path_of(profile, ""), &[])?;
    let key = if verb == "retire" { "published" } else { "open" };
    number(&found, key).ok_or_else(|| {
        let what = if verb == "retire" { "is published" } else { "is under way" };
        Failure::Usage(format!(
            "no version of {profile} {what}; name one, as in `settings {verb} {profile} 1`"
        ))
    })
}

fn target_of(text: &str) -> Result<Value, Failure> {
    match text.split_once(':') {
        None if matches!(text, "organization" | "rollout") => Ok(json!(text)),
        Some((kind @ ("team" | "project" | "user"), name)) if !name.is_empty() => Ok(json!({ kind: name })),
        _ => Err(Failure::Usage(format!(
            "--for {text}: expected organization, team:NAME, project:NAME, rollout or user:ADDRESS"
        ))),
    }
}

fn body_of(text: &Text) -> Result<Value, Failure> {
    let document = read_document(&text.file)?;
    let mut body = json!({"settings": document});
    if !text.locks.is_empty() || text.no_locks {
        body["locks"] = json!(text.locks);
    }
    if let Some(priority) = text.priority {
        body["priority"] = json!(priority);
    }
    Ok(body)
}

/// Reads a settings document from a file, or from standard input if that is `-`.
fn read_document(path: &Path) -> Result<Document, Failure> {
    let failed =
        |why: &dyn std::fmt::Display| Failure::Usage(format!("cannot use `{}`: {why}", path.display()));
    Document::parse(&read_file(path)?).map_err(|error| failed(&error))
}

/// Reads a file, or standard input if it is `-`, up to one byte more than a document may have.
fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One byte more than is taken, so that too long a file is noticed.
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::Usage(format!("cannot use `{}`: {error}", path.display())))?;
    Ok(bytes)
}

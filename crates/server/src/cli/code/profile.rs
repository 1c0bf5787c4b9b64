//! Settings profiles in files: what is published. What is applied goes the way that every change of settings goes.

use gatehouse_domain::id::TeamId;
use gatehouse_domain::name::Email;
use gatehouse_domain::settings::{Content, Document, Path, Target};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::client::{Client, escaped};
use super::super::output::{field, warn};
use super::super::{Failure, table::printable};
use super::apply::Outcome;
use super::audience;
use super::shape::{normal, sorted};

/// Where the API has settings profiles.
pub(super) const PATH: &str = "/api/v1/settings/profiles";

/// A profile as a file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    name: String,
    target: TargetText,
    #[serde(default)]
    priority: u32,
    #[serde(default)]
    locks: Vec<String>,
    settings: Document,
    audience: Option<audience::Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum TargetText {
    Organization,
    Team(String),
    Project(String),
    Rollout,
    User(String),
}

/// Reads a file: the profile's name, and the profile in its one form.
pub(super) fn read(text: &str) -> Result<(String, Value), String> {
    let read: Text = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let target = match &read.target {
        TargetText::Organization => json!("organization"),
        TargetText::Rollout => json!("rollout"),
        TargetText::Team(name) => json!({"team": normal(name)}),
        TargetText::Project(name) => json!({"project": normal(name)}),
        TargetText::User(email) => {
            let email = Email::parse(email).map_err(|why| why.to_string())?;
            json!({"user": email.as_str()})
        }
    };
    if read.priority > 0 && !matches!(read.target, TargetText::Team(_)) {
        return Err("`priority`: only a team's profile has one".to_owned());
    }
    let name = normal(&read.name);
    if name.is_empty() {
        return Err("`name` is empty".to_owned());
    }
    let content = content(read.settings, &read.locks, read.priority)?;
    let mut object = object(&target, &content);
    match (read.audience, read.target) {
        (None, _) => {}
        (Some(text), TargetText::Rollout) => {
            if let Some(audience) = text.audience(crate::clock::now())? {
                object[audience::MEMBER] = audience;
            }
        }
        (Some(_), _) => return Err("`audience`: only a profile for `rollout` has one".to_owned()),
    }
    Ok((name, object))
}

/// What a version says, as the API has it.
pub(super) fn of_version(profile: &Value, version: &Value) -> Result<Value, Failure> {
    let failed = |why: String| {
        Failure::Failed(format!(
            "the server's settings profile `{}`: {why}",
            printable(&field(profile, "name"))
        ))
    };
    let kind = field(profile, "target");
    let target = match kind.as_str() {
        "organization" | "rollout" => json!(kind),
        _ => json!({kind.as_str(): field(profile, "target_name")}),
    };
    let settings =
        Document::from_value(version["settings"].clone()).map_err(|why| failed(why.to_string()))?;
    let locks: Vec<String> = version["locks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let priority = version["priority"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
    Ok(object(&target, &content(settings, &locks, priority).map_err(failed)?))
}

/// A profile as a file has it; the same profile always gives the same text.
pub(super) fn file(name: &str, object: &Value) -> String {
    let mut members = Map::from_iter([("name".to_owned(), json!(name))]);
    members.extend(object.as_object().cloned().unwrap_or_default());
    let mut text = serde_json::to_string_pretty(&Value::Object(members)).unwrap_or_default();
    text.push('\n');
    text
}

/// The name of a profile's file. Names that differ give files that differ, in whatever case.
pub(super) fn file_name(name: &str) -> String {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let slug: String = name.chars().map(|c| if good(c) { c } else { '-' }).take(60).collect();
    if slug == name {
        return slug;
    }
    let digest = super::shape::digest(&json!(name));
    let digest = digest.trim_start_matches("sha256:");
    format!("{slug}-{}", digest.get(..8).unwrap_or(digest))
}

// Whose it is does not matter to the content's name; only teams have a priority.
fn content(settings: Document, locks: &[String], priority: u32) -> Result<Content, String> {
    let paths: Result<Vec<Path>, _> = locks.iter().map(|lock| Path::parse(lock)).collect();
    let paths = paths.map_err(|why| format!("`locks`: {why}"))?;
    Content::new(Target::Team(TeamId::from_bits(0)), settings, paths, priority).map_err(|why| why.to_string())
}

fn object(target: &Value, content: &Content) -> Value {
    let mut members = Map::from_iter([("target".to_owned(), target.clone())]);
    if content.priority() > 0 {
        members.insert("priority".to_owned(), json!(content.priority()));
    }
    if !content.locks().is_empty() {
        members.insert("locks".to_owned(), json!(content.locks()));
    }
    members.insert("settings".to_owned(), sorted(&json!(content.settings())));
    Value::Object(members)
}

/// Brings a profile on its way, and its audience once it says what it should: until others have agreed to what it says, those
/// who have it now keep it.
pub(super) fn write(client: &Client, name: &str, has: &Value, wanted: &Value) -> Result<Outcome, Failure> {
    let outcome = if audience::without(has) == audience::without(wanted) {
        Outcome::Done
    } else {
        write_content(client, name, wanted)?
    };
    if matches!(outcome, Outcome::Done) && has.get(audience::MEMBER) != wanted.get(audience::MEMBER) {
        audience::write(client, name, wanted.get(audience::MEMBER))?;
    }
    Ok(outcome)
}

/// Published if others agree already, or agreed before; else a draft that was handed in.
fn write_content(client: &Client, name: &str, wanted: &Value) -> Result<Outcome, Failure> {
    let locks = wanted.get("locks").cloned().unwrap_or_else(|| json!([]));
    let priority = wanted.get("priority").cloned().unwrap_or_else(|| json!(0));
    let body = json!({"settings": wanted["settings"], "locks": locks, "priority": priority});
    let mut profile = Value::Null;
    client.each(PATH, &[], None, |item| {
        if field(&item, "name").to_lowercase() == name.to_lowercase() {
            profile = item;
        }
        Ok(())
    })?;
    if profile.is_null() {
        let mut new = body;
        new["name"] = json!(name);
        new["target"] = wanted["target"].clone();
        let made = client.post(PATH, &new)?;
        return hand_in(client, name, &made["version"]);
    }
    let path = |rest: &str| format!("{PATH}/{}{rest}", escaped(name));
    let (kind, of) = (field(&profile, "target"), field(&profile, "target_name"));
    let target = if of.is_empty() || profile["target_name"].is_null() {
        json!(kind)
    } else {
        json!({kind.as_str(): of})
    };
    if target != wanted["target"] {
        return Err(Failure::Failed(format!(
            "the settings profile `{}` is for {target} on the server and for {} in the files; whose it is cannot change: give \
             one of them another name",
            printable(name),
            wanted["target"]
        )));
    }
    let sum = checksum(wanted)?;
    if let Some(open) = profile["open"].as_u64() {
        let version = client.get(&path(&format!("/versions/{open}")), &[])?;
        let same = field(&version, "checksum") == sum;
        match (field(&version, "state").as_str(), same) {
            ("draft", true) => return hand_in(client, name, &version),
            ("approved", true) => return publish(client, name, open),
            (_, true) => return Ok(waits(name, &version)),
            ("draft", false) => {}
            (state, false) => {
                return Err(Failure::Failed(format!(
                    "version {open} of the settings profile `{0}` says something else than the files and is {state}: have it \
                     published or returned first (`gatehouse settings return {0} {open}`)",
                    printable(name)
                )));
            }
        }
    } else if let Some(number) = published_before(client, &path("/versions"), &sum)? {
        warn(
            &client
                .post(&path(&format!("/versions/{number}/rollback")), &json!({"note": "as the files say"}))?,
        );
        return Ok(Outcome::Done);
    }
    let written = client.put(&path("/draft"), &body)?;
    hand_in(client, name, &written["version"])
}

/// Takes what is published from clients.
pub(super) fn retire(client: &Client, name: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}", escaped(name));
    let Some(number) = client.get(&path, &[])?["published"].as_u64() else { return Ok(()) };
    let note = json!({"note": "not in the files any more"});
    warn(&client.post(&format!("{path}/versions/{number}/retire"), &note)?);
    Ok(())
}

/// The version of this content that clients had before, so that nobody need agree to it again.
fn published_before(client: &Client, path: &str, sum: &str) -> Result<Option<u64>, Failure> {
    let mut found = None;
    client.each(path, &[], None, |version| {
        let published =
            version["steps"].as_array().into_iter().flatten().any(|step| step["kind"] == "published");
        if found.is_none() && published && version["state"] == "retired" && field(&version, "checksum") == sum
        {
            found = version["number"].as_u64();
        }
        Ok(())
    })?;
    Ok(found)
}

fn hand_in(client: &Client, name: &str, version: &Value) -> Result<Outcome, Failure> {
    let number = version["number"]
        .as_u64()
        .ok_or_else(|| Failure::Failed("the server's answer names no version".to_owned()))?;
    let path = format!("{PATH}/{}/versions/{number}/submit", escaped(name));
    let submitted = client.post(&path, &json!({"note": "from files", "checksum": version["checksum"]}))?;
    if submitted["state"] == "approved" {
        return publish(client, name, number);
    }
    Ok(waits(name, &submitted))
}

fn publish(client: &Client, name: &str, number: u64) -> Result<Outcome, Failure> {
    let path = format!("{PATH}/{}/versions/{number}/publish", escaped(name));
    warn(&client.post(&path, &json!({"note": "as the files say"}))?);
    Ok(Outcome::Done)
}

fn waits(name: &str, version: &Value) -> Outcome {
    let steps = version["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let submitted = steps.iter().rposition(|step| step["kind"] == "submitted").unwrap_or(0);
    let agreed = steps.iter().skip(submitted).filter(|step| step["kind"] == "approved").count();
    let (number, needed) = (&version["number"], version["approvals_needed"].as_u64().unwrap_or(1));
    let name = printable(name);
    Outcome::Waits(format!(
        "settings profile {name}: version {number} is under review, {agreed} of {needed} approvals; somebody who did not write \
         it runs `gatehouse settings approve '{name}' {number}`, then `apply` again publishes it"
    ))
}

/// The name of a content, as the server computes it.
fn checksum(wanted: &Value) -> Result<String, Failure> {
    let failed = |why: String| Failure::Failed(format!("the files' settings cannot be used: {why}"));
    let settings = Document::from_value(wanted["settings"].clone()).map_err(|why| failed(why.to_string()))?;
    let locks: Vec<String> = wanted["locks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let priority = wanted["priority"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
    Ok(content(settings, &locks, priority).map_err(failed)?.checksum().to_string())
}

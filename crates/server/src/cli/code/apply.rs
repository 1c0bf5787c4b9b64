//! Makes the server as the files say.

use std::collections::BTreeMap;

use gatehouse_domain::ownership::{MAX_BATCH, Noun};
use serde_json::{Value, json};

use super::super::client::{Client, escaped};
use super::super::output::warn;
use super::super::table::printable;
use super::super::{Failure, Out};
use super::files::Files;
use super::plan::{Act, Difference, Plan, table, title};
use super::shape::{GROUP_PATH, Key, POLICY_PATH, SHAPES, digest};
use super::{profile, server};

/// Most names in a sentence about what was not done.
const MAX_NAMED: usize = 10;

/// What became of a difference.
pub(super) enum Outcome {
    /// It is done away with.
    Done,
    /// Others have to agree first; a sentence says to what.
    Waits(String),
}

/// Does away with the differences, in order, and marks what is in the files as owned. Ends at the first refusal. What others
/// have to agree to is not there yet, and not marked.
pub(super) fn run(
    client: &Client,
    files: &Files,
    owned: &BTreeMap<Key, String>,
    (plan, prune): (&Plan, bool),
    out: &mut Out,
) -> Result<(), Failure> {
    let wanted: Vec<&Difference> = plan.differences.iter().filter(|one| prune || !one.is_pruning()).collect();
    let mut done = 0;
    let mut stopped = None;
    let mut waiting: Vec<(&Key, String)> = Vec::new();
    for one in &wanted {
        match act(client, one) {
            Ok(outcome) => {
                done += 1;
                if let Outcome::Waits(why) = outcome {
                    waiting.push((&one.key, why));
                }
            }
            Err(failure) => {
                stopped = Some(failure);
                break;
            }
        }
    }
    let (done, left) = wanted.split_at(done);
    let waits = |key: &Key| waiting.iter().any(|(waiting, _)| *waiting == key);
    let settled = |key: &Key| left.iter().all(|one| one.key != *key) && !waits(key);
    let marks: Vec<Value> = files
        .objects
        .iter()
        .filter(|(key, object)| settled(key) && owned.get(key) != Some(&digest(object)))
        .map(|((noun, name), object)| json!({"noun": noun.as_str(), "name": name, "digest": digest(object)}))
        .collect();
    let marked = mark(client, &marks, &plan.stale);
    let done: Vec<&Difference> = done.iter().copied().filter(|one| !waits(&one.key)).collect();
    show(&done, &waiting, left, stopped.as_ref(), out)?;
    if let Some(failure) = stopped {
        let refused = left.first().map(|one| one.title()).unwrap_or_default();
        let told = format!("stopped at the {refused}: {failure}\n{}", rest(done.len(), left));
        return Err(match failure {
            Failure::Unreachable(_) => Failure::Unreachable(told),
            Failure::Failed(_) | Failure::Usage(_) => Failure::Failed(told),
        });
    }
    marked.map_err(|failure| {
        Failure::Failed(format!(
            "everything is as the files say or waits for others, but it could not be marked as owned by code: {failure}\n\
             Run `apply` again with a token that may do that (`write_config`); until then nothing tells of drift"
        ))
    })
}

/// What was done and what was not, in a sentence.
fn rest(done: usize, left: &[&Difference]) -> String {
    let mut names: Vec<String> = left.iter().take(MAX_NAMED).map(|one| one.title()).collect();
    if left.len() > MAX_NAMED {
        names.push(format!("{} more", left.len() - MAX_NAMED));
    }
    format!("done before it: {done}; not done: {}. `apply` again goes on from here", names.join(", "))
}

fn show(
    done: &[&Difference],
    waiting: &[(&Key, String)],
    left: &[&Difference],
    stopped: Option<&Failure>,
    out: &mut Out,
) -> Result<(), Failure> {
    if out.wants_json() {
        let list = |all: &[&Difference]| all.iter().map(|one| one.shown()).collect::<Vec<_>>();
        let refusal = stopped.map(ToString::to_string);
        let waits = |(key, why): &(&Key, String)| json!({"noun": key.0.as_str(), "name": key.1, "why": why});
        let waiting: Vec<Value> = waiting.iter().map(waits).collect();
        let told = json!({"done": list(done), "waiting": waiting, "left": list(left), "refusal": refusal});
        return Ok(out.json(&told)?);
    }
    let empty = match (stopped, waiting) {
        (None, []) => "Nothing to do.",
        (Some(_) | None, _) => "Nothing was done.",
    };
    out.table(&table(done.iter().copied()), empty)?;
    if stopped.is_none() && !done.is_empty() {
        out.line(format!("Done: {}.", done.len()))?;
    }
    for (_, why) in waiting {
        out.line(format!("Waits for others: {why}."))?;
    }
    Ok(())
}

/// Marks what is in the files, and lets go of what is nowhere.
fn mark(client: &Client, marks: &[Value], stale: &[Key]) -> Result<(), Failure> {
    for batch in marks.chunks(MAX_BATCH) {
        client.put("/api/v1/owned-objects", &json!({"items": batch}))?;
    }
    stale.iter().try_for_each(|key| release(client, key))
}

fn release(client: &Client, (noun, name): &Key) -> Result<(), Failure> {
    client.delete(&format!("/api/v1/owned-objects/{}/{}", noun.as_str(), escaped(name))).map(|_| ())
}

fn act(client: &Client, one: &Difference) -> Result<Outcome, Failure> {
    match one.act {
        Act::Add | Act::Change if one.key.0 == Noun::SettingsProfile => {
            return profile::write(client, &one.key.1, &one.has, &one.wanted);
        }
        Act::Add | Act::Change => write(client, one)?,
        Act::Release => release(client, &one.key)?,
        Act::Remove if one.key.0 == Noun::SettingsProfile => {
            profile::retire(client, &one.key.1)?;
            release(client, &one.key)?;
        }
        Act::Remove => {
            let path = path_of(&one.key);
            let answer = match one.key.0 {
                Noun::User => client.post(&format!("{path}/disable"), &json!({})),
                Noun::GroupMapping => client.delete(&group_path(client, &one.key.1)?),
                Noun::Team | Noun::Project | Noun::Role | Noun::AccessPolicy | Noun::SettingsProfile => {
                    client.delete(&path)
                }
            };
            warn(&answer?);
            release(client, &one.key)?;
        }
    }
    Ok(Outcome::Done)
}

/// Where the API has the team of a group.
fn group_path(client: &Client, name: &str) -> Result<String, Failure> {
    let groups = server::groups(client)?;
    let group = groups.get(name).ok_or_else(|| {
        Failure::Failed(format!(
            "no directory has brought in a group `{}` (a name is SOURCE/GROUP, as in scim:okta/Engineers); \
             `gatehouse scim group list` shows those that are there",
            printable(name)
        ))
    })?;
    Ok(format!("{GROUP_PATH}/{}/team", group.id))
}

fn write(client: &Client, one: &Difference) -> Result<(), Failure> {
    let path = path_of(&one.key);
    let (noun, name) = &one.key;
    let list = |field: &str| one.wanted.get(field).cloned().unwrap_or_else(|| json!([]));
    let answer = match noun {
        Noun::Team => return team(client, one, &path),
        Noun::Project => {
            if one.act == Act::Add {
                client.post("/api/v1/projects", &json!({"name": name}))?;
            }
            return classify(client, one, &path);
        }
        Noun::Role => client.put(&path, &json!({"permissions": list("permissions")}))?,
        Noun::AccessPolicy => client.put(&path, &json!({"text": one.wanted["text"]}))?,
        Noun::GroupMapping => client.put(&group_path(client, name)?, &json!({"team": one.wanted["team"]}))?,
        Noun::SettingsProfile => return Ok(()),
        Noun::User => return user(client, one, &path),
    };
    warn(&answer);
    Ok(())
}

fn team(client: &Client, one: &Difference, path: &str) -> Result<(), Failure> {
    if one.act == Act::Add {
        client.post("/api/v1/teams", &json!({"name": one.key.1}))?;
    }
    if one.has.get("models") != one.wanted.get("models") {
        let models = one.wanted.get("models").cloned().unwrap_or_else(|| json!([]));
        warn(&client.put(&format!("{path}/models"), &json!({"models": models}))?);
    }
    classify(client, one, path)
}

/// Gives a team or project the data class that it is wanted to have.
fn classify(client: &Client, one: &Difference, path: &str) -> Result<(), Failure> {
    let (has, wanted) = (one.has.get("data_class"), one.wanted.get("data_class"));
    if has != wanted {
        warn(&client.put(&format!("{path}/data-class"), &json!({"data_class": wanted}))?);
    }
    Ok(())
}

/// A user is disabled before anything else changes, and enabled when everything else has.
fn user(client: &Client, one: &Difference, path: &str) -> Result<(), Failure> {
    let (has, wanted) = (&one.has, &one.wanted);
    let teams = wanted.get("teams").cloned().unwrap_or_else(|| json!([]));
    let disabled = wanted["state"] == "disabled";
    if one.act == Act::Add {
        client.post("/api/v1/users", &json!({"email": one.key.1, "name": wanted["name"], "teams": teams}))?;
        if !disabled {
            return Ok(());
        }
    }
    let turns = one.act == Act::Add || has["state"] != wanted["state"];
    if turns && disabled {
        warn(&client.post(&format!("{path}/disable"), &json!({}))?);
    }
    if one.act == Act::Change && has["name"] != wanted["name"] {
        client.put(&format!("{path}/name"), &json!({"name": wanted["name"]}))?;
    }
    if one.act == Act::Change && has["teams"] != wanted["teams"] {
        warn(&client.put(&format!("{path}/teams"), &json!({"teams": teams}))?);
    }
    if turns && !disabled {
        warn(&client.post(&format!("{path}/enable"), &json!({}))?);
    }
    Ok(())
}

fn path_of((noun, name): &Key) -> String {
    let list = SHAPES.iter().find(|shape| shape.noun == *noun).map_or(POLICY_PATH, |shape| shape.path);
    format!("{list}/{}", escaped(name))
}

/// Prints what would be done.
pub(super) fn rehearse(plan: &Plan, prune: bool, out: &mut Out) -> Result<(), Failure> {
    let wanted: Vec<&Difference> = plan.differences.iter().filter(|one| prune || !one.is_pruning()).collect();
    if out.wants_json() {
        let list: Vec<Value> = wanted.iter().map(|one| one.shown()).collect();
        return Ok(out.json(&json!({"dry_run": true, "would_do": list}))?);
    }
    out.table(&table(wanted.iter().copied()), "Nothing to do.")?;
    if !wanted.is_empty() {
        out.line(format!("Nothing was done: this is what `apply` would do ({}).", wanted.len()))?;
    }
    Ok(())
}

/// Prints the differences.
pub(super) fn tell(plan: &Plan, out: &mut Out) -> Result<(), Failure> {
    if out.wants_json() {
        let list: Vec<Value> = plan.differences.iter().map(Difference::shown).collect();
        let name = |(noun, name): &Key| json!({"noun": noun.as_str(), "name": name});
        let others: Vec<Value> = plan.others.iter().map(name).collect();
        return Ok(out.json(&json!({"differences": list, "others": others}))?);
    }
    out.table(&table(&plan.differences), "Nothing to do.")?;
    if !plan.others.is_empty() {
        let mut names: Vec<String> = plan.others.iter().take(MAX_NAMED).map(title).collect();
        if plan.others.len() > MAX_NAMED {
            names.push(format!("{} more", plan.others.len() - MAX_NAMED));
        }
        out.line(format!("Only on the server, not owned by code and left alone: {}.", names.join(", ")))?;
    }
    Ok(())
}

//! What `settings …` prints.

use serde_json::Value;

use super::super::client::{Client, escaped};
use super::super::output::{self, field};
use super::super::table::{Align, Table};
use super::super::{Failure, Out};
use super::{PROFILES, path_of};

/// Longest value in a cell, in characters.
const MAX_CELL: usize = 100;

/// `settings list`.
pub(super) fn profiles(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let profiles = client.list(PROFILES, &[], None)?;
    let empty = "There is no settings profile yet. Make one with `gatehouse settings new NAME --for organization -f FILE`.";
    Ok(out.list(&profiles, &table_of(&profiles), empty)?)
}

fn table_of(profiles: &[Value]) -> Table {
    let columns = [
        ("PROFILE", Align::Left),
        ("FOR", Align::Left),
        ("NAME", Align::Left),
        ("PUBLISHED", Align::Right),
        ("UNDER WAY", Align::Right),
        ("STATE", Align::Left),
        ("SCHEDULED", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for profile in profiles {
        let keys = ["name", "target", "target_name", "published", "open", "open_state"];
        let [name, target, target_name, published, open, state] = keys.map(|key| field(profile, key));
        table.row([name, target, target_name, published, open, state, scheduled(&profile["scheduled"])]);
    }
    table
}

/// When a version is to be published, or why it was not.
fn scheduled(due: &Value) -> String {
    match (due["at"].as_str(), due["problem"].as_str()) {
        (None, _) => "-".to_owned(),
        (Some(at), None) => at.to_owned(),
        (Some(at), Some(why)) => format!("{at}, not done: {why}"),
    }
}

/// `settings show PROFILE`.
pub(super) fn profile(profile: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let found = client.get(&path_of(profile, ""), &[])?;
    let versions = client.list(&path_of(profile, "/versions"), &[], None)?;
    if out.wants_json() {
        let mut both = found;
        both["versions"] = Value::Array(versions);
        return Ok(out.json(&both)?);
    }
    out.table(&table_of(&[found]), "")?;
    out.line("")?;
    let columns = [
        ("VERSION", Align::Right),
        ("STATE", Align::Left),
        ("WRITTEN BY", Align::Left),
        ("APPROVED BY", Align::Left),
        ("LAST STEP", Align::Left),
        ("CHECKSUM", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for version in &versions {
        let steps = version["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let last = steps.last().map(|step| field(step, "at")).unwrap_or_default();
        let (number, state) = (field(version, "number"), field(version, "state"));
        let sum: String = field(version, "checksum").chars().take("sha256:".len() + 12).collect();
        table.row([number, state, people(steps, "written"), people(steps, "approved"), last, sum]);
    }
    Ok(out.table(&table, "It has no version.")?)
}

fn people(steps: &[Value], kind: &str) -> String {
    let mut names: Vec<String> =
        steps.iter().filter(|step| step["kind"] == kind).map(|step| field(step, "name")).collect();
    names.dedup();
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

/// `settings show PROFILE VERSION`.
pub(super) fn version(profile: &str, version: u32, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let found = client.get(&path_of(profile, &format!("/versions/{version}")), &[])?;
    if out.wants_json() {
        return Ok(out.json(&found)?);
    }
    let mut table =
        Table::new(&[("AT", Align::Left), ("STEP", Align::Left), ("BY", Align::Left), ("NOTE", Align::Left)]);
    for step in found["steps"].as_array().into_iter().flatten() {
        table.row(["at", "kind", "name", "note"].map(|key| field(step, key)));
    }
    out.line(format!(
        "Version {version} of {profile} is {}; {}",
        field(&found, "state"),
        field(&found, "checksum")
    ))?;
    out.table(&table, "")?;
    out.line(format!("\nLocks: {}\nPriority: {}", field(&found, "locks"), field(&found, "priority")))?;
    Ok(out.json(&found["settings"])?)
}

/// A draft that was written, with what was found in it.
pub(super) fn written(answer: &Value, out: &mut Out) -> Result<(), Failure> {
    let (profile, number) = (field(&answer["profile"], "name"), field(&answer["version"], "number"));
    if !out.wants_json() {
        let mut table = Table::new(&[("SEVERITY", Align::Left), ("FINDING", Align::Left)]);
        for finding in answer["findings"].as_array().into_iter().flatten() {
            table.row([field(finding, "severity"), field(&finding["message"], "en")]);
        }
        if !table.is_empty() {
            out.table(&table, "")?;
            out.line("")?;
        }
    }
    let sentence = format!(
        "Wrote version {number} of {profile}, a draft.\nNext: gatehouse settings diff {profile} {number}; gatehouse settings submit {profile} {number}"
    );
    Ok(out.done(answer, &sentence)?)
}

/// `settings diff`.
pub(super) fn diff(
    profile: &str,
    version: u32,
    against: Option<&str>,
    users: bool,
    client: &Client,
    out: &mut Out,
) -> Result<(), Failure> {
    let query: Vec<(&str, &str)> = against.map(|against| ("against", against)).into_iter().collect();
    let of_version = |rest: &str| path_of(profile, &format!("/versions/{version}/{rest}"));
    let mut found = client.get(&of_version("diff"), &query)?;
    let people = if users { client.list(&of_version("affected"), &query, None)? } else { Vec::new() };
    if out.wants_json() {
        if users {
            found["users"] = Value::Array(people);
        }
        return Ok(out.json(&found)?);
    }
    let mut table = Table::new(&[("KEY", Align::Left), ("CHANGE", Align::Left), ("VALUE", Align::Left)]);
    for one in found["differences"].as_array().into_iter().flatten() {
        for (what, value) in changes(&one["change"]) {
            table.row([field(one, "path"), what, value]);
        }
    }
    for (key, what) in [("locks_added", "locked"), ("locks_removed", "unlocked")] {
        for lock in found[key].as_array().into_iter().flatten().filter_map(Value::as_str) {
            table.row([lock.to_owned(), what.to_owned(), String::new()]);
        }
    }
    if !found["priority_after"].is_null() {
        let value = format!("{} -> {}", field(&found, "priority_before"), field(&found, "priority_after"));
        table.row(["(priority)".to_owned(), "changed".to_owned(), value]);
    }
    let other = found["against"].as_u64().map_or_else(|| "nothing".to_owned(), |n| format!("version {n}"));
    out.line(format!("Version {version} of {profile} against {other}:"))?;
    out.table(&table, "They say the same.")?;
    out.line(format!("Affected: {} users", output::number(&found, "affected")))?;
    for one in &people {
        out.line(format!("  {}", field(one, "email")))?;
    }
    Ok(())
}

/// A change in words, a line each.
fn changes(change: &Value) -> Vec<(String, String)> {
    let lines = |what: &str, values: &Value| {
        let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
        values.iter().map(|value| (what.to_owned(), cell(value))).collect::<Vec<_>>()
    };
    let Some((kind, value)) = change.as_object().and_then(|members| members.iter().next()) else {
        return Vec::new();
    };
    match kind.as_str() {
        "changed" | "reordered" => {
            vec![(kind.clone(), format!("{} -> {}", cell(&value["from"]), cell(&value["to"])))]
        }
        "entries" => {
            [lines("entry added", &value["added"]), lines("entry removed", &value["removed"])].concat()
        }
        _ => vec![(kind.clone(), cell(value))],
    }
}

fn cell(value: &Value) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(MAX_CELL).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// `settings explain`.
pub(super) fn explain(user: &str, key: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let path = format!("/api/v1/settings/users/{}/explain", escaped(user));
    let found = client.get(&path, &[("key", key)])?;
    if out.wants_json() {
        return Ok(out.json(&found)?);
    }
    let value = if found["present"] == true { cell(&found["value"]) } else { "not set".to_owned() };
    out.line(format!("{key} of {} is {value}", field(&found, "user")))?;
    for lock in found["locks"].as_array().into_iter().flatten() {
        out.line(format!("{} is locked by {}", field(lock, "path"), layer(&lock["by"])))?;
    }
    let mut table = Table::new(&[
        ("KEY", Align::Left),
        ("LAYER", Align::Left),
        ("DID", Align::Left),
        ("VALUE", Align::Left),
    ]);
    for leaf in found["leaves"].as_array().into_iter().flatten() {
        let deciding = leaf["decided_by"].as_array().map(Vec::as_slice).unwrap_or_default();
        for event in leaf["events"].as_array().into_iter().flatten() {
            let counts = deciding.contains(&event["layer"]);
            let (did, value) = deed(&event["act"], counts);
            table.row([field(leaf, "path"), layer(&event["layer"]), did, value]);
        }
    }
    Ok(out.table(&table, "No layer sets it.")?)
}

fn layer(layer: &Value) -> String {
    format!("{} {}", field(layer, "rank"), field(layer, "profile"))
}

/// What a layer did, in words. `counts` says whether the value that stands comes from it.
fn deed(act: &Value, counts: bool) -> (String, String) {
    let Some((kind, value)) = act.as_object().and_then(|members| members.iter().next()) else {
        return ("removed it".to_owned(), String::new());
    };
    match kind.as_str() {
        "set" if counts => ("set it".to_owned(), cell(value)),
        "set" => ("set it, overridden".to_owned(), cell(value)),
        "joined" => ("added entries".to_owned(), cell(value)),
        "refused" => {
            let locked = &value["why"]["locked"];
            let why = if locked.is_null() {
                "refused: a deny-list only grows".to_owned()
            } else {
                let name = field(&locked["by"], "name");
                format!("refused: {} is locked by {name}", field(locked, "path"))
            };
            (why, cell(&value["value"]))
        }
        _ => (kind.clone(), cell(value)),
    }
}

/// `settings effective`.
pub(super) fn effective(user: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let found = client.get(&format!("/api/v1/settings/users/{}/effective", escaped(user)), &[])?;
    if out.wants_json() {
        return Ok(out.json(&found)?);
    }
    if found["settings"].is_null() {
        out.line(format!(
            "No published profile concerns {}: their client gets no settings.",
            field(&found, "user")
        ))?;
        return Ok(());
    }
    let layers: Vec<String> = found["layers"].as_array().into_iter().flatten().map(layer).collect();
    out.line(format!("Layers: {}\nChecksum: {}", layers.join(", "), field(&found, "checksum")))?;
    for finding in found["findings"].as_array().into_iter().flatten() {
        out.line(format!("{}: {}", field(finding, "severity"), field(&finding["message"], "en")))?;
    }
    Ok(out.json(&found["settings"])?)
}

/// `settings receipts`.
pub(super) fn receipts(
    state: Option<&str>,
    profile: Option<&str>,
    client: &Client,
    out: &mut Out,
) -> Result<(), Failure> {
    let receipts = every_receipt(state, profile, client)?;
    let columns = ["USER", "STATE", "REPORTED AT", "CLIENT", "LAST SEEN", "MACHINES"];
    let mut table = Table::new(&columns.map(|title| (title, Align::Left)));
    for receipt in &receipts {
        let [user, state, reported, client, seen] =
            ["email", "state", "reported_at", "client", "seen_at"].map(|key| field(receipt, key));
        let machines = receipt["machines"].as_array().map_or(0, Vec::len);
        table.row([user, state, reported, client, seen, machines.to_string()]);
    }
    Ok(out.list(&receipts, &table, "There is no such receipt.")?)
}

/// `settings receipts --machines`.
pub(super) fn machines(
    state: Option<&str>,
    profile: Option<&str>,
    client: &Client,
    out: &mut Out,
) -> Result<(), Failure> {
    let receipts = every_receipt(None, profile, client)?;
    let columns = ["USER", "MACHINE", "PLATFORM", "STATE", "REPORTED AT", "CLIENT", "LAST SEEN"];
    let mut table = Table::new(&columns.map(|title| (title, Align::Left)));
    let mut machines = Vec::new();
    for receipt in &receipts {
        for machine in receipt["machines"].as_array().into_iter().flatten() {
            if state.is_some_and(|state| machine["state"] != state) {
                continue;
            }
            let mut machine = machine.clone();
            machine["email"] = receipt["email"].clone();
            let keys = ["email", "machine", "platform", "state", "reported_at", "client", "seen_at"];
            table.row(keys.map(|key| field(&machine, key)));
            machines.push(machine);
        }
    }
    Ok(out.list(&machines, &table, "No machine has named itself.")?)
}

fn every_receipt(state: Option<&str>, profile: Option<&str>, client: &Client) -> Result<Vec<Value>, Failure> {
    let mut query: Vec<(&str, &str)> = state.map(|state| ("state", state)).into_iter().collect();
    query.extend(profile.map(|profile| ("profile", profile)));
    client.list("/api/v1/settings/receipts", &query, None)
}

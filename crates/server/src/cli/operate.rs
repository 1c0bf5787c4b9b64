//! `provider`, `admin` and `status`.

use std::io::Read as _;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::args::{AdminCommand, ProviderCommand, TokenCommand};
use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Longest provider key that is read, in bytes.
const MAX_KEY: u64 = 16 * 1024;

/// Runs `provider …`.
pub(crate) fn provider(command: ProviderCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        ProviderCommand::List => {
            let providers = client.list("/api/v1/providers", &[], None)?;
            let columns = ["NAME", "KIND", "ADDRESS", "CREDENTIAL", "STATE", "HEALTH"]
                .map(|title| (title, Align::Left));
            let mut table = Table::new(&columns);
            for provider in &providers {
                table.row(
                    ["name", "kind", "base_url", "credential", "state", "health"]
                        .map(|key| output::field(provider, key)),
                );
            }
            let empty = "No provider is configured. Set ANTHROPIC_API_KEY, or add a [[provider]] to the configuration.";
            out.list(&providers, &table, empty)?;
            if !out.wants_json() {
                learned(&providers, out)?;
            }
        }
        ProviderCommand::Limits => limits(client, out)?,
        ProviderCommand::SetKey { name } => {
            let key = read_key()?;
            let path = format!("/api/v1/providers/{}/key", escaped(&name));
            let answer = client.put(&path, &json!({"key": key.as_str()}))?;
            let sentence = format!(
                "Sealed the key of {name}. A provider uses it when its api_key is \"sealed:{name}\"."
            );
            out.done(&answer, &sentence)?;
        }
        ProviderCommand::RemoveKey { name } => {
            let answer = client.delete(&format!("/api/v1/providers/{}/key", escaped(&name)))?;
            out.done(&answer, &format!("Removed the sealed key of {name}."))?;
        }
    }
    Ok(0)
}

/// Tells of providers' limits.
fn limits(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let providers = client.list("/api/v1/providers", &[], None)?;
    let left = Align::Left;
    let mut table = Table::new(&[
        ("PROVIDER", left),
        ("MODEL", left),
        ("MEASURE", left),
        ("LIMIT", Align::Right),
        ("LEFT", Align::Right),
        ("WHOLE IN", Align::Right),
        ("TOLD", Align::Right),
    ]);
    let (mut told, mut rows) = (Vec::new(), 0);
    for provider in &providers {
        let (name, quota) = (output::field(provider, "name"), &provider["quota"]);
        told.push(json!({"provider": name, "quota": quota}));
        let configured = [("requests_per_minute", "requests a minute"), ("concurrent", "requests at once")];
        for (key, words) in configured {
            if quota[key].as_u64().is_some_and(|limit| limit > 0) {
                let limit = output::field(quota, key);
                rows += 1;
                table.row([
                    name.clone(),
                    "-".into(),
                    words.into(),
                    limit,
                    "-".into(),
                    "-".into(),
                    "configured".into(),
                ]);
            }
        }
        for limit in quota["limits"].as_array().into_iter().flatten() {
            let [model, measure, amount, remaining] =
                ["model", "measure", "limit", "remaining"].map(|key| output::field(limit, key));
            rows += 1;
            let [whole, told] = ["seconds_left", "told_seconds_ago"].map(|key| output::field(limit, key));
            table.row([
                name.clone(),
                model,
                measure,
                amount,
                remaining,
                format!("{whole} s"),
                format!("{told} s ago"),
            ]);
        }
    }
    let told = if rows == 0 && !out.wants_json() { Vec::new() } else { told };
    out.list(&told, &table, "No provider has told of its limits yet, and none are configured.")?;
    if !out.wants_json() {
        for provider in &providers {
            let waiting = provider["quota"]["waiting"].as_u64().unwrap_or(0);
            if waiting > 0 {
                let (name, users) =
                    (output::field(provider, "name"), output::field(&provider["quota"], "waiting_users"));
                out.line(format!("{waiting} requests of {users} users wait for {name}"))?;
            }
        }
    }
    Ok(())
}

/// Tells what providers have been found not to know.
fn learned(providers: &[Value], out: &mut Out) -> Result<(), Failure> {
    for provider in providers {
        for one in provider["learned"].as_array().into_iter().flatten() {
            let [kind, name, model, requests] =
                ["kind", "name", "model", "requests"].map(|key| output::field(one, key));
            let minutes = one["seconds_left"].as_u64().unwrap_or(0).div_ceil(60);
            let provider = output::field(provider, "name");
            out.line(format!(
                "{provider} does not know the {kind} {name} for {model}: left out of {requests} requests, tried again in {minutes} min"
            ))?;
        }
    }
    Ok(())
}

/// Reads a provider's key from standard input, so that it is in no shell history and no process list.
fn read_key() -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = std::io::stdin().lock().take(MAX_KEY).read_to_end(&mut bytes);
    read.map_err(|error| Failure::Usage(format!("cannot read the key from standard input: {error}")))?;
    match std::str::from_utf8(&bytes).map(str::trim) {
        Ok(text) if !text.is_empty() => Ok(Zeroizing::new(text.to_owned())),
        _ => Err(Failure::Usage(
            "no key came on standard input; try `gatehouse provider set-key NAME < FILE`".to_owned(),
        )),
    }
}

/// Runs `admin …`.
pub(crate) fn admin(command: AdminCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let AdminCommand::Token(command) = command;
    match command {
        TokenCommand::Create { name, role, team, user, holder, service, expires } => {
            let mut body = json!({"name": name, "role": role});
            output::put(&mut body, "expires", expires);
            output::put(&mut body, "team", team);
            output::put(&mut body, "user", user);
            output::put(&mut body, "holder", holder);
            output::put(&mut body, "service", service);
            let made = client.post("/api/v1/admin-tokens", &body)?;
            let sentence = format!(
                "Token {} for {name} ({role}), shown once:\n\n  export GATEHOUSE_SERVER={}\n  export GATEHOUSE_TOKEN={}",
                output::field(&made, "id"),
                client.server(),
                output::field(&made, "token"),
            );
            out.done(&made, &sentence)?;
        }
        TokenCommand::List => {
            let tokens = client.list("/api/v1/admin-tokens", &[], None)?;
            let columns =
                ["ID", "TOKEN", "NAME", "PERSON", "ROLE", "LIMITED TO", "STATE", "EXPIRES", "LAST USED"]
                    .map(|title| (title, Align::Left));
            let mut table = Table::new(&columns);
            for token in &tokens {
                let keys = [
                    "id",
                    "hint",
                    "name",
                    "person",
                    "role",
                    "limited_to",
                    "state",
                    "expires_at",
                    "last_used_at",
                ];
                table.row(keys.map(|key| output::field(token, key)));
            }
            out.list(&tokens, &table, "There is no token.")?;
        }
        TokenCommand::Revoke { id } => {
            let answer = client.post(&format!("/api/v1/admin-tokens/{}/revoke", escaped(&id)), &json!({}))?;
            out.done(&answer, &format!("{id} is refused for good."))?;
        }
    }
    Ok(0)
}

/// Runs `status`.
pub(crate) fn status(client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let status = client.get("/api/v1/status", &[])?;
    if out.wants_json() {
        out.json(&status)?;
        return Ok(0);
    }
    let mut this = status.clone();
    let nodes = this.as_object_mut().and_then(|members| members.remove("nodes")).unwrap_or_default();
    let mut table = Table::new(&[("WHAT", Align::Left), ("VALUE", Align::Left)]);
    flatten("", &this, &mut table);
    out.table(&table, "The server says nothing of itself.")?;
    out.line("")?;
    let titles = ["NODE", "STATE", "READY", "VERSION", "SINCE", "LAST SEEN", "COUNTERS", "POLICY"];
    let mut table = Table::new(&titles.map(|title| (title, Align::Left)));
    for node in nodes.as_array().map_or(&[][..], Vec::as_slice) {
        let keys = ["id", "state", "ready", "version", "since", "seen_at", "counters", "policy_version"];
        table.row(keys.map(|key| output::field(node, key)));
    }
    out.table(&table, "No node has said that it is there.")?;
    Ok(0)
}

fn flatten(path: &str, value: &Value, table: &mut Table) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, member, table);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            table.row([path.to_owned(), output::field(&json!({"value": value}), "value")]);
        }
    }
}

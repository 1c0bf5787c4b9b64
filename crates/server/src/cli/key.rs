//! `key`.

use serde_json::{Value, json};

use super::args::{KeyCommand, KeyCreate};
use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Runs `key …`.
pub(crate) fn run(command: KeyCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        KeyCommand::Create(create) => {
            let made = client.post("/api/v1/keys", &body_of(create))?;
            show_new(&made, client, out)?;
        }
        KeyCommand::List { user } => {
            let query = user.as_deref().map(|email| ("user", email));
            let keys = client.list("/api/v1/keys", query.as_slice(), None)?;
            let empty = "There is no key yet. Make one with `gatehouse key create --user EMAIL`.";
            out.list(&keys, &table_of(&keys), empty)?;
        }
        KeyCommand::Rotate { id, overlap } => {
            let made = client.post(&path_of(&id, "/rotate"), &json!({"overlap": overlap}))?;
            if !out.wants_json() {
                out.line(format!(
                    "{id} goes on for {overlap}; its successor is {}.",
                    output::field(&made, "id")
                ))?;
            }
            show_new(&made, client, out)?;
        }
        KeyCommand::Expire { id, at } => {
            let answer = client.post(&path_of(&id, "/expire"), &json!({"at": at}))?;
            out.done(&answer, &format!("{id} ends at {}.", output::field(&answer, "expires_at")))?;
        }
        KeyCommand::Disable { id } => {
            act(&id, "disable", "is refused until it is enabled again", client, out)?;
        }
        KeyCommand::Enable { id } => act(&id, "enable", "works again", client, out)?,
        KeyCommand::Revoke { id } => {
            act(&id, "revoke", "is refused for good, open streams included", client, out)?;
        }
    }
    Ok(0)
}

fn act(id: &str, verb: &str, effect: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = client.post(&path_of(id, &format!("/{verb}")), &json!({}))?;
    out.done(&answer, &format!("{id} {effect}."))?;
    Ok(())
}

fn path_of(id: &str, act: &str) -> String {
    format!("/api/v1/keys/{}{act}", escaped(id))
}

fn body_of(create: KeyCreate) -> Value {
    let mut body = json!({"user": create.user});
    if !create.models.is_empty() {
        body["models"] = json!(create.models);
    }
    output::put(&mut body, "team", create.team);
    output::put(&mut body, "project", create.project);
    output::put(&mut body, "expires", create.expires);
    output::put(&mut body, "name", create.name);
    output::put(&mut body, "purpose", create.purpose);
    body
}

/// Shows a new key: the one time its text is seen.
fn show_new(made: &Value, client: &Client, out: &mut Out) -> Result<(), Failure> {
    output::warn(made);
    if out.wants_json() {
        out.json(made)?;
        return Ok(());
    }
    let gateway = client.gateway();
    out.line(format!(
        "Key {} for {}, shown once:\n",
        output::field(made, "id"),
        output::field(made, "email")
    ))?;
    out.line(exports(gateway.unwrap_or("http://GATEWAY-ADDRESS"), &output::field(made, "key")))?;
    Ok(())
}

/// The two lines that point the client at the gateway.
pub(crate) fn exports(gateway: &str, key: &str) -> String {
    format!("  export ANTHROPIC_BASE_URL={gateway}\n  export ANTHROPIC_AUTH_TOKEN={key}")
}

fn table_of(keys: &[Value]) -> Table {
    const FIELDS: [(&str, &str); 9] = [
        ("ID", "id"),
        ("KEY", "hint"),
        ("USER", "email"),
        ("TEAM", "team"),
        ("PROJECT", "project"),
        ("MODELS", "models"),
        ("FOR", "purpose"),
        ("STATE", "state"),
        ("EXPIRES", "expires_at"),
    ];
    let mut table = Table::new(&FIELDS.map(|(title, _)| (title, Align::Left)));
    for key in keys {
        table.row(FIELDS.map(|(_, field)| output::field(key, field)));
    }
    table
}

//! `secrets`.

use serde_json::{Value, json};

use super::args::SecretsCommand;
use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// The columns of a list and their fields.
const FIELDS: [(&str, &str); 8] = [
    ("PURPOSE", "purpose"),
    ("KEY", "key"),
    ("STATE", "state"),
    ("UNDER IT", "under"),
    ("MADE", "made_at"),
    ("IN USE FROM", "active_at"),
    ("TO BE RETIRED", "retire_at"),
    ("PUBLIC KEY", "public_key"),
];

/// Runs `secrets …`.
pub(crate) fn run(command: SecretsCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        SecretsCommand::List => {
            let keys = client.list("/api/v1/secrets", &[], None)?;
            let mut table = Table::new(&FIELDS.map(|(title, _)| (title, Align::Left)));
            for key in &keys {
                table.row(FIELDS.map(|(_, field)| output::field(key, field)));
            }
            out.list(&keys, &table, "The server has no key of its own.")?;
        }
        SecretsCommand::Rotate { purpose, retire_after } => {
            let mut body = json!({});
            output::put(&mut body, "retire_after", retire_after);
            let answer = client.post(&format!("/api/v1/secrets/{}/rotate", escaped(&purpose)), &body)?;
            output::warn(&answer);
            out.done(&answer, &rotated(&purpose, &answer))?;
        }
        SecretsCommand::Retire { purpose, key } => {
            let path = format!("/api/v1/secrets/{}/{}/retire", escaped(&purpose), escaped(&key));
            let answer = client.post(&path, &json!({}))?;
            output::warn(&answer);
            out.done(&answer, &format!("Key {key} for {purpose} is given up."))?;
        }
    }
    Ok(0)
}

fn rotated(purpose: &str, answer: &Value) -> String {
    let keys = answer["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(newest) = keys.last() else { return format!("Rotated the key for {purpose}.") };
    let key = output::field(newest, "key");
    let when = match newest["state"].as_str() {
        Some("announced") => {
            format!("is known now and in use from {} on", output::field(newest, "active_at"))
        }
        Some(_) | None => "is in use".to_owned(),
    };
    format!("Key {key} for {purpose} {when}. What the one before made stays good until that is retired.")
}

//! `session`, and `user password`.

use std::io::Read as _;

use serde_json::json;
use zeroize::Zeroizing;

use super::args::SessionCommand;
use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Longest password that is read, in bytes.
const MAX_PASSWORD: u64 = 4 * 1024;

/// The columns of a list and their fields.
const FIELDS: [(&str, &str); 8] = [
    ("ID", "id"),
    ("USER", "email"),
    ("TEAM", "team"),
    ("SOURCE", "source"),
    ("CLIENT", "client"),
    ("FROM", "peer"),
    ("EXPIRES", "expires_at"),
    ("ENDED", "ended_why"),
];

/// Runs `session …`.
pub(crate) fn run(command: SessionCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        SessionCommand::List { user, all } => {
            let mut query = Vec::new();
            query.extend(user.as_deref().map(|email| ("user", email)));
            query.extend(all.then_some(("ended", "true")));
            let sessions = client.list("/api/v1/sessions", &query, None)?;
            let mut table = Table::new(&FIELDS.map(|(title, _)| (title, Align::Left)));
            for session in &sessions {
                table.row(FIELDS.map(|(_, field)| output::field(session, field)));
            }
            out.list(&sessions, &table, "Nobody is signed in.")?;
        }
        SessionCommand::Revoke { id } => {
            let answer = client.post(&format!("/api/v1/sessions/{}/revoke", escaped(&id)), &json!({}))?;
            output::warn(&answer);
            out.done(&answer, &format!("{id} is over, open streams included."))?;
        }
    }
    Ok(0)
}

/// Runs `user password …`.
pub(crate) fn password(user: &str, remove: bool, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let path = format!("/api/v1/users/{}/password", escaped(user));
    if remove {
        let answer = client.delete(&path)?;
        out.done(
            &answer,
            &format!(
                "{user} has no password and no second factor here any more; their local sessions are over."
            ),
        )?;
        return Ok(0);
    }
    let password = read_password()?;
    let answer = client.put(&path, &json!({"password": password.as_str()}))?;
    out.done(&answer, &format!("Set the password of {user}. Sessions that began with another are over."))?;
    Ok(0)
}

/// Reads a password from standard input, so that it is in no shell history and no process list: its first line.
fn read_password() -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = std::io::stdin().lock().take(MAX_PASSWORD).read_to_end(&mut bytes);
    read.map_err(|error| Failure::Usage(format!("cannot read the password from standard input: {error}")))?;
    let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.lines().next());
    match text {
        Some(text) if !text.is_empty() => Ok(Zeroizing::new(text.to_owned())),
        Some(_) | None => Err(Failure::Usage(
            "no password came on standard input; try `gatehouse user password EMAIL < FILE`".to_owned(),
        )),
    }
}

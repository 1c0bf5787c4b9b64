//! `directory` and `scim`: directories that bring in people and groups.

use serde_json::{Value, json};

use super::args::{DirectoryCommand, GroupCommand, ScimCommand, ScimTokenCommand};
use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Runs `directory …`.
pub(crate) fn directory(command: DirectoryCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        DirectoryCommand::List => {
            let all = client.list("/api/v1/directories", &[], None)?;
            let columns =
                ["NAME", "LAST RUN", "OUTCOME", "PEOPLE", "REASON"].map(|title| (title, Align::Left));
            let mut table = Table::new(&columns);
            for one in &all {
                let run = one.get("last_run").unwrap_or(&Value::Null);
                let of_run = ["ended_at", "outcome", "people", "reason"].map(|key| output::field(run, key));
                table.row(std::iter::once(output::field(one, "name")).chain(of_run));
            }
            out.list(&all, &table, "No [[directory]] is configured.")?;
        }
        DirectoryCommand::Check { name } => {
            let found = client.post(&path_of(&name, "check"), &json!({}))?;
            let sentence = format!(
                "{name}: {} people, {} of them active, {} without an address; {} groups.",
                output::field(&found, "people"),
                output::field(&found, "active"),
                output::field(&found, "without_email"),
                output::field(&found, "groups"),
            );
            out.done(&found, &sentence)?;
        }
        DirectoryCommand::Sync { name, dry_run, confirm_disable } => {
            let body = json!({"dry_run": dry_run, "confirm_disable": confirm_disable});
            let run = client.post(&path_of(&name, "sync"), &body)?;
            out.done(&run, &told(&name, &run, if dry_run { " (nothing was changed)" } else { "" }))?;
            return Ok(u8::from(output::field(&run, "outcome") != "done"));
        }
        DirectoryCommand::Runs { name, limit } => {
            let runs = client.list(&path_of(&name, "runs"), &[], Some(limit))?;
            let columns =
                ["STARTED", "OUTCOME", "PEOPLE", "ADDED", "UPDATED", "DISABLED", "SKIPPED", "REASON"]
                    .map(|title| (title, Align::Left));
            let mut table = Table::new(&columns);
            for run in &runs {
                let keys =
                    ["started_at", "outcome", "people", "added", "updated", "disabled", "skipped", "reason"];
                table.row(keys.map(|key| output::field(run, key)));
            }
            out.list(&runs, &table, "It was not read yet.")?;
        }
    }
    Ok(0)
}

fn path_of(name: &str, act: &str) -> String {
    format!("/api/v1/directories/{}/{act}", escaped(name))
}

fn told(name: &str, run: &Value, remark: &str) -> String {
    let field = |key| output::field(run, key);
    if field("outcome") != "done" {
        return format!("{name} was not synchronized ({}): {}", field("outcome"), field("reason"));
    }
    format!(
        "{name}: {} people; {} added, {} updated, {} disabled, {} skipped{remark}.",
        field("people"),
        field("added"),
        field("updated"),
        field("disabled"),
        field("skipped")
    )
}

/// Runs `scim …`.
pub(crate) fn scim(command: ScimCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        ScimCommand::Token(command) => token(command, client, out)?,
        ScimCommand::Group(command) => group(command, client, out)?,
    }
    Ok(0)
}

fn token(command: ScimTokenCommand, client: &Client, out: &mut Out) -> Result<(), Failure> {
    match command {
        ScimTokenCommand::Create { source, name, expires } => {
            let mut body = json!({"source": source});
            output::put(&mut body, "name", name);
            output::put(&mut body, "expires", expires);
            let made = client.post("/api/v1/scim/tokens", &body)?;
            let sentence = format!(
                "Token {} for {}, shown once. Give the directory both:\n\n  base URL  {}\n  token     {}",
                output::field(&made, "id"),
                output::field(&made, "source"),
                output::field(&made, "base_url"),
                output::field(&made, "token"),
            );
            out.done(&made, &sentence)?;
        }
        ScimTokenCommand::List => {
            let tokens = client.list("/api/v1/scim/tokens", &[], None)?;
            let columns = ["ID", "TOKEN", "NAME", "SOURCE", "STATE", "EXPIRES", "LAST USED"]
                .map(|title| (title, Align::Left));
            let mut table = Table::new(&columns);
            for token in &tokens {
                let keys = ["id", "hint", "name", "source", "state", "expires_at", "last_used_at"];
                table.row(keys.map(|key| output::field(token, key)));
            }
            let empty = "No directory has a token yet. Make one with `gatehouse scim token create NAME`.";
            out.list(&tokens, &table, empty)?;
        }
        ScimTokenCommand::Revoke { id } => {
            let answer = client.post(&format!("/api/v1/scim/tokens/{}/revoke", escaped(&id)), &json!({}))?;
            out.done(&answer, &format!("{id} is refused for good."))?;
        }
    }
    Ok(())
}

fn group(command: GroupCommand, client: &Client, out: &mut Out) -> Result<(), Failure> {
    match command {
        GroupCommand::List => {
            let groups = client.list("/api/v1/groups", &[], None)?;
            let mut table = Table::new(&[
                ("ID", Align::Left),
                ("NAME", Align::Left),
                ("SOURCE", Align::Left),
                ("MEMBERS", Align::Right),
                ("TEAM", Align::Left),
            ]);
            for group in &groups {
                table
                    .row(["id", "name", "source", "members", "team_id"].map(|key| output::field(group, key)));
            }
            out.list(&groups, &table, "No directory has brought in a group yet.")?;
        }
        GroupCommand::Map { group, team } => {
            let answer =
                client.put(&format!("/api/v1/groups/{}/team", escaped(&group)), &json!({"team": team}))?;
            out.done(
                &answer,
                &format!("Members of {} are in the team {team}.", output::field(&answer, "name")),
            )?;
        }
        GroupCommand::Unmap { group } => {
            let answer = client.delete(&format!("/api/v1/groups/{}/team", escaped(&group)))?;
            out.done(&answer, &format!("{} stands for no team now.", output::field(&answer, "name")))?;
        }
    }
    Ok(())
}

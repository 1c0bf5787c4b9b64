//! `user`, `team` and `project`.

use serde_json::{Value, json};

use super::args::{ClassArgs, ProjectCommand, TeamCommand, UserCommand};
use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Runs `user …`.
pub(crate) fn user(command: UserCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        UserCommand::Add { email, teams, name } => {
            let mut body = json!({"email": email, "teams": teams});
            output::put(&mut body, "name", name);
            let made = client.post("/api/v1/users", &body)?;
            let next = format!("Next: gatehouse key create --user {}", output::field(&made, "email"));
            out.done(&made, &format!("Added {}.\n{next}", output::field(&made, "email")))?;
        }
        UserCommand::List { find } => {
            let query = find.as_deref().map(|text| ("q", text));
            let users = client.list("/api/v1/users", query.as_slice(), None)?;
            let empty = "There is nobody yet. Add somebody with `gatehouse user add EMAIL --team TEAM`.";
            out.list(&users, &user_table(&users), empty)?;
        }
        UserCommand::Get { user } => {
            let user = client.get(&path_of(&user, ""), &[])?;
            let users = [user.clone()];
            out.one(&user, &user_table(&users))?;
        }
        UserCommand::Enable { user } => {
            let answer = client.post(&path_of(&user, "/enable"), &json!({}))?;
            out.done(&answer, &format!("Enabled {user}: their keys work again."))?;
        }
        UserCommand::Disable { user } => {
            let answer = client.post(&path_of(&user, "/disable"), &json!({}))?;
            out.done(&answer, &format!("Disabled {user}: all their keys are refused from now on."))?;
        }
        UserCommand::Teams { user, teams } => {
            let answer = client.put(&path_of(&user, "/teams"), &json!({"teams": teams}))?;
            let list = if teams.is_empty() { "no team".to_owned() } else { teams.join(", ") };
            out.done(&answer, &format!("{user} is in {list} now."))?;
        }
        UserCommand::Address { user, email } => {
            let answer = client.put(&path_of(&user, "/email"), &json!({"email": email}))?;
            out.done(&answer, &format!("{user} is {} now.", output::field(&answer, "email")))?;
        }
        UserCommand::Identities { user, forget: false } => {
            let answer = client.get(&path_of(&user, "/identities"), &[])?;
            let known = answer["identities"].as_array().cloned().unwrap_or_default();
            let mut table =
                Table::new(&[("ISSUER", Align::Left), ("SUBJECT", Align::Left), ("SINCE", Align::Left)]);
            for one in &known {
                table.row(["issuer", "subject", "since"].map(|key| output::field(one, key)));
            }
            out.list(&known, &table, &format!("{user} has signed in at no issuer yet."))?;
        }
        UserCommand::Identities { user, forget: true } => {
            let answer = client.delete(&path_of(&user, "/identities"))?;
            let told =
                "Their sessions have ended, and who next signs in with their address is taken for them.";
            out.done(&answer, &format!("Where {user} signs in is forgotten. {told}"))?;
        }
        UserCommand::Password { user, remove } => {
            return super::session::password(&user, remove, client, out);
        }
        UserCommand::Factor(command) => return super::factor::run(command, client, out),
    }
    Ok(0)
}

fn path_of(user: &str, act: &str) -> String {
    format!("/api/v1/users/{}{act}", escaped(user))
}

fn user_table(users: &[Value]) -> Table {
    let columns =
        [("EMAIL", Align::Left), ("NAME", Align::Left), ("STATE", Align::Left), ("TEAMS", Align::Left)];
    let mut table = Table::new(&columns);
    for user in users {
        table.row(["email", "name", "state", "teams"].map(|key| output::field(user, key)));
    }
    table
}

/// Runs `team …`.
pub(crate) fn team(command: TeamCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        TeamCommand::Add { name } => {
            let made = client.post("/api/v1/teams", &json!({"name": name}))?;
            out.done(&made, &format!("Added the team {name}."))?;
        }
        TeamCommand::List => {
            let teams = client.list("/api/v1/teams", &[], None)?;
            let mut table = Table::new(&[
                ("TEAM", Align::Left),
                ("MEMBERS", Align::Right),
                ("MODELS", Align::Left),
                ("DATA CLASS", Align::Left),
                ("CREATED", Align::Left),
            ]);
            for team in &teams {
                table.row(
                    ["name", "members", "models", "data_class", "created_at"]
                        .map(|key| output::field(team, key)),
                );
            }
            out.list(&teams, &table, "There is no team yet. Add one with `gatehouse team add NAME`.")?;
        }
        TeamCommand::Models { team, models } => {
            let path = format!("/api/v1/teams/{}/models", escaped(&team));
            let changed = client.put(&path, &json!({"models": models}))?;
            let list = if models.is_empty() { "every model".to_owned() } else { models.join(", ") };
            out.done(&changed, &format!("The team {team} may use {list}."))?;
        }
        TeamCommand::Set { team, class: ClassArgs { data_class, .. } } => {
            let path = format!("/api/v1/teams/{}/data-class", escaped(&team));
            let changed = client.put(&path, &json!({"data_class": data_class}))?;
            out.done(&changed, &classified(&format!("team {team}"), data_class.as_deref()))?;
        }
    }
    Ok(0)
}

fn classified(what: &str, class: Option<&str>) -> String {
    class.map_or_else(
        || format!("The {what} has no data class."),
        |class| format!("The data of the {what} is {class}."),
    )
}

/// Runs `project …`.
pub(crate) fn project(command: ProjectCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        ProjectCommand::Add { name } => {
            let made = client.post("/api/v1/projects", &json!({"name": name}))?;
            out.done(&made, &format!("Added the project {name}."))?;
        }
        ProjectCommand::List => {
            let projects = client.list("/api/v1/projects", &[], None)?;
            let mut table = Table::new(&[
                ("PROJECT", Align::Left),
                ("DATA CLASS", Align::Left),
                ("CREATED", Align::Left),
            ]);
            for project in &projects {
                table.row(["name", "data_class", "created_at"].map(|key| output::field(project, key)));
            }
            out.list(
                &projects,
                &table,
                "There is no project yet. Add one with `gatehouse project add NAME`.",
            )?;
        }
        ProjectCommand::Set { project, class: ClassArgs { data_class, .. } } => {
            let path = format!("/api/v1/projects/{}/data-class", escaped(&project));
            let changed = client.put(&path, &json!({"data_class": data_class}))?;
            out.done(&changed, &classified(&format!("project {project}"), data_class.as_deref()))?;
        }
    }
    Ok(0)
}

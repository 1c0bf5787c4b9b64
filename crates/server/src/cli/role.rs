//! `role`.

use serde_json::{Value, json};

use super::args::RoleCommand;
use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Runs `role …`.
pub(crate) fn run(command: RoleCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        RoleCommand::List => {
            let answer = client.get("/api/v1/roles", &[])?;
            let roles = answer["items"].as_array().cloned().unwrap_or_default();
            out.list(&roles, &table_of(&roles), "There is no role.")?;
        }
        RoleCommand::Set { name, permissions } => {
            let role = client.put(&path_of(&name), &json!({"permissions": permissions}))?;
            out.done(&role, &format!("The role {name} includes {}.", output::field(&role, "permissions")))?;
        }
        RoleCommand::Remove { name } => {
            let answer = client.delete(&path_of(&name))?;
            out.done(&answer, &format!("Removed the role {name}."))?;
        }
    }
    Ok(0)
}

fn path_of(name: &str) -> String {
    format!("/api/v1/roles/{}", escaped(name))
}

fn table_of(roles: &[Value]) -> Table {
    let mut table =
        Table::new(&[("ROLE", Align::Left), ("BUILT IN", Align::Left), ("PERMISSIONS", Align::Left)]);
    for role in roles {
        table.row(["name", "built_in", "permissions"].map(|key| output::field(role, key)));
    }
    table
}

//! `access` and `explain`.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::args::{AccessCommand, ExplainArgs};
use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Longest policy file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Runs `access …`.
pub(crate) fn run(command: AccessCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        AccessCommand::List => {
            let answer = client.get("/api/v1/access-policies", &[])?;
            let policies = answer["items"].as_array().cloned().unwrap_or_default();
            out.list(&policies, &table_of(&policies), "There is no access policy.")?;
        }
        AccessCommand::Show { name } => {
            let policy = client.get(&path_of(&name), &[])?;
            out.done(&policy, output::field(&policy, "text").trim_end())?;
        }
        AccessCommand::Set { name, file } => {
            let changed = client.put(&path_of(&name), &json!({"text": read(&file)?}))?;
            out.done(&changed, &format!("The access policy {name} is in force."))?;
        }
        AccessCommand::Remove { name } => {
            let changed = client.delete(&path_of(&name))?;
            out.done(&changed, &format!("Removed the access policy {name}."))?;
        }
        AccessCommand::Check { file } => {
            let checked = client.post("/api/v1/access-policy-checks", &json!({"text": read(&file)?}))?;
            out.done(
                &checked,
                &format!("Good: it is a policy that {}s.", output::field(&checked, "effect")),
            )?;
        }
        AccessCommand::Schema => {
            let answer = client.get("/api/v1/access-schema", &[])?;
            out.done(&answer, output::field(&answer, "schema").trim_end())?;
        }
    }
    Ok(0)
}

/// Runs `explain`: exit code 1 when it is not allowed.
pub(crate) fn explain(args: &ExplainArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let mut query = vec![("user", args.user.as_str()), ("model", args.model.as_str())];
    let optional = [
        ("key", &args.key),
        ("team", &args.team),
        ("project", &args.project),
        ("provider", &args.provider),
        ("from", &args.from),
        ("data_class", &args.data_class),
    ];
    query.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
    let answer = client.get("/api/v1/explain", &query)?;
    let allowed = answer["allowed"] == Value::Bool(true);
    let mut lines = Vec::new();
    for step in answer["steps"].as_array().into_iter().flatten() {
        let mark = if step["allowed"] == Value::Bool(true) { "ok " } else { "NO " };
        lines.push(format!("{mark} {:<10} {}", output::field(step, "check"), output::field(step, "by")));
    }
    let may = if allowed { "may" } else { "may not" };
    lines.push(format!("{} {may} use {}.", args.user, args.model));
    out.done(&answer, &lines.join("\n"))?;
    Ok(u8::from(!allowed))
}

fn path_of(name: &str) -> String {
    format!("/api/v1/access-policies/{}", escaped(name))
}

/// Reads a policy from a file, or from standard input for `-`.
fn read(file: &Path) -> Result<String, Failure> {
    let failed = |e: std::io::Error| Failure::Usage(format!("cannot read `{}`: {e}", file.display()));
    let mut text = String::new();
    let input: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(failed)?)
    };
    input.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn table_of(policies: &[Value]) -> Table {
    let mut table = Table::new(&[("POLICY", Align::Left), ("CHANGED", Align::Left), ("TEXT", Align::Left)]);
    for policy in policies {
        let built_in = policy["built_in"] == Value::Bool(true);
        let changed = if built_in { "built in".to_owned() } else { output::field(policy, "changed_at") };
        let text = output::field(policy, "text");
        let first: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(70).collect();
        table.row([output::field(policy, "name"), changed, first]);
    }
    table
}

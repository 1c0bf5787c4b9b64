//! `limit`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// `limit …`
#[derive(Subcommand)]
pub(crate) enum LimitCommand {
    /// Make one: of a team, a project, a user or a key, else of the whole organization
    Add(LimitArgs),
    /// List limits
    List,
    /// Remove one
    Remove {
        /// Its id
        id: String,
    },
    /// Which limits apply to somebody, and what is left of them on this node
    Explain {
        /// Who, by e-mail address or id
        user: String,
        /// By which of their keys
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// With which model
        #[arg(long)]
        model: Option<String>,
    },
}

/// Arguments of `limit add`.
#[derive(Args)]
pub(crate) struct LimitArgs {
    /// What is limited: in a minute, or at the same time
    #[arg(value_parser = ["requests", "input_tokens", "output_tokens", "concurrency"])]
    measure: String,
    /// How much
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    amount: u64,
    /// What is charged to this team
    #[arg(long)]
    team: Option<String>,
    /// What is charged to this project
    #[arg(long)]
    project: Option<String>,
    /// What this person asks
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// What is asked with this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only these models: a name, or the beginning of one followed by `*`
    #[arg(long)]
    model: Option<String>,
}

/// Runs `limit …`.
pub(crate) fn run(command: LimitCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        LimitCommand::Add(args) => {
            let mut body = json!({"measure": args.measure, "amount": args.amount});
            for (name, value) in [
                ("team", args.team),
                ("project", args.project),
                ("user", args.user),
                ("key", args.key),
                ("model", args.model),
            ] {
                output::put(&mut body, name, value);
            }
            let made = client.post("/api/v1/limits", &body)?;
            let told = format!(
                "Made the limit {}: {} {}, of {}.",
                output::field(&made, "id"),
                args.amount,
                args.measure,
                holder(&made)
            );
            out.done(&made, &told)?;
        }
        LimitCommand::List => {
            let limits = client.list("/api/v1/limits", &[], None)?;
            let empty =
                "There is no limit yet. Make one with `gatehouse limit add requests 60 --user EMAIL`.";
            out.list(&limits, &table_of(&limits, false), empty)?;
        }
        LimitCommand::Remove { id } => {
            let gone = client.delete(&format!("/api/v1/limits/{}", escaped(&id)))?;
            out.done(&gone, &format!("Removed the limit {id}."))?;
        }
        LimitCommand::Explain { user, key, model } => {
            let mut query = vec![("user", user.as_str())];
            let optional = [("key", &key), ("model", &model)];
            query.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
            let answer = client.get("/api/v1/limit-explanations", &query)?;
            if out.wants_json() {
                out.json(&answer)?;
                return Ok(0);
            }
            let limits = answer["limits"].as_array().map_or(&[][..], Vec::as_slice);
            out.table(&table_of(limits, true), "No limit applies.")?;
        }
    }
    Ok(0)
}

/// Whose a limit is, in words.
fn holder(limit: &Value) -> String {
    match (output::field(limit, "holder_kind").as_str(), limit["holder"].as_str()) {
        (kind, Some(name)) => format!("{kind} {name}"),
        (kind, None) => kind.to_owned(),
    }
}

fn table_of(limits: &[Value], levels: bool) -> Table {
    let mut columns = vec![
        ("LIMIT", Align::Left),
        ("OF", Align::Left),
        ("MODEL", Align::Left),
        ("MEASURE", Align::Left),
        ("AMOUNT", Align::Right),
    ];
    if levels {
        columns.extend([("LEFT", Align::Right), ("WHOLE IN MS", Align::Right)]);
    }
    let mut table = Table::new(&columns);
    for limit in limits {
        let cell = |key| output::field(limit, key);
        let mut cells = vec![cell("id"), holder(limit), cell("model"), cell("measure"), cell("amount")];
        if levels {
            cells.extend([cell("remaining"), cell("whole_in_ms")]);
        }
        table.row(cells);
    }
    table
}

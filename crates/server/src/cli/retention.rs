//! `retention`.

use clap::Subcommand;
use serde_json::json;

use super::client::Client;
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// `retention …`
#[derive(Subcommand)]
pub(crate) enum RetentionCommand {
    /// How long records are kept, and how many are older now
    List,
    /// Delete the records of exchanges that are older; the server does so by itself every hour
    Run {
        /// Only say what would be deleted
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs `retention …`.
pub(crate) fn run(command: &RetentionCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        RetentionCommand::List | RetentionCommand::Run { dry_run: true } => list(client, out)?,
        RetentionCommand::Run { dry_run: false } => {
            let ran = client.post("/api/v1/retention/runs", &json!({}))?;
            let (deleted, announced) = (output::number(&ran, "deleted"), output::number(&ran, "announced"));
            let more =
                if ran["more"] == true { " There are more; the server goes on with them." } else { "" };
            let told = format!(
                "Deleted the records of {deleted} exchanges; {announced} are new in the audit log.{more}"
            );
            out.done(&ran, &told)?;
        }
    }
    Ok(0)
}

fn list(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = client.get("/api/v1/retention", &[])?;
    let kinds = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    let columns = [
        ("RECORDS", Align::Left),
        ("KEPT DAYS", Align::Right),
        ("BEFORE", Align::Left),
        ("OLDER NOW", Align::Right),
        ("SETTING", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for kind in kinds {
        let days = if kind["days"].is_null() { "for ever".to_owned() } else { output::number(kind, "days") };
        let more = if kind["more"] == true { " and more" } else { "" };
        let due = format!("{}{more}", output::number(kind, "due"));
        table.row([
            output::field(kind, "name"),
            days,
            output::field(kind, "before"),
            due,
            output::field(kind, "setting"),
        ]);
    }
    Ok(out.list(kinds, &table, "Nothing is kept.")?)
}

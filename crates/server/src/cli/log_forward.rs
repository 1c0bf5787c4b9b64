//! `log-forward`: where the log is handed to, and how far each destination is.

use clap::Subcommand;

use super::client::Client;
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// `log-forward …`
#[derive(Subcommand)]
pub(crate) enum LogForwardCommand {
    /// List destinations; exit code 1 if one does not deliver
    List,
}

/// Runs `log-forward …`.
pub(crate) fn run(command: &LogForwardCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let LogForwardCommand::List = command;
    let all = client.list("/api/v1/log-forwards", &[], None)?;
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("STATE", Align::Left),
        ("BEHIND", Align::Right),
        ("DELIVERED", Align::Right),
        ("LAST", Align::Left),
        ("WHERE", Align::Left),
        ("WHY", Align::Left),
    ]);
    for one in &all {
        table.row([
            output::field(one, "name"),
            output::field(one, "state"),
            output::number(one, "behind"),
            output::number(one, "delivered"),
            output::field(one, "moved_at"),
            output::field(one, "place"),
            output::field(one, "failure"),
        ]);
    }
    out.list(&all, &table, "The log is handed to nobody. See [[log_forward]] in the configuration.")?;
    let delivers = |state: &serde_json::Value| !matches!(state.as_str(), Some("failing" | "behind"));
    Ok(u8::from(!all.iter().all(|one| delivers(&one["state"]))))
}

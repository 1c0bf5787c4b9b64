//! `network allow-list`: what a firewall must let through in each mode, from the configuration and from what the coding client is
//! known to need. Needs no server.

mod hosts;
mod nftables;

use std::collections::BTreeSet;

use clap::Subcommand;
use gatehouse_domain::mode::Mode;
use serde_json::{Value, json};

use super::table::{Align, Table};
use super::{Failure, Out, ServeArgs, read_config};
use crate::environment::Environment;
use hosts::{Entry, Machine, entries};

/// `network …`
#[derive(Subcommand)]
pub(crate) enum NetworkCommand {
    /// What a firewall must let through, by mode: from people's machines, and from the machines that Gatehouse runs on
    #[command(after_help = "For a firewall on people's machines, with names looked up now:\n  \
                            gatehouse network allow-list --config gatehouse.toml --mode hybrid --format nftables")]
    AllowList(AllowListArgs),
}

/// Arguments of `network allow-list`.
#[derive(clap::Args)]
pub(crate) struct AllowListArgs {
    /// For programs, people or nft [default: a table, or JSON with --json]
    #[arg(long, value_parser = ["table", "json", "nftables"])]
    format: Option<String>,
    /// Only this mode [default: all of them]
    #[arg(long, value_parser = ["direct", "proxy", "gateway", "hybrid"])]
    mode: Option<String>,
    /// From which machines: people's ("client"), or those that Gatehouse runs on ("server") [default: both; "client" with
    /// nftables]
    #[arg(long, value_parser = ["client", "server"])]
    machine: Option<String>,
    /// What is not needed for work to go on is left out
    #[arg(long)]
    required_only: bool,
    /// Where the configuration comes from
    #[command(flatten)]
    serve: ServeArgs,
}

/// Runs `network …`.
pub(crate) fn run(command: &NetworkCommand, environment: &Environment, out: &mut Out) -> Result<u8, Failure> {
    let NetworkCommand::AllowList(args) = command;
    let config = read_config(&args.serve, environment)?;
    let wanted = |mode: &Mode| args.mode.as_deref().is_none_or(|name| name == mode.as_str());
    let modes: Vec<Mode> = Mode::ALL.into_iter().filter(wanted).collect();
    let format = match (args.format.as_deref(), out.wants_json()) {
        (None, true) => "json",
        (None, false) => "table",
        (Some(format), _) => format,
    };
    let machine = match (args.machine.as_deref(), format) {
        (Some("server"), _) => Some(Machine::Server),
        (Some(_), _) | (None, "nftables") => Some(Machine::Client),
        (None, _) => None,
    };
    let kept = |entry: &Entry| {
        machine.is_none_or(|machine| machine == entry.from) && (entry.required || !args.required_only)
    };
    let by_mode: Vec<(Mode, BTreeSet<Entry>)> = modes
        .into_iter()
        .map(|mode| (mode, entries(&config, mode).into_iter().filter(kept).collect()))
        .collect();
    match format {
        "json" => out.json(&as_json(&by_mode))?,
        "nftables" => {
            let [(mode, entries)] = by_mode.as_slice() else {
                return Err(Failure::Usage(
                    "a rule set is for one mode: say which with --mode direct, proxy, gateway or hybrid"
                        .to_owned(),
                ));
            };
            let made =
                nftables::rules(*mode, machine.unwrap_or(Machine::Client), entries, &nftables::look_up);
            out.text(&made.text)?;
            for missing in &made.unknown {
                super::output::complain(&format!(
                    "gatehouse: `{missing}` has no address here: it is not let through"
                ));
            }
            return Ok(u8::from(!made.unknown.is_empty()));
        }
        _ => table(&by_mode, out)?,
    }
    Ok(0)
}

fn as_json(by_mode: &[(Mode, BTreeSet<Entry>)]) -> Value {
    let one = |entry: &Entry| {
        json!({
            "from": entry.from.as_str(),
            "host": entry.host,
            "port": entry.port,
            "protocol": entry.protocol.as_str(),
            "required": entry.required,
            "what_for": entry.what_for,
        })
    };
    let modes = by_mode.iter().map(|(mode, entries)| {
        json!({"mode": mode.as_str(), "allow": entries.iter().map(one).collect::<Vec<_>>()})
    });
    json!({"modes": modes.collect::<Vec<_>>()})
}

fn table(by_mode: &[(Mode, BTreeSet<Entry>)], out: &mut Out) -> Result<(), Failure> {
    let columns = [
        ("MODE", Align::Left),
        ("FROM", Align::Left),
        ("HOST", Align::Left),
        ("PORT", Align::Right),
        ("NEEDED", Align::Left),
        ("WHAT FOR", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for (mode, entries) in by_mode {
        for entry in entries {
            let port = match entry.protocol {
                hosts::Protocol::Tcp => entry.port.to_string(),
                hosts::Protocol::Udp => format!("{}/udp", entry.port),
            };
            table.row([
                mode.to_string(),
                entry.from.as_str().to_owned(),
                entry.host.clone(),
                port,
                if entry.required { "yes" } else { "no" }.to_owned(),
                entry.what_for.clone(),
            ]);
        }
    }
    out.table(&table, "Nothing has to be let through.")?;
    Ok(())
}

//! `inspection`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Longest file that is read, in bytes.
const MOST: u64 = 64 * 1024;

/// `inspection …`
#[derive(Subcommand)]
pub(crate) enum InspectionCommand {
    /// What the forward proxy looks into, and who vouches for it
    Show,
    /// The authority that vouches for the proxy where it looks into tunnels
    #[command(subcommand)]
    Ca(CaCommand),
}

/// `inspection ca …`
#[derive(Subcommand)]
pub(crate) enum CaCommand {
    /// Make one with a new key (ECDSA P-256), good for some hosts and nothing else
    #[command(
        after_help = "For the hosts that the configuration names, and one that the next configuration will:\n  \
                            gatehouse inspection ca create\n  \
                            gatehouse inspection ca create --host api.anthropic.com --host tools.example"
    )]
    Create(CreateArgs),
    /// Take one of the organization's own
    Import(ImportArgs),
    /// Print its certificate (PEM), for people's machines to trust
    Show,
    /// Remove it: what is to be looked into is refused from then on
    Remove,
}

/// Arguments of `inspection ca create`.
#[derive(Args)]
pub(crate) struct CreateArgs {
    /// A host that it is good for: a name, or `*.` and a name; may be given several times [default: those that are inspected]
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// How many days it is good for [default: 730]
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// Take the place of the one that there is: clients must trust the new one before
    #[arg(long)]
    replace: bool,
}

/// Arguments of `inspection ca import`.
#[derive(Args)]
pub(crate) struct ImportArgs {
    /// Its certificate, a PEM file
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its key, a PEM file (not encrypted); `-` reads it from the standard input
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Take the place of the one that there is: clients must trust the new one before
    #[arg(long)]
    replace: bool,
}

/// Runs `inspection …`.
pub(crate) fn run(command: InspectionCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        InspectionCommand::Show => show(client, out)?,
        InspectionCommand::Ca(CaCommand::Create(args)) => {
            let mut body = json!({"hosts": args.hosts, "replace": args.replace});
            if let Some(days) = args.days {
                body["days"] = days.into();
            }
            let made = client.post("/api/v1/inspection/authority", &body)?;
            out.done(&made, &told("Made", &made))?;
        }
        InspectionCommand::Ca(CaCommand::Import(args)) => {
            let body = json!({
                "certificate": read(&args.certificate)?, "key": read(&args.key)?, "replace": args.replace,
            });
            let made = client.put("/api/v1/inspection/authority", &body)?;
            out.done(&made, &told("Took over", &made))?;
        }
        InspectionCommand::Ca(CaCommand::Show) => {
            let found = client.get("/api/v1/inspection", &[])?;
            let authority = &found["authority"];
            let Some(certificate) = authority["certificate"].as_str() else {
                let told = "there is no inspection authority: `gatehouse inspection ca create` makes one";
                return Err(Failure::Failed(told.to_owned()));
            };
            if out.wants_json() {
                out.json(authority)?;
            } else {
                out.line(certificate.trim_end())?;
            }
        }
        InspectionCommand::Ca(CaCommand::Remove) => {
            let gone = client.delete("/api/v1/inspection/authority")?;
            out.done(&gone, "Removed the inspection authority.")?;
        }
    }
    Ok(0)
}

fn show(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let found = client.get("/api/v1/inspection", &[])?;
    let mut table = Table::new(&[("WHAT", Align::Left), ("IS", Align::Left)]);
    for (title, field) in [
        ("looked into", "hosts"),
        ("not", "never"),
        ("model hosts", "model_hosts"),
        ("credential", "credential"),
        ("notice", "notice"),
    ] {
        table.row([title.to_owned(), output::field(&found, field)]);
    }
    let authority = &found["authority"];
    if authority.is_null() {
        table.row(["authority".to_owned(), "none: what is to be looked into is refused".to_owned()]);
    }
    for (title, field) in
        [("authority", "subject"), ("good for", "names"), ("until", "not_after"), ("SHA-256", "sha256")]
    {
        if !authority.is_null() {
            table.row([title.to_owned(), output::field(authority, field)]);
        }
    }
    Ok(out.one(&found, &table)?)
}

fn told(what: &str, made: &Value) -> String {
    let names = output::field(made, "names");
    let until = output::field(made, "not_after");
    format!(
        "{what} the inspection authority {}, good for {}, until {until}. Clients must trust its certificate: \
         `gatehouse inspection ca show`, or GATEWAY/inspection/ca.pem.",
        output::field(made, "subject"),
        if names == "-" { "every name".to_owned() } else { names },
    )
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MOST).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Failed(format!("cannot read `{}`: {error}", path.display())))?;
    Ok(text)
}

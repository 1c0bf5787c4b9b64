//! `doctor` and `readiness`: the checklist before people are let in.

mod away;
pub(crate) mod network;

use std::path::PathBuf;

use clap::Subcommand;
use gatehouse_domain::settings::lint::Language as Spoken;
use serde_json::{Value, json};

use super::client::{self, Client, escaped};
use super::language::Language;
use super::report::save;
use super::table::{Align, Table};
use super::{Failure, Global, Out, credential, output};
use crate::environment::Environment;

/// Arguments of `doctor`.
#[derive(clap::Args)]
pub(crate) struct DoctorArgs {
    /// Only this section; "network" instead tries every hop between this machine and the gateway or proxy, and needs no server
    #[arg(value_parser = ["infrastructure", "network-security", "identity", "monitoring", "compliance", "network"])]
    section: Option<String>,
    /// Write the whole checklist to this file too, as a PDF document
    #[arg(long, value_name = "FILE", conflicts_with = "section")]
    pdf: Option<PathBuf>,
    /// What `network` tries
    #[command(flatten)]
    pub(crate) network: network::NetworkArgs,
    /// Language of texts
    #[command(flatten)]
    language: Language,
}

impl DoctorArgs {
    /// Whether the hops from this machine are asked for, and not the checklist.
    ///
    /// # Errors
    /// What belongs to one is given with the other.
    pub(crate) fn is_network(&self) -> Result<bool, Failure> {
        let is_network = self.section.as_deref() == Some("network");
        if !is_network && self.network.is_given() {
            let told = "--gateway, --proxy and --to belong to `gatehouse doctor network`";
            return Err(Failure::Usage(told.to_owned()));
        }
        Ok(is_network)
    }
}

/// `readiness …`
#[derive(Subcommand)]
pub(crate) enum ReadinessCommand {
    /// Note who sees to an item, until when, what was done, or why it may wait
    Set(SetArgs),
}

/// Arguments of `readiness set`.
#[derive(clap::Args)]
pub(crate) struct SetArgs {
    /// The item, as `gatehouse doctor` names it
    item: String,
    /// Who sees to it
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Until when: a date such as 2026-12-31, or a span from now such as 14d
    #[arg(long, value_name = "WHEN")]
    due: Option<String>,
    /// What was done, and where it can be seen
    #[arg(long, value_name = "TEXT")]
    done: Option<String>,
    /// Why it may wait
    #[arg(long, value_name = "REASON", requires = "until")]
    waive: Option<String>,
    /// Until when it may wait
    #[arg(long, value_name = "WHEN", requires = "waive")]
    until: Option<String>,
}

/// Runs `doctor`: exit code 1 while something is broken or open, or cannot be judged.
pub(crate) fn doctor(
    args: &DoctorArgs,
    global: &Global,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    let client = client::connect(global, environment)?;
    let found = client.get_unless_away("/api/v1/readiness", &[])?;
    let is_away = found.is_err();
    let mut checklist = found.unwrap_or_else(|told| {
        away::checklist(credential::database(global, environment).as_ref(), client.server(), &told)
    });
    let lang = ("lang", args.language.tag(environment));
    let save = |file| save(&client, "/api/v1/readiness", vec![lang], file);
    let written = args.pdf.as_deref().filter(|_| !is_away).map(save).transpose()?;
    let all = checklist["items"].as_array().cloned().unwrap_or_default();
    // Nothing of any section can be told without the database.
    let wanted = |item: &Value| {
        args.section.as_deref().is_none_or(|section| item["section"] == section)
            || (is_away && item["item"] == "database")
    };
    let items: Vec<Value> = all.into_iter().filter(wanted).collect();
    let stands =
        items.iter().all(|item| !matches!(item["state"].as_str(), Some("fail" | "open" | away::UNKNOWN)));
    checklist["items"] = Value::Array(items);
    if out.wants_json() {
        out.json(&checklist)?;
    } else {
        show(&checklist, args.language.wished(environment), out)?;
        if let Some(written) = written {
            out.line(written.sentence())?;
        }
    }
    if let Some(path) = args.pdf.as_deref().filter(|_| is_away) {
        let told = format!("`{}` was not written: the database is away", path.display());
        return Err(Failure::Failed(told));
    }
    Ok(u8::from(!stands))
}

fn show(checklist: &Value, language: Spoken, out: &mut Out) -> Result<(), Failure> {
    let name = match language {
        Spoken::English => 0,
        Spoken::SimplifiedChinese => 1,
        Spoken::TraditionalChinese => 2,
    };
    let columns = ["STATE", "ITEM", "WHAT", "OWNER", "DUE", "EVIDENCE"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for item in checklist["items"].as_array().into_iter().flatten() {
        let due = output::field(item, "due").chars().take(10).collect::<String>();
        let late = if item["overdue"] == true { " (overdue)" } else { "" };
        table.row([
            output::field(item, "state"),
            output::field(item, "item"),
            output::field(&json!({"name": item["names"][name]}), "name"),
            output::field(item, "owner"),
            format!("{due}{late}"),
            output::field(item, "evidence"),
        ]);
    }
    out.table(&table, "The checklist is empty.")?;
    if checklist["percent"].is_null() {
        return Ok(out.line("Not ready: the database is away, and nothing else can be judged without it.")?);
    }
    let verdict = if checklist["go"] == true {
        "Ready: nothing is broken, and nothing is open."
    } else {
        "Not ready: what is in the states fail and open keeps people out (`gatehouse readiness set ITEM …`)."
    };
    Ok(out.line(format!("{} % done. {verdict}", output::number(checklist, "percent")))?)
}

/// Runs `readiness …`.
pub(crate) fn readiness(command: ReadinessCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let ReadinessCommand::Set(args) = command;
    let mut body = json!({});
    output::put(&mut body, "owner", args.owner);
    output::put(&mut body, "due", args.due);
    output::put(&mut body, "statement", args.done);
    output::put(&mut body, "waiver", args.waive);
    output::put(&mut body, "waived_until", args.until);
    if body.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(Failure::Usage("say what is to be noted: --owner, --due, --done or --waive".to_owned()));
    }
    let item = client.put(&format!("/api/v1/readiness/{}", escaped(&args.item)), &body)?;
    let sentence =
        format!("{}: {} ({})", args.item, output::field(&item, "state"), output::field(&item, "evidence"));
    out.done(&item, &sentence)?;
    Ok(0)
}

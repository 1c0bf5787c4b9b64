//! `mode …` and `telemetry …`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::Client;
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// `mode …`
#[derive(Subcommand)]
pub(crate) enum ModeCommand {
    /// Show the mode of the organization and of teams that have their own
    Show,
    /// Say what a change would mean, and change nothing
    Plan(ModeArgs),
    /// Change the mode; what it was stays in the history
    Set(ModeArgs),
    /// How the mode changed, newest first
    History,
    /// Who used models by which way, and what of it went past their mode: direct and personal use, as far as it was seen
    Report {
        /// So many UTC days before today
        #[arg(long, value_name = "N", default_value = "30")]
        days: u32,
    },
}

/// A change of the mode.
#[derive(clap::Args)]
pub(crate) struct ModeArgs {
    /// The mode, or `inherit` to let a team go by the organization again
    #[arg(value_parser = ["direct", "proxy", "gateway", "hybrid", "inherit"])]
    mode: String,
    /// Of this team only
    #[arg(long)]
    team: Option<String>,
}

/// `telemetry …`
#[derive(Subcommand)]
pub(crate) enum TelemetryCommand {
    /// Single events that clients told of, one JSON line each, newest first
    Events {
        /// From when: 7d, 24h, 2026-11-01
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Until when
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Only this person's
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        /// Only of this name: `api_request`, `api_error`, `tool_result`, `user_prompt` or `feedback_survey`
        #[arg(long)]
        name: Option<String>,
        /// At most so many [default: all]
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
}

impl ModeArgs {
    fn mode(&self) -> Option<&str> {
        Some(self.mode.as_str()).filter(|mode| *mode != "inherit")
    }
}

/// Runs `mode …`.
pub(crate) fn mode(command: &ModeCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        ModeCommand::Show => show(&client.get("/api/v1/modes", &[])?, out)?,
        ModeCommand::Set(args) => {
            let mut body = json!({});
            output::put(&mut body, "mode", args.mode().map(str::to_owned));
            output::put(&mut body, "team", args.team.clone());
            show(&client.put("/api/v1/modes", &body)?, out)?;
        }
        ModeCommand::Plan(args) => {
            let mut query = Vec::new();
            query.extend(args.mode().map(|mode| ("mode", mode)));
            query.extend(args.team.as_deref().map(|team| ("team", team)));
            plan(&client.get("/api/v1/modes/plan", &query)?, args, out)?;
        }
        ModeCommand::History => {
            let changes = client.list("/api/v1/modes/changes", &[], None)?;
            let table = table_of(&changes);
            out.list(&changes, &table, "The mode was never changed: it is gateway.")?;
        }
        ModeCommand::Report { days } => return super::mode_report::run(*days, client, out),
    }
    Ok(0)
}

fn table_of(items: &[Value]) -> Table {
    let columns = ["OF", "MODE", "SET BY", "SET AT"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for item in items {
        let of =
            item["team"].as_str().map_or_else(|| "organization".to_owned(), |team| format!("team {team}"));
        let mode = item["mode"].as_str().unwrap_or("(the organization's)").to_owned();
        table.row([of, mode, output::field(item, "set_by"), output::field(item, "set_at")]);
    }
    table
}

fn show(answer: &Value, out: &mut Out) -> Result<(), Failure> {
    if out.wants_json() {
        out.json(answer)?;
        return Ok(());
    }
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    out.table(&table_of(items), "")?;
    for item in items {
        let name = item["team"]
            .as_str()
            .map_or_else(|| "the organization".to_owned(), |team| format!("the team {team}"));
        for blind in texts(&item["blind"]) {
            out.line(format!("Blind for {name}: {}", blind_text(blind)))?;
        }
    }
    Ok(())
}

fn plan(plan: &Value, args: &ModeArgs, out: &mut Out) -> Result<(), Failure> {
    if out.wants_json() {
        out.json(plan)?;
        return Ok(());
    }
    let of =
        args.team.as_deref().map_or_else(|| "the organization".to_owned(), |team| format!("the team {team}"));
    let (from, to) = (output::field(plan, "from"), output::field(plan, "to"));
    out.line(format!("From {from} to {to}, of {of}. Nothing was changed."))?;
    for (key, verb) in [("add", "Comes to machines"), ("remove", "Goes from machines")] {
        for artifact in texts(&plan[key]) {
            out.line(format!("  {verb}: {}", artifact_text(artifact)))?;
        }
    }
    out.line(format!("People whose mode changes: {}", output::field(plan, "affected")))?;
    for person in texts(&plan["people"]) {
        out.line(format!("  {}", super::table::printable(person)))?;
    }
    let before: Vec<&str> = texts(&plan["blind_before"]).collect();
    let after: Vec<&str> = texts(&plan["blind_after"]).collect();
    for blind in after.iter().filter(|blind| !before.contains(blind)) {
        out.line(format!("Blind from then on: {}", blind_text(blind)))?;
    }
    for blind in before.iter().filter(|blind| !after.contains(blind)) {
        out.line(format!("No longer blind: {}", blind_text(blind)))?;
    }
    for setting in texts(&plan["missing"]) {
        out.line(format!("Missing in the configuration: {setting}"))?;
    }
    let back = match args.team.as_deref() {
        None => format!("gatehouse mode set {from}"),
        Some(team) => format!("gatehouse mode set {from} --team {team} (or inherit)"),
    };
    out.line(format!(
        "Each person's steps: gatehouse onboarding EMAIL, after the change. The way back: {back}"
    ))?;
    Ok(())
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str)
}

fn artifact_text(code: &str) -> &str {
    match code {
        "base_url" => "the gateway's address (ANTHROPIC_BASE_URL)",
        "gateway_credential" => "a key or sign-in of Gatehouse (ANTHROPIC_AUTH_TOKEN)",
        "provider_key" => "a key of the provider (ANTHROPIC_API_KEY)",
        "proxy_url" => "the forward proxy's address (HTTPS_PROXY) and its credential helper",
        "proxy_ca" => "the certificate of the proxy's authority (NODE_EXTRA_CA_CERTS)",
        "telemetry" => "telemetry to the gateway (OTEL_EXPORTER_OTLP_…)",
        "served_settings" => "settings that the gateway serves (gatehouse settings)",
        "settings_file" => "settings as a file on the machine (gatehouse settings export)",
        other => other,
    }
}

/// What nobody can see or hold back, in words.
pub(super) fn blind_text(code: &str) -> &str {
    match code {
        "claims_only" => "use and cost are what clients claim; who sends no telemetry is not seen at all",
        "bytes_only" => "the proxy sees hosts and bytes, not models, tokens or prompts",
        "costs_are_claims" => "cost is what clients claim",
        "no_budgets" => "budgets and limits hold nothing back",
        "no_content_rules" => "access policies and data rules see no request",
        "no_revocation" => "disabling a person or key here does not stop their provider key",
        "no_audit" => "requests leave no entry in the audit log",
        "personal_use" => "use with a personal account looks like no use",
        "other_routes" => {
            "a client that is pointed elsewhere goes around the gateway unless the network forbids it"
        }
        other => other,
    }
}

/// Runs `telemetry …`.
pub(crate) fn telemetry(command: &TelemetryCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let TelemetryCommand::Events { since, until, user, name, limit } = command;
    let mut query = Vec::new();
    for (key, value) in [("since", since), ("until", until), ("user", user), ("name", name)] {
        query.extend(value.as_deref().map(|value| (key, value)));
    }
    client.each("/api/v1/telemetry/events", &query, *limit, |item| Ok(out.json_line(&item)?))?;
    out.flush()?;
    Ok(0)
}

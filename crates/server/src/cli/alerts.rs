//! `alerts`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, escaped};
use super::language::Language;
use super::table::{Align, Table};
use super::{Failure, Out, output};
use crate::environment::Environment;

/// `alerts …`
#[derive(Subcommand)]
pub(crate) enum AlertsCommand {
    /// Alerts that are pending or fire, the worst first
    List(Language),
    /// What happened to alerts, newest first
    History(HistoryArgs),
    /// The rules in force
    Rules(Language),
    /// Silences: alerts that nobody is told of for a while
    #[command(subcommand)]
    Silence(SilenceCommand),
    /// Whom alerts are told to, and how that goes
    Receivers,
    /// Messages to receivers, newest first
    Deliveries {
        /// Only to this receiver
        #[arg(long, value_name = "RECEIVER")]
        receiver: Option<String>,
        /// Only in this state
        #[arg(long, value_parser = ["waiting", "sending", "sent", "failed", "dropped"])]
        state: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value = "50")]
        limit: u64,
    },
    /// Send a test to a receiver; exit code 1 if it is not taken
    Test {
        /// Its name in the configuration
        receiver: String,
    },
    /// Print the rules in the form of another program
    Export {
        /// Which
        #[arg(long, value_parser = ["prometheus"], default_value = "prometheus")]
        format: String,
        /// In which language
        #[command(flatten)]
        language: Language,
    },
}

/// `alerts silence …`
#[derive(Subcommand)]
pub(crate) enum SilenceCommand {
    /// Make one
    #[command(
        after_help = "gatehouse alerts silence add alertname=budget-near budget=bud_01… --for 2h --reason \"raised today\""
    )]
    Add {
        /// Conditions on labels, all of which must be fulfilled: alertname=NAME, label=value, label!=value, label=begin*
        #[arg(required = true, value_name = "CONDITION")]
        matchers: Vec<String>,
        /// Until when: 2h, 7d, or a UTC time
        #[arg(long = "for", value_name = "TIME")]
        ends: String,
        /// From when on [default: now]
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// List them
    List {
        /// Those that have ended too
        #[arg(long)]
        all: bool,
    },
    /// End one now
    End {
        /// Its id
        id: String,
    },
}

/// Arguments of `alerts history`.
#[derive(Args)]
pub(crate) struct HistoryArgs {
    /// Only of this rule
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// From when: 7d, 24h, 2026-11-01
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "100")]
    limit: u64,
    /// In which language
    #[command(flatten)]
    language: Language,
}

/// Runs `alerts …`.
pub(crate) fn run(
    command: AlertsCommand,
    environment: &Environment,
    client: &Client,
    out: &mut Out,
) -> Result<u8, Failure> {
    let code = |language: &Language| match language.wished(environment) {
        gatehouse_domain::settings::lint::Language::English => "en",
        gatehouse_domain::settings::lint::Language::SimplifiedChinese => "zh-CN",
        gatehouse_domain::settings::lint::Language::TraditionalChinese => "zh-TW",
    };
    match command {
        AlertsCommand::List(language) => list(code(&language), client, out)?,
        AlertsCommand::History(args) => history(&args, code(&args.language), client, out)?,
        AlertsCommand::Rules(language) => rules(code(&language), client, out)?,
        AlertsCommand::Silence(command) => silence(command, client, out)?,
        AlertsCommand::Receivers => receivers(client, out)?,
        AlertsCommand::Deliveries { receiver, state, limit } => {
            let given = [("receiver", &receiver), ("state", &state)];
            let mut query: Vec<(&str, &str)> =
                given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
            let limit = limit.to_string();
            query.push(("limit", &limit));
            let answer = client.get("/api/v1/alerts/deliveries", &query)?;
            let items = items(&answer);
            out.list(items, &delivery_table(items), "Nothing was to be told.")?;
        }
        AlertsCommand::Test { receiver } => {
            let path = format!("/api/v1/alerts/receivers/{}/test", escaped(&receiver));
            let answer = client.post(&path, &json!({}))?;
            let taken = answer["taken"] == Value::Bool(true);
            let sentence = if taken {
                format!("{receiver} took the test.")
            } else {
                format!("{receiver} did not take the test: {}", output::field(&answer, "error"))
            };
            out.done(&answer, &sentence)?;
            return Ok(u8::from(!taken));
        }
        AlertsCommand::Export { format: _, language } => {
            let answer = client.get("/api/v1/alerts/rule-file", &[("lang", code(&language))])?;
            out.text(answer["text"].as_str().unwrap_or_default())?;
        }
    }
    Ok(0)
}

fn items(answer: &Value) -> &[Value] {
    answer["items"].as_array().map_or(&[][..], Vec::as_slice)
}

fn list(language: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = client.get("/api/v1/alerts", &[("lang", language)])?;
    let columns = [
        ("STATE", Align::Left),
        ("SEVERITY", Align::Left),
        ("RULE", Align::Left),
        ("WHAT", Align::Left),
        ("SINCE", Align::Left),
        ("TOLD", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for item in items(&answer) {
        let held = output::field(item, "held_back");
        let told = if held.is_empty() || held == "-" { "yes".to_owned() } else { held };
        let [state, severity, rule, summary, since] =
            ["state", "severity", "rule", "summary", "active_at"].map(|key| output::field(item, key));
        table.row([state, severity, rule, summary, since, told]);
    }
    Ok(out.list(items(&answer), &table, "Nothing is wrong.")?)
}

fn history(args: &HistoryArgs, language: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let limit = args.limit.to_string();
    let mut query = vec![("lang", language), ("limit", limit.as_str())];
    let given = [("rule", &args.rule), ("since", &args.since)];
    query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
    let answer = client.get("/api/v1/alerts/history", &query)?;
    let columns = [("AT", Align::Left), ("EVENT", Align::Left), ("RULE", Align::Left), ("WHAT", Align::Left)];
    let mut table = Table::new(&columns);
    for item in items(&answer) {
        let alert = &item["alert"];
        let (rule, what) = (output::field(alert, "rule"), output::field(alert, "summary"));
        table.row([output::field(item, "at"), output::field(item, "kind"), rule, what]);
    }
    Ok(out.list(items(&answer), &table, "Nothing has happened.")?)
}

fn rules(language: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = client.get("/api/v1/alerts/rules", &[("lang", language)])?;
    let columns = [
        ("RULE", Align::Left),
        ("SIGNAL", Align::Left),
        ("", Align::Left),
        ("THRESHOLD", Align::Right),
        ("FOR (s)", Align::Right),
        ("SEVERITY", Align::Left),
        ("WHAT", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for item in items(&answer) {
        let [name, signal, compare, severity, summary] =
            ["name", "signal", "compare", "severity", "summary"].map(|key| output::field(item, key));
        let threshold = item["threshold"].to_string();
        table.row([name, signal, compare, threshold, output::number(item, "for_seconds"), severity, summary]);
    }
    Ok(out.list(items(&answer), &table, "There is no rule.")?)
}

fn silence(command: SilenceCommand, client: &Client, out: &mut Out) -> Result<(), Failure> {
    match command {
        SilenceCommand::Add { matchers, ends, from, reason } => {
            let mut body = json!({"matchers": matchers, "reason": reason, "ends": ends});
            output::put(&mut body, "starts", from);
            let made = client.post("/api/v1/alerts/silences", &body)?;
            let until = output::field(&made, "ends_at");
            out.done(&made, &format!("Made the silence {}, until {until}.", output::field(&made, "id")))?;
        }
        SilenceCommand::List { all } => {
            let query: &[(&str, &str)] = if all { &[("ended", "true")] } else { &[] };
            let answer = client.get("/api/v1/alerts/silences", query)?;
            let columns = [
                ("ID", Align::Left),
                ("CONDITIONS", Align::Left),
                ("UNTIL", Align::Left),
                ("BY", Align::Left),
                ("REASON", Align::Left),
            ];
            let mut table = Table::new(&columns);
            for item in items(&answer) {
                let conditions: Vec<&str> =
                    item["matchers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let [id, until, by, reason] =
                    ["id", "ends_at", "author", "reason"].map(|key| output::field(item, key));
                table.row([id, conditions.join(" "), until, by, reason]);
            }
            out.list(items(&answer), &table, "Nothing is silenced.")?;
        }
        SilenceCommand::End { id } => {
            let gone = client.delete(&format!("/api/v1/alerts/silences/{}", escaped(&id)))?;
            out.done(&gone, &format!("Ended the silence {id}."))?;
        }
    }
    Ok(())
}

fn receivers(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = client.get("/api/v1/alerts/receivers", &[])?;
    let columns = [
        ("RECEIVER", Align::Left),
        ("KIND", Align::Left),
        ("A MINUTE", Align::Right),
        ("WAITING", Align::Right),
        ("NEWEST", Align::Left),
        ("AT", Align::Left),
        ("ERROR", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for item in items(&answer) {
        let newest = &item["newest"];
        let [name, kind] = ["name", "kind"].map(|key| output::field(item, key));
        let [state, at, error] = ["state", "ended_at", "error"].map(|key| output::field(newest, key));
        table.row([
            name,
            kind,
            output::number(item, "per_minute"),
            output::number(item, "waiting"),
            state,
            at,
            error,
        ]);
    }
    Ok(out.list(items(&answer), &table, "No receiver is configured (`[[alerts.receiver]]`).")?)
}

fn delivery_table(items: &[Value]) -> Table {
    let columns = [
        ("MADE", Align::Left),
        ("RECEIVER", Align::Left),
        ("STATE", Align::Left),
        ("TRIES", Align::Right),
        ("FIRING", Align::Right),
        ("RESOLVED", Align::Right),
        ("ERROR", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for item in items {
        let [made, receiver, state, error] =
            ["created_at", "receiver", "state", "error"].map(|key| output::field(item, key));
        let [tries, firing, resolved] =
            ["attempts", "firing", "resolved"].map(|key| output::number(item, key));
        table.row([made, receiver, state, tries, firing, resolved, error]);
    }
    table
}

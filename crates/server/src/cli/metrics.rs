//! `metrics`.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Client;
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Arguments of `metrics`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct MetricsArgs {
    #[command(subcommand)]
    command: Option<MetricsCommand>,
    #[command(flatten)]
    summary: SummaryArgs,
}

/// Arguments of `metrics` itself.
#[derive(Args)]
pub(crate) struct SummaryArgs {
    /// org, team:NAME, user:EMAIL, rollout:NAME, rollout:NAME/PHASE or mode:MODE
    #[arg(long)]
    scope: Option<String>,
    /// How far back: 7d, 24h [default: 30d]
    #[arg(long, value_name = "TIME")]
    window: Option<String>,
}

/// `metrics …`
#[derive(Subcommand)]
pub(crate) enum MetricsCommand {
    /// Show the figures day by day, as they were kept an hour after each day's end (UTC)
    History {
        /// org, team:NAME, rollout:NAME/PHASE or mode:MODE
        #[arg(long)]
        scope: Option<String>,
        /// The first day: 90d, 2026-11-01 [default: 30d]
        #[arg(long, value_name = "DAY")]
        since: Option<String>,
        /// The day after the last [default: today]
        #[arg(long, value_name = "DAY")]
        until: Option<String>,
    },
}

/// Runs `metrics …`.
pub(crate) fn run(args: &MetricsArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match &args.command {
        None => summary(&args.summary, client, out),
        Some(MetricsCommand::History { scope, since, until }) => {
            history(&[("scope", scope), ("since", since), ("until", until)], client, out)
        }
    }
}

fn asked<'a>(given: &[(&'a str, &'a Option<String>)]) -> Vec<(&'a str, &'a str)> {
    given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect()
}

fn history(given: &[(&str, &Option<String>)], client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let history = client.get("/api/v1/metrics/history", &asked(given))?;
    if out.wants_json() {
        out.json(&history)?;
        return Ok(0);
    }
    let columns = [
        ("DAY", Align::Left),
        ("ADOPTION", Align::Right),
        ("FREQUENCY", Align::Right),
        ("ERROR RATE", Align::Right),
        ("RESPONSE MS", Align::Right),
        ("USD PER USER", Align::Right),
        ("SATISFACTION", Align::Right),
        ("REQUESTS", Align::Right),
        ("BASIS", Align::Left),
    ];
    let mut table = Table::new(&columns);
    let items = history["items"].as_array().map_or(&[][..], Vec::as_slice);
    for item in items {
        let six = SIX.map(|name| short(&item["metrics"][name]));
        let [adoption, frequency, errors, response, cost, satisfaction] = six;
        let requests = output::number(&item["counts"], "total_requests");
        let (day, basis) = (output::field(item, "day"), output::field(item, "basis"));
        table.row([day, adoption, frequency, errors, response, cost, satisfaction, requests, basis]);
    }
    let scope = output::field(&history, "scope");
    let empty = format!("No day of {scope} is kept yet; a day is kept an hour after its end (UTC).");
    out.table(&table, &empty)?;
    Ok(0)
}

const SIX: [&str; 6] = [
    "user_adoption",
    "usage_frequency",
    "error_rate",
    "response_time",
    "cost_per_user",
    "satisfaction_score",
];

fn summary(args: &SummaryArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let summary =
        client.get("/api/v1/metrics/summary", &asked(&[("scope", &args.scope), ("window", &args.window)]))?;
    if out.wants_json() {
        out.json(&summary)?;
        return Ok(0);
    }
    let cell = |key| output::field(&summary, key);
    out.line(format!(
        "{} from {} to {}, by {}.",
        cell("scope"),
        cell("since"),
        cell("until"),
        cell("basis")
    ))?;
    let mut table = Table::new(&[("FIGURE", Align::Left), ("VALUE", Align::Right), ("OF", Align::Right)]);
    for name in SIX {
        table.row(row(name, &summary["metrics"][name]));
    }
    for name in [
        "sessions_per_active_user",
        "requests_per_active_day",
        "cost_per_active_day",
        "cache_read_ratio",
        "edit_accept_rate",
    ] {
        table.row(row(name, &summary[name]));
    }
    for name in ["response_time_ms", "first_byte_ms"] {
        for percent in ["p50", "p95", "p99"] {
            let value = output::field(&summary[name], percent);
            table.row([format!("{name} {percent}"), value, output::number(&summary[name], "n")]);
        }
    }
    for name in [
        "told_users",
        "active_1d",
        "active_7d",
        "active_30d",
        "failed_requests",
        "refused_requests",
        "retried_requests",
        "abandoned_requests",
    ] {
        table.row([name.to_owned(), output::number(&summary["counts"], name), String::new()]);
    }
    out.table(&table, "")?;
    told_by_others(&summary, out)?;
    Ok(0)
}

/// Says what of the figures no recorded exchange shows.
fn told_by_others(summary: &Value, out: &mut Out) -> Result<(), Failure> {
    for (name, whose) in
        [("telemetry", "telemetry of clients"), ("analytics", "the provider's client analytics")]
    {
        let told = &summary["told"][name];
        if told["users"] != 0 {
            out.line(format!(
                "In these: {} people on {} days, {} USD, as {whose} alone tell.",
                output::number(told, "users"),
                output::number(told, "days"),
                output::field(told, "cost_usd")
            ))?;
        }
    }
    Ok(())
}

fn row(name: &str, figure: &Value) -> [String; 3] {
    [name.to_owned(), value(figure), output::number(figure, "n")]
}

fn value(figure: &Value) -> String {
    let key = if figure.get("usd").is_some() { "usd" } else { "value" };
    if figure["no_data"] == Value::Bool(true) {
        "no data".to_owned()
    } else if figure["withheld"] == Value::Bool(true) || figure.get("value") == Some(&Value::Null) {
        "withheld".to_owned()
    } else {
        output::field(figure, key)
    }
}

/// As [`value`], to four digits behind the point: days are compared at a glance, and `--json` has all digits.
fn short(figure: &Value) -> String {
    match figure["value"].as_f64() {
        Some(exact) if figure["no_data"] != Value::Bool(true) => {
            let text = format!("{exact:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Some(_) | None => value(figure),
    }
}

//! `feedback` and `metrics`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// `feedback …`
#[derive(Subcommand)]
pub(crate) enum FeedbackCommand {
    /// Ask people what they think, by a link each that answers once
    Send {
        /// Whom; may be given several times
        #[arg(long = "user", value_name = "EMAIL")]
        users: Vec<String>,
        /// Members of this team; may be given several times
        #[arg(long = "team", value_name = "TEAM")]
        teams: Vec<String>,
        /// About this rollout; with nobody named, everybody who has it
        #[arg(long, value_name = "ROLLOUT")]
        rollout: Option<String>,
        /// How long a link works [default: 14d]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// Write down what somebody said
    Add {
        /// Who, by e-mail address or id
        user: String,
        /// From 1 (not satisfied at all) to 5 (very)
        score: u64,
        /// How likely they would recommend it, from 0 to 10
        #[arg(long)]
        nps: Option<u64>,
        /// In their words
        #[arg(long)]
        comment: Option<String>,
        /// They want to be named with it
        #[arg(long)]
        named: bool,
        /// About this rollout
        #[arg(long)]
        rollout: Option<String>,
    },
    /// List what people said; nothing of fewer than five answers
    List(AboutArgs),
    /// Show what all answers together say
    Summary(AboutArgs),
}

/// What was said about what.
#[derive(Args)]
pub(crate) struct AboutArgs {
    /// Since when: 30d, 2026-11-01
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Of this rollout
    #[arg(long)]
    rollout: Option<String>,
    /// In this phase of it
    #[arg(long)]
    phase: Option<String>,
}

/// Arguments of `metrics`.
#[derive(Args)]
pub(crate) struct MetricsArgs {
    /// org, team:NAME, user:EMAIL, rollout:NAME or rollout:NAME/PHASE
    #[arg(long)]
    scope: Option<String>,
    /// How far back: 7d, 24h [default: 30d]
    #[arg(long, value_name = "TIME")]
    window: Option<String>,
}

/// Runs `feedback …`.
pub(crate) fn run(command: FeedbackCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        FeedbackCommand::Send { users, teams, rollout, expires } => {
            let mut body = json!({"users": users, "teams": teams});
            output::put(&mut body, "rollout", rollout);
            output::put(&mut body, "expires", expires);
            let sent = client.post("/api/v1/feedback/surveys", &body)?;
            let items = sent["items"].as_array().map_or(&[][..], Vec::as_slice);
            let mut table = Table::new(&[("USER", Align::Left), ("LINK (works once)", Align::Left)]);
            for item in items {
                table.row([output::field(item, "email"), output::field(item, "url")]);
            }
            out.list(items, &table, "Nobody was asked.")?;
        }
        FeedbackCommand::Add { user, score, nps, comment, named, rollout } => {
            let mut body = json!({"user": user, "score": score, "named": named});
            if let Some(nps) = nps {
                body["nps"] = json!(nps);
            }
            output::put(&mut body, "comment", comment);
            output::put(&mut body, "rollout", rollout);
            let done = client.post("/api/v1/feedback", &body)?;
            out.done(&done, &format!("Written down: {score} of 5 by {user}."))?;
        }
        FeedbackCommand::List(about) => {
            let said = ask(&about, client)?;
            let items = said["items"].as_array().map_or(&[][..], Vec::as_slice);
            let columns = [
                ("SCORE", Align::Right),
                ("NPS", Align::Right),
                ("PHASE", Align::Left),
                ("BY", Align::Left),
                ("COMMENT", Align::Left),
            ];
            let mut table = Table::new(&columns);
            for item in items {
                table.row(["score", "nps", "phase", "user", "comment"].map(|key| output::field(item, key)));
            }
            let n = &said["summary"]["answers"];
            let empty = format!("{n} people have answered; single answers are shown from five on.");
            out.list(items, &table, &empty)?;
        }
        FeedbackCommand::Summary(about) => {
            let summary = &ask(&about, client)?["summary"];
            let mut table =
                Table::new(&[("ANSWERS", Align::Right), ("MEAN OF 5", Align::Right), ("NPS", Align::Right)]);
            let withheld = summary["withheld"] == Value::Bool(true);
            let mean = if withheld { "withheld".to_owned() } else { output::field(summary, "mean") };
            table.row([output::number(summary, "answers"), mean, output::field(summary, "nps")]);
            out.one(summary, &table)?;
        }
    }
    Ok(0)
}

fn ask(about: &AboutArgs, client: &Client) -> Result<Value, Failure> {
    let given = [("since", &about.since), ("rollout", &about.rollout), ("phase", &about.phase)];
    let query: Vec<(&str, &str)> =
        given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    client.get("/api/v1/feedback", &query)
}

/// Runs `metrics`.
pub(crate) fn metrics(args: &MetricsArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let given = [("scope", &args.scope), ("window", &args.window)];
    let query: Vec<(&str, &str)> =
        given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    let summary = client.get("/api/v1/metrics/summary", &query)?;
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
    let six = [
        "user_adoption",
        "usage_frequency",
        "error_rate",
        "response_time",
        "cost_per_user",
        "satisfaction_score",
    ];
    for name in six {
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
    let key = if figure.get("usd").is_some() { "usd" } else { "value" };
    let value = if figure["no_data"] == Value::Bool(true) {
        "no data".to_owned()
    } else if figure["withheld"] == Value::Bool(true) {
        "withheld".to_owned()
    } else {
        output::field(figure, key)
    };
    [name.to_owned(), value, output::number(figure, "n")]
}

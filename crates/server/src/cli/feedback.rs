//! `feedback`.

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

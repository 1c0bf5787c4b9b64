//! `rollout`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Longest definition, in bytes.
const MAX_FILE: u64 = 512 * 1024;

/// `rollout …`
#[derive(Subcommand)]
pub(crate) enum RolloutCommand {
    /// Make a rollout from its definition (TOML or JSON); the same again changes nothing
    Apply {
        /// The definition; `-` reads it from standard input
        #[arg(short, long = "file", value_name = "FILE")]
        file: PathBuf,
        /// Only check it, and say whom each phase means today
        #[arg(long)]
        dry_run: bool,
    },
    /// Show how a rollout stands, or all of them; exit code 1 for one that failed or waits for a person
    Status {
        /// Its name or id
        rollout: Option<String>,
        /// The result in the brief's terms: success, phases, error
        #[arg(long)]
        result: bool,
        /// Everybody who got it
        #[arg(long, conflicts_with = "result")]
        people: bool,
        /// With --people, only those in this state
        #[arg(long, requires = "people", value_parser = ["assigned", "confirmed", "active", "undone", "restored", "left"])]
        state: Option<String>,
    },
    /// Make it wait; who comes into a cohort meanwhile still gets it
    Pause(Reason),
    /// Let it go on; what was judged before is judged anew
    Resume(Reason),
    /// Agree that its phase is done with; not by who made it or wrote its settings
    Approve {
        /// Its name or id
        rollout: String,
        /// What was looked at, and why it may go on
        #[arg(short, long)]
        comment: String,
    },
    /// End it; who has it keeps it
    Abort(Reason),
    /// Take it back, from the last people first
    Rollback {
        /// Its name or id
        rollout: String,
        /// Only from the members of this team, at once
        #[arg(long)]
        team: Option<String>,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Show what happened to it
    History {
        /// Its name or id
        rollout: String,
    },
    /// Note that somebody wants to be among the first
    Volunteer {
        /// E-mail address or id
        user: String,
        /// They do not any more
        #[arg(long)]
        withdraw: bool,
    },
}

/// A rollout, and why something is done to it.
#[derive(Args)]
pub(crate) struct Reason {
    /// Its name or id
    rollout: String,
    /// Why
    #[arg(long)]
    reason: Option<String>,
}

/// Runs `rollout …`.
pub(crate) fn run(command: RolloutCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        RolloutCommand::Apply { file, dry_run } => apply(&file, dry_run, client, out)?,
        RolloutCommand::Status { rollout: None, .. } => {
            let all = client.list("/api/v1/rollouts", &[], None)?;
            let empty = "There is no rollout yet. Make one with `gatehouse rollout apply -f FILE`.";
            out.list(&all, &table_of(&all), empty)?;
        }
        RolloutCommand::Status { rollout: Some(given), result: true, .. } => {
            let result = client.get(&path_of(&given, "/result"), &[])?;
            out.json(&result)?;
            return Ok(u8::from(result["success"] == Value::Bool(false)));
        }
        RolloutCommand::Status { rollout: Some(given), people: true, state, .. } => {
            let query: Vec<(&str, &str)> =
                state.as_deref().map(|state| ("state", state)).into_iter().collect();
            let people = client.get(&path_of(&given, "/assignments"), &query)?;
            let items = people["items"].as_array().map_or(&[][..], Vec::as_slice);
            out.list(items, &people_table(items), "Nobody.")?;
        }
        RolloutCommand::Status { rollout: Some(given), .. } => return status(&given, client, out),
        RolloutCommand::Pause(reason) => act(&reason, "pause", client, out)?,
        RolloutCommand::Resume(reason) => act(&reason, "resume", client, out)?,
        RolloutCommand::Abort(reason) => act(&reason, "abort", client, out)?,
        RolloutCommand::Approve { rollout, comment } => {
            let moved = client.post(&path_of(&rollout, "/approve"), &json!({"comment": comment}))?;
            out.done(&moved, &format!("Agreed. {}", now(&moved)))?;
        }
        RolloutCommand::Rollback { rollout, team, reason } => {
            let mut body = json!({});
            output::put(&mut body, "reason", reason);
            output::put(&mut body, "team", team.clone());
            let moved = client.post(&path_of(&rollout, "/rollback"), &body)?;
            let told =
                team.map_or_else(|| now(&moved), |team| format!("Taken back from {team}. {}", now(&moved)));
            out.done(&moved, &told)?;
        }
        RolloutCommand::History { rollout } => {
            let events = client.list(&path_of(&rollout, "/events"), &[], None)?;
            out.list(&events, &events_table(&events), "Nothing happened yet.")?;
        }
        RolloutCommand::Volunteer { user, withdraw } => {
            let body = json!({"user": user, "volunteers": !withdraw});
            let done = client.post("/api/v1/rollout-volunteers", &body)?;
            out.done(
                &done,
                &format!("Noted: {user} {}.", if withdraw { "does not volunteer" } else { "volunteers" }),
            )?;
        }
    }
    Ok(0)
}

fn apply(file: &Path, dry_run: bool, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let definition = read(file)?;
    let answer = client.post("/api/v1/rollouts", &json!({"definition": definition, "dry_run": dry_run}))?;
    match output::field(&answer, "outcome").as_str() {
        "preview" => {
            let mut table = Table::new(&[
                ("PHASE", Align::Left),
                ("NEW PEOPLE", Align::Right),
                ("IN ALL", Align::Right),
                ("TEAMS", Align::Right),
            ]);
            for phase in answer["phases"].as_array().into_iter().flatten() {
                table.row([
                    output::field(phase, "phase"),
                    output::number(phase, "new"),
                    output::number(phase, "total"),
                    output::number(phase, "teams"),
                ]);
            }
            out.one(&answer, &table)?;
        }
        "unchanged" => {
            out.done(&answer, &format!("Nothing to do: it is under way. {}", now(&answer["rollout"])))?;
        }
        _ => out.done(&answer, &format!("Made. {}", now(&answer["rollout"])))?,
    }
    Ok(())
}

/// Reads a definition: JSON, or else TOML.
fn read(file: &Path) -> Result<Value, Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::Usage(format!("`{}`: {why}", file.display()));
    let mut text = String::new();
    let input: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(|e| wrong(&e))?)
    };
    input.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|e| wrong(&e))?;
    if text.len() as u64 > MAX_FILE {
        return Err(wrong(&format!("longer than {MAX_FILE} bytes")));
    }
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text).map_err(|e| wrong(&e));
    }
    toml::from_str(&text).map_err(|e| wrong(&e))
}

fn act(reason: &Reason, what: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let mut body = json!({});
    output::put(&mut body, "reason", reason.reason.clone());
    let moved = client.post(&path_of(&reason.rollout, &format!("/{what}")), &body)?;
    Ok(out.done(&moved, &now(&moved))?)
}

fn status(given: &str, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let shown = client.get(&path_of(given, ""), &[])?;
    let waits = matches!(
        output::field(&shown, "state").as_str(),
        "paused" | "rolled_back" | "rollback_incomplete" | "rolling_back" | "aborted"
    );
    if out.wants_json() {
        out.json(&shown)?;
        return Ok(u8::from(waits));
    }
    out.line(now(&shown))?;
    let people = shown["people"].as_array().into_iter().flatten();
    let people: Vec<String> = people
        .filter(|one| one["users"] != json!(0))
        .map(|one| format!("{} {}", output::number(one, "users"), output::field(one, "state")))
        .collect();
    out.line(format!("Settings: {}. People: {}.", output::field(&shown, "settings"), people.join(", ")))?;
    out.table(&phases_table(&shown), "")?;
    let checks = checks_table(&shown);
    if !checks.is_empty() {
        out.line("")?;
        out.table(&checks, "")?;
    }
    for one in shown["unconfirmed"].as_array().into_iter().flatten() {
        out.line(format!(
            "Not confirmed to be without it: {}",
            super::table::printable(one.as_str().unwrap_or(""))
        ))?;
    }
    Ok(u8::from(waits))
}

/// A sentence of where a rollout is.
fn now(rollout: &Value) -> String {
    let cell = |key| output::field(rollout, key);
    let why = rollout["reason"].as_str().filter(|why| !why.is_empty());
    let why = why.map_or_else(String::new, |why| format!(": {}", super::table::printable(why)));
    format!("The rollout {} is {} in {}{why}.", cell("name"), cell("state"), cell("phase"))
}

fn path_of(given: &str, rest: &str) -> String {
    format!("/api/v1/rollouts/{}{rest}", escaped(given))
}

fn rows(columns: &[(&'static str, Align, &'static str)], items: &[Value]) -> Table {
    let titles: Vec<(&'static str, Align)> =
        columns.iter().map(|(title, align, _)| (*title, *align)).collect();
    let mut table = Table::new(&titles);
    for item in items {
        table.row(columns.iter().map(|(_, _, key)| output::field(item, key)));
    }
    table
}

fn table_of(all: &[Value]) -> Table {
    use Align::Left;
    rows(
        &[
            ("ROLLOUT", Left, "name"),
            ("STATE", Left, "state"),
            ("PHASE", Left, "phase"),
            ("SINCE", Left, "since"),
            ("BY", Left, "author"),
            ("WHY", Left, "reason"),
        ],
        all,
    )
}

fn people_table(items: &[Value]) -> Table {
    use Align::Left;
    rows(
        &[
            ("USER", Left, "email"),
            ("PHASE", Left, "phase"),
            ("STATE", Left, "state"),
            ("BY", Left, "credential"),
            ("ASSIGNED", Left, "assigned_at"),
            ("CONFIRMED", Left, "confirmed_at"),
            ("FIRST USE", Left, "active_at"),
            ("TAKEN BACK", Left, "undone_at"),
        ],
        items,
    )
}

fn events_table(items: &[Value]) -> Table {
    use Align::{Left, Right};
    rows(
        &[
            ("STEP", Right, "step"),
            ("AT", Left, "at"),
            ("WHAT", Left, "kind"),
            ("BY", Left, "by"),
            ("", Left, "text"),
        ],
        items,
    )
}

fn phases_table(shown: &Value) -> Table {
    use Align::{Left, Right};
    let phases = shown["phases"].as_array().map_or(&[][..], Vec::as_slice);
    rows(
        &[
            ("PHASE", Left, "phase"),
            ("SUCCESS", Left, "success"),
            ("PEOPLE", Right, "users"),
            ("STARTED", Left, "started_at"),
            ("JUDGED", Left, "judged_at"),
            ("ENDED", Left, "ended_at"),
        ],
        phases,
    )
}

fn checks_table(shown: &Value) -> Table {
    let mut table = Table::new(&[
        ("CHECK", Align::Left),
        ("MUST BE", Align::Left),
        ("IS", Align::Right),
        ("OF", Align::Right),
        ("VERDICT", Align::Left),
        ("KIND", Align::Left),
        ("IF NOT", Align::Left),
    ]);
    let now = output::field(shown, "phase");
    let phases = shown["phases"].as_array().into_iter().flatten();
    let checks =
        phases.filter(|phase| phase["phase"] == json!(now)).filter_map(|phase| phase["checks"].as_array());
    for check in checks.flatten() {
        let few = if check["descriptive"] == Value::Bool(true) { " (few people)" } else { "" };
        table.row([
            output::field(check, "metric"),
            output::field(check, "limit"),
            check["value"].as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.4}")),
            output::number(check, "n"),
            format!("{}{few}", output::field(check, "verdict")),
            output::field(check, "kind"),
            output::field(check, "on_fail"),
        ]);
    }
    table
}

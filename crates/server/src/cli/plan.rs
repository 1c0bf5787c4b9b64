//! `plan`: an assessment that is kept, its tasks, and its documents.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::assess;
use super::client::{Client, escaped};
use super::language::Language;
use super::table::{Align, Table};
use super::{Failure, Out, output};
use crate::environment::Environment;

/// Documents of a plan, as files.
const DOCUMENTS: [&str; 6] = [
    "gatehouse.toml",
    "architecture.svg",
    "deployment.md",
    "deployment.html",
    "deployment.pdf",
    "gateways.md",
];

/// `plan …`
#[derive(Subcommand)]
pub(crate) enum PlanCommand {
    /// Assess answers, and keep the result as a plan with tasks
    Create(CreateArgs),
    /// List plans
    List,
    /// Show a plan and how its tasks stand
    Show(ShowArgs),
    /// Note who sees to a task, until when, how it stands, what was done
    Task(TaskArgs),
    /// Write a plan's documents into a folder: configuration, architecture diagram, deployment document, comparison of gateways
    Export(ExportArgs),
}

/// Arguments of `plan create`.
#[derive(clap::Args)]
pub(crate) struct CreateArgs {
    /// Answers as a JSON object, as `gatehouse assess` takes them; - for standard input; without it, they are asked for
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Decide for a mode; needed where the score and the most demanding factor differ
    #[arg(long, value_name = "MODE", value_parser = ["direct", "proxy", "gateway", "hybrid"], requires = "because")]
    choose: Option<String>,
    /// Why it was decided so
    #[arg(long, value_name = "REASON", requires = "choose")]
    because: Option<String>,
    /// Language of texts
    #[command(flatten)]
    language: Language,
}

/// Arguments of `plan show`.
#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    /// The plan's id
    #[arg(default_value = "latest")]
    plan: String,
    /// Language of texts
    #[command(flatten)]
    language: Language,
}

/// Arguments of `plan task`.
#[derive(clap::Args)]
pub(crate) struct TaskArgs {
    /// The task, as `gatehouse plan show` names it
    task: String,
    /// The plan's id
    #[arg(long, default_value = "latest")]
    plan: String,
    /// Who sees to it
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Until when: a date such as 2026-12-31, or a span from now such as 14d
    #[arg(long, value_name = "WHEN")]
    due: Option<String>,
    /// How it stands; where the checklist has checks for it, they say whether it is done
    #[arg(long, value_name = "STATE", value_parser = ["open", "underway", "done", "dropped"])]
    state: Option<String>,
    /// What was done, or why it is not needed
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Arguments of `plan export`.
#[derive(clap::Args)]
pub(crate) struct ExportArgs {
    /// The folder; it is made if it is not there
    folder: PathBuf,
    /// The plan's id
    #[arg(long, default_value = "latest")]
    plan: String,
    /// Language of texts
    #[command(flatten)]
    language: Language,
}

/// Runs `plan …`.
pub(crate) fn run(
    command: PlanCommand,
    environment: &Environment,
    client: &Client,
    out: &mut Out,
) -> Result<u8, Failure> {
    match command {
        PlanCommand::Create(args) => create(&args, environment, client, out),
        PlanCommand::List => list(client, out),
        PlanCommand::Show(args) => {
            let plan = client.get(&format!("/api/v1/plans/{}", escaped(&args.plan)), &[])?;
            show(&plan, args.language.tag(environment), out)
        }
        PlanCommand::Task(args) => task(args, client, out),
        PlanCommand::Export(args) => export(&args, environment, client, out),
    }
}

fn create(
    args: &CreateArgs,
    environment: &Environment,
    client: &Client,
    out: &mut Out,
) -> Result<u8, Failure> {
    let answers = match &args.answers {
        Some(file) => assess::read(file)?,
        None => assess::ask(args.language.wished(environment))?,
    };
    let mut body = json!({"answers": answers});
    output::put(&mut body, "mode", args.choose.clone());
    output::put(&mut body, "because", args.because.clone());
    let plan = client.post("/api/v1/plans", &body)?;
    show(&plan, args.language.tag(environment), out)
}

fn list(client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let plans = client.list("/api/v1/plans", &[], None)?;
    let columns = ["ID", "MODE", "REASON", "MADE BY", "ON"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for plan in &plans {
        table.row(["id", "mode", "because", "author", "created_at"].map(|key| output::field(plan, key)));
    }
    out.list(&plans, &table, "There is no plan. Make one with `gatehouse plan create`.")?;
    Ok(0)
}

fn show(plan: &Value, language: &str, out: &mut Out) -> Result<u8, Failure> {
    if out.wants_json() {
        out.json(plan)?;
        return Ok(0);
    }
    let because = plan["because"].as_str().map(|text| format!(" - {text}")).unwrap_or_default();
    out.line(super::table::printable(&format!(
        "{}: {}{because}",
        output::field(plan, "id"),
        output::field(plan, "mode")
    )))?;
    let columns =
        ["STATE", "TASK", "WHAT", "OWNER", "DUE", "CHECK", "NOTE"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let steps = all(&plan["assessment"]["analysis"]["tasks"]);
    for task in all(&plan["tasks"]) {
        let step = steps.iter().find(|step| step["id"] == task["task"]);
        let checks: Vec<_> = all(&task["checks"])
            .iter()
            .map(|check| format!("{}: {}", output::field(check, "item"), output::field(check, "state")))
            .collect();
        let late = if task["overdue"] == true { " (overdue)" } else { "" };
        let due: String = output::field(&task, "due").chars().take(10).collect();
        table.row([
            output::field(&task, "state"),
            output::field(&task, "task"),
            step.map(|step| output::field(&step["text"], language)).unwrap_or_default(),
            output::field(&task, "owner"),
            format!("{due}{late}"),
            if checks.is_empty() { "-".to_owned() } else { checks.join(", ") },
            output::field(&task, "note"),
        ]);
    }
    out.table(&table, "The plan has no tasks.")?;
    let total = all(&plan["tasks"]).len();
    out.line(format!("{} of {total} tasks are over.", output::number(plan, "done")))?;
    Ok(0)
}

fn task(args: TaskArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let mut body = json!({});
    output::put(&mut body, "owner", args.owner);
    output::put(&mut body, "due", args.due);
    output::put(&mut body, "state", args.state);
    output::put(&mut body, "note", args.note);
    if body.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(Failure::Usage("say what is to be noted: --owner, --due, --state or --note".to_owned()));
    }
    let path = format!("/api/v1/plans/{}/tasks/{}", escaped(&args.plan), escaped(&args.task));
    let answer = client.put(&path, &body)?;
    out.done(&answer, &format!("{}: {}", args.task, output::field(&answer, "state")))?;
    Ok(0)
}

fn export(
    args: &ExportArgs,
    environment: &Environment,
    client: &Client,
    out: &mut Out,
) -> Result<u8, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::Failed(format!("cannot write into `{}`: {error}", args.folder.display()))
    };
    std::fs::create_dir_all(&args.folder).map_err(cannot)?;
    let language = args.language.tag(environment);
    for name in DOCUMENTS {
        let path = format!("/api/v1/plans/{}/documents/{name}", escaped(&args.plan));
        let document = client.bytes(&path, &[("lang", language)])?;
        std::fs::write(args.folder.join(name), document).map_err(cannot)?;
    }
    let answer = json!({"folder": args.folder.display().to_string(), "files": DOCUMENTS});
    let sentence = format!("Wrote {} into {}.", DOCUMENTS.join(", "), args.folder.display());
    out.done(&answer, &sentence)?;
    Ok(0)
}

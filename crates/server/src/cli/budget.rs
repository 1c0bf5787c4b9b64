//! `budget`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// `budget …`
#[derive(Subcommand)]
pub(crate) enum BudgetCommand {
    /// Make one: of a team, a project, a user or a key, else of the whole organization
    Add(AddArgs),
    /// List budgets and how they stand
    List,
    /// Show one
    Show {
        /// Its id
        id: String,
    },
    /// Change one; what is not given stays
    Set {
        /// Its id
        id: String,
        /// Dollars that may be spent in a period
        #[arg(long, value_name = "USD")]
        limit: Option<String>,
        /// What happens at the limit
        #[arg(long, value_parser = ["hard", "shadow"])]
        mode: Option<String>,
        /// Percents of the limit at which people are told, separated by commas
        #[arg(long, value_delimiter = ',', value_name = "PERCENTS")]
        warn: Option<Vec<u8>>,
    },
    /// Remove one
    Remove {
        /// Its id
        id: String,
    },
    /// Which budgets apply to somebody, how they stand, and whether a request would pass; exit code 1 if not
    Explain(BudgetExplainArgs),
}

/// Arguments of `budget add`.
#[derive(Args)]
pub(crate) struct AddArgs {
    /// Dollars that may be spent in a period
    limit: String,
    /// UTC days, weeks (from Monday) or months, or all there ever was
    #[arg(long, default_value = "month", value_parser = ["day", "week", "month", "total"])]
    period: String,
    /// What is charged to this team
    #[arg(long)]
    team: Option<String>,
    /// What is charged to this project
    #[arg(long)]
    project: Option<String>,
    /// What this person spends
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// What this key spends
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only these models: a name, or the beginning of one followed by `*`
    #[arg(long)]
    model: Option<String>,
    /// Only this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only observe: refuse nothing
    #[arg(long)]
    shadow: bool,
    /// Percents of the limit at which people are told, separated by commas [default: 75,95]
    #[arg(long, value_delimiter = ',', value_name = "PERCENTS")]
    warn: Option<Vec<u8>>,
}

/// Arguments of `budget explain`.
#[derive(Args)]
pub(crate) struct BudgetExplainArgs {
    /// Who, by e-mail address or id
    user: String,
    /// By which of their keys
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Charged to which team, where no key is given
    #[arg(long)]
    team: Option<String>,
    /// Which model; without one no cost is reckoned
    #[arg(long)]
    model: Option<String>,
    /// Input tokens of the request
    #[arg(long, value_name = "TOKENS")]
    tokens: Option<u64>,
    /// Output tokens that it allows [default: 32000]
    #[arg(long, value_name = "TOKENS")]
    max_tokens: Option<u64>,
}

/// Runs `budget …`.
pub(crate) fn run(command: BudgetCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        BudgetCommand::Add(args) => add(args, client, out)?,
        BudgetCommand::List => {
            let budgets = client.list("/api/v1/budgets", &[], None)?;
            let empty = "There is no budget yet. Make one with `gatehouse budget add USD --team TEAM`.";
            out.list(&budgets, &table_of(&budgets), empty)?;
        }
        BudgetCommand::Show { id } => {
            let budget = client.get(&path_of(&id), &[])?;
            let table = table_of(std::slice::from_ref(&budget));
            out.one(&budget, &table)?;
        }
        BudgetCommand::Set { id, limit, mode, warn } => {
            let mut body = json!({});
            output::put(&mut body, "limit_usd", limit);
            output::put(&mut body, "mode", mode);
            if let Some(warn) = warn {
                body["thresholds"] = json!(warn);
            }
            let changed = client.put(&path_of(&id), &body)?;
            let (limit, mode) = (output::field(&changed, "limit_usd"), output::field(&changed, "mode"));
            out.done(&changed, &format!("The budget {id} is {limit} USD now ({mode})."))?;
        }
        BudgetCommand::Remove { id } => {
            let gone = client.delete(&path_of(&id))?;
            out.done(&gone, &format!("Removed the budget {id}."))?;
        }
        BudgetCommand::Explain(args) => return explain(&args, client, out),
    }
    Ok(0)
}

fn add(args: AddArgs, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let mode = if args.shadow { "shadow" } else { "hard" };
    let mut body = json!({"limit_usd": args.limit, "period": args.period, "mode": mode});
    for (name, value) in [
        ("team", args.team),
        ("project", args.project),
        ("user", args.user),
        ("key", args.key),
        ("model", args.model),
        ("provider", args.provider),
    ] {
        output::put(&mut body, name, value);
    }
    if let Some(warn) = args.warn {
        body["thresholds"] = json!(warn);
    }
    let made = client.post("/api/v1/budgets", &body)?;
    let (id, limit) = (output::field(&made, "id"), output::field(&made, "limit_usd"));
    let told = format!("Made the budget {id}: {limit} USD, {}, {mode}, of {}.", args.period, holder(&made));
    Ok(out.done(&made, &told)?)
}

/// Runs `budget explain`: exit code 1 when the request would not pass.
fn explain(args: &BudgetExplainArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let (tokens, most) = (args.tokens.map(|n| n.to_string()), args.max_tokens.map(|n| n.to_string()));
    let mut query = vec![("user", args.user.as_str())];
    let optional = [
        ("key", &args.key),
        ("team", &args.team),
        ("model", &args.model),
        ("tokens", &tokens),
        ("max_tokens", &most),
    ];
    query.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
    let answer = client.get("/api/v1/budget-explanations", &query)?;
    let passes = answer["passes"] == Value::Bool(true);
    if out.wants_json() {
        out.json(&answer)?;
        return Ok(u8::from(!passes));
    }
    let budgets = answer["budgets"].as_array().map_or(&[][..], Vec::as_slice);
    out.table(&table_of(budgets), "No budget applies.")?;
    if args.model.is_some() {
        let worst = output::field(&answer, "worst_usd");
        let would = if passes { "would pass" } else { "would be refused" };
        out.line(format!("A request that may cost {worst} USD {would}."))?;
        for budget in budgets.iter().filter(|budget| budget["passes"] == Value::Bool(false)) {
            out.line(format!("No room in {}, of {}.", output::field(budget, "id"), holder(budget)))?;
        }
    }
    Ok(u8::from(!passes))
}

fn path_of(id: &str) -> String {
    format!("/api/v1/budgets/{}", escaped(id))
}

/// Whose a budget is, in words.
fn holder(budget: &Value) -> String {
    match (output::field(budget, "holder_kind").as_str(), budget["holder"].as_str()) {
        (kind, Some(name)) => format!("{kind} {name}"),
        (kind, None) => kind.to_owned(),
    }
}

fn table_of(budgets: &[Value]) -> Table {
    let columns = [
        ("BUDGET", Align::Left),
        ("OF", Align::Left),
        ("MODEL", Align::Left),
        ("PERIOD", Align::Left),
        ("MODE", Align::Left),
        ("LIMIT USD", Align::Right),
        ("SPENT USD", Align::Right),
        ("HELD USD", Align::Right),
        ("USED %", Align::Right),
        ("RESETS", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for budget in budgets {
        let cell = |key| output::field(budget, key);
        table.row([
            cell("id"),
            holder(budget),
            cell("model"),
            cell("period"),
            cell("mode"),
            cell("limit_usd"),
            cell("spent_usd"),
            cell("held_usd"),
            cell("used_percent"),
            cell("resets_at"),
        ]);
    }
    table
}

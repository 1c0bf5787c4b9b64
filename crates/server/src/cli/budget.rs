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
        /// How far beyond the limit requests are let through, in percent of it
        #[arg(long, value_name = "PERCENT")]
        grace: Option<u8>,
        /// Percents of the limit at which people are told, separated by commas
        #[arg(long, value_delimiter = ',', value_name = "PERCENTS")]
        warn: Option<Vec<u8>>,
        /// What happens while nodes cannot count together: a node lets through what it was granted, or goes on
        #[arg(long, value_parser = ["closed", "open"])]
        when_away: Option<String>,
    },
    /// Remove one
    Remove {
        /// Its id
        id: String,
    },
    /// List who has asked for a higher limit, the newest first
    Raises {
        /// Only in this state
        #[arg(long, value_parser = ["asked", "approved", "denied"])]
        state: Option<String>,
        /// Only of this person
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
    },
    /// Raise a limit for a while, as somebody has asked
    Approve {
        /// The request's id
        id: String,
        /// Dollars, if it is to be another amount
        #[arg(long, value_name = "USD")]
        amount: Option<String>,
        /// Until when, if it is to be another time: 7d, 2026-12-01 [default: the end of the budget's period]
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Leave a limit as it is, though somebody has asked
    Deny {
        /// The request's id
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
    /// Days, weeks (from Monday) or months, or all there ever was
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
    /// Where days, weeks and months begin: UTC, Europe/Zurich [default: `budgets.time_zone` of the configuration]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Only observe: refuse nothing
    #[arg(long)]
    shadow: bool,
    /// How far beyond the limit requests are let through, in percent of it
    #[arg(long, value_name = "PERCENT")]
    grace: Option<u8>,
    /// Percents of the limit at which people are told, separated by commas [default: 75,95]
    #[arg(long, value_delimiter = ',', value_name = "PERCENTS")]
    warn: Option<Vec<u8>>,
    /// What happens while nodes cannot count together: a node lets through what it was granted, or goes on
    #[arg(long, default_value = "closed", value_parser = ["closed", "open"])]
    when_away: String,
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
        BudgetCommand::Set { id, limit, mode, grace, warn, when_away } => {
            let mut body = json!({});
            output::put(&mut body, "limit_usd", limit);
            output::put(&mut body, "mode", mode);
            output::put(&mut body, "when_away", when_away);
            if let Some(grace) = grace {
                body["grace_percent"] = json!(grace);
            }
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
        BudgetCommand::Raises { state, user } => raises(state.as_deref(), user.as_deref(), client, out)?,
        BudgetCommand::Approve { id, amount, until } => {
            let mut body = json!({"approve": true});
            output::put(&mut body, "amount_usd", amount);
            output::put(&mut body, "until", until);
            decide(&id, &body, client, out)?;
        }
        BudgetCommand::Deny { id } => decide(&id, &json!({"approve": false}), client, out)?,
        BudgetCommand::Explain(args) => return explain(&args, client, out),
    }
    Ok(0)
}

fn add(args: AddArgs, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let mode = if args.shadow { "shadow" } else { "hard" };
    let mut body =
        json!({"limit_usd": args.limit, "period": args.period, "mode": mode, "when_away": args.when_away});
    for (name, value) in [
        ("team", args.team),
        ("project", args.project),
        ("user", args.user),
        ("key", args.key),
        ("model", args.model),
        ("provider", args.provider),
        ("time_zone", args.zone),
    ] {
        output::put(&mut body, name, value);
    }
    if let Some(grace) = args.grace {
        body["grace_percent"] = json!(grace);
    }
    if let Some(warn) = args.warn {
        body["thresholds"] = json!(warn);
    }
    let made = client.post("/api/v1/budgets", &body)?;
    let (id, limit) = (output::field(&made, "id"), output::field(&made, "limit_usd"));
    let told = format!("Made the budget {id}: {limit} USD, {}, {mode}, of {}.", args.period, holder(&made));
    Ok(out.done(&made, &told)?)
}

fn raises(state: Option<&str>, user: Option<&str>, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let query: Vec<_> = [("state", state), ("user", user)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    let raises = client.list("/api/v1/budget-raises", &query, None)?;
    let columns = [
        ("REQUEST", Align::Left),
        ("USER", Align::Left),
        ("BUDGET", Align::Left),
        ("USD", Align::Right),
        ("UNTIL", Align::Left),
        ("STATE", Align::Left),
        ("REASON", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for raise in &raises {
        table.row(
            ["id", "user", "budget", "amount_usd", "until", "state", "reason"]
                .map(|key| output::field(raise, key)),
        );
    }
    Ok(out.list(&raises, &table, "Nobody has asked for a higher limit.")?)
}

fn decide(id: &str, body: &Value, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let decided = client.post(&format!("/api/v1/budget-raises/{}/decision", escaped(id)), body)?;
    let cell = |key| output::field(&decided, key);
    let told = match cell("state").as_str() {
        "approved" => format!(
            "Raised {} by {} USD until {}, as {} asked.",
            cell("budget"),
            cell("amount_usd"),
            cell("until"),
            cell("user")
        ),
        _ => format!("Denied: {} stays as it is.", cell("budget")),
    };
    Ok(out.done(&decided, &told)?)
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

/// The period, with the zone where that is another than UTC.
fn in_zone(budget: &Value) -> String {
    let (period, zone) = (output::field(budget, "period"), output::field(budget, "time_zone"));
    if zone == "UTC" || period == "total" { period } else { format!("{period} ({zone})") }
}

/// The limit, with what it is raised by now and the grace behind it.
fn limit_of(budget: &Value) -> String {
    let mut text = output::field(budget, "limit_usd");
    if budget["raised_nanos"].as_i64().is_some_and(|raised| raised > 0) {
        text = format!("{text} + {}", output::field(budget, "raised_usd"));
    }
    match budget["grace_percent"].as_u64() {
        Some(grace) if grace > 0 => format!("{text} (+{grace} %)"),
        _ => text,
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
            in_zone(budget),
            cell("mode"),
            limit_of(budget),
            cell("spent_usd"),
            cell("held_usd"),
            cell("used_percent"),
            cell("resets_at"),
        ]);
    }
    table
}

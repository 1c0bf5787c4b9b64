//! `report`.

mod document;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, escaped};
use super::table::{Align, Table, grouped};
use super::{Failure, Out, output};

pub(super) use document::save;

/// `report …`
#[derive(Subcommand)]
pub(crate) enum ReportCommand {
    /// Who bears what in a month: of its statement if it is closed, else as it stands now
    Chargeback(ChargebackArgs),
    /// Close a month: its statement never changes again, and what arrives later is an adjustment of the next
    Close {
        /// The month, 2026-10
        month: String,
    },
    /// List closed months
    Statements,
    /// Show a closed month and check its digest; exit code 1 when its lines are not what was closed
    Statement(document::StatementArgs),
    /// What this month will probably cost, and how good such predictions were
    Forecast {
        /// Only what is charged to this team
        #[arg(long)]
        team: Option<String>,
    },
    /// Who spent far more on a day than usual; exit code 1 when somebody did
    Anomalies {
        /// Who is looked at
        #[arg(long, default_value = "team", value_parser = ["team", "project", "user", "key", "model"])]
        by: String,
        /// The UTC day [default: yesterday]
        #[arg(long, value_name = "DAY")]
        day: Option<String>,
    },
    /// How well caching works, and what it saved or cost
    Caching {
        /// What there is a row for
        #[arg(long, default_value = "user", value_parser = ["team", "project", "user", "key", "model"])]
        by: String,
        /// Days back from now
        #[arg(long, default_value_t = 30)]
        days: u32,
    },
    /// Active people and keys that nobody has used
    Unused {
        /// Days back from now
        #[arg(long, default_value_t = 30)]
        days: u32,
    },
    /// Rules by which overhead is shared among teams
    #[command(subcommand)]
    Allocation(AllocationCommand),
    /// Exchange rates for display
    #[command(subcommand)]
    Rate(RateCommand),
}

/// Arguments of `report chargeback`.
#[derive(Args)]
pub(crate) struct ChargebackArgs {
    /// The month, 2026-10
    #[arg(long)]
    month: String,
    /// What there is a row for; teams are those charged at the time of the request
    #[arg(long, default_value = "team")]
    #[arg(value_parser = ["team", "project", "user", "key", "provider", "model"])]
    by: String,
    /// Show the totals in this currency too
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// table, csv, json, html (a page for printing) or focus (FOCUS 1.2 as CSV, every line of the month)
    #[arg(long, default_value = "table", value_parser = ["table", "csv", "json", "html", "focus"])]
    format: String,
    /// Write it to this file, as a PDF document
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    pdf: Option<PathBuf>,
    /// Language of the page or the document
    #[arg(long, default_value = "en", value_parser = ["en", "zh-CN", "zh-TW"])]
    lang: String,
}

/// `report allocation …`
#[derive(Subcommand)]
pub(crate) enum AllocationCommand {
    /// List the rules
    List,
    /// Write a rule; it holds for months that are not closed yet
    Set {
        /// Its name
        name: String,
        /// All teams the same, in proportion to what they spent, or fixed shares
        #[arg(long, value_parser = ["even", "proportional", "fixed"])]
        method: String,
        /// Dollars a month to add; without it, what was charged to no team is shared
        #[arg(long, value_name = "USD")]
        amount: Option<String>,
        /// A team's share, as a weight; may be given several times
        #[arg(long = "share", value_name = "TEAM=WEIGHT", value_parser = share)]
        shares: Vec<(String, u64)>,
    },
    /// Remove a rule; closed months stay as they are
    Remove {
        /// Its name
        name: String,
    },
}

/// `report rate …`
#[derive(Subcommand)]
pub(crate) enum RateCommand {
    /// List the rates
    List,
    /// Set a rate
    Set {
        /// Code of three letters, EUR
        currency: String,
        /// Units of the currency for one dollar
        per_dollar: String,
        /// From which UTC day on
        #[arg(long, value_name = "DAY")]
        from: String,
    },
}

fn share(text: &str) -> Result<(String, u64), String> {
    let parts =
        text.rsplit_once('=').and_then(|(team, weight)| Some((team.to_owned(), weight.parse().ok()?)));
    parts.ok_or_else(|| "expected TEAM=WEIGHT, such as core=3".to_owned())
}

const REPORTS: &str = "/api/v1/reports";

/// Runs `report …`.
pub(crate) fn run(command: ReportCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    match command {
        ReportCommand::Chargeback(args) => chargeback(&args, client, out)?,
        ReportCommand::Close { month } => {
            let made = client.post(&path("statements"), &json!({"month": month}))?;
            let told = format!(
                "Closed {month}: {} USD in {} lines, digest {}.",
                output::field(&made, "total_usd"),
                output::number(&made, "lines"),
                output::field(&made, "digest")
            );
            out.done(&made, &told)?;
        }
        ReportCommand::Statements => {
            let list = items(&client.get(&path("statements"), &[])?);
            let table = statements(&list);
            out.list(
                &list,
                &table,
                "No month is closed yet. Close one with `gatehouse report close MONTH`.",
            )?;
        }
        ReportCommand::Statement(args) => return document::statement(&args, client, out),
        ReportCommand::Forecast { team } => forecast(team.as_deref(), client, out)?,
        ReportCommand::Anomalies { by, day } => return anomalies(&by, day.as_deref(), client, out),
        ReportCommand::Caching { by, days } => caching(&by, days, client, out)?,
        ReportCommand::Unused { days } => unused(days, client, out)?,
        ReportCommand::Allocation(command) => allocation(command, client, out)?,
        ReportCommand::Rate(command) => rate(command, client, out)?,
    }
    Ok(0)
}

fn path(rest: &str) -> String {
    format!("{REPORTS}/{rest}")
}

fn items(answer: &Value) -> Vec<Value> {
    answer["items"].as_array().cloned().unwrap_or_default()
}

fn chargeback(args: &ChargebackArgs, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let mut query = vec![("month", args.month.as_str()), ("by", &args.by)];
    query.extend(args.currency.as_deref().map(|currency| ("currency", currency)));
    if let Some(file) = &args.pdf {
        query.push(("language", &args.lang));
        let written = save(client, &path("chargeback"), query, file)?;
        return Ok(out.done(&written.answer(), &written.sentence())?);
    }
    if matches!(args.format.as_str(), "csv" | "html" | "focus") && !out.wants_json() {
        query.push(("format", &args.format));
        query.push(("language", &args.lang));
        return out.text(&client.text(&path("chargeback"), &query)?).map_err(Failure::from);
    }
    let report = client.get(&path("chargeback"), &query)?;
    if out.wants_json() || args.format == "json" {
        return Ok(out.json(&report)?);
    }
    let mut columns = vec![
        ("NAME", Align::Left),
        ("REQUESTS", Align::Right),
        ("USAGE USD", Align::Right),
        ("ADJUSTED", Align::Right),
        ("SHARED", Align::Right),
        ("TOTAL USD", Align::Right),
    ];
    if !report["rate"].is_null() {
        columns.push(("SHOWN", Align::Right));
    }
    let mut table = Table::new(&columns);
    for row in report["rows"].as_array().into_iter().flatten() {
        let id = output::field(row, "id");
        let name = match row["name"].as_str() {
            Some("") | None if id.is_empty() => "(none)".to_owned(),
            Some("") | None => id,
            Some(name) => name.to_owned(),
        };
        table.row(charged(name, row));
    }
    table.row(charged("TOTAL".to_owned(), &report["total"]));
    out.table(&table, "")?;
    let statement = &report["statement"];
    let state = if statement.is_null() {
        "The month is open: these figures still change.".to_owned()
    } else {
        format!(
            "Closed {} by {}, digest {}.",
            output::field(statement, "closed_at"),
            output::field(statement, "closed_by"),
            output::field(statement, "digest")
        )
    };
    Ok(out.line(state)?)
}

fn charged(name: String, row: &Value) -> Vec<String> {
    let mut cells = vec![name, output::number(&row["usage"], "requests"), usd(&row["usage"], "cost_nanos")];
    cells.extend(["adjustment_nanos", "overhead_nanos", "total_nanos"].map(|key| usd(row, key)));
    cells.extend(row["shown"].as_str().map(str::to_owned));
    cells
}

/// Nano-dollars of an answer as dollars.
pub(super) fn usd(item: &Value, key: &str) -> String {
    let nanos = item[key].as_i64().map(gatehouse_domain::money::Nanos);
    nanos.map_or_else(|| "-".to_owned(), |nanos| nanos.to_string())
}

fn statements(list: &[Value]) -> Table {
    let columns = [
        ("MONTH", Align::Left),
        ("CLOSED", Align::Left),
        ("BY", Align::Left),
        ("LINES", Align::Right),
        ("TOTAL USD", Align::Right),
        ("DIGEST", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for item in list {
        table.row(
            ["month", "closed_at", "closed_by", "lines", "total_usd", "digest"]
                .map(|key| output::field(item, key)),
        );
    }
    table
}

fn forecast(team: Option<&str>, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let query: Vec<_> = team.map(|team| ("team", team)).into_iter().collect();
    let told = client.get(&path("forecast"), &query)?;
    if out.wants_json() {
        return Ok(out.json(&told)?);
    }
    out.line(format!("{}: {} USD so far.", output::field(&told, "month"), usd(&told, "so_far_nanos")))?;
    if told["expected_nanos"].is_null() {
        return Ok(out.line("There is less than a week of history: too little for a forecast.")?);
    }
    out.line(format!(
        "Probably {} USD by its end, between {} and {} USD ({} days are predicted, each from the same weekday of the last 8 \
         weeks).",
        usd(&told, "expected_nanos"),
        usd(&told, "low_nanos"),
        usd(&told, "high_nanos"),
        output::field(&told, "days_ahead")
    ))?;
    let test = &told["backtest"];
    let error =
        test["error_permille"].as_u64().map_or_else(|| "-".to_owned(), |n| format!("{}.{}", n / 10, n % 10));
    Ok(out.line(format!(
        "Backtest over the last {} days: mean error {} USD a day, {error} % of what was spent; {} days lay within their band.",
        output::field(test, "days"),
        usd(test, "mean_error_nanos"),
        output::field(test, "within_band")
    ))?)
}

fn hundredths(value: &Value) -> String {
    value.as_i64().map_or_else(|| "-".to_owned(), |n| format!("{}.{:02}", n / 100, n % 100))
}

fn anomalies(by: &str, day: Option<&str>, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let mut query = vec![("by", by)];
    query.extend(day.map(|day| ("day", day)));
    let answer = client.get(&path("anomalies"), &query)?;
    let found = items(&answer);
    if out.wants_json() {
        out.json(&answer)?;
        return Ok(u8::from(!found.is_empty()));
    }
    let columns = [
        ("NAME", Align::Left),
        ("SPENT USD", Align::Right),
        ("USUAL USD", Align::Right),
        ("SCORE", Align::Right),
    ];
    let mut table = Table::new(&columns);
    for item in &found {
        table.row([
            output::field(item, "name"),
            output::field(item, "spent_usd"),
            output::field(item, "median_usd"),
            hundredths(&item["score_hundredths"]),
        ]);
    }
    out.table(&table, &format!("Nobody stands out on {}.", output::field(&answer, "day")))?;
    if !found.is_empty() {
        out.line(format!("The rule: {}.", output::field(&answer, "rule")))?;
    }
    Ok(u8::from(!found.is_empty()))
}

fn caching(by: &str, days: u32, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let days = days.to_string();
    let answer = client.get(&path("caching"), &[("by", by), ("days", &days)])?;
    if out.wants_json() {
        return Ok(out.json(&answer)?);
    }
    let columns = [
        ("NAME", Align::Left),
        ("INPUT", Align::Right),
        ("CACHE WRITES", Align::Right),
        ("CACHE READS", Align::Right),
        ("READS PER WRITE", Align::Right),
        ("COST USD", Align::Right),
        ("SAVED USD", Align::Right),
    ];
    let mut table = Table::new(&columns);
    for item in items(&answer) {
        let usage = &item["usage"];
        let count = |key: &str| usage[key].as_u64().unwrap_or(0);
        let writes = count("cache_write_5m_tokens").saturating_add(count("cache_write_1h_tokens"));
        table.row([
            output::field(&item, "name"),
            output::number(usage, "input_tokens"),
            grouped(writes),
            output::number(usage, "cache_read_tokens"),
            hundredths(&item["reads_per_write_hundredths"]),
            usd(usage, "cost_nanos"),
            output::field(&item, "saved_usd"),
        ]);
    }
    Ok(out.table(&table, "Nothing was used in this time.")?)
}

fn unused(days: u32, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let days = days.to_string();
    let answer = client.get(&path("unused"), &[("days", &days)])?;
    if out.wants_json() {
        return Ok(out.json(&answer)?);
    }
    let columns = [
        ("WHAT", Align::Left),
        ("NAME", Align::Left),
        ("HOLDER", Align::Left),
        ("MADE", Align::Left),
        ("LAST USED", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for (what, list) in [("seat", &answer["seats"]), ("key", &answer["keys"])] {
        for item in list.as_array().into_iter().flatten() {
            let mut cells = vec![what.to_owned()];
            cells
                .extend(["name", "holder", "created_at", "last_used_at"].map(|key| output::field(item, key)));
            table.row(cells);
        }
    }
    Ok(out.table(&table, "Everybody and every key was used.")?)
}

fn allocation(command: AllocationCommand, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let of = |name: &str| path(&format!("allocations/{}", escaped(name)));
    match command {
        AllocationCommand::List => {
            let list = items(&client.get(&path("allocations"), &[])?);
            let columns = [
                ("NAME", Align::Left),
                ("AMOUNT USD", Align::Right),
                ("METHOD", Align::Left),
                ("SHARES", Align::Left),
            ];
            let mut table = Table::new(&columns);
            for item in &list {
                let share = |share: &Value| {
                    format!("{}={}", output::field(share, "team"), output::field(share, "weight"))
                };
                let shares =
                    item["shares"].as_array().into_iter().flatten().map(share).collect::<Vec<_>>().join(", ");
                let amount = item["amount_usd"].as_str().unwrap_or("unassigned").to_owned();
                table.row([output::field(item, "name"), amount, output::field(item, "method"), shares]);
            }
            out.list(&list, &table, "No overhead is shared.")?;
        }
        AllocationCommand::Set { name, method, amount, shares } => {
            let shares: Vec<Value> =
                shares.into_iter().map(|(team, weight)| json!({"team": team, "weight": weight})).collect();
            let mut body = json!({"method": method, "shares": shares});
            output::put(&mut body, "amount_usd", amount);
            let made = client.put(&of(&name), &body)?;
            out.done(&made, &format!("The rule {name} holds for months that are not closed yet."))?;
        }
        AllocationCommand::Remove { name } => {
            let gone = client.delete(&of(&name))?;
            out.done(&gone, &format!("Removed the rule {name}."))?;
        }
    }
    Ok(())
}

fn rate(command: RateCommand, client: &Client, out: &mut Out) -> Result<(), Failure> {
    match command {
        RateCommand::List => {
            let list = items(&client.get(&path("exchange-rates"), &[])?);
            let mut table =
                Table::new(&[("CURRENCY", Align::Left), ("FROM", Align::Left), ("PER DOLLAR", Align::Right)]);
            for item in &list {
                table.row(["currency", "from", "per_dollar"].map(|key| output::field(item, key)));
            }
            out.list(&list, &table, "There is no exchange rate.")?;
        }
        RateCommand::Set { currency, per_dollar, from } => {
            let to = path(&format!("exchange-rates/{}", escaped(&currency)));
            let made = client.put(&to, &json!({"from": from, "per_dollar": per_dollar}))?;
            out.done(&made, &format!("From {from} on one dollar is shown as {per_dollar} {currency}."))?;
        }
    }
    Ok(())
}

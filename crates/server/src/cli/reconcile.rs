//! `reconcile`.

use std::path::{Path, PathBuf};

use clap::Args;
use gatehouse_control::report::bill::{Bill, Source};
use gatehouse_domain::report::Month;
use serde_json::{Value, json};

use super::client::Client;
use super::report::usd;
use super::table::{Align, Table, grouped};
use super::{Failure, Out, output};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 512 << 20;

/// Arguments of `reconcile`.
#[derive(Args)]
pub(crate) struct ReconcileArgs {
    /// The format of the bill: Anthropic's cost report (JSON), AWS Cost and Usage Report 2.0 (CSV), Google Cloud's billing
    /// export (CSV or JSON), or a plain CSV of day,model,usd
    #[arg(long, value_parser = ["anthropic-cost", "aws-cur2", "bigquery", "plain"])]
    source: String,
    /// The bill
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The month, 2026-10
    #[arg(long)]
    month: String,
    /// Only what went to this provider, by its name in the configuration
    #[arg(long)]
    provider: Option<String>,
    /// What clients report, as a CSV of day,model,usd, for a comparison of three
    #[arg(long, value_name = "FILE")]
    client: Option<PathBuf>,
    /// From which difference on there is an alarm, in thousandths of what is billed
    #[arg(long, default_value_t = 10, value_name = "PERMILLE")]
    threshold: u64,
    /// Differences up to this amount never raise one
    #[arg(long, default_value = "0.01", value_name = "USD")]
    least: String,
}

/// Runs `reconcile`.
pub(crate) fn run(args: &ReconcileArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let month: Month = args.month.parse().map_err(|error| Failure::Usage(format!("--month: {error}")))?;
    let source = Source::named(&args.source).unwrap_or(Source::Plain);
    let bill = read(source, &args.file, month)?;
    let mut body = json!({
        "month": args.month,
        "billed": amounts(&bill),
        "threshold_permille": args.threshold,
        "least_usd": args.least,
    });
    output::put(&mut body, "provider", args.provider.clone());
    if let Some(file) = &args.client {
        body["client"] = amounts(&read(Source::Plain, file, month)?);
    }
    let told = client.post("/api/v1/reports/reconciliations", &body)?;
    let alarm = told["alarm"] == Value::Bool(true);
    if out.wants_json() {
        out.json(&told)?;
    } else {
        show(&told, out)?;
        out.line(format!(
            "{} rows of the bill were read and {} left out (other months, products, taxes, credits).",
            grouped(bill.rows),
            grouped(bill.left_out)
        ))?;
        out.line(if alarm {
            "ALARM: a difference is over the threshold."
        } else {
            "No difference is over the threshold."
        })?;
    }
    Ok(u8::from(alarm))
}

fn read(source: Source, file: &Path, month: Month) -> Result<Bill, Failure> {
    let at = file.display();
    let cannot = |error: std::io::Error| Failure::Usage(format!("cannot read {at}: {error}"));
    let size = std::fs::metadata(file).map_err(cannot)?.len();
    if size > MAX_FILE {
        return Err(Failure::Usage(format!("{at} has {size} bytes, and at most {MAX_FILE} are read")));
    }
    let text = std::fs::read_to_string(file).map_err(cannot)?;
    source.read(&text, month).map_err(|error| Failure::Usage(format!("{at}: {error}")))
}

fn amounts(bill: &Bill) -> Value {
    let amount = |((day, model), nanos): (
        &(gatehouse_domain::time::UnixMillis, String),
        &gatehouse_domain::money::Nanos,
    )| { json!({"day": day.to_string().get(..10), "model": model, "nanos": nanos.0}) };
    bill.amounts.iter().map(amount).collect()
}

fn show(told: &Value, out: &mut Out) -> Result<(), Failure> {
    let columns = [
        ("DAY", Align::Left),
        ("MODEL", Align::Left),
        ("OURS USD", Align::Right),
        ("BILLED USD", Align::Right),
        ("CLIENT USD", Align::Right),
        ("DRIFT USD", Align::Right),
        ("", Align::Left),
    ];
    let mut table = Table::new(&columns);
    let keys = ["ours_nanos", "billed_nanos", "client_nanos", "drift_nanos"];
    let mark = |row: &Value| if row["alarm"] == Value::Bool(true) { "ALARM" } else { "" }.to_owned();
    for row in told["lines"].as_array().into_iter().flatten() {
        let mut cells = vec![output::field(row, "day"), output::field(row, "model")];
        cells.extend(keys.map(|key| usd(row, key)));
        cells.push(mark(row));
        table.row(cells);
    }
    let mut total = vec!["TOTAL".to_owned(), String::new()];
    total.extend(keys.map(|key| usd(told, key)));
    table.row(total);
    Ok(out.table(&table, "")?)
}

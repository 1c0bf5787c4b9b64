//! `analytics`: the provider's client analytics, carried over by hand.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::Client;
use super::{Failure, Out, output};

/// Largest file that is read, in bytes; the server takes as much.
const MAX_FILE: u64 = 16 << 20;

/// `analytics …`
#[derive(Subcommand)]
pub(crate) enum AnalyticsCommand {
    /// Import what the provider's Admin API answered: each day in it takes the place of what was there
    Import {
        /// The answer of `/v1/organizations/usage_report/claude_code`, as JSON: one page, or an array of all pages
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Runs `analytics …`.
pub(crate) fn run(command: &AnalyticsCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let AnalyticsCommand::Import { file } = command;
    let told = client.post("/api/v1/analytics/imports", &report(file)?)?;
    if out.wants_json() {
        out.json(&told)?;
        return Ok(0);
    }
    let days: Vec<&str> = told["days"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    out.line(format!(
        "{} records of {} were imported, in place of what was there: {} of our people, and {} who are none of them.",
        output::number(&told, "records"),
        days.join(", "),
        output::number(&told, "people"),
        output::number(&told, "unmatched")
    ))?;
    for actor in told["unmatched_actors"].as_array().into_iter().flatten() {
        out.line(format!("  {} {}", output::field(actor, "kind"), output::field(actor, "name")))?;
    }
    Ok(0)
}

/// All pages of a file as one.
fn report(file: &Path) -> Result<Value, Failure> {
    let at = file.display();
    let cannot = |error: std::io::Error| Failure::Usage(format!("cannot read {at}: {error}"));
    let size = std::fs::metadata(file).map_err(cannot)?.len();
    if size > MAX_FILE {
        let told =
            format!("{at} has {size} bytes, and at most {MAX_FILE} are read; import its days one by one");
        return Err(Failure::Usage(told));
    }
    let text = std::fs::read(file).map_err(cannot)?;
    let bad = |why: &str| Failure::Usage(format!("{at}: {why}"));
    let read: Value =
        serde_json::from_slice(&text).map_err(|error| bad(&format!("it is no JSON: {error}")))?;
    let pages = if let Value::Array(pages) = read { pages } else { vec![read] };
    if pages.last().is_some_and(|page| page["has_more"] == true) {
        return Err(bad(
            "it ends before its last page; a day is imported whole: put all pages into an array",
        ));
    }
    let mut data = Vec::new();
    for mut page in pages {
        let Some(Value::Array(records)) = page.get_mut("data").map(Value::take) else {
            return Err(bad("there is a page without `data`: is it a report of client analytics?"));
        };
        data.extend(records);
    }
    Ok(json!({"data": data}))
}

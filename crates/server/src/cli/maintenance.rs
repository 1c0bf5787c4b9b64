//! `maintenance`: the calendar of what has its day.

use super::client::Client;
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Arguments of `maintenance`.
#[derive(clap::Args)]
pub(crate) struct MaintenanceArgs {
    /// How far to look ahead: a date such as 2026-12-31, or a span from now
    #[arg(long, value_name = "WHEN", default_value = "90d")]
    within: String,
    /// Print it for programs that keep calendars (iCalendar)
    #[arg(long)]
    ical: bool,
}

/// Runs `maintenance`: exit code 1 while something is overdue.
pub(crate) fn run(args: &MaintenanceArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let query = [("within", args.within.as_str())];
    if args.ical {
        out.text(&client.text("/api/v1/maintenance/calendar", &query)?)?;
        return Ok(0);
    }
    let answer = client.get("/api/v1/maintenance", &query)?;
    let all = answer["items"].as_array().cloned().unwrap_or_default();
    let mut table =
        Table::new(&["DAY", "URGENCY", "KIND", "WHAT", "OWNER"].map(|title| (title, Align::Left)));
    for due in &all {
        let day: String = output::field(due, "at").chars().take(10).collect();
        let [urgency, kind, what, owner] =
            ["urgency", "kind", "what", "owner"].map(|key| output::field(due, key));
        table.row([day, urgency, kind, what, owner]);
    }
    out.list(&all, &table, "Nothing is due in that time.")?;
    Ok(u8::from(all.iter().any(|due| due["urgency"] == "overdue")))
}

//! `usage`, `exchanges` and `price`.

use serde_json::Value;

use super::args::{ExchangesArgs, PriceCommand, UsageArgs};
use super::client::Client;
use super::table::{Align, Table};
use super::{Failure, Out, output};
use crate::environment::Environment;
use crate::price;

/// Runs `usage`.
pub(crate) fn usage(args: &UsageArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let mut query = vec![("by", args.by.as_str()), ("source", args.source.as_str())];
    query.extend(args.since.as_deref().map(|since| ("since", since)));
    query.extend(args.until.as_deref().map(|until| ("until", until)));
    let answer = client.get("/api/v1/usage", &query)?;
    if out.wants_json() {
        out.json(&answer)?;
        return Ok(0);
    }
    let rows = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    let title = match args.by.as_str() {
        "user" => "USER",
        "team" => "TEAM",
        "model" => "MODEL",
        "key" => "KEY",
        "project" => "PROJECT",
        "provider" => "PROVIDER",
        "terminal" => "TERMINAL",
        _ => "WHEN",
    };
    if args.source == "client" {
        return claimed(title, rows, out);
    }
    if args.source == "analytics" {
        return analytics(title, rows, out);
    }
    let number = |title| (title, Align::Right);
    let columns = [
        (title, Align::Left),
        number("REQUESTS"),
        number("ERRORS"),
        number("REFUSED"),
        number("INPUT"),
        number("CACHE WRITES"),
        number("CACHE READS"),
        number("OUTPUT"),
        number("COST USD"),
    ];
    let mut table = Table::new(&columns);
    for row in rows {
        let counts = [
            "requests",
            "errors",
            "refusals",
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "output_tokens",
        ];
        let mut cells = vec![output::field(row, "name")];
        cells.extend(counts.map(|key| output::number(row, key)));
        cells.push(output::field(row, "cost_usd"));
        table.row(cells);
    }
    out.table(&table, "Nothing was used in this time. Requests show up here as soon as they have ended.")?;
    Ok(0)
}

/// Prints what clients claim.
fn claimed(title: &'static str, rows: &[Value], out: &mut Out) -> Result<u8, Failure> {
    let number = |title| (title, Align::Right);
    let columns = [
        (title, Align::Left),
        number("SESSIONS"),
        number("PROMPTS"),
        number("REQUESTS"),
        number("ERRORS"),
        number("INPUT"),
        number("CACHE WRITES"),
        number("CACHE READS"),
        number("OUTPUT"),
        number("COST USD"),
    ];
    let mut table = Table::new(&columns);
    for row in rows {
        let mut cells = vec![output::field(row, "name")];
        cells.extend(["sessions", "prompts"].map(|key| output::number(&row["client"], key)));
        let counts = [
            "requests",
            "errors",
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "output_tokens",
        ];
        cells.extend(counts.map(|key| output::number(row, key)));
        cells.push(output::field(row, "cost_usd"));
        table.row(cells);
    }
    out.table(
        &table,
        "No client has told of its use in this time; `gatehouse onboarding` says what makes one do so.",
    )?;
    out.line(
        "\nThese are claims of clients, not part of what the gateway counted. Who sends no telemetry is missing, and no budget, \
         access policy or audit entry stands behind them: docs/modes.md.",
    )?;
    Ok(0)
}

/// Prints what the provider's client analytics tell.
fn analytics(title: &'static str, rows: &[Value], out: &mut Out) -> Result<u8, Failure> {
    let number = |title| (title, Align::Right);
    let columns = [
        (title, Align::Left),
        number("SESSIONS"),
        number("LINES +"),
        number("LINES -"),
        number("COMMITS"),
        number("PULL REQUESTS"),
        number("EDITS YES"),
        number("EDITS NO"),
        number("INPUT"),
        number("OUTPUT"),
        number("COST USD"),
    ];
    let mut table = Table::new(&columns);
    let mut strangers = false;
    for row in rows {
        let is_stranger = title == "USER" && row["id"] == "";
        strangers |= is_stranger;
        let name = output::field(row, "name");
        let mut cells = vec![if is_stranger { format!("{name} (?)") } else { name }];
        let told = [
            "sessions",
            "lines_added",
            "lines_removed",
            "commits",
            "pull_requests",
            "edits_accepted",
            "edits_rejected",
        ];
        cells.extend(told.map(|key| output::number(&row["analytics"], key)));
        cells.extend(["input_tokens", "output_tokens"].map(|key| output::number(row, key)));
        cells.push(output::field(row, "cost_usd"));
        table.row(cells);
    }
    out.table(
        &table,
        "The provider has told of no use in this time: set `analytics_days` of a `[[provider_report]]`, or `gatehouse analytics \
         import` a report.",
    )?;
    if strangers {
        out.line("(?) is none of our people: no user has this address, or it is a key of the provider's.")?;
    }
    out.line(
        "\nThese are estimates of the provider by whole UTC days, not part of what the gateway counted or clients claim: \
         docs/modes.md.",
    )?;
    Ok(0)
}

/// Runs `exchanges`.
pub(crate) fn exchanges(args: &ExchangesArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let mut query = Vec::new();
    for (name, value) in [
        ("since", &args.since),
        ("until", &args.until),
        ("user", &args.user),
        ("model", &args.model),
        ("ended", &args.ended),
    ] {
        query.extend(value.as_deref().map(|value| (name, value)));
    }
    if args.table {
        let items = client.list("/api/v1/exchanges", &query, Some(args.limit.unwrap_or(100)))?;
        out.table(&exchange_table(&items), "No exchange yet. Send a request through the gateway first.")?;
        return Ok(0);
    }
    client.each("/api/v1/exchanges", &query, args.limit, |item| Ok(out.json_line(&item)?))?;
    out.flush()?;
    Ok(0)
}

fn exchange_table(items: &[Value]) -> Table {
    let columns = [
        ("STARTED", Align::Left),
        ("USER", Align::Left),
        ("MODEL", Align::Left),
        ("STATUS", Align::Right),
        ("ENDED", Align::Left),
        ("INPUT", Align::Right),
        ("OUTPUT", Align::Right),
        ("MS", Align::Right),
        ("COST USD", Align::Right),
    ];
    let mut table = Table::new(&columns);
    for item in items {
        let usage = &item["usage"];
        table.row([
            output::field(item, "started_at"),
            output::field(item, "user"),
            output::field(item, "model"),
            output::field(item, "status"),
            output::field(item, "ended"),
            output::number(usage, "input_tokens"),
            output::number(usage, "output_tokens"),
            output::number(item, "duration_ms"),
            output::field(item, "cost_usd"),
        ]);
    }
    table
}

/// Runs `price …`. It looks at a configuration and asks no server.
pub(crate) fn price(command: &PriceCommand, environment: &Environment, out: &mut Out) -> Result<u8, Failure> {
    match command {
        PriceCommand::List(serve) => price::list(serve, environment, out),
        PriceCommand::Explain { model, serve } => price::explain(model, serve, environment, out),
    }
}

//! `trace`.

use clap::Args;
use serde_json::Value;

use super::client::{Client, escaped};
use super::report::usd;
use super::{Failure, Out, output};

/// Arguments of `trace`.
#[derive(Args)]
pub(crate) struct TraceArgs {
    /// The `request-id` that the client saw, or the identifier of the exchange
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs `trace`.
pub(crate) fn run(args: &TraceArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let answer = client.get(&format!("/api/v1/exchanges/{}/trace", escaped(&args.id)), &[])?;
    if out.wants_json() {
        out.json(&answer)?;
        return Ok(0);
    }
    let exchange = &answer["exchange"];
    let cell = |key| output::field(exchange, key);
    let (who, session) = (cell("user"), cell("session"));
    out.line(format!("{} of {who}, {}, client session {session}", cell("request_id"), cell("started_at")))?;
    let tunnels = list(&answer["tunnels"]);
    if tunnels.is_empty() {
        out.line("proxy    no tunnel of this person to the gateway was open then: it came by another way")?;
    }
    for tunnel in tunnels {
        out.line(format!("proxy    {}", proxy(tunnel)))?;
    }
    out.line(format!("gateway  {}", gateway(exchange)))?;
    let events = list(&answer["events"]);
    if events.is_empty() {
        out.line("client   told nothing of it by telemetry")?;
    }
    for event in events {
        let attribute = |key| output::field(&event["attributes"], key);
        out.line(format!(
            "client   claims {}: {}, USD {}, {} ms",
            output::field(event, "name"),
            output::field(event, "model"),
            attribute("cost_usd"),
            attribute("duration_ms"),
        ))?;
    }
    if tunnels.len() > 1 {
        out.line("This person had several tunnels open: it came by one of them.")?;
    }
    Ok(0)
}

fn list(items: &Value) -> &[Value] {
    items.as_array().map_or(&[][..], Vec::as_slice)
}

fn proxy(tunnel: &Value) -> String {
    let cell = |key| output::field(tunnel, key);
    let seen = if tunnel["inspected"].is_null() { "" } else { ", looked into" };
    format!(
        "{} (rule {}): {} to {}:{} from {}, by {}, since {}, {}{seen}  {}",
        cell("verdict"),
        cell("rule"),
        cell("form"),
        cell("host"),
        cell("port"),
        cell("client"),
        cell("via"),
        cell("started_at"),
        tunnel["ended"].as_str().map_or_else(|| "open".to_owned(), |why| format!("ended: {why}")),
        cell("id"),
    )
}

fn gateway(exchange: &Value) -> String {
    let cell = |key| output::field(exchange, key);
    let found: Vec<_> = list(&exchange["data_findings"])
        .iter()
        .map(|one| format!("{} {}", output::field(one, "count"), output::field(one, "detector")))
        .collect();
    let found = if found.is_empty() {
        String::new()
    } else {
        format!(", data {}: {}", cell("data_verdict"), found.join(", "))
    };
    let reason = exchange["reason"].as_str().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!(
        "{} {}{reason}: {} by {}, team {}, USD {}, {} ms, from {}{found}  {}",
        cell("status"),
        cell("ended"),
        cell("model"),
        cell("provider"),
        cell("team"),
        usd(exchange, "cost_nanos"),
        cell("duration_ms"),
        cell("peer"),
        cell("id"),
    )
}

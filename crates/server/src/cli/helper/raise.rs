//! `client raise`: who is signed in asks for a higher limit for a while, and sees what became of it.

use serde_json::{Value, json};

use super::super::table::{Align, Table, printable};
use super::super::{Failure, Out, output};
use super::cache::Cache;
use super::gateway::Gateway;
use super::{session, signed_in};
use crate::clock;

/// What is asked for.
#[derive(clap::Args)]
pub(crate) struct RaiseArgs {
    /// By how many dollars; without it, your requests are listed
    #[arg(requires = "reason")]
    amount: Option<String>,
    /// Why; whoever decides reads it
    #[arg(long, requires = "amount")]
    reason: Option<String>,
    /// Until when: 7d, 2026-12-01 [default: the end of the budget's period]
    #[arg(long, value_name = "TIME", requires = "amount")]
    until: Option<String>,
    /// Which budget, by its id [default: the one of yours that is used up most]
    #[arg(long, value_name = "BUDGET", requires = "amount")]
    budget: Option<String>,
}

/// Runs `client raise`: exit code 1 when the gateway does not take the request.
pub(super) fn run(
    args: RaiseArgs,
    cache: Option<&Cache>,
    gateway: &Gateway,
    out: &mut Out,
) -> Result<u8, Failure> {
    let session = signed_in(cache)
        .and_then(|cache| session::proved(cache, gateway, clock::now()))
        .map_err(|why| why.failure(gateway.url()))?;
    let body = args.amount.map(|amount| {
        let mut body = json!({"amount_usd": amount, "reason": args.reason});
        output::put(&mut body, "until", args.until);
        output::put(&mut body, "budget", args.budget);
        body
    });
    let asks = body.is_some();
    let reply = gateway
        .raises(session.access.as_str(), body.as_ref())
        .map_err(|away| Failure::Failed(format!("{} {}", gateway.url().as_str(), away.0)))?;
    match reply.status {
        200 | 201 if asks => {
            let cell = |key| output::field(&reply.body, key);
            let told = format!(
                "Asked for {} USD more ({}). `gatehouse client raise` shows what becomes of it.",
                cell("amount_usd"),
                cell("id")
            );
            out.done(&reply.body, &told)?;
        }
        200 => list(reply.body["items"].as_array().map_or(&[][..], Vec::as_slice), out)?,
        status => {
            let why = reply.text("error_description").map_or_else(|| format!("answered {status}"), printable);
            return Err(Failure::Failed(why));
        }
    }
    Ok(0)
}

fn list(raises: &[Value], out: &mut Out) -> Result<(), Failure> {
    let columns = [
        ("REQUEST", Align::Left),
        ("BUDGET", Align::Left),
        ("USD", Align::Right),
        ("UNTIL", Align::Left),
        ("STATE", Align::Left),
        ("DECIDED BY", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for raise in raises {
        table.row(
            ["id", "budget", "amount_usd", "until", "state", "decided_by"]
                .map(|key| output::field(raise, key)),
        );
    }
    let empty = "You have asked for nothing. Ask with `gatehouse client raise USD --reason WHY`.";
    Ok(out.list(raises, &table, empty)?)
}

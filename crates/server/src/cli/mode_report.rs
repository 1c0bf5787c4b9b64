//! `mode report`.

use serde_json::Value;

use super::client::Client;
use super::report::usd;
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Runs `mode report`.
pub(crate) fn run(days: u32, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let answer = client.get("/api/v1/modes/report", &[("days", days.to_string().as_str())])?;
    if out.wants_json() {
        out.json(&answer)?;
        return Ok(0);
    }
    let people = answer["people"].as_array().map_or(&[][..], Vec::as_slice);
    out.table(&table(people), "Nothing was seen of anybody in this time.")?;
    let went_past: Vec<&Value> = people.iter().filter(|person| !detours(person).is_empty()).collect();
    for person in &went_past {
        let told: Vec<&str> = detours(person).into_iter().map(detour_text).collect();
        out.line(format!(
            "{} ({}): {}",
            output::field(person, "user"),
            output::field(person, "mode"),
            told.join("; ")
        ))?;
    }
    out.line(format!(
        "\nSince {}. TUNNELS are those to {} that were not looked into: nobody knows what is in them. OWN are requests by people's \
         own credentials, at list prices; CLAIMED is what clients tell. Who goes around the proxy and sends no telemetry is not \
         seen at all.",
        output::field(&answer, "since"),
        output::field(&answer, "hosts"),
    ))?;
    Ok(0)
}

fn table(people: &[Value]) -> Table {
    let number = |title| (title, Align::Right);
    let mut table = Table::new(&[
        ("USER", Align::Left),
        ("MODE", Align::Left),
        number("GATEWAY"),
        number("USD"),
        number("OWN"),
        number("USD"),
        number("TUNNELS"),
        number("BYTES"),
        number("REFUSED"),
        number("SIGN-INS"),
        number("CLAIMED"),
        number("USD"),
        ("PAST THE MODE", Align::Left),
    ]);
    for person in people {
        let count = |key| output::number(person, key);
        let detours = detours(person);
        table.row([
            output::field(person, "user"),
            output::field(person, "mode"),
            count("gateway_requests"),
            usd(person, "gateway_cost_nanos"),
            count("own_requests"),
            usd(person, "own_cost_nanos"),
            count("tunnels"),
            count("tunnel_bytes"),
            count("refused"),
            count("sign_ins"),
            count("claimed_requests"),
            usd(person, "claimed_cost_nanos"),
            if detours.is_empty() { "-".to_owned() } else { detours.join(", ") },
        ]);
    }
    table
}

fn detours(person: &Value) -> Vec<&str> {
    let list = person["detours"].as_array().map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(Value::as_str).collect()
}

fn detour_text(code: &str) -> &str {
    match code {
        "direct" => "tunnels to a host of models that nobody looked into",
        "own_credential" => "requests by a credential of their own",
        "claims" => "their client claims more requests than were seen on the way of their mode",
        "account" => "signed in with an account of the provider",
        "refused" => "tried to reach a host of models and was refused",
        other => other,
    }
}

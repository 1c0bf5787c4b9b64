//! `route`.

use serde_json::Value;

use super::args::{RouteCommand, RouteExplainArgs};
use super::client::Client;
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Runs `route …`. Exit code 1 when no provider would be asked.
pub(crate) fn run(command: RouteCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let RouteCommand::Explain(args) = command;
    let RouteExplainArgs { user, model, session, team } = &args;
    let mut query = vec![("user", user.as_str()), ("model", model.as_str())];
    let optional = [("session", session), ("team", team)];
    query.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
    let answer = client.get("/api/v1/route-explanation", &query)?;
    let candidates = answer["candidates"].as_array().cloned().unwrap_or_default();
    let goes = candidates.iter().any(|one| one["usable"] == Value::Bool(true));
    if out.wants_json() {
        out.json(&answer)?;
        return Ok(u8::from(!goes));
    }
    let columns = [
        ("PROVIDER", Align::Left),
        ("MODEL", Align::Left),
        ("PRIORITY", Align::Right),
        ("WEIGHT", Align::Right),
        ("REGION", Align::Left),
        ("STATE", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for one in &candidates {
        let keys = ["provider", "model", "priority", "weight", "region", "state"];
        table.row(keys.map(|key| output::field(one, key)));
    }
    for one in answer["left_out"].as_array().into_iter().flatten() {
        let (name, why) = (output::field(one, "provider"), output::field(one, "why"));
        table.row([
            name,
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            format!("not asked: {why}"),
        ]);
    }
    out.table(&table, "No provider serves it.")?;
    for key in ["rule", "session_with", "notice"] {
        if let Some(text) = answer[key].as_str().filter(|text| !text.is_empty()) {
            out.line(format!("{}: {text}", key.replace('_', " ")))?;
        }
    }
    if let Some(sentence) = cache(&answer["cache"]) {
        out.line(sentence)?;
    }
    Ok(u8::from(!goes))
}

/// How much is read from caches, in words; nothing where too little was asked to say.
fn cache(told: &Value) -> Option<String> {
    let recent = told["recent_percent"].as_u64()?;
    let usual = told["usual_percent"].as_u64();
    let usual = usual.map_or_else(String::new, |usual| format!(", usually {usual} %"));
    let alarm = if told["alarm"] == Value::Bool(true) { ": ALARM, the same requests cost more" } else { "" };
    Some(format!("cache: {recent} % of the input is read from it{usual}{alarm}"))
}

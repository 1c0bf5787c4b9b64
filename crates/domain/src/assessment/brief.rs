//! The score as the document computed it from which the rules come, with what it let pass.

use serde_json::Value;

use super::answers::Mistake;
use super::score::of_size;

/// The score of answers of any shape.
pub(super) fn score(answers: &Value) -> Result<i64, Mistake> {
    let Value::Object(answers) = answers else {
        return Err(Mistake::new("", "the answers must be a JSON object"));
    };
    let people = match answers.get("team_size") {
        None => 0.0,
        Some(size) => size.as_f64().ok_or_else(|| Mistake::new("team_size", "must be a number"))?,
    };
    let entries = match answers.get("compliance_requirements") {
        None => 0,
        Some(Value::Array(entries)) => entries.len(),
        Some(Value::Object(entries)) => entries.len(),
        Some(Value::String(text)) => text.chars().count(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_)) => {
            return Err(Mistake::new("compliance_requirements", "must be a list"));
        }
    };
    let security = points(answers.get("security_level"), &["low", "medium", "high", "critical"]);
    let cost = points(answers.get("cost_control"), &["low", "medium", "high"]);
    let network = if answers.get("network_restrictions").is_some_and(is_true) { 2 } else { 0 };
    let entries = i64::try_from(entries).unwrap_or(i64::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only whether it is above 10 or 100 matters; the cast saturates"
    )]
    let size = of_size(people.ceil() as i64);
    Ok(size + security + cost + network + entries)
}

/// A known word's place; an unknown one, or what is no word, counts like the first.
fn points(word: Option<&Value>, known: &[&str]) -> i64 {
    let word = word.and_then(Value::as_str).unwrap_or_default();
    let place = known.iter().position(|k| *k == word).unwrap_or(0);
    i64::try_from(place + 1).unwrap_or(1)
}

/// What counts as true in the language of the document.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

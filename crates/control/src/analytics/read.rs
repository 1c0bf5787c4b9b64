//! The provider's client analytics, as JSON: read into figures.
//!
//! One page as `GET /v1/organizations/usage_report/claude_code` answers it. Everything is checked before anything is kept: one
//! record that cannot be so refuses all of them, since a day with a part missing looks like a day with less use.

use std::collections::BTreeMap;

use gatehouse_domain::analytics::{Actor, Record, Subject};
use gatehouse_domain::telemetry::{Measure, Sums};
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use serde_json::Value;

use crate::report::bill::{decimal, plain};

/// Most records that are read at once.
pub const MAX_RECORDS: usize = 20_000;
/// Most models of one record.
const MAX_MODELS: usize = 200;
/// Longest text that is kept, in characters.
const MAX_TEXT: usize = 200;
/// Greatest count of one day: nobody begins, writes or reads more.
const MAX_COUNT: i64 = 1_000_000_000_000;
/// Greatest estimated cost of one model in one record, in nano-dollars: a million dollars.
const MAX_COST: i64 = 1_000_000_000_000_000;
/// No client is older: 2024-01-01.
const FIRST_DAY: i64 = 1_704_067_200_000;

/// The tools whose uses people accept or reject.
const EDITS: [&str; 4] = ["edit_tool", "multi_edit_tool", "notebook_edit_tool", "write_tool"];

/// Why analytics cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct BadAnalytics {
    place: String,
    why: String,
}

fn bad(place: &str, why: impl Into<String>) -> BadAnalytics {
    BadAnalytics { place: place.to_owned(), why: why.into() }
}

/// What was read: figures by what they are of. The same twice is added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    figures: BTreeMap<Subject, Sums>,
    records: usize,
}

impl Reading {
    /// Reads one more page.
    ///
    /// # Errors
    /// It is no page of client analytics; there are more than [`MAX_RECORDS`] records; the first record that cannot be read, or
    /// says what cannot be: a negative or absurd amount, another currency than US dollars, a day that has not begun.
    pub fn page(&mut self, page: &Value, now: UnixMillis) -> Result<(), BadAnalytics> {
        let data = page["data"].as_array();
        for record in data.ok_or_else(|| bad("the page", "no `data`: is it a report of client analytics?"))? {
            self.records += 1;
            if self.records > MAX_RECORDS {
                return Err(bad("the report", format!("it has more than {MAX_RECORDS} records")));
            }
            self.record(&format!("record {}", self.records), record, now)?;
        }
        Ok(())
    }

    /// How many records were read.
    pub const fn records(&self) -> usize {
        self.records
    }

    /// The days that they are of.
    pub fn days(&self) -> std::collections::BTreeSet<UnixMillis> {
        self.figures.keys().map(|of| of.day).collect()
    }

    /// The figures, in the order of what they are of.
    pub fn figures(self) -> Vec<Record> {
        self.figures.into_iter().map(|(of, sums)| Record { of, sums }).collect()
    }

    fn record(&mut self, place: &str, record: &Value, now: UnixMillis) -> Result<(), BadAnalytics> {
        let of = Subject {
            day: day(place, record, now)?,
            organization: text(place, "organization_id", &record["organization_id"])?,
            actor: actor(place, &record["actor"])?,
            customer: text(place, "customer_type", &record["customer_type"])?,
            terminal: text(place, "terminal_type", &record["terminal_type"])?,
            model: String::new(),
        };
        let mut sums = Sums::default();
        activity(place, record, &mut sums)?;
        self.add(of.clone(), sums);
        let models = record["model_breakdown"].as_array().map_or(&[][..], Vec::as_slice);
        if models.len() > MAX_MODELS {
            return Err(bad(place, format!("it has more than {MAX_MODELS} models")));
        }
        for told in models {
            let model = text(place, "model", &told["model"])?;
            // Without a name it would be added to what belongs to no model.
            let model = if model.is_empty() { "unknown".to_owned() } else { model };
            self.add(Subject { model, ..of.clone() }, use_of(place, told)?);
        }
        Ok(())
    }

    fn add(&mut self, of: Subject, sums: Sums) {
        let sum = self.figures.entry(of).or_default();
        for (sum, more) in sum.0.iter_mut().zip(sums.0) {
            *sum = sum.saturating_add(more);
        }
    }
}

fn day(place: &str, record: &Value, now: UnixMillis) -> Result<UnixMillis, BadAnalytics> {
    let date = record["date"].as_str().unwrap_or_default();
    let day = date.get(..10).and_then(|text| text.parse::<UnixMillis>().ok());
    let day = day.ok_or_else(|| bad(place, "its `date` cannot be read (expected such as 2026-10-31)"))?;
    // The provider's clock may be ahead of ours.
    if day.0 < FIRST_DAY || day.0 > now.0 + DAY_MS {
        return Err(bad(place, format!("its `date` is {}, which cannot be", &date[..10])));
    }
    Ok(day)
}

fn actor(place: &str, told: &Value) -> Result<Actor, BadAnalytics> {
    let name = |field: &str| match text(place, field, &told[field])? {
        name if name.is_empty() => Err(bad(place, format!("its actor has no `{field}`"))),
        name => Ok(name),
    };
    match told["type"].as_str() {
        Some("user_actor") => Ok(Actor::Person(name("email_address")?.to_ascii_lowercase())),
        Some("api_actor") => Ok(Actor::Key(name("api_key_name")?)),
        Some(_) | None => Err(bad(place, "its actor is neither `user_actor` nor `api_actor`")),
    }
}

fn activity(place: &str, record: &Value, sums: &mut Sums) -> Result<(), BadAnalytics> {
    let core = &record["core_metrics"];
    if !core.is_object() {
        return Err(bad(place, "it has no `core_metrics`"));
    }
    let lines = &core["lines_of_code"];
    for (measure, name, told) in [
        (Measure::Sessions, "num_sessions", &core["num_sessions"]),
        (Measure::LinesAdded, "lines_of_code.added", &lines["added"]),
        (Measure::LinesRemoved, "lines_of_code.removed", &lines["removed"]),
        (Measure::Commits, "commits_by_claude_code", &core["commits_by_claude_code"]),
        (Measure::PullRequests, "pull_requests_by_claude_code", &core["pull_requests_by_claude_code"]),
    ] {
        sums.add(measure, amount(place, name, told, 0, MAX_COUNT)?);
    }
    for tool in EDITS {
        let told = &record["tool_actions"][tool];
        let count = |name: &str| amount(place, &format!("{tool}.{name}"), &told[name], 0, MAX_COUNT);
        sums.add(Measure::EditsAccepted, count("accepted")?);
        sums.add(Measure::EditsRejected, count("rejected")?);
    }
    Ok(())
}

fn use_of(place: &str, told: &Value) -> Result<Sums, BadAnalytics> {
    let mut sums = Sums::default();
    let tokens = &told["tokens"];
    for (measure, name) in [
        (Measure::Input, "input"),
        (Measure::Output, "output"),
        (Measure::CacheRead, "cache_read"),
        (Measure::CacheWrite, "cache_creation"),
    ] {
        sums.add(measure, amount(place, &format!("tokens.{name}"), &tokens[name], 0, MAX_COUNT)?);
    }
    let cost = &told["estimated_cost"];
    if !cost.is_null() {
        match cost["currency"].as_str() {
            Some("USD") => {}
            other => {
                let other: String = other.unwrap_or_default().chars().take(10).collect();
                return Err(bad(place, format!("its currency is `{other}`, expected USD")));
            }
        }
        // Cents, which are ten million nano-dollars each.
        sums.add(Measure::Cost, amount(place, "estimated_cost.amount", &cost["amount"], 7, MAX_COST)?);
    }
    Ok(sums)
}

/// A number times a power of ten; what is missing or null is none.
fn amount(place: &str, name: &str, told: &Value, power: i32, most: i64) -> Result<i64, BadAnalytics> {
    if told.is_null() {
        return Ok(0);
    }
    let number = plain(told).and_then(|text| decimal(&text, power));
    let number = number.ok_or_else(|| bad(place, format!("its `{name}` is no number")))?;
    if (0..=most).contains(&number) {
        Ok(number)
    } else {
        let why = if number < 0 { "negative" } else { "more than can be" };
        Err(bad(place, format!("its `{name}` is {why}")))
    }
}

fn text(place: &str, name: &str, told: &Value) -> Result<String, BadAnalytics> {
    let text = match told {
        Value::Null => "",
        Value::String(text) => text.trim(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            return Err(bad(place, format!("its `{name}` is no text")));
        }
    };
    if text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(bad(
            place,
            format!("its `{name}` is longer than {MAX_TEXT} characters, or more than a line"),
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn record() -> Value {
        json!({
            "date": "2026-09-01T00:00:00Z",
            "actor": {"type": "user_actor", "email_address": "Ada@Example.com"},
            "organization_id": "org-1", "customer_type": "api", "terminal_type": "vscode",
            "core_metrics": {
                "num_sessions": 5, "lines_of_code": {"added": 1543, "removed": 892},
                "commits_by_claude_code": 12, "pull_requests_by_claude_code": 2
            },
            "tool_actions": {
                "edit_tool": {"accepted": 45, "rejected": 5}, "multi_edit_tool": {"accepted": 12, "rejected": 2},
                "write_tool": {"accepted": 8, "rejected": 1}, "notebook_edit_tool": {"accepted": 3, "rejected": 0},
                "another_tool": {"accepted": 1000, "rejected": 1000}
            },
            "model_breakdown": [{
                "model": "claude-sonnet-5-5",
                "tokens": {"input": 100_000, "output": 35_000, "cache_read": 10_000, "cache_creation": 5000},
                "estimated_cost": {"currency": "USD", "amount": 102.5}
            }]
        })
    }

    fn read(records: &[Value]) -> Result<Vec<Record>, BadAnalytics> {
        let mut reading = Reading::default();
        reading.page(&json!({"data": records, "has_more": false, "next_page": null}), NOW)?;
        Ok(reading.figures())
    }

    #[test]
    fn a_record_is_what_was_computed_by_hand() {
        let figures = read(&[record()]).unwrap();
        assert_eq!(figures.len(), 2, "what belongs to no model, and the model");
        let of = |at: usize, measure| figures[at].sums.of(measure);
        assert_eq!(figures[0].of.actor, Actor::Person("ada@example.com".to_owned()));
        assert_eq!((figures[0].of.model.as_str(), figures[1].of.model.as_str()), ("", "claude-sonnet-5-5"));
        assert_eq!(
            (of(0, Measure::Sessions), of(0, Measure::Commits), of(0, Measure::PullRequests)),
            (5, 12, 2)
        );
        assert_eq!((of(0, Measure::EditsAccepted), of(0, Measure::EditsRejected)), (68, 8));
        assert_eq!((of(0, Measure::LinesAdded), of(0, Measure::LinesRemoved)), (1543, 892));
        assert_eq!((of(1, Measure::Input), of(1, Measure::Output)), (100_000, 35_000));
        assert_eq!((of(1, Measure::CacheRead), of(1, Measure::CacheWrite)), (10_000, 5000));
        assert_eq!(of(1, Measure::Cost), 1_025_000_000, "102.5 cents");
    }

    #[test]
    fn the_same_twice_is_added_up_and_what_differs_is_kept_apart() {
        let mut other = record();
        other["terminal_type"] = json!("tmux");
        let figures = read(&[record(), other, record()]).unwrap();
        let sessions: Vec<i64> = figures.iter().map(|figure| figure.sums.of(Measure::Sessions)).collect();
        assert_eq!(sessions, [5, 0, 10, 0], "by terminal: {figures:?}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let cases: [(&str, Value, &str); 13] = [
            ("/date", json!("yesterday"), "`date` cannot be read"),
            ("/date", json!("2036-09-01T00:00:00Z"), "cannot be"),
            ("/date", json!("1999-09-01"), "cannot be"),
            ("/actor", json!({"type": "ghost"}), "neither `user_actor`"),
            ("/actor", json!({"type": "user_actor", "email_address": ""}), "no `email_address`"),
            ("/core_metrics", Value::Null, "no `core_metrics`"),
            ("/core_metrics/num_sessions", json!(-1), "`num_sessions` is negative"),
            ("/core_metrics/num_sessions", json!("many"), "`num_sessions` is no number"),
            ("/core_metrics/lines_of_code/added", json!(1e15), "more than can be"),
            ("/model_breakdown/0/estimated_cost/amount", json!(-0.01), "negative"),
            ("/model_breakdown/0/estimated_cost/amount", json!(1e9), "more than can be"),
            ("/model_breakdown/0/estimated_cost/currency", json!("EUR"), "`EUR`, expected USD"),
            ("/terminal_type", json!("x".repeat(201)), "`terminal_type` is longer"),
        ];
        for (at, value, told) in cases {
            let mut bad = record();
            *bad.pointer_mut(at).unwrap() = value;
            let error = read(&[record(), bad]).unwrap_err().to_string();
            assert!(error.starts_with("record 2: ") && error.contains(told), "{at}: {error}");
        }
        let mut reading = Reading::default();
        for page in [json!(null), json!([]), json!({"data": {}}), json!({"data": [7]}), json!("x")] {
            assert!(reading.page(&page, NOW).is_err(), "{page}");
        }
    }

    #[test]
    fn records_are_bounded() {
        let mut reading = Reading::default();
        let page = json!({"data": vec![record(); 10_000]});
        reading.page(&page, NOW).unwrap();
        reading.page(&page, NOW).unwrap();
        assert_eq!((reading.records(), reading.days().len()), (MAX_RECORDS, 1));
        assert!(reading.page(&page, NOW).unwrap_err().to_string().contains("more than 20000"));
    }
}

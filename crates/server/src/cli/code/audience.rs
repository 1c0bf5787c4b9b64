//! Who gets an overlay, as its profile's file has it.
//!
//! An audience that is over is none, and one that has begun names no beginning: so the same file says the same before and
//! after.

use std::collections::BTreeSet;

use gatehouse_domain::name::Email;
use gatehouse_domain::time::UnixMillis;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::Failure;
use super::super::client::{Client, escaped};
use super::super::output::warn;
use super::profile::PATH;
use super::shape::normal;
use crate::clock;

/// The member of a profile that holds it.
pub(super) const MEMBER: &str = "audience";

/// An audience as a file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    teams: Vec<String>,
    #[serde(default)]
    percent: u8,
    starts: Option<String>,
    ends: Option<String>,
}

impl Text {
    /// The audience in its one form; none if it is over.
    pub(super) fn audience(self, now: UnixMillis) -> Result<Option<Value>, String> {
        let wrong = |what: &str, why: &dyn std::fmt::Display| format!("`{MEMBER}.{what}`: {why}");
        if self.percent > 100 {
            return Err(wrong("percent", &"expected 0 to 100"));
        }
        let time = |what: &str, text: Option<&String>| {
            let read = |text: &String| text.parse::<UnixMillis>().map_err(|why| wrong(what, &why));
            text.map(read).transpose()
        };
        let (starts, ends) = (time("starts", self.starts.as_ref())?, time("ends", self.ends.as_ref())?);
        if starts.zip(ends).is_some_and(|(starts, ends)| ends <= starts) {
            return Err(wrong("ends", &"it must be after `starts`"));
        }
        let mut users = BTreeSet::new();
        for user in &self.users {
            let email = Email::parse(user).map_err(|why| wrong("users", &why))?;
            users.insert(email.as_str().to_owned());
        }
        let teams: BTreeSet<String> = self.teams.iter().map(|team| normal(team)).collect();
        if users.is_empty() && teams.is_empty() && self.percent == 0 {
            return Err(format!("`{MEMBER}` names nobody: leave it out"));
        }
        Ok(object(&users, &teams, self.percent, (starts, ends), now))
    }
}

fn object(
    users: &BTreeSet<String>,
    teams: &BTreeSet<String>,
    percent: u8,
    (starts, ends): (Option<UnixMillis>, Option<UnixMillis>),
    now: UnixMillis,
) -> Option<Value> {
    if ends.is_some_and(|ends| ends <= now) {
        return None;
    }
    let mut members = Map::new();
    if !users.is_empty() {
        members.insert("users".to_owned(), json!(users));
    }
    if !teams.is_empty() {
        members.insert("teams".to_owned(), json!(teams));
    }
    if percent > 0 {
        members.insert("percent".to_owned(), json!(percent));
    }
    for (name, time) in [("starts", starts.filter(|starts| *starts > now)), ("ends", ends)] {
        if let Some(time) = time {
            members.insert(name.to_owned(), json!(time.to_string()));
        }
    }
    Some(Value::Object(members))
}

/// The audience that an overlay has on the server; none if it was never assigned or is over.
pub(super) fn read(client: &Client, name: &str) -> Result<Option<Value>, Failure> {
    let shown = client.get(&path_of(name, ""), &[])?;
    if !matches!(shown["state"].as_str(), Some("open" | "waiting")) {
        return Ok(None);
    }
    let names = |field: &str| -> BTreeSet<String> {
        shown[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let time = |field: &str| shown[field].as_str().and_then(|text| text.parse::<UnixMillis>().ok());
    let percent = shown["percent"].as_u64().and_then(|n| u8::try_from(n).ok()).unwrap_or_default();
    let times = (time("starts_at"), time("ends_at"));
    Ok(object(&names("users"), &names("teams"), percent, times, clock::now()))
}

/// Assigns an overlay to this audience, or takes it from everybody.
pub(super) fn write(client: &Client, name: &str, wanted: Option<&Value>) -> Result<(), Failure> {
    let answer = match wanted {
        Some(audience) => client.put(&path_of(name, ""), audience)?,
        None => client.post(&path_of(name, "/withdraw"), &json!({}))?,
    };
    warn(&answer);
    Ok(())
}

/// A profile without its audience.
pub(super) fn without(profile: &Value) -> Value {
    let mut profile = profile.clone();
    if let Some(members) = profile.as_object_mut() {
        members.shift_remove(MEMBER);
    }
    profile
}

fn path_of(name: &str, rest: &str) -> String {
    format!("{PATH}/{}/audience{rest}", escaped(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn read(text: Value) -> Result<Option<Value>, String> {
        serde_json::from_value::<Text>(text).map_err(|e| e.to_string())?.audience(NOW)
    }

    #[test]
    fn the_same_audience_has_one_form() {
        let one = read(json!({"users": ["B@x.y", "a@x.y", "a@x.y"], "teams": [" Core "], "percent": 5}));
        assert_eq!(one, Ok(Some(json!({"users": ["a@x.y", "b@x.y"], "teams": ["Core"], "percent": 5}))));
        let begun = json!({"percent": 5, "starts": "2020-01-01T00:00:00Z"});
        assert_eq!(read(begun), Ok(Some(json!({"percent": 5}))), "a beginning that has passed");
        let over = json!({"percent": 5, "ends": "2020-01-01T00:00:00Z"});
        assert_eq!(read(over), Ok(None));
        let waits = read(json!({"percent": 5, "starts": "2099-01-01T00:00:00Z"})).unwrap().unwrap();
        assert!(waits["starts"].as_str().unwrap().starts_with("2099-01-01"), "{waits}");
    }

    #[test]
    fn what_is_no_audience_is_refused() {
        for (text, part) in [
            (json!({}), "names nobody"),
            (json!({"percent": 101}), "0 to 100"),
            (json!({"percent": 1, "starts": "tomorrow"}), "audience.starts"),
            (
                json!({"percent": 1, "starts": "2099-01-01T00:00:00Z", "ends": "2098-01-01T00:00:00Z"}),
                "after `starts`",
            ),
            (json!({"users": ["nobody"]}), "audience.users"),
            (json!({"percents": 1}), "unknown field"),
        ] {
            let why = read(text.clone()).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}

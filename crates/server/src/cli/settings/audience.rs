//! `settings audience …`, and publication at a time.

use serde_json::{Value, json};

use super::super::client::Client;
use super::super::output::{field, number, warn};
use super::super::table::{Align, Table};
use super::super::{Failure, Out};
use super::words::{AudienceCommand, Step, Who};
use super::{path_of, under_way};

/// Most names in a cell.
const MAX_NAMED: usize = 10;

/// Runs `settings audience …`.
pub(super) fn run(command: &AudienceCommand, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = match command {
        AudienceCommand::Show { profile } => client.get(&path_of(profile, "/audience"), &[])?,
        AudienceCommand::Assign { profile, who, starts, ends } => {
            let mut body = body_of(who);
            for (key, time) in [("starts", starts), ("ends", ends)] {
                if let Some(time) = time {
                    body[key] = json!(time);
                }
            }
            client.put(&path_of(profile, "/audience"), &body)?
        }
        AudienceCommand::Widen { profile, who } => {
            client.post(&path_of(profile, "/audience/widen"), &body_of(who))?
        }
        AudienceCommand::Withdraw { profile } => {
            client.post(&path_of(profile, "/audience/withdraw"), &json!({}))?
        }
    };
    warn(&answer);
    tell(&answer, out)
}

fn body_of(who: &Who) -> Value {
    let mut body = json!({"users": who.users, "teams": who.teams});
    if let Some(percent) = who.percent {
        body["percent"] = json!(percent);
    }
    body
}

fn tell(audience: &Value, out: &mut Out) -> Result<(), Failure> {
    let mut table = Table::new(&[("WHAT", Align::Left), ("VALUE", Align::Left)]);
    let published = match audience["published"].as_u64() {
        Some(version) => format!("version {version}"),
        None => "nothing: nobody gets anything until a version is published".to_owned(),
    };
    let rows = [
        ("overlay", field(audience, "profile")),
        ("state", field(audience, "state")),
        ("published", published),
        ("people", number(audience, "people")),
        ("share of all", format!("{} %", number(audience, "percent"))),
        ("users", named(&audience["users"])),
        ("teams", named(&audience["teams"])),
        ("starts", field(audience, "starts_at")),
        ("ends", field(audience, "ends_at")),
    ];
    for (what, value) in rows {
        table.row([what.to_owned(), value]);
    }
    Ok(out.one(audience, &table)?)
}

fn named(names: &Value) -> String {
    let all: Vec<&str> = names.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut told: Vec<String> = all.iter().take(MAX_NAMED).map(|name| (*name).to_owned()).collect();
    if all.len() > MAX_NAMED {
        told.push(format!("{} more", all.len() - MAX_NAMED));
    }
    told.join(", ")
}

/// `settings publish … --at TIME`.
pub(super) fn schedule(step: &Step, at: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let profile = &step.profile;
    let version = match step.version {
        Some(version) => version,
        None => under_way(profile, "publish", client)?,
    };
    let mut body = json!({"at": at});
    if let Some(checksum) = &step.checksum {
        body["checksum"] = json!(checksum);
    }
    let answer = client.put(&path_of(profile, &format!("/versions/{version}/schedule")), &body)?;
    let sentence = format!(
        "Version {version} of {profile} will be published at {}.\nTo take that back: gatehouse settings unschedule {profile}",
        field(&answer["scheduled"], "at")
    );
    Ok(out.done(&answer, &sentence)?)
}

/// `settings unschedule`.
pub(super) fn unschedule(profile: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let found = client.get(&path_of(profile, ""), &[])?;
    let version = found["scheduled"]["version"]
        .as_u64()
        .ok_or_else(|| Failure::Failed(format!("nothing of {profile} is to be published at a time")))?;
    let answer = client.delete(&path_of(profile, &format!("/versions/{version}/schedule")))?;
    let sentence =
        format!("Version {version} of {profile} will not be published by itself; it stays approved.");
    Ok(out.done(&answer, &sentence)?)
}

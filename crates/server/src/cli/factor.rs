//! `user factor`.

use serde_json::json;

use super::args::FactorCommand;
use super::client::{Client, escaped};
use super::table::{Align, Table};
use super::{Failure, Out, output};

/// Runs `user factor …`.
pub(crate) fn run(command: FactorCommand, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let path = |user: &str, act: &str| format!("/api/v1/users/{}/factors{act}", escaped(user));
    match command {
        FactorCommand::List { user } => {
            let has = client.get(&path(&user, ""), &[])?;
            let mut table =
                Table::new(&[("FACTOR", Align::Left), ("ADDED", Align::Left), ("LAST USED", Align::Left)]);
            for factor in has["factors"].as_array().into_iter().flatten() {
                table.row(["kind", "created_at", "used_at"].map(|field| output::field(factor, field)));
            }
            if has["recovery_codes"] != 0 {
                let left = format!("recovery codes: {} left", has["recovery_codes"]);
                table.row([left]);
            }
            if table.is_empty() {
                out.done(&has, &format!("{} has no second factor.", output::field(&has, "email")))?;
            } else {
                out.one(&has, &table)?;
            }
        }
        FactorCommand::Reset { user } => {
            let answer = client.delete(&path(&user, ""))?;
            output::warn(&answer);
            out.done(
                &answer,
                &format!("{user} has no second factor any more; their local sessions are over."),
            )?;
        }
        FactorCommand::Link { user } => {
            let made = client.post(&path(&user, "/link"), &json!({}))?;
            let (url, until) = (output::field(&made, "url"), output::field(&made, "expires_at"));
            let told = format!(
                "{url}\nGive this to {user} only: whoever opens it can add a second factor, once, until {until}."
            );
            out.done(&made, &told)?;
        }
    }
    Ok(0)
}

//! `client status` and `client logout`.

use gatehouse_control::portal::PublicUrl;
use serde_json::{Value, json};

use super::super::output::complain;
use super::super::table::{Align, Table, printable};
use super::super::{Failure, Out};
use super::cache::{Cache, Found, Kind};
use super::gateway::Gateway;
use super::policy::Policy;
use super::session::{self, NoToken};

/// Shows who is signed in where, and which policies are kept, without asking anybody.
pub(super) fn run(cache: Option<&Cache>, only: Option<&PublicUrl>, out: &mut Out) -> Result<u8, Failure> {
    let mut gateways = cache.map(Cache::gateways).transpose()?.unwrap_or_default();
    gateways.retain(|gateway| only.is_none_or(|only| only == gateway));
    let mut sessions = Vec::new();
    for gateway in &gateways {
        sessions.extend(cache.map(|cache| about(cache, gateway)).transpose()?);
    }
    let machine = cache.map(|cache| cache.machine().id.to_string());
    let code = u8::from(!sessions.iter().any(|session| session["state"] == "signed_in"));
    if out.wants_json() {
        out.json(&json!({"machine": machine, "sessions": sessions}))?;
        return Ok(code);
    }
    let columns = ["GATEWAY", "ACCOUNT", "STATE", "TOKEN UNTIL", "POLICY", "CONFIRMED AT"];
    let mut table = Table::new(&columns.map(|title| (title, Align::Left)));
    for session in &sessions {
        let cell = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let keys = ["gateway", "email", "state", "token_until", "policy", "policy_confirmed_at"];
        table.row(keys.map(|key| cell(&session[key])));
    }
    out.table(&table, "Nobody is signed in on this machine.")?;
    if let Some(machine) = machine {
        out.line(format!("This machine: {machine}"))?;
    }
    Ok(code)
}

fn about(cache: &Cache, gateway: &PublicUrl) -> Result<Value, Failure> {
    let mut told = json!({"gateway": gateway.as_str()});
    match session::kept(cache, gateway) {
        Ok(session) => {
            told["state"] = json!("signed_in");
            told["email"] = json!(session.email.as_deref().map(printable));
            told["signed_in_at"] = json!(session.signed_in_at.to_string());
            told["token_until"] = json!(session.expires_at.to_string());
        }
        Err(NoToken::Cache(failure)) => return Err(failure),
        Err(_) => told["state"] = json!("altered"),
    }
    match cache.read(gateway, Kind::Policy)? {
        Found::Nothing => {}
        Found::Altered => told["policy"] = json!("altered"),
        Found::Content(content) => match Policy::of(&content) {
            None => told["policy"] = json!("altered"),
            Some(policy) => {
                let sum = policy.settings.map_or("nothing published".to_owned(), |(_, sum)| sum.to_string());
                told["policy"] = json!(sum);
                told["policy_confirmed_at"] = json!(policy.confirmed_at.to_string());
            }
        },
    }
    Ok(told)
}

/// Ends a session: here in any case, at the gateway if that can be reached.
pub(super) fn leave(cache: Option<&Cache>, gateway: &Gateway, out: &mut Out) -> Result<(), Failure> {
    let url = gateway.url();
    let cache = cache.ok_or(NoToken::SignedOut).map_err(|why| why.failure(url))?;
    let locked = cache.lock(url)?;
    let kept = match session::kept(cache, url) {
        Err(NoToken::Cache(failure)) => return Err(failure),
        kept => kept,
    };
    locked.remove(Kind::Session)?;
    locked.remove(Kind::Policy)?;
    drop(locked);
    match kept {
        Ok(session) => {
            let token = session.refresh.as_ref().unwrap_or(&session.access);
            let told = gateway.post(&session.revocation_endpoint, &[("token", token.as_str())]);
            if !told.is_ok_and(|reply| reply.status == 200) {
                complain(&format!(
                    "gatehouse: {} could not be told, so that the session goes on there until it runs out or somebody \
                     ends it; here nothing is left of it",
                    url.as_str()
                ));
            }
        }
        Err(NoToken::Altered) => {}
        Err(why) => return Err(why.failure(url)),
    }
    if out.wants_json() {
        return Ok(out.json(&json!({"gateway": url.as_str()}))?);
    }
    Ok(out.line(format!("Signed out of {}.", url.as_str()))?)
}

//! `client token --from`: a job of CI exchanges its platform's token.

use std::fs::File;
use std::io::Read;

use zeroize::Zeroizing;

use super::super::client::post_form;
use super::super::table::printable;
use super::super::{Failure, Global, credential};
use crate::environment::Environment;

/// Longest token that is read, in bytes. The gateway takes no longer one.
const MAX_TOKEN: u64 = 16 * 1024;
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The access token that a job gets for the token that is there.
pub(super) fn run(
    from: &str,
    given: Option<&str>,
    global: &Global,
    environment: &Environment,
) -> Result<Zeroizing<String>, Failure> {
    let presented = presented(from, environment)?;
    exchanged(&gateway(given, global, environment)?, &presented)
}

/// The gateway's address: as given, by either name, else the local server's.
fn gateway(given: Option<&str>, global: &Global, environment: &Environment) -> Result<String, Failure> {
    let given = given.map(str::to_owned).or_else(|| global.server.clone());
    let known = given.or_else(|| credential::gateway(global, environment));
    let server = known.ok_or_else(|| Failure::Usage("name the gateway with --gateway".to_owned()))?;
    let server = server.trim_end_matches('/').to_owned();
    if server.starts_with("http://") || server.starts_with("https://") {
        Ok(server)
    } else {
        Err(Failure::Usage(format!("`{server}` is not an address that begins with http:// or https://")))
    }
}

/// The job's token.
fn presented(from: &str, environment: &Environment) -> Result<Zeroizing<String>, Failure> {
    let text = if let Some(variable) = from.strip_prefix("env:") {
        let value = environment.get(variable);
        value
            .map(|text| Zeroizing::new(text.to_owned()))
            .ok_or_else(|| Failure::Usage(format!("there is no variable `{variable}` with a token in it")))?
    } else if from == "-" {
        read(std::io::stdin().lock(), "standard input")?
    } else {
        let file = File::open(from);
        read(file.map_err(|error| Failure::Usage(format!("cannot read `{from}`: {error}")))?, from)?
    };
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::Usage(format!("there is no token in `{from}`")));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

fn read(source: impl Read, name: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = source.take(MAX_TOKEN + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::Usage(format!("cannot read `{name}`: {error}")))?;
    if text.len() as u64 > MAX_TOKEN {
        return Err(Failure::Usage(format!("`{name}` has more than {MAX_TOKEN} bytes: that is no token")));
    }
    Ok(text)
}

fn exchanged(gateway: &str, presented: &str) -> Result<Zeroizing<String>, Failure> {
    let form = [("grant_type", GRANT), ("subject_token", presented), ("subject_token_type", JWT)];
    let (status, answer) = post_form(gateway, "/oauth/token", &form)?;
    let text = |name: &str| answer.get(name).and_then(serde_json::Value::as_str);
    if let (200, Some(token)) = (status, text("access_token")) {
        return Ok(Zeroizing::new(token.to_owned()));
    }
    let told = match (text("error"), text("error_description")) {
        (Some(error), description) => {
            printable(&format!("the gateway refuses: {error}: {}", description.unwrap_or_default()))
        }
        (None, _) => format!("`{gateway}` answered {status} without a token; is this the gateway's address?"),
    };
    // Who calls again later may succeed.
    Err(if matches!(status, 429 | 503) { Failure::Unreachable(told) } else { Failure::Failed(told) })
}

//! Handing messages about alerts to receivers, in the form and with the signature that each asks for.
//!
//! Several of them answer 200 whatever became of the message and tell the truth in the body, so that bodies are read. No
//! sentence that leaves here holds an address or a secret: addresses of bots are secrets.

mod text;
mod form;
mod answer;
mod mail;
mod smtp;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gatehouse_control::alert::NotTaken;
use gatehouse_domain::alert::{Notification, Rule};
use gatehouse_domain::id::DeliveryId;
use gatehouse_domain::proxy::Host;
use gatehouse_domain::time::UnixMillis;
use gatehouse_egress::Egress;
use gatehouse_identity::secret::Secret;
use zeroize::Zeroizing;

use crate::config::{Address, Channel, HookKind, Receiver, SecretSource};
use crate::environment::Environment;
use crate::fetch::{Post, WayOut, post};
use crate::secret::resolve;

pub(crate) use text::Told;

/// What is to be handed over.
pub(crate) struct Message<'a> {
    /// Its identifier.
    pub(crate) id: DeliveryId,
    /// What is told.
    pub(crate) notification: &'a Notification,
    /// The rules in force, which say it in words.
    pub(crate) rules: &'a [Rule],
    /// Where Gatehouse is reached, for who wants to look; may be empty.
    pub(crate) home: &'a str,
    /// The time, which signatures hold.
    pub(crate) now: UnixMillis,
}

/// A failure that another try may mend.
fn passing(error: impl Into<String>) -> NotTaken {
    NotTaken { error: error.into(), again: true, after: None }
}

/// A failure that no other try mends.
fn lasting(error: impl Into<String>) -> NotTaken {
    NotTaken { error: error.into(), again: false, after: None }
}

/// Hands a message to a receiver.
///
/// # Errors
/// It was not taken; whether another try may help.
pub(crate) async fn send(
    receiver: &Receiver,
    message: &Message<'_>,
    out: &WayOut,
    environment: &Environment,
) -> Result<(), NotTaken> {
    let told = Told::new(message, receiver.language);
    match &receiver.channel {
        Channel::Email(mail) => mail::send(mail, &told, message, out, environment).await,
        Channel::Hook { kind, url, secret, ca_file } => {
            let trusts = (ca_file.clone(), out.clone());
            let way = prepare(*kind, url.clone(), secret.clone(), trusts, environment).await?;
            hook(*kind, &receiver.name, &way, &told, message).await
        }
    }
}

/// A hook, ready to be called.
struct Way {
    address: Zeroizing<String>,
    secret: Option<Secret>,
    tls: Arc<rustls::ClientConfig>,
    egress: Egress,
}

/// Reads a secret where it is kept, which may take a while.
async fn secret(source: SecretSource, environment: &Environment) -> Result<Secret, NotTaken> {
    let environment = environment.clone();
    let read = tokio::task::spawn_blocking(move || resolve(&source, &environment)).await;
    match read {
        Ok(Ok(Some(secret))) => Ok(secret),
        Ok(Ok(None)) | Err(_) => Err(passing("a secret of this receiver cannot be read")),
        // A file or a variable may be there again before the message is given up.
        Ok(Err(error)) => Err(passing(error.to_string())),
    }
}

async fn prepare(
    kind: HookKind,
    url: Address,
    signs: Option<SecretSource>,
    (ca_file, out): (Option<PathBuf>, WayOut),
    environment: &Environment,
) -> Result<Way, NotTaken> {
    let address = match url {
        Address::Plain(text) => Zeroizing::new(text),
        Address::Secret(source) => {
            let found = secret(source, environment).await?;
            let text = std::str::from_utf8(found.expose()).map_err(|_| lasting("its address is not text"))?;
            Zeroizing::new(text.trim().to_owned())
        }
    };
    let host = check(&address, kind)?;
    let secret = match signs {
        Some(source) => Some(secret(source, environment).await?),
        None => None,
    };
    let egress = out.egress.clone();
    let tls = trusted(out, host, ca_file).await?;
    Ok(Way { address, secret, tls, egress })
}

/// Whom to trust at a host, read anew for each message.
async fn trusted(
    out: WayOut,
    host: Host,
    ca_file: Option<PathBuf>,
) -> Result<Arc<rustls::ClientConfig>, NotTaken> {
    let read = tokio::task::spawn_blocking(move || out.trust(&host, ca_file.as_deref())).await;
    read.map_err(|_| passing("certificates cannot be read"))?.map_err(passing)
}

/// Bots are reached by TLS: their addresses are all that others would need.
fn check(address: &str, kind: HookKind) -> Result<Host, NotTaken> {
    let url = url::Url::parse(address).map_err(|_| lasting("its address (`url`) is none"))?;
    let is_local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match url.scheme() {
        _ if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() => {
            Err(lasting("its address (`url`) has no host, or holds a user"))
        }
        "http" if !is_local && kind != HookKind::Webhook => {
            Err(lasting("its address (`url`) must begin with https://"))
        }
        "https" | "http" => Host::parse(url.host_str().unwrap_or_default())
            .map_err(|error| lasting(format!("its address (`url`): {error}"))),
        _ => Err(lasting("its address (`url`) must begin with https://")),
    }
}

async fn hook(
    kind: HookKind,
    name: &str,
    way: &Way,
    told: &Told,
    message: &Message<'_>,
) -> Result<(), NotTaken> {
    let key = way.secret.as_ref().map(Secret::expose);
    let request = match kind {
        HookKind::Webhook => form::webhook(told, message, name, key),
        HookKind::Slack => form::slack(told),
        HookKind::Teams => form::teams(told),
        HookKind::Feishu => form::feishu(told, message.now, key),
        HookKind::DingTalk => form::dingtalk(told, message.now, key),
        HookKind::WeCom => form::wecom(told),
    };
    let join = if way.address.contains('?') { "&" } else { "?" };
    let query = request.query.map_or_else(String::new, |query| format!("{join}{query}"));
    let endpoint = format!("{}{query}", *way.address);
    let to =
        Post { endpoint, headers: request.headers, tls: Arc::clone(&way.tls), egress: way.egress.clone() };
    match post(&to, "", "application/json; charset=utf-8", Bytes::from(request.body)).await {
        Ok(answer) => answer::judge(kind, &answer),
        Err(why) => Err(passing(why)),
    }
}

/// A text from outside, short and on one line, fit for the log and the history.
fn brief(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Seconds as a duration, for who says when to come again.
const fn after(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

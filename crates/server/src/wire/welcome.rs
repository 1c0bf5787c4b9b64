//! What the operator sees when the server has started.

use gatehouse_listener::tls::Asked;
use serde_json::json;

use super::Ready;
use crate::cli::{ADMIN_TOKEN_FILE, Client, Failure, Out, exports, exposed, is_shown, read_token};
use crate::config::Config;

/// The user whose key is made on the first start.
const OWNER: &str = "owner@localhost";

/// Greets: on the first start with a key and what to do next, later with the addresses only.
pub(super) fn greet(ready: &Ready<'_>, out: &mut Out) -> Result<(), Failure> {
    let config = &ready.config;
    let store = if config.store.url == "sqlite" { "sqlite, in the data directory" } else { "postgres" };
    out.line(format!("Gatehouse {} is ready.", env!("CARGO_PKG_VERSION")))?;
    out.line(format!("  gateway  {}", ready.gateway))?;
    out.line(format!("  admin    {}", ready.admin))?;
    out.line(format!("  data     {}", ready.data_dir.display()))?;
    out.line(format!("  store    {store}"))?;
    if config.providers.is_empty() {
        out.line("  provider none: set ANTHROPIC_API_KEY, or add a [[provider]] to a configuration file (--config)")?;
    }
    for provider in &config.providers {
        out.line(format!("  provider {} at {}", provider.name, provider.base_url))?;
    }
    for note in exposed(config) {
        out.line(format!("  note     {note}"))?;
    }
    if ready.first_start && asks_for_certificates(config) {
        // Nobody here has one to show.
        out.line("\nThis is the first start. Make a user and a key with a client certificate that the admin listener accepts.")?;
    } else if ready.first_start {
        first_time(ready, out)?;
    }
    Ok(())
}

fn asks_for_certificates(config: &Config) -> bool {
    let clients = config.tls.admin.files.as_ref().and_then(|files| files.clients.as_ref());
    clients.is_some_and(|clients| clients.asked == Asked::Required)
}

fn first_time(ready: &Ready<'_>, out: &mut Out) -> Result<(), Failure> {
    let client = client(ready)?;
    client.post("/api/v1/users", &json!({"email": OWNER, "name": "Owner"}))?;
    let dir = ready.data_dir.display();
    if is_shown() {
        let made = client.post("/api/v1/keys", &json!({"user": OWNER, "name": "first key"}))?;
        let key = made["key"].as_str().unwrap_or_default();
        out.line("\nThis is the first start. Point Claude Code at it (the key is shown once):\n")?;
        out.line(exports(&ready.gateway, key))?;
    } else {
        // What is printed here is kept by somebody, such as the collector of a service's logs: no place for a key.
        out.line("\nThis is the first start. Make a key, which is shown once:\n")?;
        out.line(format!("  gatehouse --data-dir {dir} key create --user {OWNER}"))?;
    }
    out.line("\nNext, in another terminal:\n")?;
    for command in
        ["user add ada@example.com", "key create --user ada@example.com", "exchanges --table", "usage"]
    {
        out.line(format!("  gatehouse --data-dir {dir} {command}"))?;
    }
    Ok(())
}

/// The management API, with the local owner's token: everything is made through it, there is no private door.
pub(crate) fn client(ready: &Ready<'_>) -> Result<Client, Failure> {
    let token = read_token(&ready.data_dir.join(ADMIN_TOKEN_FILE))?;
    Ok(Client::local(&ready.admin, token, Some(ready.gateway.clone())))
}

//! The checklist while the server's database is away.
//!
//! The server then knows nobody, and tells nobody anything: an administrator's token is checked in the database, and one that
//! was remembered might have been revoked meanwhile. So the red line is made here, of the server's refusal and of what it
//! wrote down on this machine.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use gatehouse_domain::readiness::Item;
use gatehouse_domain::settings::lint::Language;
use serde_json::{Value, json};

use super::super::client::Away;
use super::super::output::field;

/// The state of what cannot be judged.
pub(super) const UNKNOWN: &str = "unknown";

/// How long the database's port may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The checklist, in the shape of the server's: the database in red, and of nothing else can anything be told.
pub(super) fn checklist(place: Option<&Value>, server: &str, told: &Away) -> Value {
    let told = evidence(place, server, told);
    let items: Vec<Value> = Item::all()
        .map(|item| {
            if item == Item::Database {
                line(item, "fail", &told)
            } else {
                line(item, UNKNOWN, "cannot be judged: database away")
            }
        })
        .collect();
    json!({"percent": null, "go": false, "items": items})
}

fn line(item: Item, state: &str, evidence: &str) -> Value {
    let languages = [Language::English, Language::SimplifiedChinese, Language::TraditionalChinese];
    json!({
        "item": item.as_str(),
        "section": item.section().as_str(),
        "names": languages.map(|language| item.name(language)),
        "state": state,
        "evidence": evidence,
        "owner": null,
        "due": null,
        "overdue": false,
        "statement": null,
        "waiver": null,
    })
}

fn evidence(place: Option<&Value>, server: &str, told: &Away) -> String {
    let log = format!("the server's log has the cause under request {}", told.request);
    let goes_on = "model requests go on meanwhile, and what they cost is kept in the journal";
    let Some(place) = place else {
        return format!(
            "the database of the server at {server} does not answer it; {log}, and `store.url` of its configuration says \
             where it is; {goes_on}"
        );
    };
    if let Some(file) = place["file"].as_str() {
        return format!(
            "SQLite in `{file}` does not answer; see whether its disk has room and can be written to; {log}; {goes_on}"
        );
    }
    let (host, port) = (field(place, "host"), place["port"].as_u64().unwrap_or_default());
    let port = u16::try_from(port).unwrap_or_default();
    format!(
        "PostgreSQL at {host}:{port}, database `{}`, does not answer the server; {}; start it, or mend the way to it; {log}; \
         {goes_on}",
        field(place, "database"),
        seen(&host, port)
    )
}

/// What this machine finds at the port.
fn seen(host: &str, port: u16) -> String {
    if host.starts_with('/') {
        let socket = format!("{host}/.s.PGSQL.{port}");
        let there = std::path::Path::new(&socket).exists();
        return format!("its socket is {}", if there { "there" } else { "not there" });
    }
    let address = match (host, port).to_socket_addrs() {
        Ok(mut found) => found.next(),
        Err(error) => return format!("its host cannot be looked up from here ({error})"),
    };
    let Some(address) = address else { return "its host has no address".to_owned() };
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => "something listens there".to_owned(),
        Err(error) => format!("nothing listens there as seen from here ({error})"),
    }
}

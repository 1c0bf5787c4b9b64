//! Signing in and checking one person, on one server.

use gatehouse_domain::time::UnixMillis;

use super::config::{Config, sendable};
use super::connection::{Bind, Connection, Query, Scope};
use super::dn;
use super::entry::Entry;
use super::fault::{Fault, Step};
use super::groups;
use super::person::{Group, Person, StableId, attributes};
use super::standing::{Refusal, Standing, refusal};
use super::{Presence, SignIn};
use crate::secret::Secret;

/// Longest name that is looked up, in bytes. An e-mail address has at most 254.
const MAX_NAME: usize = 256;

/// What can be refused before the directory is asked; otherwise the name to look up.
pub(super) fn precheck<'a>(name: &'a str, password: &Secret) -> Result<&'a str, Refusal> {
    // A simple bind with an empty password is answered with success (RFC 4513 section 5.1.2), so it must never be sent.
    if password.expose().iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::EmptyPassword);
    }
    let text = password.expose_text().ok_or(Refusal::UnusablePassword)?;
    if text.chars().all(|c| c.is_whitespace() || c.is_control()) {
        return Err(Refusal::EmptyPassword);
    }
    if !sendable(password) {
        return Err(Refusal::UnusablePassword);
    }
    let name = name.trim();
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Refusal::UnusableName);
    }
    Ok(name)
}

/// Signs in as the account that searches.
pub(super) async fn service_bind(connection: &mut Connection, config: &Config) -> Result<(), Fault> {
    let dn = config.bind_dn.as_str();
    match connection.bind(Step::ServiceBind, dn, &config.bind_password).await? {
        Bind::Accepted => Ok(()),
        Bind::Answered { code, text } => Err(Fault::ServiceBind { dn: dn.to_owned(), code, text }),
    }
}

/// Finds the one entry with this name, checks the password by a bind as that entry, then reads the groups.
pub(super) async fn sign_in(
    connection: &mut Connection,
    config: &Config,
    name: &str,
    password: &Secret,
    now: UnixMillis,
) -> Result<SignIn, Fault> {
    let found = lookup(connection, config, &config.people.login_filter(name)).await?;
    let entry = match found.as_slice() {
        [entry] => entry,
        [] => {
            // A bind that must fail takes the same round trips as one with a wrong password, so that the time of a
            // refusal does not tell who exists.
            let nobody = format!("cn=gatehouse-nobody,{}", config.people.bases[0]);
            let _ = connection.bind(Step::UserBind, &nobody, password).await?;
            return Ok(SignIn::Refused(Refusal::UnknownUser));
        }
        [_, _, ..] => return Ok(SignIn::Refused(Refusal::Ambiguous)),
    };
    let person = person(entry, config, now)?;
    if let Bind::Answered { code, text } = connection.bind(Step::UserBind, &entry.dn, password).await? {
        return match refusal(code, &text, entry) {
            Some(reason) => Ok(SignIn::Refused(reason)),
            None => Err(Fault::Result { step: Step::UserBind, code, text }),
        };
    }
    if let Standing::Disabled(by) = person.standing {
        return Ok(SignIn::Refused(Refusal::Disabled(by)));
    }
    let groups = match &config.groups {
        None => Vec::new(),
        Some(groups) => {
            // Who signs in may often not read groups.
            service_bind(connection, config).await?;
            groups::of_entry(connection, groups, &config.limits, &entry.dn).await?
        }
    };
    Ok(SignIn::SignedIn(Person { groups, ..person }))
}

/// Whether a person is still there and enabled.
pub(super) async fn check(
    connection: &mut Connection,
    config: &Config,
    id: &StableId,
    now: UnixMillis,
) -> Result<Presence, Fault> {
    let people = &config.people;
    let found = match id.filter_value(people.id_format) {
        Some(value) => {
            let filter = format!("(&{}({}={value}))", people.filter, people.id);
            lookup(connection, config, &filter).await?
        }
        None => Vec::new(),
    };
    match found.as_slice() {
        [entry] => match person(entry, config, now)?.standing {
            Standing::Active => Ok(Presence::Active),
            Standing::Disabled(by) => Ok(Presence::Disabled(by)),
        },
        [] => {
            // If nobody at all can be seen under some base, this one's absence says nothing.
            everyone_visible(connection, config).await?;
            Ok(Presence::Gone)
        }
        [_, _, ..] => Err(Fault::TooMany { what: "entries with one id", limit: 1 }),
    }
}

/// The groups of a person who is there and enabled; none if groups are not read, or the person is not there.
pub(super) async fn groups_of(
    connection: &mut Connection,
    config: &Config,
    id: &StableId,
) -> Result<Option<Vec<Group>>, Fault> {
    let people = &config.people;
    let (Some(groups), Some(value)) = (&config.groups, id.filter_value(people.id_format)) else {
        return Ok(None);
    };
    let filter = format!("(&{}({}={value}))", people.filter, people.id);
    let found = lookup(connection, config, &filter).await?;
    let [entry] = found.as_slice() else { return Ok(None) };
    groups::of_entry(connection, groups, &config.limits, &entry.dn).await.map(Some)
}

async fn everyone_visible(connection: &mut Connection, config: &Config) -> Result<(), Fault> {
    let filter = config.people.filter.to_string();
    for base in &config.people.bases {
        let query = Query {
            base: base.as_str(),
            scope: Scope::Subtree,
            filter: &filter,
            attributes: &no_attributes(),
        };
        if connection.find(query, 1).await?.is_empty() {
            return Err(Fault::Empty("person under one of the bases"));
        }
    }
    Ok(())
}

/// Asks for no attributes (RFC 4511 section 4.5.1.8).
fn no_attributes() -> [String; 1] {
    ["1.1".to_owned()]
}

/// The entries that match under any base, each once; at most two of each base, since two are already too many.
async fn lookup(connection: &mut Connection, config: &Config, filter: &str) -> Result<Vec<Entry>, Fault> {
    let attributes = attributes(&config.people);
    let mut found: Vec<Entry> = Vec::new();
    for base in &config.people.bases {
        let query = Query { base: base.as_str(), scope: Scope::Subtree, filter, attributes: &attributes };
        for entry in connection.find(query, 2).await? {
            // Bases may lie within each other.
            if found.iter().all(|known| dn::key(&known.dn) != dn::key(&entry.dn)) {
                found.push(entry);
            }
        }
    }
    Ok(found)
}

fn person(entry: &Entry, config: &Config, now: UnixMillis) -> Result<Person, Fault> {
    Person::read(entry, &config.people, now)
        .ok_or_else(|| Fault::NoId { dn: entry.dn.clone(), attribute: config.people.id.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_password_never_reaches_a_server() {
        for password in ["", " ", "\t\r\n ", "\0", "\0\0", "\u{a0}", "\u{2003} ", " \0"] {
            let secret = Secret::new(password.as_bytes().to_vec());
            assert_eq!(precheck("ann", &secret), Err(Refusal::EmptyPassword), "{password:?}");
        }
        for password in [&b"a\0b"[..], b"\0secret", b"\xff\xfe", &[b'a'; 1025]] {
            assert_eq!(precheck("ann", &Secret::new(password.to_vec())), Err(Refusal::UnusablePassword));
        }
    }

    #[test]
    fn names_that_nobody_has_are_refused() {
        let password = Secret::new(b"correct".to_vec());
        for name in ["", "  ", "a\nb", "a\0b", &"a".repeat(257)] {
            assert_eq!(precheck(name, &password), Err(Refusal::UnusableName), "{name:?}");
        }
        for name in ["ann", "*", "zoë", "a)(uid=*", "CORP\\ann"] {
            assert_eq!(precheck(&format!(" {name} "), &password), Ok(name));
        }
    }
}

//! A listing of everyone, for the scheduled synchronization.

use std::collections::HashSet;

use gatehouse_domain::time::UnixMillis;

use super::config::Config;
use super::connection::{Connection, Query, Scope};
use super::fault::Fault;
use super::groups::Graph;
use super::person::{Person, attributes};

/// Everyone in the directory, with their groups. Never empty and never a part: anything less is an outage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    people: Vec<Person>,
}

impl Listing {
    /// The people, each once.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// A listing of these people; `None` when there is nobody, which is no listing.
    pub fn of(people: Vec<Person>) -> Option<Self> {
        let mut seen = HashSet::new();
        let distinct = people.iter().all(|person| seen.insert(&person.stable_id));
        (distinct && !people.is_empty()).then_some(Self { people })
    }
}

pub(super) async fn read(
    connection: &mut Connection,
    config: &Config,
    now: UnixMillis,
) -> Result<Listing, Fault> {
    let graph = match &config.groups {
        Some(groups) => Graph::list(connection, groups, &config.limits).await?,
        None => Graph::default(),
    };
    let mut people: Vec<Person> = Vec::new();
    let mut seen = HashSet::new();
    let (attributes, filter) = (attributes(&config.people), config.people.filter.to_string());
    for base in &config.people.bases {
        let query =
            Query { base: base.as_str(), scope: Scope::Subtree, filter: &filter, attributes: &attributes };
        let before = people.len();
        let mut each = |entry| {
            let person = Person::read(&entry, &config.people, now).ok_or_else(|| Fault::NoId {
                dn: entry.dn.clone(),
                attribute: config.people.id.to_string(),
            })?;
            // Bases may lie within each other.
            if seen.insert(person.stable_id.clone()) {
                if people.len() == config.limits.people {
                    return Err(Fault::TooMany { what: "people", limit: config.limits.people });
                }
                people.push(Person { groups: graph.of(&person.dn), ..person });
            }
            Ok(())
        };
        connection.list(query, &mut each).await?;
        // A base that was emptied, or that may no longer be seen, looks the same; both need a person's eye.
        if people.len() == before && !people_elsewhere(&people, base.as_str()) {
            return Err(Fault::Empty("person under one of the bases"));
        }
    }
    Listing::of(people).ok_or(Fault::Empty("person"))
}

/// Whether people were found before who lie under this base, because another base holds it.
fn people_elsewhere(people: &[Person], base: &str) -> bool {
    let end = format!(",{}", super::dn::key(base));
    people.iter().any(|person| super::dn::key(&person.dn).ends_with(&end))
}

//! Which groups a person is in, directly and through other groups.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::config::{GroupMode, Groups, Limits};
use super::connection::{Connection, Query, Scope};
use super::dn;
use super::entry::Entry;
use super::fault::Fault;
use super::filter::{any_of, filter_value};
use super::person::{Group, shown_name};

/// The matching rule of Active Directory that follows groups within groups.
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

/// How many names one search of the upward walk asks for.
const BATCH: usize = 20;

/// The groups of one entry, asked for now.
pub(super) async fn of_entry(
    connection: &mut Connection,
    groups: &Groups,
    limits: &Limits,
    entry_dn: &str,
) -> Result<Vec<Group>, Fault> {
    let mut found = Collected::new(limits.groups);
    match groups.mode {
        GroupMode::ActiveDirectory => {
            let member = format!("({}:{IN_CHAIN}:={})", groups.member, filter_value(entry_dn.as_bytes()));
            list(connection, groups, &member, &mut found).await?;
        }
        GroupMode::Walk => walk(connection, groups, limits, entry_dn, &mut found).await?,
    }
    Ok(found.into_sorted())
}

/// Upwards, level by level. Each group is asked about once, so circles end.
async fn walk(
    connection: &mut Connection,
    groups: &Groups,
    limits: &Limits,
    entry_dn: &str,
    found: &mut Collected,
) -> Result<(), Fault> {
    let mut level = vec![entry_dn.to_owned()];
    let mut depth = 0;
    while !level.is_empty() {
        // One search more than there may be levels, since the last one only shows that there is nothing above.
        if depth > limits.group_depth {
            return Err(Fault::TooMany { what: "levels of groups within groups", limit: limits.group_depth });
        }
        depth += 1;
        let mut next = Vec::new();
        for names in level.chunks(BATCH) {
            let any = any_of(names.iter().map(|name| (&groups.member, name.as_str())));
            let known = found.groups.len();
            list(connection, groups, &any, found).await?;
            next.extend(found.groups[known..].iter().map(|group| group.dn.to_string()));
        }
        level = next;
    }
    Ok(())
}

async fn list(
    connection: &mut Connection,
    groups: &Groups,
    member: &str,
    found: &mut Collected,
) -> Result<(), Fault> {
    let filter = format!("(&{}{member})", groups.filter);
    let attributes = [groups.name.as_str().to_owned()];
    for base in &groups.bases {
        let query =
            Query { base: base.as_str(), scope: Scope::Subtree, filter: &filter, attributes: &attributes };
        connection.list(query, &mut |entry| found.add(read(&entry, groups))).await?;
    }
    Ok(())
}

fn read(entry: &Entry, groups: &Groups) -> Group {
    let name = entry.text(groups.name.as_str()).and_then(shown_name).unwrap_or_else(|| entry.dn.clone());
    Group { dn: Arc::from(entry.dn.as_str()), name: Arc::from(name) }
}

/// Groups, each once, up to a bound.
struct Collected {
    groups: Vec<Group>,
    keys: HashSet<String>,
    limit: usize,
}

impl Collected {
    fn new(limit: usize) -> Self {
        Self { groups: Vec::new(), keys: HashSet::new(), limit }
    }

    fn add(&mut self, group: Group) -> Result<(), Fault> {
        if self.keys.insert(dn::key(&group.dn)) {
            if self.groups.len() == self.limit {
                return Err(Fault::TooMany { what: "groups", limit: self.limit });
            }
            self.groups.push(group);
        }
        Ok(())
    }

    fn into_sorted(mut self) -> Vec<Group> {
        self.groups.sort_unstable();
        self.groups
    }
}

/// All groups with their members, for a listing of everyone.
#[derive(Default)]
pub(super) struct Graph {
    groups: Vec<Group>,
    /// By the key of a member: the groups it is in directly.
    above: HashMap<String, Vec<usize>>,
    keys: Vec<String>,
}

impl Graph {
    /// Lists all groups and all their members. Both modes read the same here: asking about each person in turn would
    /// take as many searches as there are people.
    pub(super) async fn list(
        connection: &mut Connection,
        groups: &Groups,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let mut graph = Self::default();
        let mut seen = HashSet::new();
        let mut unfinished = Vec::new();
        let mut members = 0;
        let attributes = [groups.name.as_str().to_owned(), groups.member.as_str().to_owned()];
        let filter = groups.filter.to_string();
        for base in &groups.bases {
            let query = Query {
                base: base.as_str(),
                scope: Scope::Subtree,
                filter: &filter,
                attributes: &attributes,
            };
            let mut each = |entry: Entry| {
                let key = dn::key(&entry.dn);
                if !seen.insert(key.clone()) {
                    return Ok(());
                }
                if graph.groups.len() == limits.groups {
                    return Err(Fault::TooMany { what: "groups", limit: limits.groups });
                }
                let part = entry.ranged(groups.member.as_str(), 0)?;
                let index = graph.add(read(&entry, groups), key);
                graph.add_members(index, part.values, &mut members, limits)?;
                if let Some(next) = part.next {
                    unfinished.push((index, next));
                }
                Ok(())
            };
            connection.list(query, &mut each).await?;
        }
        if graph.groups.is_empty() {
            return Err(Fault::Empty("group"));
        }
        for (index, next) in unfinished {
            graph.read_rest(connection, groups, limits, index, next, &mut members).await?;
        }
        Ok(graph)
    }

    /// The members of one large group from number `next` on.
    async fn read_rest(
        &mut self,
        connection: &mut Connection,
        groups: &Groups,
        limits: &Limits,
        index: usize,
        next: u32,
        members: &mut usize,
    ) -> Result<(), Fault> {
        let base = Arc::clone(&self.groups[index].dn);
        let mut next = Some(next);
        while let Some(from) = next {
            let attributes = [format!("{};range={from}-*", groups.member)];
            let query =
                Query { base: &base, scope: Scope::Base, filter: "(objectClass=*)", attributes: &attributes };
            let entries = connection.find(query, 1).await?;
            let [entry] = entries.as_slice() else {
                return Err(Fault::Truncated("a group went away while its members were read"));
            };
            let part = entry.ranged(groups.member.as_str(), from)?;
            self.add_members(index, part.values, members, limits)?;
            next = part.next;
        }
        Ok(())
    }

    fn add(&mut self, group: Group, key: String) -> usize {
        self.groups.push(group);
        self.keys.push(key);
        self.groups.len() - 1
    }

    fn add_members(
        &mut self,
        index: usize,
        values: &[Vec<u8>],
        members: &mut usize,
        limits: &Limits,
    ) -> Result<(), Fault> {
        *members += values.len();
        if *members > limits.members {
            return Err(Fault::TooMany { what: "members of groups", limit: limits.members });
        }
        for value in values {
            // A value that is no text names nobody that we read.
            if let Ok(name) = std::str::from_utf8(value) {
                self.above.entry(dn::key(name)).or_default().push(index);
            }
        }
        Ok(())
    }

    /// All groups above an entry. Each group once, so circles end.
    pub(super) fn of(&self, entry_dn: &str) -> Vec<Group> {
        let mut visited = HashSet::new();
        let mut open: Vec<usize> = self.above.get(&dn::key(entry_dn)).cloned().unwrap_or_default();
        let mut found = Vec::new();
        while let Some(index) = open.pop() {
            if visited.insert(index) {
                found.push(self.groups[index].clone());
                open.extend(self.above.get(&self.keys[index]).into_iter().flatten());
            }
        }
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Groups `g0` to `gN` with the given members; a number names a group, a text a person.
    fn graph(members: &[Vec<String>]) -> Graph {
        let mut graph = Graph::default();
        let mut count = 0;
        for (n, names) in members.iter().enumerate() {
            let dn = format!("cn=g{n},dc=x");
            let group = Group { dn: Arc::from(dn.as_str()), name: Arc::from(format!("g{n}")) };
            let index = graph.add(group, dn::key(&dn));
            let values: Vec<Vec<u8>> =
                names.iter().map(|name| format!("CN={name}, DC=x").into_bytes()).collect();
            graph.add_members(index, &values, &mut count, &Limits::default()).unwrap();
        }
        graph
    }

    fn names(groups: &[Group]) -> Vec<&str> {
        groups.iter().map(|group| &*group.name).collect()
    }

    #[test]
    fn nested_and_circular_groups_are_followed() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let graph = graph(&[
            list(&["ann", "g2"]),
            list(&["g0"]),
            list(&["g1", "bob"]),
            list(&["g3"]),
            list(&["zoe"]),
            list(&["G4", "g4"]),
        ]);
        assert_eq!(names(&graph.of("cn=Ann,dc=x")), ["g0", "g1", "g2"]);
        assert_eq!(names(&graph.of("cn=bob,dc=X")), ["g0", "g1", "g2"]);
        assert_eq!(names(&graph.of("cn=zoe,dc=x")), ["g4", "g5"]);
        assert_eq!(names(&graph.of("cn=nobody,dc=x")), [""; 0]);
    }

    #[test]
    fn more_members_than_the_bound_is_an_error() {
        let limits = Limits { members: 3, ..Limits::default() };
        let (mut graph, mut count) = (Graph::default(), 0);
        let values = vec![b"cn=a".to_vec(), b"\xff".to_vec()];
        graph.add_members(0, &values, &mut count, &limits).unwrap();
        let error = graph.add_members(0, &values, &mut count, &limits).unwrap_err();
        assert_eq!(error, Fault::TooMany { what: "members of groups", limit: 3 });
    }

    proptest! {
        /// Against a slow but plain closure: repeat until nothing is added.
        #[test]
        fn the_walk_finds_the_closure(edges in prop::collection::vec((0_usize..8, 0_usize..10), 0..40)) {
            let mut members = vec![Vec::new(); 8];
            for (group, member) in &edges {
                members[*group].push(if *member < 8 { format!("g{member}") } else { format!("p{member}") });
            }
            let mut expected = HashSet::new();
            loop {
                let before = expected.len();
                for (group, member) in &edges {
                    if *member == 8 || expected.contains(member) {
                        expected.insert(*group);
                    }
                }
                if expected.len() == before {
                    break;
                }
            }
            let mut expected: Vec<String> = expected.into_iter().map(|n| format!("g{n}")).collect();
            expected.sort();
            let found = graph(&members).of("cn=p8,dc=x");
            prop_assert_eq!(names(&found), expected);
        }
    }
}

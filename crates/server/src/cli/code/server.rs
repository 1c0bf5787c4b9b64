//! What the server has.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_domain::ownership::Noun;
use serde_json::Value;

use super::super::Failure;
use super::super::client::{Client, escaped};
use super::super::output::field;
use super::shape::{GROUP_PATH, Key, Objects, POLICY_PATH, SHAPES, name_of, object, policy};
use super::{audience, profile};

/// A group as the server has it.
pub(super) struct Group {
    /// Its identifier.
    pub(super) id: String,
    /// Identifier of the team that it stands for.
    team: Option<String>,
}

/// Reads all objects of these nouns that files can describe; what is built in is left out.
pub(super) fn objects(client: &Client, nouns: &BTreeSet<Noun>) -> Result<Objects, Failure> {
    let mut found = Objects::new();
    if nouns.contains(&Noun::GroupMapping) {
        mappings(client, &mut found)?;
    }
    if nouns.contains(&Noun::SettingsProfile) {
        profiles(client, &mut found)?;
    }
    for shape in SHAPES.iter().filter(|shape| shape.noun != Noun::GroupMapping) {
        client.each(shape.path, &[], None, |item| {
            if item["built_in"] != Value::Bool(true) {
                let name = name_of(shape.noun, &field(&item, shape.id));
                found.insert((shape.noun, name), object(shape, |field| item[field].clone()));
            }
            Ok(())
        })?;
    }
    client.each(POLICY_PATH, &[], None, |item| {
        if item["built_in"] != Value::Bool(true) {
            found.insert((Noun::AccessPolicy, field(&item, "name")), policy(&field(&item, "text")));
        }
        Ok(())
    })?;
    Ok(found)
}

/// The groups that directories brought in, by source and name; where a source has the same name twice, by identifier too.
pub(super) fn groups(client: &Client) -> Result<BTreeMap<String, Group>, Failure> {
    let mut all: BTreeMap<String, Vec<Group>> = BTreeMap::new();
    client.each(GROUP_PATH, &[], None, |item| {
        let name =
            name_of(Noun::GroupMapping, &format!("{}/{}", field(&item, "source"), field(&item, "name")));
        let team = item["team_id"].as_str().map(str::to_owned);
        all.entry(name).or_default().push(Group { id: field(&item, "id"), team });
        Ok(())
    })?;
    let mut found = BTreeMap::new();
    for (name, groups) in all {
        let is_one = groups.len() == 1;
        for group in groups {
            let name = if is_one { name.clone() } else { format!("{name} ({})", group.id) };
            found.insert(name, group);
        }
    }
    Ok(found)
}

fn mappings(client: &Client, found: &mut Objects) -> Result<(), Failure> {
    let Some(shape) = SHAPES.iter().find(|shape| shape.noun == Noun::GroupMapping) else { return Ok(()) };
    let mut teams = BTreeMap::new();
    client.each("/api/v1/teams", &[], None, |team| {
        teams.insert(field(&team, "id"), field(&team, "name"));
        Ok(())
    })?;
    for (name, group) in groups(client)? {
        if let Some(team) = group.team.and_then(|id| teams.get(&id).cloned()) {
            found.insert((Noun::GroupMapping, name), object(shape, |_| Value::String(team.clone())));
        }
    }
    Ok(())
}

fn profiles(client: &Client, found: &mut Objects) -> Result<(), Failure> {
    for one in client.list(profile::PATH, &[], None)? {
        let Some(number) = one["published"].as_u64() else { continue };
        let name = field(&one, "name");
        let version = client.get(&format!("{}/{}/versions/{number}", profile::PATH, escaped(&name)), &[])?;
        let mut object = profile::of_version(&one, &version)?;
        if field(&one, "target") == "rollout"
            && let Some(audience) = audience::read(client, &name)?
        {
            object[audience::MEMBER] = audience;
        }
        found.insert((Noun::SettingsProfile, name), object);
    }
    Ok(())
}

/// Reads what is owned by code, each with the digest of what was last written. Marks of a newer program are left alone.
pub(super) fn owned(client: &Client) -> Result<BTreeMap<Key, String>, Failure> {
    let mut found = BTreeMap::new();
    client.each("/api/v1/owned-objects", &[], None, |item| {
        if let Ok(noun) = field(&item, "noun").parse::<Noun>() {
            found.insert((noun, field(&item, "name")), field(&item, "digest"));
        }
        Ok(())
    })?;
    Ok(found)
}

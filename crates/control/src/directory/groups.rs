//! Makes the groups of a source what a listing says.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gatehouse_domain::audit::Object;
use gatehouse_domain::id::{GroupId, UserId};
use gatehouse_domain::source::Source;
use gatehouse_identity::ldap::Listing;
use gatehouse_store::group::{Group, GroupData, GroupWanted};

use crate::act::{ActError, Caller};
use crate::app::App;

/// Groups read at a time.
const PAGE: u32 = 500;

/// A group as the listing has it.
struct Listed<'l> {
    dn: &'l str,
    name: &'l str,
    members: BTreeSet<String>,
}

/// Makes the groups of a source what a listing says: everyone who is in a group, also by way of other groups, is its
/// member. A group that nobody is in any more is removed, unless it stands for a team.
///
/// # Errors
/// The database.
pub(super) async fn settle(
    app: &App,
    caller: &Caller,
    source: &Source,
    listing: &Listing,
    users: &HashMap<String, UserId>,
) -> Result<(), ActError> {
    let mut listed: BTreeMap<String, Listed<'_>> = BTreeMap::new();
    for person in listing.people() {
        let Some(user) = users.get(person.stable_id.as_str()) else { continue };
        for group in &person.groups {
            let entry = listed.entry(group.dn.to_lowercase()).or_insert_with(|| Listed {
                dn: &group.dn,
                name: &group.name,
                members: BTreeSet::new(),
            });
            entry.members.insert(user.to_string());
        }
    }
    let mut after = None;
    loop {
        let page = app.store.groups_after(app.org, source, &GroupWanted::All, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for group in page {
            let now = listed.remove(&group.name_key);
            change(app, caller, source, group, now).await?;
        }
    }
    for (name_key, group) in listed {
        let id = GroupId::new(app.now(), app.random_bits());
        let members: Vec<String> = group.members.into_iter().collect();
        let act = caller
            .draft(app.now(), "group.add", Object::new("group", id, group.name))
            .with("source", source.to_string())
            .with("members", members.clone());
        let data = data_of(name_key, group.name, group.dn);
        app.store.create_group(app.org, source, id, &data, &members, &act).await?;
    }
    Ok(())
}

async fn change(
    app: &App,
    caller: &Caller,
    source: &Source,
    group: Group,
    now: Option<Listed<'_>>,
) -> Result<(), ActError> {
    let draft = |action| {
        caller
            .draft(app.now(), action, Object::new("group", group.id, group.display_name.as_str()))
            .with("source", source.to_string())
    };
    if now.is_none() && group.team.is_none() {
        app.store.remove_group(app.org, source, group.id, None, &draft("group.remove")).await?;
        return Ok(());
    }
    let before = app.store.group_members(app.org, group.id, u32::MAX).await?;
    let before: BTreeSet<String> = before.into_iter().map(|member| member.id).collect();
    let (name, dn, members) = match now {
        Some(now) => (now.name.to_owned(), Some(now.dn.to_owned()), now.members),
        None => (group.display_name.clone(), group.external_id.clone(), BTreeSet::new()),
    };
    let added: Vec<String> = members.difference(&before).cloned().collect();
    let removed: Vec<String> = before.difference(&members).cloned().collect();
    if added.is_empty() && removed.is_empty() && name == group.display_name && dn == group.external_id {
        return Ok(());
    }
    let act = draft("group.update").with("added", added.clone()).with("removed", removed.clone());
    let data = GroupData { name_key: group.name_key.clone(), display_name: name, external_id: dn };
    // One run at a time has the lease, so nobody else changes the group; if somebody did, the next run sees to it.
    app.store.change_group(app.org, source, group.id, group.version, &data, &added, &removed, &act).await?;
    Ok(())
}

fn data_of(name_key: String, name: &str, dn: &str) -> GroupData {
    GroupData { name_key, display_name: name.to_owned(), external_id: Some(dn.to_owned()) }
}

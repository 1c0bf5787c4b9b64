//! Groups.

mod list;

use gatehouse_domain::audit::Object;
use gatehouse_domain::id::GroupId;
use gatehouse_identity::scim::etag::EntityTags;
use gatehouse_identity::scim::group::{Member, MemberKind};
use gatehouse_identity::scim::projection::Projection;
use gatehouse_identity::scim::resource::Placed;
use gatehouse_identity::scim::schema::GROUP;
use gatehouse_identity::scim::value::MAX_MEMBERS;
use gatehouse_identity::scim::{Document, Patch, ScimError, ScimGroup};
use gatehouse_store::StoreError;
use gatehouse_store::group::{self, Group, GroupData};

use super::{ATTEMPTS, Held, Refused, check_version, contended, meta, storable};
use crate::app::App;
use crate::provisioning_token::Provisioner;

pub use list::list;

/// What is to become of a group.
enum Change<'c> {
    /// What the body of a PUT says.
    Replace(&'c ScimGroup),
    /// What a PATCH makes of it.
    Patch(&'c Patch),
}

/// Makes a group.
///
/// # Errors
/// The body is no group; its name is taken; a member does not exist; the database.
pub async fn create(app: &App, who: &Provisioner, body: &[u8]) -> Result<Held<ScimGroup>, Refused> {
    let group = ScimGroup::parse(body)?;
    let now = app.now();
    let id = GroupId::new(now, app.random_bits());
    let members: Vec<String> = ids(group.members());
    let act = who
        .caller
        .draft(now, "group.add", Object::new("group", id, group.display_name()))
        .with("source", who.source.to_string())
        .with("members", members.clone());
    let data = data_of(&group);
    let made = app.store.create_group(app.org, &who.source, id, &data, &members, &act).await;
    let made = made.map_err(|error| taken(error, &group))?;
    held(app, made, true).await
}

/// Looks a group up; without its members if they are not asked for.
///
/// # Errors
/// The directory has none of that identifier; the database.
pub async fn get(
    app: &App,
    who: &Provisioner,
    id: &str,
    projection: &Projection,
) -> Result<Held<ScimGroup>, Refused> {
    let group = find(app, who, id).await?;
    held(app, group, projection.wants("members", &GROUP)).await
}

/// Replaces what the directory says of a group.
///
/// # Errors
/// There is none; it has another version; the body is no group; its name is taken; a member does not exist; the database.
pub async fn replace(
    app: &App,
    who: &Provisioner,
    id: &str,
    if_match: Option<&EntityTags>,
    body: &[u8],
) -> Result<Held<ScimGroup>, Refused> {
    let group = ScimGroup::parse(body)?;
    change(app, who, id, if_match, &Change::Replace(&group)).await
}

/// Changes a part of what the directory says of a group.
///
/// # Errors
/// There is none; it has another version; the body is no PATCH, or one of its operations cannot be done; the name is
/// taken; a member does not exist; the database.
pub async fn patch(
    app: &App,
    who: &Provisioner,
    id: &str,
    if_match: Option<&EntityTags>,
    body: &[u8],
) -> Result<Held<ScimGroup>, Refused> {
    let patch = Patch::parse(body, &GROUP)?;
    change(app, who, id, if_match, &Change::Patch(&patch)).await
}

/// Removes a group. Nobody in it is disabled by that.
///
/// # Errors
/// There is none; it has another version; the database.
pub async fn remove(
    app: &App,
    who: &Provisioner,
    id: &str,
    if_match: Option<&EntityTags>,
) -> Result<(), Refused> {
    let group = find(app, who, id).await?;
    check_version(if_match, group.version)?;
    let act = who
        .caller
        .draft(app.now(), "group.remove", Object::new("group", group.id, group.display_name))
        .with("source", who.source.to_string());
    let version = if_match.map(|_| group.version);
    match app.store.remove_group(app.org, &who.source, group.id, version, &act).await {
        Ok(Some(())) => {
            if group.team.is_some() {
                let _ = (app.house.policy_changed)().await;
            }
            Ok(())
        }
        Ok(None) => Err(contended()),
        Err(StoreError::NotFound { .. }) => Err(ScimError::not_found(&GROUP, id).into()),
        Err(error) => Err(error.into()),
    }
}

/// The document of a group.
pub fn document(app: &App, group: &Held<ScimGroup>) -> Document {
    let base = (app.house.scim_base)();
    group.resource.document(Placed { base: &base, id: &group.id, meta: &group.meta })
}

async fn find(app: &App, who: &Provisioner, id: &str) -> Result<Group, Refused> {
    let missing = || Refused::Told(ScimError::not_found(&GROUP, id));
    let group: GroupId = id.parse().map_err(|_| missing())?;
    match app.store.group(app.org, &who.source, group).await {
        Ok(group) => Ok(group),
        Err(StoreError::NotFound { .. }) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

async fn change(
    app: &App,
    who: &Provisioner,
    id: &str,
    if_match: Option<&EntityTags>,
    change: &Change<'_>,
) -> Result<Held<ScimGroup>, Refused> {
    for _ in 0..ATTEMPTS {
        let found = find(app, who, id).await?;
        check_version(if_match, found.version)?;
        let (group, version) = (found.id, found.version);
        let before = held(app, found, true).await?;
        let after = match change {
            Change::Replace(group) => (*group).clone(),
            Change::Patch(patch) => before.resource.patched(patch)?,
        };
        let changes = after.changes_since(&before.resource);
        let (added, removed) = (ids(&changes.added), ids(&changes.removed));
        let same_name = after.display_name() == before.resource.display_name()
            && after.external_id() == before.resource.external_id();
        if same_name && added.is_empty() && removed.is_empty() {
            return Ok(before);
        }
        let act = who
            .caller
            .draft(app.now(), "group.update", Object::new("group", group, after.display_name()))
            .with("source", who.source.to_string())
            .with("added", added.clone())
            .with("removed", removed.clone());
        let data = data_of(&after);
        let done =
            app.store.change_group(app.org, &who.source, group, version, &data, &added, &removed, &act).await;
        match done {
            Ok(Some(group)) => {
                if group.team.is_some() {
                    let _ = (app.house.policy_changed)().await;
                }
                return held(app, group, true).await;
            }
            Ok(None) => {}
            Err(StoreError::NotFound { noun: "group", .. }) => {
                return Err(ScimError::not_found(&GROUP, id).into());
            }
            Err(error) => return Err(taken(error, &after)),
        }
    }
    Err(contended())
}

fn ids(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| member.id.clone()).collect()
}

fn taken(error: StoreError, group: &ScimGroup) -> Refused {
    if matches!(error, StoreError::Conflict { .. }) {
        return ScimError::taken("displayName", group.display_name()).into();
    }
    error.into()
}

fn data_of(group: &ScimGroup) -> GroupData {
    GroupData {
        name_key: group.folded_display_name(),
        display_name: group.display_name().to_owned(),
        external_id: group.external_id().map(storable),
    }
}

/// A group with its members, or without if they are not needed.
async fn held(app: &App, group: Group, with_members: bool) -> Result<Held<ScimGroup>, Refused> {
    let limit = u32::try_from(MAX_MEMBERS).unwrap_or(u32::MAX);
    let members =
        if with_members { app.store.group_members(app.org, group.id, limit).await? } else { vec![] };
    let member = |member: group::Member| Member {
        id: member.id,
        kind: Some(match member.kind {
            group::MemberKind::User => MemberKind::User,
            group::MemberKind::Group => MemberKind::Group,
        }),
    };
    let members: Vec<Member> = members.into_iter().map(member).collect();
    let resource = ScimGroup::new(&group.display_name, group.external_id.as_deref(), &members)?;
    let meta = meta(group.created_at, group.updated_at, group.version);
    Ok(Held { id: group.id.to_string(), meta, resource })
}

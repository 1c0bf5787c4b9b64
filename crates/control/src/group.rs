//! Groups that directories bring in, and the teams they stand for.

use gatehouse_domain::audit::Object;
use gatehouse_domain::id::GroupId;
use gatehouse_domain::role::Scope;
use gatehouse_store::group::Group;
use gatehouse_store::{Listed, Page};

use crate::act::{ActError, Caller, Changed};
use crate::app::App;
use crate::team;

/// Lists the groups of all directories.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, page: &Page) -> Result<Listed<Group>, ActError> {
    Ok(app.store.all_groups(app.org, page).await?)
}

/// Lets a group stand for a team (by name or id), or for none: its members are members of that team.
///
/// # Errors
/// There is no such group or team; the database.
pub async fn map(
    app: &App,
    caller: &Caller,
    id: GroupId,
    team: Option<&str>,
) -> Result<Changed<Group>, ActError> {
    let group = app.store.any_group(app.org, id).await?;
    let team = match team {
        Some(given) => Some(team::named(app, Scope::Organization, "team", given).await?),
        None => None,
    };
    let action = if team.is_some() { "group.map" } else { "group.unmap" };
    let mut act = caller
        .draft(app.now(), action, Object::new("group", id, group.display_name))
        .with("source", group.source.to_string());
    act.detail = act.detail.with_some("team", team.as_ref().map(|team| team.name.clone()));
    let group = app.store.map_group(app.org, id, team.map(|team| team.id), &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: group, in_force })
}

//! Teams: add, list, remove.

use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::Team;
use gatehouse_domain::id::TeamId;
use gatehouse_domain::name::Name;
use gatehouse_domain::role::Scope;
use gatehouse_store::{Listed, Page};

use crate::access::read_class;
use crate::act::{ActError, Caller, Changed, read, shortened};
use crate::app::App;
use crate::key::read_models;
use crate::scope;

/// Makes a team.
///
/// # Errors
/// A bad name, or one that is taken; the database.
pub async fn add(app: &App, caller: &Caller, name: &str) -> Result<Team, ActError> {
    let name = read("name", Name::parse(name))?;
    let now = app.now();
    let id = TeamId::new(now, app.random_bits());
    let act = caller.draft(now, "team.add", Object::new("team", id, name.as_str()));
    Ok(app.store.create_team(app.org, id, &name, &act).await?)
}

/// Lists the teams of a scope by name.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, scope: Scope, page: &Page) -> Result<Listed<Team>, ActError> {
    let only = |items| Ok(Listed { items, next: None });
    match scope {
        Scope::Organization => {}
        Scope::Team(id) => return only(vec![app.store.team(app.org, id).await?]),
        Scope::User(id) => {
            let mut teams = Vec::new();
            for name in app.store.user(app.org, id).await?.teams {
                teams.push(get(app, &name).await?);
            }
            return only(teams);
        }
    }
    Ok(app.store.teams(app.org, page).await?)
}

/// Looks a team up by id or name.
///
/// # Errors
/// There is none; the database.
pub async fn get(app: &App, given: &str) -> Result<Team, ActError> {
    if let Ok(id) = given.parse::<TeamId>() {
        return Ok(app.store.team(app.org, id).await?);
    }
    let name =
        Name::parse(given).map_err(|_| ActError::NotFound { noun: "team", given: given.to_owned() })?;
    Ok(app.store.team_by_name(app.org, &name).await?)
}

/// Looks a team up within a scope, by id or name.
///
/// # Errors
/// There is none within it; the database.
pub async fn within(app: &App, scope: Scope, given: &str) -> Result<Team, ActError> {
    let team = get(app, given).await?;
    let missing = || ActError::NotFound { noun: "team", given: shortened(given) };
    if scope::has_team(app, scope, &team).await? { Ok(team) } else { Err(missing()) }
}

/// Looks up a team that a field of another noun names: one that does not exist is a mistake in that field.
pub(crate) async fn named(
    app: &App,
    scope: Scope,
    field: &'static str,
    given: &str,
) -> Result<Team, ActError> {
    within(app, scope, given).await.map_err(|e| {
        if e.is_not_found() {
            ActError::field(field, format!("there is no team `{}`", shortened(given)))
        } else {
            e
        }
    })
}

/// Removes a team that has neither members nor keys.
///
/// # Errors
/// There is none; it has members or keys; the database.
pub async fn remove(app: &App, caller: &Caller, given: &str) -> Result<(), ActError> {
    let team = get(app, given).await?;
    let act = caller.draft(app.now(), "team.remove", Object::new("team", team.id, team.name));
    Ok(app.store.remove_team(app.org, team.id, &act).await?)
}

/// Sets the models that a team's members may use; none means every model.
///
/// # Errors
/// There is no such team; a bad pattern; the database.
pub async fn set_models(
    app: &App,
    caller: &Caller,
    given: &str,
    models: &[String],
) -> Result<Changed<Team>, ActError> {
    let mut team = get(app, given).await?;
    let models = read_models(models)?;
    let list = |models: &gatehouse_domain::model::ModelScope| models.patterns().unwrap_or_default().to_vec();
    let act = caller
        .draft(app.now(), "team.set_models", Object::new("team", team.id, team.name.as_str()))
        .with("before", list(&team.models))
        .with("models", list(&models));
    app.store.set_team_models(app.org, team.id, &models, &act).await?;
    team.models = models;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: team, in_force })
}

/// Sets how sensitive the data is that a team works on; none says nothing of it.
///
/// # Errors
/// There is no such team or data class; the database.
pub async fn set_data_class(
    app: &App,
    caller: &Caller,
    given: &str,
    class: Option<&str>,
) -> Result<Changed<Team>, ActError> {
    let mut team = get(app, given).await?;
    let class = read_class(app, class)?;
    let act = caller
        .draft(app.now(), "team.set_data_class", Object::new("team", team.id, team.name.as_str()))
        .with_some("before", team.data_class.as_deref())
        .with_some("data_class", class);
    app.store.set_team_data_class(app.org, team.id, class, &act).await?;
    team.data_class = class.map(str::to_owned);
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: team, in_force })
}

//! Users: add, look up, enable, disable, put into teams.

use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::{User, UserState};
use gatehouse_domain::id::{TeamId, UserId};
use gatehouse_domain::name::{Email, Name};
use gatehouse_domain::role::Scope;
use gatehouse_store::identity::KnownIdentity;
use gatehouse_store::user::{NewUser, UserFilter};
use gatehouse_store::{Listed, Page};

use crate::act::{ActError, Caller, Changed, read, shortened};
use crate::app::App;
use crate::{scope, team};

/// Which users are wanted, as the caller wrote it; all conditions apply.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Whose address or name contains this text.
    pub text: Option<String>,
    /// Who are in this team, by name or id.
    pub team: Option<String>,
    /// Who are in this state.
    pub state: Option<UserState>,
}

/// Adds a user.
///
/// # Errors
/// No address, a bad name, an unknown team; the address is taken; the database.
pub async fn add(
    app: &App,
    caller: &Caller,
    email: &str,
    name: Option<&str>,
    teams: &[String],
) -> Result<User, ActError> {
    let email = read("email", Email::parse(email))?;
    let name = read("name", name.map(Name::parse).transpose())?;
    let (teams, team_names) = find_teams(app, teams).await?;
    let now = app.now();
    let id = UserId::new(now, app.random_bits());
    let act =
        caller.draft(now, "user.add", Object::new("user", id, email.as_str())).with("teams", team_names);
    Ok(app.store.create_user(app.org, &NewUser { id, email, name, teams }, &act).await?)
}

/// Lists users by address.
///
/// # Errors
/// A bad page, an unknown team; the database.
pub async fn list(app: &App, scope: Scope, wanted: Wanted, page: &Page) -> Result<Listed<User>, ActError> {
    let team = match &wanted.team {
        Some(given) => Some(team::named(app, scope, "team", given).await?.id),
        None => scope::team(scope),
    };
    if let Scope::User(id) = scope {
        return alone(app, id, &wanted, team).await;
    }
    let filter = UserFilter { text: wanted.text, team, state: wanted.state };
    Ok(app.store.users(app.org, &filter, page).await?)
}

/// The one person of a scope, if they are among those wanted.
async fn alone(
    app: &App,
    id: UserId,
    wanted: &Wanted,
    team: Option<TeamId>,
) -> Result<Listed<User>, ActError> {
    let user = app.store.user(app.org, id).await?;
    let has = |text: &String| {
        let text = text.to_lowercase();
        user.email.contains(&text)
            || user.name.as_ref().is_some_and(|name| name.to_lowercase().contains(&text))
    };
    let in_team = match team {
        Some(team) => user.teams.contains(&app.store.team(app.org, team).await?.name),
        None => true,
    };
    let fits = in_team
        && wanted.text.as_ref().is_none_or(has)
        && wanted.state.is_none_or(|state| state == user.state);
    Ok(Listed { items: fits.then_some(user).into_iter().collect(), next: None })
}

/// Looks a user up within a scope, by id or address.
///
/// # Errors
/// There is none within it; the database.
pub async fn within(app: &App, scope: Scope, given: &str) -> Result<User, ActError> {
    let user = get(app, given).await?;
    let missing = || ActError::NotFound { noun: "user", given: shortened(given) };
    if scope::has_user(app, scope, &user).await? { Ok(user) } else { Err(missing()) }
}

/// Looks a user up by id or address.
///
/// # Errors
/// There is none; the database.
pub async fn get(app: &App, given: &str) -> Result<User, ActError> {
    if let Ok(id) = given.parse::<UserId>() {
        return Ok(app.store.user(app.org, id).await?);
    }
    let email =
        Email::parse(given).map_err(|_| ActError::NotFound { noun: "user", given: given.to_owned() })?;
    Ok(app.store.user_by_email(app.org, &email).await?)
}

/// Looks up a user that a field of another noun names: one that does not exist is a mistake in that field.
pub(crate) async fn named(
    app: &App,
    scope: Scope,
    field: &'static str,
    given: &str,
) -> Result<User, ActError> {
    within(app, scope, given).await.map_err(|e| {
        if e.is_not_found() {
            ActError::field(field, format!("there is no user `{}`", shortened(given)))
        } else {
            e
        }
    })
}

/// Enables or disables a user; a disabled user's keys are refused.
///
/// # Errors
/// There is none; the database.
pub async fn set_state(
    app: &App,
    caller: &Caller,
    given: &str,
    state: UserState,
) -> Result<Changed<User>, ActError> {
    let user = get(app, given).await?;
    let action = match state {
        UserState::Active => "user.enable",
        UserState::Disabled => "user.disable",
    };
    let act = caller.draft(app.now(), action, Object::new("user", user.id, user.email));
    let changed = app.store.set_user_state(app.org, user.id, state, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: changed, in_force })
}

/// Gives a user another name for people to read, or none.
///
/// # Errors
/// There is no such user; a bad name; the database.
pub async fn set_name(app: &App, caller: &Caller, given: &str, name: Option<&str>) -> Result<User, ActError> {
    let user = get(app, given).await?;
    let name = read("name", name.map(Name::parse).transpose())?;
    let act = caller
        .draft(app.now(), "user.set_name", Object::new("user", user.id, user.email))
        .with("before", user.name.unwrap_or_default())
        .with("name", name.as_ref().map_or("", Name::as_str));
    Ok(app.store.set_user_name(app.org, user.id, name.as_ref(), &act).await?)
}

/// Gives a user another address.
///
/// # Errors
/// There is no such user, or another has the address; a directory says the user's address; no address; the database.
pub async fn set_email(app: &App, caller: &Caller, given: &str, email: &str) -> Result<User, ActError> {
    let user = get(app, given).await?;
    let email = read("email", Email::parse(email))?;
    let act = caller
        .draft(app.now(), "user.set_email", Object::new("user", user.id, email.as_str()))
        .with("before", user.email)
        .with("email", email.as_str());
    Ok(app.store.set_user_email(app.org, user.id, &email, &act).await?)
}

/// Where a user signs in.
///
/// # Errors
/// There is no such user; the database.
pub async fn identities(app: &App, given: &str) -> Result<(User, Vec<KnownIdentity>), ActError> {
    let user = get(app, given).await?;
    let known = app.store.identities(app.org, user.id).await?;
    Ok((user, known))
}

/// Forgets where a user signs in, and ends their sessions.
///
/// # Errors
/// There is no such user; the database.
pub async fn forget_identities(app: &App, caller: &Caller, given: &str) -> Result<Changed<User>, ActError> {
    let user = get(app, given).await?;
    let known = app.store.identities(app.org, user.id).await?;
    let issuers: Vec<String> = known.into_iter().map(|known| known.identity.issuer).collect();
    let act = caller
        .draft(app.now(), "user.forget_identities", Object::new("user", user.id, user.email.as_str()))
        .with("issuers", issuers);
    app.store.forget_identities(app.org, user.id, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: user, in_force })
}

/// Puts a user into exactly these teams.
///
/// # Errors
/// There is no such user or team; the database.
pub async fn set_teams(
    app: &App,
    caller: &Caller,
    given: &str,
    teams: &[String],
) -> Result<Changed<User>, ActError> {
    let user = get(app, given).await?;
    let (teams, team_names) = find_teams(app, teams).await?;
    let act = caller
        .draft(app.now(), "user.set_teams", Object::new("user", user.id, user.email))
        .with("before", user.teams)
        .with("teams", team_names);
    let now = app.store.set_user_teams(app.org, user.id, &teams, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now, in_force })
}

/// Looks teams up by name or id; one that is named twice counts once.
async fn find_teams(app: &App, given: &[String]) -> Result<(Vec<TeamId>, Vec<String>), ActError> {
    if given.len() > gatehouse_store::user::MAX_TEAMS {
        let most = gatehouse_store::user::MAX_TEAMS;
        return Err(ActError::field("teams", format!("a user is in at most {most} teams")));
    }
    let (mut ids, mut names) = (Vec::new(), Vec::new());
    for given in given {
        let team = team::named(app, Scope::Organization, "teams", given).await?;
        if !ids.contains(&team.id) {
            ids.push(team.id);
            names.push(team.name);
        }
    }
    Ok((ids, names))
}

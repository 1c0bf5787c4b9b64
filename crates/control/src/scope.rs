//! For whom somebody acts: the whole organization, a team, or one person.
//!
//! What lies outside is answered as if it did not exist, so that nobody learns by asking what there is elsewhere.

use gatehouse_domain::directory::{KeyInfo, Team, User};
use gatehouse_domain::id::{TeamId, UserId};
use gatehouse_domain::role::Scope;

use crate::act::ActError;
use crate::app::App;

/// Whether this user lies within.
///
/// # Errors
/// The database.
pub async fn has_user(app: &App, scope: Scope, user: &User) -> Result<bool, ActError> {
    Ok(match scope {
        Scope::Organization => true,
        Scope::User(id) => id == user.id,
        Scope::Team(id) => {
            let team = app.store.team(app.org, id).await?;
            user.teams.contains(&team.name)
        }
    })
}

/// Whether this key lies within: a team's are those that charge it, a person's those they hold.
///
/// # Errors
/// The database.
pub async fn has_key(app: &App, scope: Scope, key: &KeyInfo) -> Result<bool, ActError> {
    Ok(match scope {
        Scope::Organization => true,
        Scope::User(id) => id == key.user,
        Scope::Team(id) => {
            let team = app.store.team(app.org, id).await?;
            key.team.as_ref() == Some(&team.name)
        }
    })
}

/// Whether this team lies within: for a person, those they are in.
///
/// # Errors
/// The database.
pub async fn has_team(app: &App, scope: Scope, team: &Team) -> Result<bool, ActError> {
    Ok(match scope {
        Scope::Organization => true,
        Scope::Team(id) => id == team.id,
        Scope::User(id) => app.store.user(app.org, id).await?.teams.contains(&team.name),
    })
}

/// The team that everything asked for must be charged to.
pub const fn team(scope: Scope) -> Option<TeamId> {
    match scope {
        Scope::Team(id) => Some(id),
        Scope::Organization | Scope::User(_) => None,
    }
}

/// The person that everything asked for must be of.
pub const fn user(scope: Scope) -> Option<UserId> {
    match scope {
        Scope::User(id) => Some(id),
        Scope::Organization | Scope::Team(_) => None,
    }
}

//! Who holds a budget or a limit, and whose request one is asked about, as a caller names them.

use gatehouse_domain::budget::Holder;
use gatehouse_domain::exchange::{Credential, Principal};
use gatehouse_domain::id::KeyId;
use gatehouse_domain::model::is_model_name;
use gatehouse_domain::role::Scope;

use crate::act::{ActError, shortened};
use crate::app::App;
use crate::{key, project, team, user};

/// A holder that a caller names. At most one of these is given; none of them is the organization.
pub(crate) struct Given<'a> {
    /// A team, by id or name.
    pub(crate) team: Option<&'a str>,
    /// A project, by id or name.
    pub(crate) project: Option<&'a str>,
    /// A person, by id or address.
    pub(crate) user: Option<&'a str>,
    /// A key, by id or the public part of its text.
    pub(crate) key: Option<&'a str>,
}

/// Looks the holder of `what` (`a budget`) up, and what people call it; the organization needs no name.
///
/// # Errors
/// More than one is given, or one that does not exist; the database.
pub(crate) async fn named(
    app: &App,
    what: &str,
    given: &Given<'_>,
) -> Result<(Holder, Option<String>), ActError> {
    let everywhere = Scope::Organization;
    Ok(match (given.team, given.project, given.user, given.key) {
        (None, None, None, None) => (Holder::Organization, None),
        (Some(given), None, None, None) => {
            let team = team::named(app, everywhere, "team", given).await?;
            (Holder::Team(team.id), Some(team.name))
        }
        (None, Some(given), None, None) => {
            let project = project::named(app, "project", given).await?;
            (Holder::Project(project.id), Some(project.name))
        }
        (None, None, Some(given), None) => {
            let user = user::named(app, everywhere, "user", given).await?;
            (Holder::User(user.id), Some(user.email))
        }
        (None, None, None, Some(given)) => {
            let key = key::named(app, everywhere, "key", given).await?;
            (Holder::Key(key.id), Some(key.hint))
        }
        _ => {
            let why = format!("{what} has one holder: a team, a project, a user or a key");
            return Err(ActError::field("user", why));
        }
    })
}

/// The one holder that a caller with this scope sees; `None` where that is all of them.
pub(crate) const fn of_scope(scope: Scope) -> Option<Holder> {
    match scope {
        Scope::Organization => None,
        Scope::Team(id) => Some(Holder::Team(id)),
        Scope::User(id) => Some(Holder::User(id)),
    }
}

/// A request that is asked about, as the caller wrote it.
pub(crate) struct Asking<'a> {
    /// Whose, by address or id.
    pub(crate) user: &'a str,
    /// With which of their keys; its team and project count.
    pub(crate) key: Option<&'a str>,
    /// Charged to which team, where no key is given.
    pub(crate) team: Option<&'a str>,
    /// With which model.
    pub(crate) model: Option<&'a str>,
}

/// Who the data path would take the sender of that request for.
///
/// # Errors
/// Somebody or something that is named does not exist within the scope; a bad model name; the database.
pub(crate) async fn principal(app: &App, scope: Scope, asking: &Asking<'_>) -> Result<Principal, ActError> {
    let holder = user::named(app, scope, "user", asking.user).await?;
    if let Some(model) = asking.model.filter(|model| !is_model_name(model)) {
        return Err(ActError::field("model", format!("`{}` is not a model's name", shortened(model))));
    }
    let given = match asking.key {
        Some(given) => Some(key::named(app, scope, "key", given).await?),
        None => None,
    };
    if given.as_ref().is_some_and(|key| key.user != holder.id) {
        return Err(ActError::field("key", "it is no key of this user"));
    }
    let team = match (given.as_ref().and_then(|key| key.team.as_ref()), asking.team) {
        (Some(charged), _) => Some(team::get(app, charged).await?.id),
        (None, Some(named)) if given.is_none() => Some(team::named(app, scope, "team", named).await?.id),
        (None, _) => None,
    };
    let project = match given.as_ref().and_then(|key| key.project.as_ref()) {
        Some(charged) => Some(project::named(app, "project", charged).await?.id),
        None => None,
    };
    let credential = Credential::Key(given.map_or_else(|| KeyId::from_bits(0), |key| key.id));
    Ok(Principal { org: app.org, user: holder.id, credential, team, project })
}

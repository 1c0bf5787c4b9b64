//! Sessions of people who signed in: list and end them; and the local passwords that begin some.

use std::net::IpAddr;

use gatehouse_domain::audit::{Actor, ActorKind, Object};
use gatehouse_domain::directory::User;
use gatehouse_domain::id::SessionId;
use gatehouse_domain::role::Scope;
use gatehouse_domain::session::{Session, SessionEnd};
use gatehouse_identity::password::{PasswordHash, SALT_LEN};
use gatehouse_identity::secret::Secret;
use gatehouse_store::session::SessionFilter;
use gatehouse_store::{Listed, Page, StoreError};

use crate::act::{ActError, Caller, Changed, read};
use crate::app::App;
use crate::user;

/// Which sessions are wanted, as the caller wrote it; all conditions apply.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Those of this person, by address or id.
    pub user: Option<String>,
    /// Those that are over as well.
    pub ended: bool,
}

/// Lists sessions, newest first.
///
/// # Errors
/// A bad page, an unknown user; the database.
pub async fn list(app: &App, wanted: &Wanted, page: &Page) -> Result<Listed<Session>, ActError> {
    let mut filter = SessionFilter { user: None, open_at: (!wanted.ended).then(|| app.now()) };
    if let Some(given) = &wanted.user {
        filter.user = Some(user::named(app, Scope::Organization, "user", given).await?.id);
    }
    Ok(app.store.sessions(app.org, &filter, page).await?)
}

/// Ends a session for good: its tokens are refused, and replies under way are cut. One that is over stays as it ended.
///
/// # Errors
/// There is none; the database.
pub async fn revoke(app: &App, caller: &Caller, id: SessionId) -> Result<Changed<Session>, ActError> {
    let session = app.store.session(app.org, id).await?;
    let act = caller
        .draft(app.now(), "session.end", Object::new("session", id, ""))
        .with("user", session.email)
        .with("why", SessionEnd::Revoked.as_str());
    let (now, _) = app.store.end_session(app.org, id, SessionEnd::Revoked, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now, in_force })
}

/// Ends a session because of what came with one of its tokens. One that does not exist (any more) is over already.
///
/// # Errors
/// The database.
pub(crate) async fn end_by_holder(
    app: &App,
    from: IpAddr,
    id: SessionId,
    why: SessionEnd,
) -> Result<(), StoreError> {
    let session = match app.store.session(app.org, id).await {
        Ok(session) => session,
        Err(StoreError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let actor = Actor { kind: ActorKind::User, id: session.user.to_string(), name: session.email.clone() };
    let caller = Caller { actor, from: Some(from), request_id: None };
    let act = caller
        .draft(app.now(), "session.end", Object::new("session", id, ""))
        .with("user", session.email)
        .with("why", why.as_str());
    let (_, changed) = app.store.end_session(app.org, id, why, &act).await?;
    if changed {
        let _ = (app.house.policy_changed)().await;
    }
    Ok(())
}

/// Sets the password that a person signs in with on our own page, or removes it. Sessions that began with the one before end.
///
/// # Errors
/// There is no such person, or no password to remove; the password is not good enough; the database.
pub async fn set_password(
    app: &App,
    caller: &Caller,
    given: &str,
    password: Option<&Secret>,
) -> Result<Changed<User>, ActError> {
    let user = user::get(app, given).await?;
    let hash = match password {
        None => None,
        Some(password) => {
            let (password, salt) = (password.clone(), app.random::<SALT_LEN>());
            let made = tokio::task::spawn_blocking(move || PasswordHash::make(&password, salt)).await;
            let made = made.map_err(|_| ActError::field("password", "it could not be hashed"))?;
            Some(read("password", made)?.to_string())
        }
    };
    let action = if hash.is_some() { "user.set_password" } else { "user.remove_password" };
    let act = caller.draft(app.now(), action, Object::new("user", user.id, user.email.as_str()));
    app.store.set_password(app.org, user.id, hash.as_deref(), &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: user, in_force })
}

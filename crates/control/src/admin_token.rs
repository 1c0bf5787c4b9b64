//! Administrators' tokens: make, list, revoke, and sign in with one.

use gatehouse_domain::audit::{Object, Outcome};
use gatehouse_domain::directory::UserState;
use gatehouse_domain::id::{AdminTokenId, UserId};
use gatehouse_domain::key::{KeyHash, KeyKind, RANDOM_LEN, VirtualKey};
use gatehouse_domain::name::Name;
use gatehouse_domain::role::{Permission, Permissions, Role, RoleName, Scope};
use gatehouse_store::admin_token::{AdminGrant, AdminToken, NewAdminToken};
use gatehouse_store::{Listed, Page, StoreError};
use tracing::warn;
use zeroize::Zeroizing;

use crate::act::{ActError, Caller, read};
use crate::app::App;
use crate::{keys, period, role, scope, team, user};

/// A new token. Its text is seen here and never again.
pub struct Issued {
    /// What remains to be seen of it.
    pub token: AdminToken,
    /// Its text.
    pub text: Zeroizing<String>,
}

/// To whom a token is limited; to nobody if neither is given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held<'a> {
    /// To a team, by name or id.
    pub team: Option<&'a str>,
    /// To a person, by address or id.
    pub user: Option<&'a str>,
    /// It is this person's, by address or id, without being limited to them.
    pub holder: Option<&'a str>,
    /// It is a service's, of this name.
    pub service: Option<&'a str>,
}

/// Somebody whose token is good.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The token.
    pub id: AdminTokenId,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: RoleName,
    /// What the role includes.
    pub permissions: Permissions,
    /// For whom.
    pub scope: Scope,
    /// Whose the token is, if it is a person's.
    pub person: Option<UserId>,
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// There is no credential, or it is not (or no longer) good. Which of these is not told.
    #[error("the credential is not accepted")]
    NotAccepted {
        /// How many seconds to wait, when there were too many failures from that address.
        wait_seconds: Option<u32>,
    },
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a token.
///
/// # Errors
/// A bad name or expiry; the database.
pub async fn create(
    app: &App,
    caller: &Caller,
    name: &str,
    role: &str,
    held: &Held<'_>,
    expires: Option<&str>,
) -> Result<Issued, ActError> {
    let now = app.now();
    let role = role::named(app, "role", role).await?.name;
    let (scope, limited_to) = scope_of(app, held).await?;
    if scope != Scope::Organization && role.built_in() == Some(Role::Owner) {
        return Err(ActError::field("role", "an owner's token is never limited to a team or a person"));
    }
    let person = person_of(app, held, scope).await?;
    let name = read("name", Name::parse(name))?;
    let expires_at = read("expires", expires.map(|text| period::ahead_of(now, text)).transpose())?;
    let key = VirtualKey::generate(KeyKind::Admin, &Zeroizing::new(app.random::<RANDOM_LEN>()));
    let id = AdminTokenId::new(now, app.random_bits());
    let mut act = caller
        .draft(now, "admin_token.create", Object::new("admin_token", id, name.as_str()))
        .with("role", role.as_str());
    act.detail = act
        .detail
        .with_some("expires_at", expires_at)
        .with_some("limited_to", limited_to)
        .with_some("person", person.clone());
    let (public, hash) = (key.public(), key.hash(&app.pepper()));
    let new = NewAdminToken { id, public, hash, name, role, scope, person, expires_at };
    let token = app.store.create_admin_token(app.org, &new, &act).await?;
    Ok(Issued { token, text: key.reveal() })
}

/// Whose a token is, if that is said. One that is limited to a person is theirs.
async fn person_of(app: &App, held: &Held<'_>, scope: Scope) -> Result<Option<String>, ActError> {
    let limited = scope::user(scope).map(|id| id.to_string());
    match (held.holder, held.service) {
        (None, None) => Ok(limited),
        (Some(_), Some(_)) => {
            Err(ActError::field("service", "a token is a person's or a service's, not both"))
        }
        (Some(given), None) => {
            let holder = user::named(app, Scope::Organization, "holder", given).await?.id.to_string();
            if limited.is_some_and(|limited| limited != holder) {
                return Err(ActError::field(
                    "holder",
                    "a token that is limited to a person is that person's",
                ));
            }
            Ok(Some(holder))
        }
        (None, Some(_)) if limited.is_some() => {
            Err(ActError::field("service", "a token that is limited to a person is that person's"))
        }
        (None, Some(given)) => {
            let service = read("service", Name::parse(given))?;
            Ok(Some(format!("service:{}", service.as_str().to_lowercase())))
        }
    }
}

async fn scope_of(app: &App, held: &Held<'_>) -> Result<(Scope, Option<String>), ActError> {
    let everywhere = Scope::Organization;
    match (held.team, held.user) {
        (None, None) => Ok((everywhere, None)),
        (Some(_), Some(_)) => {
            Err(ActError::field("user", "a token is limited to a team or to a person, not to both"))
        }
        (Some(given), None) => {
            let team = team::named(app, everywhere, "team", given).await?;
            Ok((Scope::Team(team.id), Some(team.name)))
        }
        (None, Some(given)) => {
            let user = user::named(app, everywhere, "user", given).await?;
            Ok((Scope::User(user.id), Some(user.email)))
        }
    }
}

/// Lists tokens, newest first.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, page: &Page) -> Result<Listed<AdminToken>, ActError> {
    Ok(app.store.admin_tokens(app.org, page).await?)
}

/// Takes a token back, for good.
///
/// # Errors
/// There is none; it is the last owner's that works, or that works for more than a few days; the database.
pub async fn revoke(app: &App, caller: &Caller, id: AdminTokenId) -> Result<AdminToken, ActError> {
    let token = app.store.admin_token(app.org, id).await?;
    let act = caller
        .draft(app.now(), "admin_token.revoke", Object::new("admin_token", id, token.name))
        .with("role", token.role.as_str());
    Ok(app.store.revoke_admin_token(app.org, id, &act).await?)
}

/// Recognizes a presented token. `unknown` says from where it came.
///
/// # Errors
/// It is not good; the database.
pub async fn sign_in(app: &App, unknown: &Caller, presented: &[u8]) -> Result<SignedIn, SignInError> {
    let Ok(key) = VirtualKey::parse(KeyKind::Admin, presented) else {
        return Err(reject(app, unknown, "malformed").await);
    };
    let now = app.now();
    let grant = app.store.admin_grant(key.public()).await?;
    // Compared even when there is none, so that the time taken does not tell.
    let hash = grant.as_ref().map_or(KeyHash::from_bytes([0; 32]), |grant| grant.hash);
    let matches = keys::matches(app, &key, &hash).await;
    let token = match grant {
        Some(AdminGrant { org, token, .. }) if matches && org == app.org => token,
        _ => return Err(reject(app, unknown, "unknown").await),
    };
    if !token.usable(now) {
        let why = if token.revoked_at.is_some() { "revoked" } else { "expired" };
        return Err(reject_token(app, unknown, why, Some(&token)).await);
    }
    if token.last_used_at.is_none_or(|at| at.plus_millis(60_000) <= now)
        && let Err(e) = app.store.touch_admin_token(app.org, token.id, now).await
    {
        warn!(token.id = %token.id, cause = %e, "cannot note when an administrator's token was used");
    }
    if let Some(new) = app.keys.rehash(&key, &hash, now)
        && let Err(e) = app.store.rehash_admin_token(app.org, token.id, &hash, &new).await
    {
        warn!(token.id = %token.id, cause = %e, "cannot hash an administrator's token anew");
    }
    let permissions = permissions_of(app, &token).await?;
    let person = scope::user(token.scope).or_else(|| token.person.parse().ok());
    let AdminToken { id, name, role, scope, .. } = token;
    Ok(SignedIn { id, name, role, permissions, scope, person })
}

/// What a token may do now. A person's may nothing while they are disabled.
async fn permissions_of(app: &App, token: &AdminToken) -> Result<Permissions, SignInError> {
    if let Some(id) = scope::user(token.scope).or_else(|| token.person.parse::<UserId>().ok())
        && app.store.user(app.org, id).await?.state == UserState::Disabled
    {
        return Ok(Permissions::NONE);
    }
    Ok(match token.role.built_in() {
        Some(role) => role.permissions(),
        None => {
            app.store.role(app.org, &token.role).await?.map_or(Permissions::NONE, |role| role.permissions)
        }
    })
}

/// Counts and records a failed sign-in.
pub async fn reject(app: &App, unknown: &Caller, why: &'static str) -> SignInError {
    reject_token(app, unknown, why, None).await
}

/// Records that a signed-in administrator may not do what was asked.
pub async fn forbid(app: &App, caller: &Caller, permission: Permission) {
    let now = app.now();
    let Some(unreported) = app.attempts.forbidden(now) else { return };
    let object = Object::new("admin_token", &caller.actor.id, caller.actor.name.as_str());
    let act = caller
        .draft(now, "admin.forbidden", object)
        .ended(Outcome::Refused, format!("the role lacks {permission:?}"))
        .with("unreported", unreported);
    record(app, &act).await;
}

async fn reject_token(
    app: &App,
    unknown: &Caller,
    why: &'static str,
    token: Option<&AdminToken>,
) -> SignInError {
    let (id, name) = token.map_or((String::new(), ""), |token| (token.id.to_string(), &*token.name));
    refuse(app, unknown, ("admin.sign_in", Object::new("admin_token", id, name)), why).await
}

/// Counts a failed sign-in, and records it within the bounds on such entries.
pub(crate) async fn refuse(
    app: &App,
    unknown: &Caller,
    (action, object): (&'static str, Object),
    why: &'static str,
) -> SignInError {
    let now = app.now();
    let verdict = app.attempts.failed(unknown.from, now);
    if let Some(unreported) = verdict.report {
        let act =
            unknown.draft(now, action, object).ended(Outcome::Refused, why).with("unreported", unreported);
        record(app, &act).await;
    }
    SignInError::NotAccepted { wait_seconds: verdict.wait_seconds }
}

/// Nothing was done, so a refusal that cannot be recorded stays a refusal.
async fn record(app: &App, act: &gatehouse_domain::audit::Draft) {
    if let Err(e) = app.store.record(app.org, act).await {
        warn!(action = %act.action, cause = %e, "cannot record a refusal in the audit log");
    }
}

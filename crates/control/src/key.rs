//! Virtual keys: make, look up, rotate, expire, disable, enable, revoke.

use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::{KeyInfo, KeyState, Purpose};
use gatehouse_domain::id::{AdminTokenId, KeyId};
use gatehouse_domain::key::{KeyKind, PublicId, RANDOM_LEN, VirtualKey};
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::name::Name;
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::audit::AuditFilter;
use gatehouse_store::key::{KeyFilter, NewKey, Replacement};
use gatehouse_store::{Listed, Page};
use zeroize::Zeroizing;

use crate::act::{ActError, Caller, Changed, read};
use crate::app::{App, InForce};
use crate::{period, project, scope, team, user};

/// How long a rotated key goes on working when nobody says otherwise.
pub const DEFAULT_OVERLAP_MS: i64 = DAY_MS;
/// Longest overlap of a rotation.
pub const MAX_OVERLAP_MS: i64 = 90 * DAY_MS;
/// Most model patterns of a key.
pub const MAX_MODELS: usize = 100;

/// A key to be made, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Its holder, by address or id.
    pub user: String,
    /// A name for people.
    pub name: Option<String>,
    /// The team it charges, by name or id.
    pub team: Option<String>,
    /// The project it charges, by name or id.
    pub project: Option<String>,
    /// Patterns of the models it may use; none means every model.
    pub models: Vec<String>,
    /// Where it is good: `gateway` (if not given), `proxy` or `both`.
    pub purpose: Option<String>,
    /// When it stops working: a point in time or a span from now on.
    pub expires: Option<String>,
}

/// A new key. Its text is seen here and never again.
pub struct Issued {
    /// What remains to be seen of it.
    pub key: KeyInfo,
    /// Its text.
    pub text: Zeroizing<String>,
    /// The key it replaces, which works until its `expires_at`.
    pub replaces: Option<KeyInfo>,
    /// Whether this node knows it already.
    pub in_force: InForce,
}

/// Which keys are wanted, as the caller wrote it; all conditions apply.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Those of this holder, by address or id.
    pub user: Option<String>,
    /// Those that charge this team, by name or id.
    pub team: Option<String>,
    /// Those that charge this project, by name or id.
    pub project: Option<String>,
    /// Those in this state.
    pub state: Option<KeyState>,
}

/// Makes a key.
///
/// # Errors
/// A field that cannot be used; the database.
pub async fn create(app: &App, caller: &Caller, scope: Scope, request: &Request) -> Result<Issued, ActError> {
    let now = app.now();
    let holder = user::named(app, scope, "user", &request.user).await?;
    let name = read("name", request.name.as_deref().map(Name::parse).transpose())?;
    let models = read_models(&request.models)?;
    let purpose = read_purpose(request.purpose.as_deref())?;
    let expires_at =
        read("expires", request.expires.as_deref().map(|text| period::ahead_of(now, text)).transpose())?;
    let team = match &request.team {
        Some(given) => Some(team::named(app, scope, "team", given).await?),
        None => match scope::team(scope) {
            Some(id) => Some(app.store.team(app.org, id).await?),
            None => None,
        },
    };
    if scope != Scope::Organization && request.project.is_some() {
        return Err(ActError::field("project", "only who acts for the whole organization charges projects"));
    }
    let project = match &request.project {
        Some(given) => Some(project::named(app, "project", given).await?),
        None => None,
    };
    let (id, key) = fresh(app, now);
    let mut act = caller
        .draft(now, "key.create", Object::new("key", id, key.hint()))
        .with("user", holder.email.as_str());
    act.detail = act
        .detail
        .with_some("team", team.as_ref().map(|team| team.name.as_str()))
        .with_some("project", project.as_ref().map(|project| project.name.as_str()))
        .with_some("models", models.patterns().map(<[String]>::to_vec))
        .with("purpose", purpose.as_str())
        .with_some("expires_at", expires_at);
    let new = NewKey {
        id,
        public: key.public(),
        hash: key.hash(&app.pepper()),
        name,
        user: holder.id,
        team: team.map(|team| team.id),
        project: project.map(|project| project.id),
        models,
        purpose,
        expires_at,
    };
    let made = app.store.create_key(app.org, &new, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Issued { key: made, text: key.reveal(), replaces: None, in_force })
}

/// Lists keys, newest first.
///
/// # Errors
/// A bad page, an unknown user, team or project; the database.
pub async fn list(
    app: &App,
    scope: Scope,
    wanted: &Wanted,
    page: &Page,
) -> Result<Listed<KeyInfo>, ActError> {
    let mut filter = KeyFilter { state: wanted.state, ..KeyFilter::default() };
    if let Some(given) = &wanted.user {
        filter.user = Some(user::named(app, scope, "user", given).await?.id);
    }
    if let Some(given) = &wanted.team {
        filter.team = Some(team::named(app, scope, "team", given).await?.id);
    }
    filter.team = scope::team(scope).or(filter.team);
    filter.user = scope::user(scope).or(filter.user);
    if let Some(given) = &wanted.project {
        filter.project = Some(project::named(app, "project", given).await?.id);
    }
    Ok(app.store.keys(app.org, &filter, page).await?)
}

/// Looks a key up by id, or by the public part of its text (`gh_Ab12Cd34`).
///
/// # Errors
/// There is none; the database.
pub async fn get(app: &App, given: &str) -> Result<KeyInfo, ActError> {
    if let Ok(id) = given.parse::<KeyId>() {
        return Ok(app.store.key(app.org, id).await?);
    }
    match given.strip_prefix(KeyKind::Virtual.prefix()).and_then(PublicId::parse) {
        Some(public) => Ok(app.store.key_by_public(app.org, public).await?),
        // Whoever pastes a whole key here must not find it repeated in an error.
        None if given.contains(KeyKind::Virtual.prefix()) => {
            Err(ActError::NotFound { noun: "key", given: "gh_…".to_owned() })
        }
        None => Err(ActError::NotFound { noun: "key", given: given.to_owned() }),
    }
}

/// Looks a key up within a scope.
///
/// # Errors
/// There is none within it; the database.
pub async fn within(app: &App, scope: Scope, given: &str) -> Result<KeyInfo, ActError> {
    let key = get(app, given).await?;
    let missing = || ActError::NotFound { noun: "key", given: key.hint.clone() };
    if scope::has_key(app, scope, &key).await? { Ok(key) } else { Err(missing()) }
}

/// Looks up a key that a field of another noun names: one that does not exist is a mistake in that field.
pub(crate) async fn named(
    app: &App,
    scope: Scope,
    field: &'static str,
    given: &str,
) -> Result<KeyInfo, ActError> {
    within(app, scope, given).await.map_err(|e| {
        if e.is_not_found() {
            ActError::field(field, "there is no such key; give its id or the public part of its text")
        } else {
            e
        }
    })
}

/// Replaces a key by a new one with the same holder and scopes. The old one works for the overlap and then expires.
///
/// # Errors
/// There is none; it is not active or was rotated before; a field that cannot be used; the database.
pub async fn rotate(
    app: &App,
    caller: &Caller,
    given: &str,
    overlap: Option<&str>,
    expires: Option<&str>,
) -> Result<Issued, ActError> {
    let now = app.now();
    let old = get(app, given).await?;
    let overlap_ms = read_overlap(overlap)?;
    let expires_at = read("expires", expires.map(|text| period::ahead_of(now, text)).transpose())?;
    let (id, key) = fresh(app, now);
    let act = caller
        .draft(now, "key.rotate", Object::new("key", old.id, old.hint))
        .with("user", old.email)
        .with("replaced_by", id.to_string())
        .with("overlap_ms", overlap_ms);
    let by = Replacement { id, public: key.public(), hash: key.hash(&app.pepper()), expires_at };
    let rotated = app.store.rotate_key(app.org, old.id, &by, overlap_ms, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Issued { key: rotated.new, text: key.reveal(), replaces: Some(rotated.old), in_force })
}

/// Sets when a key stops working: a point in time, a span from now on, `now` or `never`.
///
/// # Errors
/// There is none; it is revoked; the time cannot be read; the database.
pub async fn expire(app: &App, caller: &Caller, given: &str, at: &str) -> Result<Changed<KeyInfo>, ActError> {
    let now = app.now();
    let expires_at = match at {
        "never" => None,
        "now" => Some(now),
        text => Some(read("at", period::ahead_of(now, text))?),
    };
    let key = get(app, given).await?;
    let mut act =
        caller.draft(now, "key.expire", Object::new("key", key.id, key.hint)).with("user", key.email);
    act.detail = act.detail.with_some("expires_at", expires_at);
    let changed = app.store.set_key_expiry(app.org, key.id, expires_at, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: changed, in_force })
}

/// Disables, enables or revokes a key. Revoking is final. Who is limited to a team or a person enables no key that somebody
/// disabled who is not.
///
/// # Errors
/// There is none; it is revoked and should be something else; it was disabled from above; the database.
pub async fn set_state(
    app: &App,
    caller: &Caller,
    scope: Scope,
    given: &str,
    state: KeyState,
) -> Result<Changed<KeyInfo>, ActError> {
    let key = get(app, given).await?;
    if state == KeyState::Active
        && key.state == KeyState::Disabled
        && disabled_from_above(app, scope, &key).await?
    {
        let told = "the key was disabled by an administrator whose token reaches further than yours; ask them to enable it";
        return Err(ActError::Busy(told.to_owned()));
    }
    let action = match state {
        KeyState::Active => "key.enable",
        KeyState::Disabled => "key.disable",
        KeyState::Revoked => "key.revoke",
    };
    let act = caller.draft(app.now(), action, Object::new("key", key.id, key.hint)).with("user", key.email);
    let changed = app.store.set_key_state(app.org, key.id, state, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: changed, in_force })
}

/// Whether who disabled a key is less limited than this scope. By the audit log; if it does not tell, yes.
async fn disabled_from_above(app: &App, scope: Scope, key: &KeyInfo) -> Result<bool, ActError> {
    if scope == Scope::Organization {
        return Ok(false);
    }
    let (action, object) = (Some("key.disable".to_owned()), Some(key.id.to_string()));
    let wanted = AuditFilter { action, object, ..AuditFilter::default() };
    let newest = app.store.audit_entries(app.org, &wanted, &Page::first(1)).await?.items.into_iter().next();
    let Some(by) = newest.and_then(|entry| entry.act.actor.id.parse::<AdminTokenId>().ok()) else {
        return Ok(true);
    };
    Ok(match (app.store.admin_token(app.org, by).await?.scope, scope) {
        (by, now) if by == now => false,
        (Scope::User(_), Scope::Team(_)) => false,
        _ => true,
    })
}

fn fresh(app: &App, now: UnixMillis) -> (KeyId, VirtualKey) {
    let random = Zeroizing::new(app.random::<RANDOM_LEN>());
    (KeyId::new(now, app.random_bits()), VirtualKey::generate(KeyKind::Virtual, &random))
}

fn read_purpose(given: Option<&str>) -> Result<Purpose, ActError> {
    let bad = |text: &str| {
        ActError::field(
            "purpose",
            format!("`{}` is no purpose (gateway, proxy or both)", crate::act::shortened(text)),
        )
    };
    given.map_or(Ok(Purpose::Gateway), |text| Purpose::named(text).ok_or_else(|| bad(text)))
}

pub(crate) fn read_models(given: &[String]) -> Result<ModelScope, ActError> {
    if given.len() > MAX_MODELS {
        return Err(ActError::field("models", format!("at most {MAX_MODELS} model patterns can be given")));
    }
    read("models", ModelScope::only(given))
}

fn read_overlap(given: Option<&str>) -> Result<i64, ActError> {
    let ms = match given {
        None => DEFAULT_OVERLAP_MS,
        Some("0") => 0,
        Some(text) => read("overlap", period::span_ms(text))?,
    };
    if ms > MAX_OVERLAP_MS {
        return Err(ActError::field("overlap", "two keys work side by side for at most 90 days"));
    }
    Ok(ms)
}

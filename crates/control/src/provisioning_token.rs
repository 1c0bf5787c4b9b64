//! Directories' tokens: make, list, revoke, and sign in with one.

use gatehouse_domain::audit::{Actor, ActorKind, Object};
use gatehouse_domain::id::ProvisioningTokenId;
use gatehouse_domain::key::{KeyHash, KeyKind, RANDOM_LEN, VirtualKey};
use gatehouse_domain::name::Name;
use gatehouse_domain::source::{Source, SourceKind};
use gatehouse_store::provisioning_token::{NewProvisioningToken, ProvisioningGrant, ProvisioningToken};
use gatehouse_store::{Listed, Page};
use tracing::warn;
use zeroize::Zeroizing;

use crate::act::{ActError, Caller, read};
use crate::admin_token::{SignInError, refuse};
use crate::app::App;
use crate::{keys, period};

/// A new token. Its text is seen here and never again.
pub struct Issued {
    /// What remains to be seen of it.
    pub token: ProvisioningToken,
    /// Its text.
    pub text: Zeroizing<String>,
}

/// A directory whose token is good.
#[derive(Debug, Clone)]
pub struct Provisioner {
    /// The token's holder, for the audit log.
    pub caller: Caller,
    /// Whose people and groups it manages.
    pub source: Source,
}

/// Makes a token for the directory of this name. Without a name of its own the token has the directory's.
///
/// # Errors
/// A bad name or expiry; the database.
pub async fn create(
    app: &App,
    caller: &Caller,
    source: &str,
    name: Option<&str>,
    expires: Option<&str>,
) -> Result<Issued, ActError> {
    let now = app.now();
    let source = read("source", Source::new(SourceKind::Scim, source))?;
    let name = read("name", Name::parse(name.unwrap_or(source.name())))?;
    let expires_at = read("expires", expires.map(|text| period::ahead_of(now, text)).transpose())?;
    let key = VirtualKey::generate(KeyKind::Provisioning, &Zeroizing::new(app.random::<RANDOM_LEN>()));
    let id = ProvisioningTokenId::new(now, app.random_bits());
    let mut act = caller
        .draft(now, "scim_token.create", Object::new("scim_token", id, name.as_str()))
        .with("source", source.to_string());
    act.detail = act.detail.with_some("expires_at", expires_at);
    let (public, hash) = (key.public(), key.hash(&app.pepper()));
    let new = NewProvisioningToken { id, public, hash, name, source, expires_at };
    let token = app.store.create_provisioning_token(app.org, &new, &act).await?;
    Ok(Issued { token, text: key.reveal() })
}

/// Lists tokens, newest first.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, page: &Page) -> Result<Listed<ProvisioningToken>, ActError> {
    Ok(app.store.provisioning_tokens(app.org, page).await?)
}

/// Takes a token back, for good.
///
/// # Errors
/// There is none; the database.
pub async fn revoke(
    app: &App,
    caller: &Caller,
    id: ProvisioningTokenId,
) -> Result<ProvisioningToken, ActError> {
    let token = app.store.provisioning_token(app.org, id).await?;
    let act = caller
        .draft(app.now(), "scim_token.revoke", Object::new("scim_token", id, token.name))
        .with("source", token.source.to_string());
    Ok(app.store.revoke_provisioning_token(app.org, id, &act).await?)
}

/// Recognizes a presented token. `unknown` says from where it came.
///
/// # Errors
/// It is not good; the database.
pub async fn sign_in(
    app: &App,
    unknown: &Caller,
    presented: Option<&[u8]>,
) -> Result<Provisioner, SignInError> {
    let Some(presented) = presented else { return Err(reject(app, unknown, "no_token", None).await) };
    let Ok(key) = VirtualKey::parse(KeyKind::Provisioning, presented) else {
        return Err(reject(app, unknown, "malformed", None).await);
    };
    let now = app.now();
    let grant = app.store.provisioning_grant(key.public()).await?;
    // Compared even when there is none, so that the time taken does not tell.
    let hash = grant.as_ref().map_or(KeyHash::from_bytes([0; 32]), |grant| grant.hash);
    let matches = keys::matches(app, &key, &hash).await;
    let token = match grant {
        Some(ProvisioningGrant { org, token, .. }) if matches && org == app.org => token,
        _ => return Err(reject(app, unknown, "unknown", None).await),
    };
    if !token.usable(now) {
        let why = if token.revoked_at.is_some() { "revoked" } else { "expired" };
        return Err(reject(app, unknown, why, Some(&token)).await);
    }
    if token.last_used_at.is_none_or(|at| at.plus_millis(60_000) <= now)
        && let Err(e) = app.store.touch_provisioning_token(app.org, token.id, now).await
    {
        warn!(token.id = %token.id, cause = %e, "cannot note when a directory's token was used");
    }
    if let Some(new) = app.keys.rehash(&key, &hash, now)
        && let Err(e) = app.store.rehash_provisioning_token(app.org, token.id, &hash, &new).await
    {
        warn!(token.id = %token.id, cause = %e, "cannot hash a directory's token anew");
    }
    let actor = Actor { kind: ActorKind::Directory, id: token.id.to_string(), name: token.name };
    Ok(Provisioner { caller: Caller { actor, ..unknown.clone() }, source: token.source })
}

/// Counts and records a failed sign-in.
async fn reject(
    app: &App,
    unknown: &Caller,
    why: &'static str,
    token: Option<&ProvisioningToken>,
) -> SignInError {
    let (id, name) = token.map_or((String::new(), ""), |token| (token.id.to_string(), &*token.name));
    refuse(app, unknown, ("scim.sign_in", Object::new("scim_token", id, name)), why).await
}

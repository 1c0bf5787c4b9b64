//! Providers: list the configured ones, seal a key for one.

use gatehouse_domain::audit::Object;
use gatehouse_domain::name::Name;
use gatehouse_identity::secret::Secret;
use gatehouse_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::act::{ActError, Caller, read};
use crate::app::App;
use crate::bootstrap::StartError;
use crate::secret;

/// Longest provider key, in bytes.
pub const MAX_KEY: usize = 16 * 1024;

/// A configured provider. Never holds its key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProviderInfo {
    /// Its name.
    pub name: String,
    /// Its kind, such as `anthropic`.
    pub kind: String,
    /// Its address.
    pub base_url: String,
    /// Where its key comes from, such as `env:UPSTREAM_KEY` or `sealed:main`.
    pub credential: String,
    /// `ok`, or what is wrong with it.
    pub state: String,
    /// Whether requests go to it now where others could answer: `ok`, or why not.
    pub health: String,
    /// What this node has learned that it does not know, from its own refusals; it is left out of requests for a while.
    pub learned: Vec<ProviderLearned>,
    /// Its limits, as this node knows them, and what waits for it here.
    pub quota: ProviderQuota,
}

/// What a provider lets a node have.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ProviderQuota {
    /// The most requests in a minute that this node makes; 0 if that is not configured.
    pub requests_per_minute: u32,
    /// The most requests at once that this node makes; 0 if that is not configured.
    pub concurrent: u32,
    /// Requests under way that are counted, which they are while they may have to wait.
    pub under_way: u64,
    /// Requests that wait.
    pub waiting: u64,
    /// Users whose requests wait.
    pub waiting_users: u64,
    /// What the provider has told of its limits.
    pub limits: Vec<ProviderLimit>,
}

/// A limit that a provider has told of.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProviderLimit {
    /// The model that was asked for.
    pub model: String,
    /// `requests`, `tokens`, `input_tokens` or `output_tokens`; `refused` for a 429.
    pub measure: String,
    /// How much; none for a 429.
    pub limit: Option<u64>,
    /// What is left of it by now, as far as is known; none for a 429.
    pub remaining: Option<u64>,
    /// In how many seconds it is whole again, or its model is asked for again.
    pub seconds_left: u64,
    /// How many seconds ago the provider told.
    pub told_seconds_ago: u64,
}

/// Something of requests that a provider has said it does not know.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProviderLearned {
    /// The model that was asked for.
    pub model: String,
    /// `field` (a member of the body) or `beta`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Requests from which it was left out.
    pub requests: u64,
    /// In how many seconds it is forgotten.
    pub seconds_left: u64,
}

/// Seals a provider's key, in place of the one sealed before. It can be used from now on and never be read back.
///
/// # Errors
/// A bad name or key; the database.
pub async fn set_key(app: &App, caller: &Caller, name: &str, key: Secret) -> Result<(), ActError> {
    check_name(name)?;
    check_key(&key)?;
    let sealed = app.keyring.seal(secret::provider_place(name), &key, app.random())?;
    let act = caller.draft(app.now(), "provider.set_key", Object::new("provider", name, name));
    match secret::store(&app.store, app.org, &secret::provider_name(name), &sealed, &act).await {
        Ok(()) => {}
        Err(StartError::Store(e)) => return Err(e.into()),
        Err(StartError::MasterKey(e)) => return Err(e.into()),
        Err(e @ (StartError::Name(_) | StartError::RootsGone)) => return Err(ActError::field("name", e)),
    }
    (app.house.provider_key_changed)(name);
    Ok(())
}

/// Removes a provider's sealed key, also one that does not open any more. A provider that uses it has no key from now on.
///
/// # Errors
/// A bad name; none was sealed; the database.
pub async fn remove_key(app: &App, caller: &Caller, name: &str) -> Result<(), ActError> {
    check_name(name)?;
    let act = caller.draft(app.now(), "provider.remove_key", Object::new("provider", name, name));
    let stored = read("name", Name::parse(&secret::provider_name(name)))?;
    match app.store.remove_secret(app.org, &stored, &act).await {
        Err(StoreError::NotFound { .. }) => {
            return Err(ActError::NotFound { noun: "sealed provider key", given: name.to_owned() });
        }
        done => done?,
    }
    (app.house.provider_key_changed)(name);
    Ok(())
}

fn check_name(name: &str) -> Result<(), ActError> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fits {
        return Ok(());
    }
    Err(ActError::field("name", "a provider's name has 1 to 64 letters, digits, `-`, `_` and `.`"))
}

/// A key goes into a header, so it has no spaces and no control characters. The messages do not repeat it.
fn check_key(key: &Secret) -> Result<(), ActError> {
    if !(1..=MAX_KEY).contains(&key.len()) {
        return Err(ActError::field(
            "key",
            format!("the key has {} bytes, expected 1 to {MAX_KEY}", key.len()),
        ));
    }
    if !key.expose().iter().all(u8::is_ascii_graphic) {
        return Err(ActError::field("key", "the key has characters other than visible ASCII"));
    }
    Ok(())
}

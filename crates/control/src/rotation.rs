//! Rotating the keys of the server itself while it serves: the master key, and the keys that it makes for itself.
//!
//! A key that others check what it made (another node, an access token at another node) is known for
//! [`ANNOUNCED_MS`] before it is used, so that every node has read it by then. What was made with the old key stays good
//! until that is retired, which is refused while something hangs on it.

use std::collections::BTreeSet;

use gatehouse_domain::audit::{Draft, Object};
use gatehouse_domain::id::NodeId;
use gatehouse_domain::key::Generation;
use gatehouse_domain::name::Name;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_identity::keyset::{BadChange, Keyset, Kind, Member, State};
use gatehouse_identity::master::MasterKeyId;
use gatehouse_identity::seal::Sealed;
use gatehouse_store::rotation::{Replaced, Replacing};
use gatehouse_store::{Store, StoreError};

use crate::act::{ActError, Caller, Changed, read, shortened};
use crate::app::App;
use crate::bootstrap::StartError;
use crate::{keys, period, secret};

/// How long a new key is known before it is used, where other nodes must know it first. They look every two seconds.
pub const ANNOUNCED_MS: i64 = 10_000;
/// The name of the purpose of master keys.
pub const MASTER: &str = "master";
/// A node that was not seen for so long is taken to be gone.
pub const GONE_MS: i64 = 2 * 60_000;
/// Longest life of an access token, whatever is configured.
const ACCESS_LIFE_MS: i64 = DAY_MS;
const HOUR_MS: i64 = 3_600_000;
/// Longest time until an old key is to be retired.
const LONGEST_MS: i64 = 400 * DAY_MS;
/// How often it is tried again when another node was faster.
const ROUNDS: usize = 4;

/// A key as administrators see it. Never the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// What it is for.
    pub purpose: &'static str,
    /// Which one: its number, or the public name of a master key.
    pub key: String,
    /// `announced`, `active`, `old` or `retired`; of a master key also `known`.
    pub state: &'static str,
    /// When it was made, if that is known.
    pub made_at: Option<UnixMillis>,
    /// From when on it is used, if it is announced or was rotated to.
    pub active_at: Option<UnixMillis>,
    /// When it is to be retired.
    pub retire_at: Option<UnixMillis>,
    /// How much hangs on it and keeps it from being retired, where that can be counted.
    pub under: Option<u64>,
    /// The public half of a key that signs.
    pub public_key: Option<String>,
}

/// Lists all keys by purpose, the oldest first.
///
/// # Errors
/// The database; the keys there cannot be opened.
pub async fn list(app: &App) -> Result<Vec<KeyInfo>, ActError> {
    follow(app).await?;
    let mut all = masters(app).await?;
    let set = app.keys.with(Keyset::clone);
    for member in set.members() {
        all.push(info(app, &set, member).await?);
    }
    Ok(all)
}

async fn masters(app: &App) -> Result<Vec<KeyInfo>, ActError> {
    let (ring, sealing) = (&app.keyring, app.keyring.sealing().id());
    let mut all = Vec::new();
    for id in ring.ids().into_iter().rev() {
        let under = app.store.sealed_under(app.org, &id.to_string(), app.now()).await?;
        let state = if id == sealing {
            "active"
        } else if id == ring.newest().id() {
            "known"
        } else {
            "old"
        };
        all.push(KeyInfo {
            purpose: MASTER,
            key: id.to_string(),
            state,
            made_at: None,
            active_at: None,
            retire_at: None,
            under: Some(under),
            public_key: None,
        });
    }
    Ok(all)
}

async fn info(app: &App, set: &Keyset, member: &Member) -> Result<KeyInfo, ActError> {
    let state = set.state(member, app.now());
    let known = |at: UnixMillis| Some(at).filter(|at| at.0 != 0);
    Ok(KeyInfo {
        purpose: member.kind.as_str(),
        key: member.generation.to_string(),
        state: match state {
            State::Announced => "announced",
            State::Active => "active",
            State::Old => "old",
            State::Retired => "retired",
        },
        made_at: known(member.made_at),
        active_at: known(member.active_at),
        retire_at: member.retire_at.filter(|_| state != State::Retired),
        under: if state == State::Retired { None } else { hanging_on(app, set, member).await? },
        public_key: member.public().map(|key| key.to_string()),
    })
}

/// How much hangs on a key; `None` where it cannot be told before another one is used.
async fn hanging_on(app: &App, set: &Keyset, member: &Member) -> Result<Option<u64>, ActError> {
    let (store, org, now) = (&app.store, app.org, app.now());
    if member.kind == Kind::Hashes {
        return Ok(Some(store.hashed_under(org, member.generation, now).await?));
    }
    let Some(until) = set.superseded_at(member).filter(|at| *at <= now) else { return Ok(None) };
    Ok(Some(match member.kind {
        Kind::AccessTokens if until.plus_millis(ACCESS_LIFE_MS) <= now => 0,
        Kind::AccessTokens | Kind::RefreshTokens => store.sessions_with_tokens_of(org, until, now).await?,
        Kind::SignInForms => store.grants_of(org, until, now).await?,
        // What it signed is checked with its public half, which stays.
        Kind::Hashes | Kind::Audit | Kind::Bundles => 0,
    }))
}

/// Rotates a key, the master key included. `retire_after` says when the old one is to be retired, as a span from when the
/// new one is used.
///
/// # Errors
/// There is no such purpose; the newest key is not yet in use, or there are too many; of the master key: no other one is
/// configured, or a node does not know it; the database.
pub async fn rotate(
    app: &App,
    caller: &Caller,
    purpose: &str,
    retire_after: Option<&str>,
) -> Result<Changed<Vec<KeyInfo>>, ActError> {
    follow(app).await?;
    if purpose == MASTER {
        if retire_after.is_some() {
            let told = "a master key is retired by taking it out of the configuration, not after a time";
            return Err(ActError::field("retire_after", told));
        }
        rotate_master(app, caller).await?;
    } else {
        let kind = named(purpose)?;
        let after = match retire_after {
            None => default_ms(kind),
            Some(text) => read("retire_after", period::span_ms(text))?,
        };
        if !(0..=LONGEST_MS).contains(&after) {
            return Err(ActError::field("retire_after", "an old key is kept for at most 400 days"));
        }
        rotate_kind(app, caller, kind, after).await?;
    }
    settled(app, purpose).await
}

async fn rotate_kind(app: &App, caller: &Caller, kind: Kind, retire_after: i64) -> Result<(), ActError> {
    if kind == Kind::Audit {
        // A log that is not what it was is signed by no key, the next one included.
        app.store.checkpoint(app.org, &app.notary, app.now()).await?;
    }
    for _ in 0..ROUNDS {
        let now = app.now();
        let (mut set, was) = opened(app).await?;
        let before = set.active(kind, now).public();
        let active_at = now.plus_millis(announced_ms(kind));
        let key = zeroize::Zeroizing::new(app.random::<32>());
        let generation = set
            .rotate(kind, *key, now, active_at, active_at.plus_millis(retire_after))
            .map_err(|why| refused(kind, why))?;
        let mut act = caller
            .draft(now, "secret.rotate", Object::new("secret", kind, ""))
            .with("generation", generation.0)
            .with("active_at", active_at.to_string());
        let public = set.members().filter(|member| member.kind == kind).last().and_then(Member::public);
        act.detail = act
            .detail
            .with_some("before", before.map(|key| key.to_string()))
            .with_some("public_key", public.map(|key| key.to_string()));
        match replace(app, &set, &was, None, &act).await? {
            Replaced::Done => {
                follow(app).await?;
                if kind == Kind::Audit
                    && let Err(error) = app.store.checkpoint(app.org, &app.notary, app.now()).await
                {
                    // The old key signs the entry that names the new one: whoever trusts the old one may trust the new. It has
                    // until the new one is in use, and the job that signs comes every few seconds.
                    tracing::warn!(%error, "the rotation of the audit key is not signed yet");
                }
                return Ok(());
            }
            Replaced::Changed | Replaced::InUse(_) => {}
        }
    }
    Err(ActError::Busy("other nodes are rotating keys at the same time; try again".to_owned()))
}

/// Gives an old key up.
///
/// # Errors
/// There is no such key; it is in use; something hangs on it (the message says how much); the database.
pub async fn retire(
    app: &App,
    caller: &Caller,
    purpose: &str,
    key: &str,
) -> Result<Changed<Vec<KeyInfo>>, ActError> {
    if purpose == MASTER {
        let told = "a master key is retired by taking it out of `secrets.previous_master_keys` and `gatehouse config reload`";
        return Err(ActError::field("purpose", told));
    }
    let kind = named(purpose)?;
    let unknown = || ActError::NotFound { noun: "key of this purpose", given: shortened(key) };
    let generation = Generation(key.parse().map_err(|_| unknown())?);
    for _ in 0..ROUNDS {
        let now = app.now();
        let (mut set, was) = opened(app).await?;
        let member = set.members().find(|m| m.kind == kind && m.generation == generation).cloned();
        let member = member.ok_or_else(unknown)?;
        let hanging = hanging_on(app, &set, &member).await?;
        set.retire(kind, generation, now).map_err(|why| refused(kind, why))?;
        if let Some(count) = hanging.filter(|count| *count > 0) {
            return Err(in_use(&member, count));
        }
        let mut act = caller
            .draft(now, "secret.retire", Object::new("secret", kind, ""))
            .with("generation", generation.0);
        act.detail = act.detail.with_some("public_key", member.public().map(|key| key.to_string()));
        let unless = (kind == Kind::Hashes).then_some(generation);
        match replace(app, &set, &was, unless, &act).await? {
            Replaced::Done => {
                follow(app).await?;
                return settled(app, purpose).await;
            }
            Replaced::InUse(count) => return Err(in_use(&member, count)),
            Replaced::Changed => {}
        }
    }
    Err(ActError::Busy("other nodes are changing keys at the same time; try again".to_owned()))
}

/// Gives up old keys whose time has come and on which nothing hangs, and seals anew what is still sealed under an older
/// master key. For a job.
///
/// # Errors
/// The database; the keys there cannot be opened.
pub async fn tidy(app: &App) -> Result<(), ActError> {
    follow(app).await?;
    let sealing = app.keyring.sealing().id();
    for id in app.keyring.ids().into_iter().filter(|id| *id != sealing) {
        if app.store.sealed_under(app.org, &id.to_string(), app.now()).await? > 0 {
            reseal(app).await?;
            break;
        }
    }
    let (set, now) = (app.keys.with(Keyset::clone), app.now());
    for member in set.members().filter(|member| member.retire_at.is_some_and(|at| at <= now)) {
        if set.state(member, now) != State::Old || hanging_on(app, &set, member).await? != Some(0) {
            continue;
        }
        let caller = Caller::system("rotation");
        match retire(app, &caller, member.kind.as_str(), &member.generation.to_string()).await {
            // Another node was faster, or something began to hang on it.
            Ok(_) | Err(ActError::Busy(_) | ActError::Field { .. } | ActError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Seals under the configured master key from now on, everywhere, and seals anew what is stored.
async fn rotate_master(app: &App, caller: &Caller) -> Result<(), ActError> {
    let (newest, sealing) = (app.keyring.newest().id(), app.keyring.sealing().id());
    if newest == sealing {
        let told = format!(
            "everything is sealed under the configured master key `{sealing}` already; make another one, set \
             `secrets.master_key` to it and `secrets.previous_master_keys` to this one, and run `gatehouse config reload` \
             on every node first"
        );
        return Err(ActError::field("purpose", told));
    }
    let lacking = lacking(&app.store, app.node, newest, app.now()).await?;
    if !lacking.is_empty() {
        let told = format!(
            "{} of the nodes that run do not know the master key `{newest}`: {}; give it to them \
             (`secrets.previous_master_keys`, then `gatehouse config reload`)",
            lacking.len(),
            lacking.into_iter().collect::<Vec<_>>().join(", ")
        );
        return Err(ActError::Busy(told));
    }
    let act = caller
        .draft(app.now(), "secret.rotate", Object::new("secret", MASTER, ""))
        .with("before", sealing.to_string())
        .with("now", newest.to_string());
    for _ in 0..ROUNDS {
        let (set, was) = opened(app).await?;
        app.keyring.seal_under(newest);
        if replace(app, &set, &was, None, &act).await? == Replaced::Done {
            follow(app).await?;
            return reseal(app).await;
        }
    }
    app.keyring.seal_under(sealing);
    Err(ActError::Busy("other nodes are changing keys at the same time; try again".to_owned()))
}

/// The nodes that run and do not know a master key, except this one.
pub(crate) async fn lacking(
    store: &Store,
    this: NodeId,
    id: MasterKeyId,
    now: UnixMillis,
) -> Result<BTreeSet<String>, StoreError> {
    let nodes = store.nodes(now.plus_millis(-GONE_MS)).await?;
    let lacks = |known: &str| !known.split(' ').any(|known| known == id.to_string());
    let others = nodes.into_iter().filter(|node| node.id != this && lacks(&node.master_keys));
    Ok(others.map(|node| node.id.to_string()).collect())
}

/// Seals anew what is sealed under an older master key, except what lasts for minutes only.
async fn reseal(app: &App) -> Result<(), ActError> {
    let random = |bytes: &mut [u8]| (app.house.random)(bytes);
    secret::reseal(&app.store, &app.keyring, app.org, app.now(), &random).await.map_err(told)?;
    Ok(())
}

/// Takes over what is in the database.
async fn follow(app: &App) -> Result<(), ActError> {
    app.keys.refresh(&app.store, &app.keyring, app.org, &app.notary).await.map_err(told)
}

async fn opened(app: &App) -> Result<(Keyset, Sealed), ActError> {
    keys::read(&app.store, &app.keyring, app.org).await.map_err(told)
}

async fn replace(
    app: &App,
    set: &Keyset,
    was: &Sealed,
    unless_under: Option<Generation>,
    act: &Draft,
) -> Result<Replaced, ActError> {
    let sealed = set.seal(&app.keyring, app.random());
    let name = read("name", Name::parse(secret::ROOTS))?;
    let (key_id, text, was) = (sealed.key().to_string(), sealed.to_string(), was.to_string());
    let by = Replacing { name: &name, key_id: &key_id, sealed: &text, was: &was, unless_under };
    Ok(app.store.replace_secret(app.org, &by, act).await?)
}

/// The keys of a purpose, once this node decides by the change.
async fn settled(app: &App, purpose: &str) -> Result<Changed<Vec<KeyInfo>>, ActError> {
    let in_force = (app.house.policy_changed)().await;
    let mut now = list(app).await?;
    now.retain(|key| key.purpose == purpose);
    Ok(Changed { now, in_force })
}

fn named(purpose: &str) -> Result<Kind, ActError> {
    Kind::named(purpose)
        .ok_or_else(|| ActError::NotFound { noun: "purpose of keys", given: shortened(purpose) })
}

/// Which of them other nodes check: their own hashes name the pepper, and bundles are checked elsewhere.
const fn announced_ms(kind: Kind) -> i64 {
    match kind {
        Kind::Hashes | Kind::Bundles => 0,
        Kind::AccessTokens | Kind::RefreshTokens | Kind::SignInForms | Kind::Audit => ANNOUNCED_MS,
    }
}

/// When an old key is to be retired if nobody says otherwise.
const fn default_ms(kind: Kind) -> i64 {
    match kind {
        Kind::Hashes | Kind::RefreshTokens => 30 * DAY_MS,
        Kind::AccessTokens => ACCESS_LIFE_MS,
        Kind::SignInForms | Kind::Audit | Kind::Bundles => HOUR_MS,
    }
}

fn refused(kind: Kind, why: BadChange) -> ActError {
    ActError::Busy(format!("the key for {kind}: {why}"))
}

fn in_use(member: &Member, count: u64) -> ActError {
    let what = match member.kind {
        Kind::Hashes => "credentials that work were hashed with it and not used since",
        Kind::AccessTokens | Kind::RefreshTokens => "open sessions hold tokens that it proved",
        Kind::SignInForms => "device codes wait with a form that it proved",
        Kind::Audit | Kind::Bundles => "things hang on it",
    };
    ActError::Busy(format!("key {} for {} cannot be retired: {count} {what}", member.generation, member.kind))
}

fn told(error: StartError) -> ActError {
    match error {
        StartError::Store(e) => e.into(),
        StartError::MasterKey(e) => e.into(),
        e @ (StartError::Name(_) | StartError::RootsGone) => ActError::Busy(e.to_string()),
    }
}

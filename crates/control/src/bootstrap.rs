//! The first start, and every other: the organization, the secrets everything hangs on, the first owner.

use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::Org;
use gatehouse_domain::id::{AdminTokenId, NodeId, OrgId};
use gatehouse_domain::key::{KeyKind, Pepper, RANDOM_LEN, VirtualKey};
use gatehouse_domain::name::{BadName, Name};
use gatehouse_domain::role::{Role, Scope};
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::keyset::Keyset;
use gatehouse_identity::roots::Roots;
use gatehouse_identity::seal::{SealError, Sealed};
use gatehouse_store::admin_token::NewAdminToken;
use gatehouse_store::{Page, Store, StoreError};
use zeroize::Zeroizing;

use crate::act::Caller;
use crate::{rotation, secret};

/// Fills with random bytes fit for keys.
pub type Random<'a> = &'a (dyn Fn(&mut [u8]) + Send + Sync);

/// What a start found or made.
pub struct Started {
    /// The organization of this deployment.
    pub org: Org,
    /// The keys that the server makes for itself.
    pub keys: Keyset,
    /// An owner's token, made because there was none that works: on the first start, or when the last one has expired.
    pub owner: Option<OwnerToken>,
}

/// A new owner's token. Its text is seen here and never again.
pub struct OwnerToken {
    /// Its identifier.
    pub id: AdminTokenId,
    /// Its text.
    pub text: Zeroizing<String>,
}

/// Why a start is not possible.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The organization's name cannot be used.
    #[error("the organization's name: {0}")]
    Name(#[from] BadName),
    /// The master key is not the one this database was made with.
    #[error("the master key does not fit this database: {0}")]
    MasterKey(#[from] SealError),
    /// The sealed roots are gone although there are tokens made with them.
    #[error(
        "the database has administrators' tokens but not the sealed secret `{}` they were made with: restore it from a backup",
        secret::ROOTS
    )]
    RootsGone,
}

/// Prepares a database for service: makes the organization and its secrets on the first start, opens them on every
/// other, seals anew what is sealed under an older master key (if every other node that runs knows the new one), and makes
/// sure that an owner's token works. `node` is the one that starts.
///
/// Two nodes may start at once on one empty database with the same master key: both come to the same organization.
///
/// # Errors
/// The master key does not fit; the database.
pub async fn start(
    store: &Store,
    keyring: &Keyring,
    org_name: &str,
    node: NodeId,
    now: UnixMillis,
    random: Random<'_>,
) -> Result<Started, StartError> {
    let org = organization(store, keyring, org_name, now).await?;
    let sealed = roots(store, keyring, org.id, now, random).await?;
    let keys = Keyset::open(keyring, &sealed)?;
    keyring.seal_under(sealed.key());
    let newest = keyring.newest().id();
    if rotation::lacking(store, node, newest, now).await?.is_empty() {
        keyring.seal_under(newest);
        secret::reseal(store, keyring, org.id, now, random).await?;
    }
    let owner = if has_owner(store, org.id, now).await? {
        None
    } else {
        Some(owner_token(store, org.id, &keys.pepper(now), "first owner", now, random).await?)
    };
    Ok(Started { org, keys, owner })
}

/// Makes another owner's token. For the serving machine itself, whose operator holds the master key anyway: on the
/// first start, and when the local credential was lost.
///
/// # Errors
/// The database.
pub async fn owner_token(
    store: &Store,
    org: OrgId,
    pepper: &Pepper,
    name: &str,
    now: UnixMillis,
    random: Random<'_>,
) -> Result<OwnerToken, StartError> {
    let mut bytes = Zeroizing::new([0; RANDOM_LEN]);
    random(&mut *bytes);
    let key = VirtualKey::generate(KeyKind::Admin, &bytes);
    let name = Name::parse(name)?;
    let id = AdminTokenId::new(now, bits(random));
    let act = Caller::system("bootstrap")
        .draft(now, "admin_token.create", Object::new("admin_token", id, name.as_str()))
        .with("role", Role::Owner.as_str());
    let new = NewAdminToken {
        id,
        public: key.public(),
        hash: key.hash(pepper),
        name,
        role: Role::Owner.into(),
        scope: Scope::Organization,
        person: None,
        expires_at: None,
    };
    store.create_admin_token(org, &new, &act).await?;
    Ok(OwnerToken { id, text: key.reveal() })
}

async fn organization(
    store: &Store,
    keyring: &Keyring,
    name: &str,
    now: UnixMillis,
) -> Result<Org, StartError> {
    if let Some(org) = store.orgs().await?.into_iter().next() {
        return Ok(org);
    }
    let name = Name::parse(name)?;
    let id = first_org_id(keyring);
    let act = Caller::system("bootstrap").draft(now, "org.create", Object::new("org", id, name.as_str()));
    match store.create_org(id, &name, &act).await {
        // Another node was faster.
        Err(StoreError::Conflict { .. }) => Ok(store.org(id).await?),
        made => Ok(made?),
    }
}

/// The same on every node with the same master key, so that nodes that start at once make one organization. It is made
/// of the audit key's public half and tells nothing of the master key.
fn first_org_id(keyring: &Keyring) -> OrgId {
    let signer = gatehouse_domain::audit::Signer::new(Roots::of(&keyring.newest()).audit_seed());
    let public = signer.public();
    let (bits, _) = public.as_bytes().split_first_chunk().expect("a public key has 32 bytes");
    OrgId::new(UnixMillis(0), u128::from_le_bytes(*bits))
}

/// The sealed roots, or what became of them.
async fn roots(
    store: &Store,
    keyring: &Keyring,
    org: OrgId,
    now: UnixMillis,
    random: Random<'_>,
) -> Result<Sealed, StartError> {
    if let Some(sealed) = secret::stored(store, org, secret::ROOTS).await? {
        return Ok(sealed);
    }
    if !store.admin_tokens(org, &Page::first(1)).await?.items.is_empty() {
        // Another first start may have stored the roots, and then made its token, between the two looks. Who finds a
        // token finds them now.
        return secret::stored(store, org, secret::ROOTS).await?.ok_or(StartError::RootsGone);
    }
    let roots = Roots::of(&keyring.newest());
    let mut nonce = [0; gatehouse_identity::seal::NONCE_LEN];
    random(&mut nonce);
    let act = Caller::system("bootstrap").draft(now, "secret.seal", Object::new("secret", secret::ROOTS, ""));
    let sealed = roots.seal(keyring, nonce);
    secret::store(store, org, secret::ROOTS, &sealed, &act).await?;
    Ok(sealed)
}

async fn has_owner(store: &Store, org: OrgId, now: UnixMillis) -> Result<bool, StartError> {
    let mut page = Page::first(gatehouse_store::MAX_LIMIT);
    loop {
        let listed = store.admin_tokens(org, &page).await?;
        if listed.items.iter().any(|token| token.is_owner() && token.usable(now)) {
            return Ok(true);
        }
        match listed.next {
            Some(cursor) => page = Page::after(cursor, gatehouse_store::MAX_LIMIT),
            None => return Ok(false),
        }
    }
}

fn bits(random: Random<'_>) -> u128 {
    let mut bytes = [0; 16];
    random(&mut bytes);
    u128::from_le_bytes(bytes)
}

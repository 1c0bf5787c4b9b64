//! Sealed secrets in the database: providers' keys, and the roots that everything else hangs on.

use gatehouse_domain::audit::{Draft, Object};
use gatehouse_domain::id::OrgId;
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::roots;
use gatehouse_identity::seal::{NONCE_LEN, Place, SealError, Sealed};
use gatehouse_identity::secret::Secret;
use gatehouse_store::rotation::{Replaced, Replacing};
use gatehouse_store::{Store, StoreError};

use crate::act::Caller;
use crate::bootstrap::{Random, StartError};
use crate::factor;
use crate::inspection;
use crate::portal::token_place;

/// The name under which the roots are stored.
pub const ROOTS: &str = "gatehouse/roots";

const PROVIDER: &str = "provider/";

/// Why a stored secret cannot be had. Tells nothing of the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The database refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It does not open.
    #[error("opening the key of the provider `{name}`: {cause}")]
    Seal {
        /// Whose key it is.
        name: String,
        /// Why not.
        cause: SealError,
    },
}

/// Opens a provider's stored key; `None` when none was sealed. For the server, where the configuration says
/// `api_key = "sealed:NAME"`.
///
/// # Errors
/// It was sealed under a master key that is gone, or was altered; the database.
pub async fn provider_key(
    store: &Store,
    keyring: &Keyring,
    org: OrgId,
    name: &str,
) -> Result<Option<Secret>, SecretError> {
    let because = |cause| SecretError::Seal { name: name.to_owned(), cause };
    match stored(store, org, &provider_name(name)).await {
        Ok(Some(sealed)) => keyring.open(provider_place(name), &sealed).map(Some).map_err(because),
        Err(StartError::Store(e)) => Err(e.into()),
        Err(StartError::MasterKey(cause)) => Err(because(cause)),
        Ok(None) | Err(StartError::Name(_) | StartError::RootsGone) => Ok(None),
    }
}

/// Seals everything anew that is sealed under another master key than the one that seals now, and gives how many there were. After that the older
/// key can be dropped. A provider's key that does not open is left as it is and logged: it is of no use any more, but the
/// start must go on, so that another can be given in its place, or it can be removed.
///
/// # Errors
/// The roots do not open; the database.
pub async fn reseal(
    store: &Store,
    keyring: &Keyring,
    org: OrgId,
    now: UnixMillis,
    random: Random<'_>,
) -> Result<u64, StartError> {
    let sealing = keyring.sealing().id().to_string();
    let mut done = 0;
    for info in store.secrets(org).await?.into_iter().filter(|info| info.key_id != sealing) {
        let Some(place) = place_of(&info.name) else { continue };
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce);
        let found = stored(store, org, &info.name).await;
        let was = found.as_ref().ok().and_then(Option::as_ref).map(Sealed::to_string).unwrap_or_default();
        let resealed = match found {
            Ok(None) => continue,
            Ok(Some(sealed)) => keyring.reseal(place, &sealed, nonce).map_err(StartError::MasterKey),
            Err(error) => Err(error),
        };
        let resealed = match resealed {
            Err(StartError::MasterKey(cause)) if info.name != ROOTS => {
                tracing::error!(
                    secret = info.name, master_key = info.key_id, %cause,
                    "a sealed secret does not open and is left out; give it anew, or remove it"
                );
                continue;
            }
            resealed => resealed?,
        };
        if let Some(anew) = resealed {
            let act = Caller::system("rotation")
                .draft(now, "secret.reseal", Object::new("secret", &info.name, ""))
                .with("before", info.key_id)
                .with("now", sealing.as_str());
            let (name, text) = (Name::parse(&info.name)?, anew.to_string());
            let by =
                Replacing { name: &name, key_id: &sealing, sealed: &text, was: &was, unless_under: None };
            // Where somebody gave another one meanwhile, that stays.
            done += u64::from(store.replace_secret(org, &by, &act).await? == Replaced::Done);
        }
    }
    reseal_tokens(store, keyring, org, &sealing, random).await?;
    done += factor::reseal(store, keyring, org, now, random).await?;
    Ok(done)
}

/// Seals identity providers' refresh tokens anew. One that does not open stays as it is: its session ends with the next
/// refresh, which is better than one that nobody is asked about.
async fn reseal_tokens(
    store: &Store,
    keyring: &Keyring,
    org: OrgId,
    sealing: &str,
    random: Random<'_>,
) -> Result<(), StartError> {
    let mut after = String::new();
    loop {
        let batch = store.sealed_tokens(org, sealing, &after).await?;
        let Some(last) = batch.last() else { return Ok(()) };
        after.clone_from(&last.session);
        for token in &batch {
            let mut nonce = [0; NONCE_LEN];
            random(&mut nonce);
            let opened = token.sealed.parse::<Sealed>();
            let anew = opened.and_then(|sealed| keyring.reseal(token_place(&token.user), &sealed, nonce));
            match anew {
                Ok(Some(anew)) => drop(store.reseal_token(org, token, &anew.to_string()).await?),
                Ok(None) => {}
                Err(cause) => tracing::warn!(
                    session.id = token.session, %cause,
                    "an identity provider's token does not open and is left as it is"
                ),
            }
        }
    }
}

/// Writes a sealed secret.
pub(crate) async fn store(
    store: &Store,
    org: OrgId,
    name: &str,
    sealed: &Sealed,
    act: &Draft,
) -> Result<(), StartError> {
    let name = Name::parse(name)?;
    Ok(store.put_secret(org, &name, &sealed.key().to_string(), &sealed.to_string(), act).await?)
}

/// Reads a sealed secret.
pub(crate) async fn stored(store: &Store, org: OrgId, name: &str) -> Result<Option<Sealed>, StartError> {
    let found = store.secret(org, &Name::parse(name)?).await?;
    Ok(found.map(|secret| secret.sealed.parse()).transpose()?)
}

/// The name under which a provider's key is stored.
pub(crate) fn provider_name(provider: &str) -> String {
    format!("{PROVIDER}{provider}")
}

/// Where a provider's key is sealed.
pub(crate) const fn provider_place(provider: &str) -> Place<'_> {
    Place { purpose: "provider-key", name: provider }
}

fn place_of(name: &str) -> Option<Place<'_>> {
    match name {
        ROOTS => Some(roots::PLACE),
        inspection::AUTHORITY => Some(inspection::PLACE),
        name => name.strip_prefix(PROVIDER).map(provider_place),
    }
}

//! Sealed secrets in the database: providers' keys, and the roots that everything else hangs on.

use gatehouse_domain::audit::{Draft, Object};
use gatehouse_domain::id::OrgId;
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::roots;
use gatehouse_identity::seal::{NONCE_LEN, Place, SealError, Sealed};
use gatehouse_identity::secret::Secret;
use gatehouse_store::{Store, StoreError};

use crate::act::Caller;
use crate::bootstrap::{Random, StartError};

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

/// Seals everything anew that is sealed under an older master key, and gives how many there were. After that the older
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
    let newest = keyring.newest().id().to_string();
    let mut done = 0;
    for info in store.secrets(org).await?.into_iter().filter(|info| info.key_id != newest) {
        let Some(place) = place_of(&info.name) else { continue };
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce);
        let resealed = match stored(store, org, &info.name).await {
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
                .with("now", newest.as_str());
            self::store(store, org, &info.name, &anew, &act).await?;
            done += 1;
        }
    }
    Ok(done)
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
    if name == ROOTS { Some(roots::PLACE) } else { name.strip_prefix(PROVIDER).map(provider_place) }
}

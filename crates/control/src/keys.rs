//! The keys that the server makes for itself, as this node knows them: swapped whole when any of them is rotated.

use std::sync::Arc;

use arc_swap::ArcSwap;
use gatehouse_domain::audit::Signer;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::key::{Generation, KeyHash, Pepper, VirtualKey};
use gatehouse_domain::policy::Proofs;
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::keyset::Keyset;
use gatehouse_identity::seal::Sealed;
use gatehouse_store::Store;
use gatehouse_store::audit::{Notary, SigningKeys};

use crate::app::App;
use crate::bootstrap::StartError;
use crate::secret;

/// All of them.
pub struct Keys(ArcSwap<Known>);

struct Known {
    set: Keyset,
    /// As it was read from the database; empty before it was.
    sealed: String,
}

impl Keys {
    /// These.
    pub fn new(set: Keyset) -> Self {
        Self(ArcSwap::from_pointee(Known { set, sealed: String::new() }))
    }

    /// The set of this moment.
    pub fn with<T>(&self, look: impl FnOnce(&Keyset) -> T) -> T {
        look(&self.0.load().set)
    }

    /// The pepper that credentials are hashed with.
    pub fn pepper(&self, now: UnixMillis) -> Pepper {
        self.with(|set| set.pepper(now))
    }

    /// The hash to keep of a key that was just recognized, if what is kept was made under an older pepper.
    pub fn rehash(&self, key: &VirtualKey, stored: &KeyHash, now: UnixMillis) -> Option<KeyHash> {
        let current = self.pepper(now);
        (stored.generation() < current.generation()).then(|| key.hash(&current))
    }

    /// What the data path checks credentials with.
    pub fn proofs(&self, now: UnixMillis) -> Arc<Proofs> {
        self.with(|set| {
            let (peppers, access) = (set.peppers(), set.access_keys());
            Arc::new(Proofs { peppers, access, current: Some(set.pepper(now).generation()) })
        })
    }

    /// What signs bundles of settings.
    pub fn bundle_signer(&self, now: UnixMillis) -> Signer {
        self.with(|set| set.bundle_signer(now))
    }

    /// What signs the audit log, and did.
    pub fn signing_keys(&self) -> SigningKeys {
        self.with(|set| SigningKeys { signers: set.audit_signers(), publics: set.audit_publics() })
    }

    /// Reads them from the database, and takes them over where they have changed. From then on this node seals under the
    /// master key that they are sealed under: that is how all nodes change over to another one.
    ///
    /// # Errors
    /// They are sealed under a master key that this node does not know, or were altered, or are gone; the database. Those
    /// known before stay.
    pub async fn refresh(
        &self,
        store: &Store,
        keyring: &Keyring,
        org: OrgId,
        notary: &Notary,
    ) -> Result<(), StartError> {
        let (set, sealed) = read(store, keyring, org).await?;
        let text = sealed.to_string();
        if self.0.load().sealed == text {
            return Ok(());
        }
        self.0.store(Arc::new(Known { set, sealed: text }));
        notary.replace_keys(self.signing_keys());
        keyring.seal_under(sealed.key());
        Ok(())
    }
}

/// Reads the set from the database, with the text it was sealed in.
pub(crate) async fn read(
    store: &Store,
    keyring: &Keyring,
    org: OrgId,
) -> Result<(Keyset, Sealed), StartError> {
    let sealed = secret::stored(store, org, secret::ROOTS).await?.ok_or(StartError::RootsGone)?;
    Ok((Keyset::open(keyring, &sealed)?, sealed))
}

/// Whether a key is the one behind a stored hash. One made under a pepper that this node does not know yet, at another node
/// a moment ago, makes it look for that.
pub(crate) async fn matches(app: &App, key: &VirtualKey, stored: &KeyHash) -> bool {
    let peppers = app.keys.with(Keyset::peppers);
    // The first is asked for where there is nothing to compare with.
    if peppers.find(stored.generation()).is_some() || stored.generation() == Generation::FIRST {
        return key.matches(&peppers, stored);
    }
    if let Err(error) = app.keys.refresh(&app.store, &app.keyring, app.org, &app.notary).await {
        tracing::warn!(%error, "a credential is hashed under a pepper that cannot be read");
    }
    key.matches(&app.keys.with(Keyset::peppers), stored)
}

//! What changes in the database, and comes into force without a reload.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use gatehouse_control::access::load_snapshot;
use gatehouse_store::{StoreError, in_time};

use super::data_path::usable;
use super::{Live, READ_POLICY};
use crate::clock;
use crate::config::SecretSource;
use crate::wire::budget::{COUNT, NotCounted, count};
use crate::wire::foundation::master_keys;
use crate::wire::nodes;

impl Live {
    /// Takes over providers' keys that were sealed anew.
    pub(in crate::wire) async fn refresh_keys(self: &Arc<Self>) {
        let _one_at_a_time = self.reloading.lock().await;
        let config = self.config.load_full();
        if !config.providers.iter().any(|provider| matches!(provider.api_key, Some(SecretSource::Sealed(_))))
        {
            return;
        }
        match self.prepared(&config, &self.way()).await {
            Ok(providers) => {
                let mut settings = (**self.settings.load()).clone();
                settings.providers = usable(&providers);
                self.settings.store(Arc::new(settings));
                *self.providers.lock().unwrap_or_else(PoisonError::into_inner) = providers;
                self.judge();
            }
            Err(problems) => {
                tracing::warn!(?problems, "providers' keys could not be read anew; the old ones stay");
            }
        }
    }

    /// Puts the newest policy in force if it is newer than the one in force.
    pub(in crate::wire) async fn refresh_policy(&self) -> Result<(), NotCounted> {
        let asked = self.fresh.asked();
        let read = async {
            let version = self.store.policy_version(self.org).await?;
            if version != self.policy.load().version() {
                let snapshot = load_snapshot(&self.store, self.org).await?;
                // After the hashes, so that no pepper is missing that one of them was made under.
                self.refresh_secrets().await;
                self.refresh_authority().await;
                self.counters.install(snapshot.budgets(), || self.books.newest());
                self.limits.install(snapshot.limits());
                self.policy.store(Arc::new(snapshot.with_proofs(self.keys.proofs(clock::now()))));
            }
            // After the keys and apart from them: settings that cannot be read keep no revoked key at work.
            if self.delivery.snapshot().is_some_and(|snapshot| snapshot.version() == version) {
                return Ok(Ok(()));
            }
            Ok::<_, StoreError>(self.delivery.refresh(&self.store, self.org).await)
        };
        let settings = in_time(READ_POLICY, read).await?;
        // Last, since it waits for the ledger: revoked keys are out by now.
        count(&self.counters, &self.books, COUNT).await?;
        self.fresh.reached(asked);
        Ok(settings?)
    }

    /// Takes over the server's own keys if they were rotated. Those known before stay where that cannot be done.
    async fn refresh_secrets(&self) {
        let read = self.keys.refresh(&self.store, &self.keyring, self.org, &self.notary).await;
        let before = self.keys_unread.swap(read.is_err(), Ordering::AcqRel);
        match read {
            Err(error) if !before => {
                tracing::error!(
                    %error,
                    "the server's own keys cannot be read anew, the old ones stay; a master key that is missing here is named by \
                     `secrets.previous_master_keys` and taken over by `gatehouse config reload`"
                );
            }
            Ok(()) if before => tracing::info!("the server's own keys can be read again"),
            Err(_) | Ok(()) => {}
        }
    }

    /// Writes down the hashes of keys that were hashed anew.
    pub(in crate::wire) async fn write_rehashes(&self) -> Result<(), StoreError> {
        let waiting = self.rehashes.take();
        if !waiting.is_empty() {
            in_time(READ_POLICY, self.store.rehash_keys(self.org, &waiting)).await?;
        }
        Ok(())
    }

    /// Tells the other nodes that this one is there, and which master keys it knows.
    pub(in crate::wire) async fn tell_presence(&self) -> Result<(), StoreError> {
        let tells = nodes::tells(self);
        self.store.touch_node(self.node, &master_keys(&self.keyring), &tells, clock::now()).await
    }
}

//! Another configuration in place of the one in force: whole, or not at all.

use std::sync::{Arc, PoisonError};

use gatehouse_control::config::{ReloadRefused, Reloaded};
use gatehouse_identity::keyring::Keyring;
use gatehouse_store::in_time;

use super::data_path::{sealed_keys, settings};
use super::{Live, READ_POLICY};
use crate::config::{Config, changes, load};
use crate::wire::egress::Way;
use crate::wire::entrance::{self, Prepared};
use crate::wire::protection;
use crate::wire::provider::{Out, Provided, prepare};
use crate::{clock, price, secret};

impl Live {
    /// Reads the configuration anew and puts it in force, whole or not at all.
    pub(in crate::wire) async fn reload(self: &Arc<Self>) -> Result<Reloaded, ReloadRefused> {
        let _one_at_a_time = self.reloading.lock().await;
        let config = Arc::new(self.read_again().await?);
        let ring = self.read_keyring(&config).await.map_err(refused)?;
        let prices = price::table(&config.pricing).map_err(|error| refused(vec![error.to_string()]))?;
        let way = self.prepared_way(&config).await.map_err(refused)?;
        let providers = self.prepared(&config, &way).await.map_err(refused)?;
        let (rules, reach) =
            self.sign_in_rules(Arc::clone(&config), Arc::clone(&way)).await.map_err(refused)?;
        let forward = self.prepared_proxy(&config).await.map_err(refused)?;
        let inspection = self.prepared_inspection(&config).await.map_err(refused)?;
        let entrances = self.prepared_entrances(&config).await.map_err(refused)?;
        let old = self.config.load_full();
        if old.log.filter != config.log.filter {
            self.log.set_filter(&config.log.filter).map_err(|error| refused(vec![error.to_string()]))?;
        }
        self.keyring.replace(&ring);
        if let Err(error) = in_time(READ_POLICY, self.tell_presence()).await {
            tracing::warn!(%error, "the other nodes are not told which master keys this one knows; they are within a minute");
        }
        self.egress.replace(Arc::clone(&way.settings));
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
        let protection = protection::ready(&config, self.settings.load().protection.clone());
        self.settings.store(Arc::new(settings(&config, prices, &providers, inspection, protection)));
        self.refresh_authority().await;
        *self.providers.lock().unwrap_or_else(PoisonError::into_inner) = providers;
        self.let_in(forward, entrances);
        if let Some((portal, net)) = self.portal.get() {
            net.replace(reach);
            portal.replace(rules);
        }
        // What needs a restart is compared with what the process was started with, so that it stays named.
        let changed = changes(&old.shown, &config.shown).into_iter().filter(|change| change.reloadable);
        let waiting =
            changes(&self.started_with, &config.shown).into_iter().filter(|change| !change.reloadable);
        let done = Reloaded {
            changed: changed.map(|change| change.key).collect(),
            restart_needed: waiting.map(|change| change.key).collect(),
        };
        self.config.store(config);
        self.judge();
        tracing::info!(changed = ?done.changed, restart_needed = ?done.restart_needed, "the configuration was reloaded");
        Ok(done)
    }

    /// Puts other rules for connections in force, of the proxy and of the other listeners.
    fn let_in(&self, forward: Option<gatehouse_proxy::settings::Settings>, entrances: Prepared) {
        if let (Some(proxy), Some(settings)) = (self.forward.get(), forward) {
            proxy.replace(settings);
        }
        self.entrances.replace(entrances);
        if let Err(error) = self.entrances.write_addresses(&self.data_dir, &self.store.place()) {
            tracing::warn!(%error, "the command line on this machine may not find the server");
        }
    }

    async fn prepared_entrances(self: &Arc<Self>, config: &Arc<Config>) -> Result<Prepared, Vec<String>> {
        let config = Arc::clone(config);
        let read = tokio::task::spawn_blocking(move || entrance::prepare(&config)).await;
        read.unwrap_or_else(|_| {
            Err(vec!["the listeners could not be prepared by a fault of the server".to_owned()])
        })
    }

    /// Reads the certificates of the configuration in force anew. Open connections go on with what they have.
    ///
    /// # Errors
    /// What is wrong with the files; then all stays as it is.
    pub(in crate::wire) async fn reload_certificates(self: &Arc<Self>) -> Result<(), Vec<String>> {
        let _one_at_a_time = self.reloading.lock().await;
        let config = self.config.load_full();
        let forward = self.prepared_proxy(&config).await?;
        let entrances = self.prepared_entrances(&config).await?;
        self.let_in(forward, entrances);
        Ok(())
    }

    /// What a configuration says of the proxy; nothing where it is off.
    async fn prepared_proxy(
        self: &Arc<Self>,
        config: &Arc<Config>,
    ) -> Result<Option<gatehouse_proxy::settings::Settings>, Vec<String>> {
        let (live, config) = (Arc::clone(self), Arc::clone(config));
        let read = move || live.forward.get().map(|forward| forward.prepare(&config)).transpose();
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| {
            Err(vec!["the proxy could not be prepared by a fault of the server".to_owned()])
        })
    }

    async fn read_again(self: &Arc<Self>) -> Result<Config, ReloadRefused> {
        let live = Arc::clone(self);
        // Files may be on slow disks.
        match tokio::task::spawn_blocking(move || load(&live.sources)).await {
            Ok(Ok(config)) => Ok(config),
            Ok(Err(mistakes)) => Err(refused(mistakes.0.iter().map(ToString::to_string).collect())),
            Err(_) => {
                Err(refused(vec!["the configuration could not be read by a fault of the server".to_owned()]))
            }
        }
    }

    pub(super) async fn prepared(
        self: &Arc<Self>,
        config: &Config,
        way: &Arc<Way>,
    ) -> Result<Vec<Provided>, Vec<String>> {
        let (sealed, shut) = sealed_keys(config, &self.store, &self.keyring, self.org).await?;
        let (live, wanted, before) = (Arc::clone(self), config.providers.clone(), self.providers());
        // A provider that has a key keeps it; one that has none loses nothing.
        let has_key =
            |name: &str| before.iter().any(|old| old.usable.is_some() && old.configured.name == *name);
        let lost = shut.into_iter().filter(|(name, _)| has_key(name));
        let lost: Vec<String> = lost.map(|(_, problem)| problem).collect();
        if !lost.is_empty() {
            return Err(lost);
        }
        let way = Arc::clone(way);
        let prepared = tokio::task::spawn_blocking(move || {
            let out = Out { egress: &live.egress, way: &way };
            prepare(&wanted, sealed, &before, &out, &live.environment)
        });
        prepared.await.unwrap_or_else(|_| {
            Err(vec!["the providers could not be prepared by a fault of the server".to_owned()])
        })
    }

    /// Reads the master keys of a configuration. None that something is sealed under may be missing among them.
    async fn read_keyring(self: &Arc<Self>, config: &Arc<Config>) -> Result<Keyring, Vec<String>> {
        let (live, wanted) = (Arc::clone(self), Arc::clone(config));
        let read = tokio::task::spawn_blocking(move || {
            secret::keyring(&wanted.secrets, &live.data_dir, true, &live.environment)
        });
        let ring = read
            .await
            .map_err(|_| vec!["the master keys could not be read by a fault of the server".to_owned()])?
            .map_err(|error| vec![format!("secrets: {error}")])?;
        for id in self.keyring.ids().into_iter().filter(|id| !ring.knows(*id)) {
            let counted = self.store.sealed_under(self.org, &id.to_string(), clock::now()).await;
            let count = counted.map_err(|error| vec![error.to_string()])?;
            if count > 0 {
                return Err(vec![format!(
                    "secrets: the master key `{id}` is still needed: {count} texts are sealed under it; keep it in \
                     `secrets.previous_master_keys` until `gatehouse secrets rotate master` was run and \
                     `gatehouse secrets list` shows 0"
                )]);
            }
        }
        Ok(ring)
    }
}

fn refused(mistakes: Vec<String>) -> ReloadRefused {
    ReloadRefused { mistakes }
}

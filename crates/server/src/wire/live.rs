//! What is in force while the server runs: configuration, providers, policy. Each is swapped whole.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use gatehouse_control::access::load_snapshot;
use gatehouse_control::config::{ReloadRefused, Reloaded};
use gatehouse_control::keys::Keys;
use gatehouse_control::portal::{PublicUrl, Rules};
use gatehouse_control::secret::SecretError;
use gatehouse_control::settings::Delivery;
use gatehouse_control::status::{Check, Readiness};
use gatehouse_domain::id::{NodeId, OrgId};
use gatehouse_domain::policy::Snapshot;
use gatehouse_domain::price::PriceTable;
use gatehouse_domain::settings::Catalogue;
use gatehouse_egress::Egress;
use gatehouse_gateway::counters::{Memory, Tally, Together};
use gatehouse_gateway::limits::Limiter;
use gatehouse_gateway::routes::Routes;
use gatehouse_gateway::settings::{Inspection, Settings};
use gatehouse_identity::keyring::Keyring;
use gatehouse_proxy::authority::Authority;
use gatehouse_store::audit::Notary;
use gatehouse_store::pool::Pools;
use gatehouse_store::{Store, StoreError, in_time};

use super::budget::{COUNT, NotCounted, count, count_at_start};
use super::egress::{self, Way};
use super::entrance::{self, Entrances, Prepared};
use super::foundation::master_keys;
use super::fresh::{Freshness, stale};
use super::identity;
use super::inspection;
use super::ledger::Books;
use super::link::Link;
use super::nodes;
use super::portal::SignIn;
use super::probe::LastScrape;
use super::provider::{Out, Provided, SealedKeys, prepare};
use super::proxy::Forward;
use super::rehash::Rehashes;
use crate::config::{Config, Counters, SecretSource, Shown, Sources, changes, load};
use crate::environment::Environment;
use crate::fetch::{Net, Reach};
use crate::log::LogControl;
use crate::{clock, price, secret};

/// How long reading the policy may take. A database that has gone silent must not keep later changes out.
const READ_POLICY: Duration = Duration::from_secs(5);

/// How long a call to what nodes count in together may take. No request waits for it longer than its patience; a call that
/// is only slow must not cut the link.
const CALL: Duration = Duration::from_secs(3);

/// What is in force.
pub(super) struct Live {
    /// Where the configuration comes from.
    pub(super) sources: Sources,
    /// The environment.
    pub(super) environment: Environment,
    /// The configuration in force. Settings that need a restart may be newer here than in force.
    pub(super) config: ArcSwap<Config>,
    /// What the data path is told.
    pub(super) settings: Arc<ArcSwap<Settings>>,
    /// Keys and what they may.
    pub(super) policy: Arc<ArcSwap<Snapshot>>,
    /// What is spent of budgets.
    pub(super) counters: Arc<Tally>,
    link: Option<Link>,
    /// Limits on rates.
    pub(super) limits: Arc<Limiter>,
    /// What is remembered of sessions for routing.
    pub(super) routes: Arc<Routes>,
    /// Settings for clients.
    pub(super) delivery: Arc<Delivery>,
    /// Whether requests will be served, for the data path's own `/readyz`.
    pub(super) ready: Arc<AtomicBool>,
    /// The database.
    pub(super) store: Store,
    /// The organization of this deployment.
    pub(super) org: OrgId,
    /// The master keys.
    pub(super) keyring: Keyring,
    /// The keys that the server makes for itself.
    keys: Arc<Keys>,
    notary: Arc<Notary>,
    pub(super) node: NodeId,
    /// Keys to hash anew.
    pub(super) rehashes: Rehashes,
    /// Whether the keys could not be read last time.
    keys_unread: AtomicBool,
    /// Journal and ledger.
    pub(super) books: Arc<Books>,
    /// The settings at the start.
    started_with: Vec<Shown>,
    providers: Mutex<Vec<Provided>>,
    /// The way out.
    pub(super) egress: Egress,
    /// As it was prepared.
    pub(super) way: Mutex<Arc<Way>>,
    log: LogControl,
    data_dir: PathBuf,
    stopping: AtomicBool,
    reloading: tokio::sync::Mutex<()>,
    /// When the metrics were last read.
    pub(super) scraped: LastScrape,
    /// How fresh the policy is.
    pub(super) fresh: Freshness,
    /// Where clients reach the gateway; a change needs a restart.
    public_url: Option<PublicUrl>,
    /// What answers beside model requests, and its way to identity providers.
    portal: OnceLock<(Arc<SignIn>, Net)>,
    /// The forward proxy, where it is on.
    pub(super) forward: OnceLock<Forward>,
    /// What vouches for the proxy where it looks into tunnels.
    pub(super) authority: Arc<ArcSwapOption<Authority>>,
    /// How the other listeners take connections in.
    pub(super) entrances: Entrances,
}

/// What [`Live::begin`] is given.
pub(super) struct Beginnings {
    pub(super) sources: Sources,
    pub(super) environment: Environment,
    pub(super) config: Config,
    pub(super) prices: PriceTable,
    pub(super) store: Store,
    pub(super) org: OrgId,
    pub(super) keyring: Keyring,
    pub(super) keys: Arc<Keys>,
    pub(super) notary: Arc<Notary>,
    pub(super) node: NodeId,
    pub(super) books: Arc<Books>,
    pub(super) log: LogControl,
    pub(super) data_dir: PathBuf,
}

impl Live {
    /// Puts the configuration and the policy in force for the first time.
    ///
    /// # Errors
    /// What is wrong with the providers' keys, one text each; the database.
    pub(super) async fn begin(parts: Beginnings) -> Result<Self, Vec<String>> {
        let snapshot =
            load_snapshot(&parts.store, parts.org).await.map_err(|error| vec![error.to_string()])?;
        let snapshot = snapshot.with_proofs(parts.keys.proofs(clock::now()));
        let (counters, link) = counting(&parts).await?;
        counters.install(snapshot.budgets(), || parts.books.newest());
        let limits = Arc::new(Limiter::default());
        limits.install(snapshot.limits());
        count_at_start(&counters, &parts.books).await?;
        let delivery = delivery(&parts).await;
        let sealed = sealed_at_start(&parts).await?;
        let way = egress::prepare(&parts.config.egress, None, &|at| secret::resolve(at, &parts.environment))?;
        let egress = Egress::new(Arc::clone(&way.settings));
        let out = Out { egress: &egress, way: &way };
        let providers = prepare(&parts.config.providers, sealed, &[], &out, &parts.environment)?;
        let rules = inspection::rules(&parts.config, &egress)?;
        let entrances = Entrances::new(entrance::prepare(&parts.config)?);
        let settings = settings(&parts.config, parts.prices, &providers, rules);
        let live = Self {
            sources: parts.sources,
            environment: parts.environment,
            started_with: parts.config.shown.clone(),
            public_url: parts.config.listen.public_url.clone(),
            portal: OnceLock::new(),
            scraped: LastScrape::default(),
            forward: OnceLock::new(),
            entrances,
            config: ArcSwap::from_pointee(parts.config),
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            policy: Arc::new(ArcSwap::from_pointee(snapshot)),
            counters,
            link: link.map(|link| link.with_limits(&limits)),
            limits,
            routes: Arc::default(),
            delivery: Arc::new(delivery),
            ready: Arc::new(AtomicBool::new(false)),
            store: parts.store,
            org: parts.org,
            keyring: parts.keyring,
            keys: parts.keys,
            notary: parts.notary,
            node: parts.node,
            rehashes: Rehashes::default(),
            keys_unread: AtomicBool::new(false),
            books: parts.books,
            providers: Mutex::new(providers),
            egress,
            way: Mutex::new(way),
            log: parts.log,
            data_dir: parts.data_dir,
            stopping: AtomicBool::new(false),
            reloading: tokio::sync::Mutex::new(()),
            fresh: Freshness::default(),
            authority: Arc::default(),
        };
        live.refresh_authority().await;
        Ok(live)
    }

    /// Takes over the portal, whose rules a reload replaces.
    pub(super) fn keep_portal(&self, portal: Arc<SignIn>, net: Net) {
        // There is one; a second is never made.
        drop(self.portal.set((portal, net)));
    }

    /// The portal and its way to identity providers; none while the server comes up.
    pub(super) fn reach(&self) -> Option<&(Arc<SignIn>, Net)> {
        self.portal.get()
    }

    /// The data directory.
    pub(super) fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    /// What became of telemetry since the start.
    pub(super) fn telemetry(&self) -> Option<&gatehouse_control::telemetry::Figures> {
        self.portal.get().map(|(portal, _)| &portal.intake().figures)
    }

    /// Prepares the portal's rules.
    pub(super) async fn sign_in_rules(
        self: &Arc<Self>,
        config: Arc<Config>,
        way: Arc<Way>,
    ) -> Result<(Rules, Reach), Vec<String>> {
        let live = Arc::clone(self);
        let prices = Arc::clone(&self.settings.load().prices);
        let prepared = tokio::task::spawn_blocking(move || {
            let out = Out { egress: &live.egress, way: &way };
            identity::prepare(&config, live.public_url.as_ref(), &prices, &out, &live.environment)
        });
        prepared.await.unwrap_or_else(|_| {
            Err(vec!["sign-in could not be prepared by a fault of the server".to_owned()])
        })
    }

    /// The configured providers.
    pub(super) fn providers(&self) -> Vec<Provided> {
        self.providers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the configuration anew and puts it in force, whole or not at all.
    pub(super) async fn reload(self: &Arc<Self>) -> Result<Reloaded, ReloadRefused> {
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
        self.settings.store(Arc::new(settings(&config, prices, &providers, inspection)));
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
    pub(super) async fn reload_certificates(self: &Arc<Self>) -> Result<(), Vec<String>> {
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

    async fn prepared(
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

    /// Takes over providers' keys that were sealed anew.
    pub(super) async fn refresh_keys(self: &Arc<Self>) {
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
    pub(super) async fn refresh_policy(&self) -> Result<(), NotCounted> {
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
    pub(super) async fn write_rehashes(&self) -> Result<(), StoreError> {
        let waiting = self.rehashes.take();
        if !waiting.is_empty() {
            in_time(READ_POLICY, self.store.rehash_keys(self.org, &waiting)).await?;
        }
        Ok(())
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

    /// Tells the other nodes that this one is there, and which master keys it knows.
    pub(super) async fn tell_presence(&self) -> Result<(), StoreError> {
        let tells = nodes::tells(self);
        self.store.touch_node(self.node, &master_keys(&self.keyring), &tells, clock::now()).await
    }

    /// The link to the other nodes, where they count together.
    pub(super) fn link(&self) -> Option<Link> {
        self.link.clone()
    }

    /// No more requests from now on.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.judge();
    }

    /// Judges whether requests will be served, and tells the data path.
    pub(super) fn judge(&self) -> Readiness {
        let problem = |bad: bool, text: &str| bad.then(|| text.to_owned());
        let (stale, serves) = stale(self.fresh.age(), self.config.load().policy);
        let provider = !self.settings.load().providers.iter().any(|provider| provider.has_credential());
        let checks = [
            ("server", problem(self.stopping.load(Ordering::Acquire), "the server is stopping")),
            ("provider", problem(provider, "no provider with a key is configured")),
            ("journal", self.books.refusing()),
            ("egress", egress::trouble(self)),
        ];
        let ready = serves && checks.iter().all(|(_, problem)| problem.is_none());
        self.ready.store(ready, Ordering::Release);
        let check =
            |(name, problem): (&'static str, Option<String>)| Check { name, ok: problem.is_none(), problem };
        Readiness { ready, checks: checks.into_iter().chain([("policy", stale)]).map(check).collect() }
    }
}

/// Where budgets are counted, and the link to the other nodes if they are counted together.
async fn counting(parts: &Beginnings) -> Result<(Arc<Tally>, Option<Link>), Vec<String>> {
    let Counters::Together { url, patience, .. } = &parts.config.counters else {
        nodes::alone(parts).await?;
        return Ok((Arc::new(Tally::Alone(Memory::default())), None));
    };
    let pools = Pools::open(url, parts.org, parts.node, parts.books.run(), CALL)
        .map_err(|error| vec![format!("counters.url: {error}")])?;
    let together = Arc::new(Together::new(*patience));
    let link =
        Link::new(pools, Arc::clone(&together), Arc::clone(&parts.books), parts.store.clone(), parts.node);
    Ok((Arc::new(Tally::Together(together)), Some(link)))
}

fn refused(mistakes: Vec<String>) -> ReloadRefused {
    ReloadRefused { mistakes }
}

fn settings(
    config: &Config,
    prices: PriceTable,
    providers: &[Provided],
    inspection: Option<Arc<Inspection>>,
) -> Settings {
    Settings {
        limits: config.gateway.limits.clone(),
        client_gone: config.gateway.client_gone.clone(),
        providers: usable(providers),
        prices: Arc::new(prices),
        proxies: config.listen.proxies.clone(),
        classes: config.data_class.order.clone(),
        class_header: config.data_class.header.clone(),
        routing: Arc::new(config.routes.routing.clone()),
        inspection,
    }
}

fn usable(providers: &[Provided]) -> Vec<Arc<gatehouse_gateway::settings::Provider>> {
    providers.iter().filter_map(|provided| provided.usable.clone()).collect()
}

/// What is published for clients.
async fn delivery(parts: &Beginnings) -> Delivery {
    let delivery = Delivery::new(Catalogue::builtin());
    if let Err(error) = delivery.refresh(&parts.store, parts.org).await {
        // Model requests do not depend on it. Clients that ask for settings are told to wait.
        tracing::error!(%error, "what settings are published cannot be read");
    }
    delivery
}

/// Providers' keys that are sealed and open.
async fn sealed_at_start(parts: &Beginnings) -> Result<SealedKeys, Vec<String>> {
    let (sealed, shut) = sealed_keys(&parts.config, &parts.store, &parts.keyring, parts.org).await?;
    for (provider, problem) in shut {
        // The server must run for another key to be given; the provider is without one until then.
        tracing::error!(provider, problem, "the provider has no key: seal it anew");
    }
    Ok(sealed)
}

/// Opens the keys that are sealed in the store, and tells of those that do not open, by the provider's name.
async fn sealed_keys(
    config: &Config,
    store: &Store,
    keyring: &Keyring,
    org: OrgId,
) -> Result<(SealedKeys, Vec<(String, String)>), Vec<String>> {
    let (mut keys, mut shut) = (SealedKeys::new(), Vec::new());
    for provider in &config.providers {
        let Some(SecretSource::Sealed(name)) = &provider.api_key else { continue };
        let told = |error: SecretError| format!("provider[{}].api_key: {error}", provider.name);
        match gatehouse_control::secret::provider_key(store, keyring, org, name).await {
            Ok(Some(key)) => {
                keys.insert(name.clone(), key);
            }
            Ok(None) => {}
            Err(error @ SecretError::Seal { .. }) => shut.push((provider.name.clone(), told(error))),
            Err(error @ SecretError::Store(_)) => return Err(vec![told(error)]),
        }
    }
    Ok((keys, shut))
}

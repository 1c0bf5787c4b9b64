//! The first time that a configuration and a policy come into force.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;
use gatehouse_control::access::load_snapshot;
use gatehouse_control::keys::Keys;
use gatehouse_control::settings::Delivery;
use gatehouse_domain::id::{NodeId, OrgId};
use gatehouse_domain::price::PriceTable;
use gatehouse_domain::settings::Catalogue;
use gatehouse_egress::Egress;
use gatehouse_gateway::counters::{Memory, Tally, Together};
use gatehouse_gateway::limits::Limiter;
use gatehouse_identity::keyring::Keyring;
use gatehouse_store::Store;
use gatehouse_store::audit::Notary;
use gatehouse_store::pool::Pools;

use super::data_path::{sealed_keys, settings};
use super::{CALL, Live};
use crate::config::{Config, Counters, Sources};
use crate::environment::Environment;
use crate::log::LogControl;
use crate::wire::budget::count_at_start;
use crate::wire::egress;
use crate::wire::entrance::{self, Entrances};
use crate::wire::fresh::Freshness;
use crate::wire::inspection;
use crate::wire::ledger::Books;
use crate::wire::link::Link;
use crate::wire::nodes;
use crate::wire::probe::LastScrape;
use crate::wire::protection;
use crate::wire::provider::{Out, SealedKeys, prepare};
use crate::wire::rehash::Rehashes;
use crate::{clock, secret};

/// What [`Live::begin`] is given.
pub(in crate::wire) struct Beginnings {
    pub(in crate::wire) sources: Sources,
    pub(in crate::wire) environment: Environment,
    pub(in crate::wire) config: Config,
    pub(in crate::wire) prices: PriceTable,
    pub(in crate::wire) store: Store,
    pub(in crate::wire) org: OrgId,
    pub(in crate::wire) keyring: Keyring,
    pub(in crate::wire) keys: Arc<Keys>,
    pub(in crate::wire) notary: Arc<Notary>,
    pub(in crate::wire) node: NodeId,
    pub(in crate::wire) books: Arc<Books>,
    pub(in crate::wire) log: LogControl,
    pub(in crate::wire) data_dir: PathBuf,
}

impl Live {
    /// Puts the configuration and the policy in force for the first time.
    ///
    /// # Errors
    /// What is wrong with the providers' keys, one text each; the database.
    pub(in crate::wire) async fn begin(parts: Beginnings) -> Result<Self, Vec<String>> {
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
        let protection = protection::ready(&parts.config, None);
        let settings = settings(&parts.config, parts.prices, &providers, rules, protection);
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

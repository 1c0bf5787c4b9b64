//! What is in force while the server runs: configuration, providers, policy. Each is swapped whole.

mod beginning;
mod data_path;
mod refresh;
mod reload;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use gatehouse_control::keys::Keys;
use gatehouse_control::portal::{PublicUrl, Rules};
use gatehouse_control::settings::Delivery;
use gatehouse_control::status::{Check, Readiness};
use gatehouse_domain::id::{NodeId, OrgId};
use gatehouse_domain::policy::Snapshot;
use gatehouse_egress::Egress;
use gatehouse_gateway::counters::Tally;
use gatehouse_gateway::limits::Limiter;
use gatehouse_gateway::routes::Routes;
use gatehouse_gateway::settings::Settings;
use gatehouse_identity::keyring::Keyring;
use gatehouse_proxy::authority::Authority;
use gatehouse_store::Store;
use gatehouse_store::audit::Notary;

pub(super) use beginning::Beginnings;

use super::egress;
use super::egress::Way;
use super::entrance::Entrances;
use super::fresh::{Freshness, stale};
use super::identity;
use super::ledger::Books;
use super::link::Link;
use super::portal::SignIn;
use super::probe::LastScrape;
use super::provider::{Out, Provided};
use super::proxy::Forward;
use super::rehash::Rehashes;
use crate::config::{Config, Shown, Sources};
use crate::environment::Environment;
use crate::fetch::{Net, Reach};
use crate::log::LogControl;

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

impl Live {
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

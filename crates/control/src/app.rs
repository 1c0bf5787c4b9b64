//! What the management plane works with, built once by the server.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_domain::budget::Standing;
use gatehouse_domain::data_class::DataClasses;
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::id::{BudgetId, NodeId, OrgId};
use gatehouse_domain::key::Pepper;
use gatehouse_domain::limit::Level;
use gatehouse_domain::maintenance::Due;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::price::Rates;
use gatehouse_domain::readiness::{Finding, Item};
use gatehouse_domain::settings::lint::ModelState;
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::zone::Zone;
use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::ldap::Directory;
use gatehouse_store::Store;
use gatehouse_store::audit::Notary;

use crate::attempts::Attempts;
use crate::backup;
use crate::config::{ReloadRefused, Reloaded};
use crate::directory::Configured;
use crate::inspection;
use crate::keys::Keys;
use crate::log_forward::Destination;
use crate::provider::ProviderInfo;
use crate::route::{RouteExplained, RouteQuestion};
use crate::settings::{Delivery, Rules};
use crate::status::{CountersState, LedgerState, Readiness};

/// Where people's machines reach what this deployment offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// The gateway, without a `/` at its end.
    pub gateway_url: String,
    /// Whether that is the address that was configured for the outside; else nobody can sign in.
    pub is_public: bool,
    /// The forward proxy.
    pub proxy_url: Option<String>,
    /// Where machines have the certificate of the authority that the proxy's certificates come from.
    pub proxy_ca_file: Option<String>,
}

/// An answer that takes a while.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The ledger did not catch up in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger did not catch up in time")]
pub struct NotFlushed;

/// Whether this node decides by a change of the policy already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "whoever asked for the change is told"]
pub enum InForce {
    /// It does.
    Now,
    /// Not yet: the database did not hand the new policy out in time. It comes into force as soon as it does.
    Later,
}

/// Fills with random bytes.
pub type Fill = Box<dyn Fn(&mut [u8]) + Send + Sync>;

/// How the budgets stand that count what somebody spends.
pub type BudgetsOf = Box<dyn Fn(&Principal) -> Vec<Standing> + Send + Sync>;

/// How the limits on rates stand that count what somebody asks, with this model or with whatever model.
pub type LimitsOf = Box<dyn Fn(&Principal, Option<&str>) -> Vec<Level> + Send + Sync>;

/// The most that a request to a model can cost, of so many input and output tokens.
pub type WorstCost = Box<dyn Fn(&str, u64, u64) -> Nanos + Send + Sync>;

/// Says where a request would go.
pub type ExplainRoute = Box<dyn Fn(&RouteQuestion) -> RouteExplained + Send + Sync>;
/// The prices of a model, by its name.
pub type RatesOf = Box<dyn Fn(&str) -> Option<Rates> + Send + Sync>;

/// Makes a directory ready to be asked, by its name.
pub type OpenDirectory = Box<dyn Fn(&str) -> Opened + Send + Sync>;

/// A directory that is ready to be asked, or a sentence why it is not.
pub type Opened = Later<Result<Directory, String>>;

/// Everything the acts need. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

impl App {
    /// Takes the parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The time.
    pub fn now(&self) -> UnixMillis {
        (self.0.house.now)()
    }

    /// Fresh random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0.house.random)(&mut bytes);
        bytes
    }

    /// The pepper that credentials are hashed with now.
    pub fn pepper(&self) -> Pepper {
        self.0.keys.pepper(self.now())
    }

    /// Fresh random bits for an identifier.
    pub fn random_bits(&self) -> u128 {
        u128::from_le_bytes(self.random())
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("org", &self.org).field("node", &self.node).finish_non_exhaustive()
    }
}

/// The parts of an [`App`].
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The organization of this deployment.
    pub org: OrgId,
    /// The keys that the server makes for itself.
    pub keys: Arc<Keys>,
    /// The master keys, for sealing.
    pub keyring: Keyring,
    /// Signs audit checkpoints, and remembers the newest.
    pub notary: Arc<Notary>,
    /// This node, as it stands in audit checkpoints.
    pub node: NodeId,
    /// The version of the running program.
    pub version: &'static str,
    /// When the program started.
    pub started_at: UnixMillis,
    /// Failed sign-ins of the last minute.
    pub attempts: Attempts,
    /// Settings for clients; the data path asks it too.
    pub settings: Arc<Delivery>,
    /// What the rest of the process does for the management plane.
    pub house: House,
}

/// What the rest of the process does for the management plane: time, chance and the parts that the management plane
/// does not see. All of them return at once, except those that answer [`Later`].
pub struct House {
    /// The time.
    pub now: Box<dyn Fn() -> UnixMillis + Send + Sync>,
    /// Fills with random bytes fit for keys.
    pub random: Fill,
    /// Called after a change of what the data path decides by, so that this node need not wait for its next poll. Waits
    /// (bounded by the server) until this node decides by it. The change is noted by the call itself, also if nobody waits
    /// for the answer.
    pub policy_changed: Box<dyn Fn() -> Later<InForce> + Send + Sync>,
    /// Called after a provider's key was sealed anew or removed, with the provider's name, so that it is so from now on.
    pub provider_key_changed: Box<dyn Fn(&str) + Send + Sync>,
    /// How long ago this node last knew that the policy it decides by is the newest.
    pub policy_age: Box<dyn Fn() -> Duration + Send + Sync>,
    /// The version of the policy snapshot that this node decides by now.
    pub snapshot_version: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Waits until every exchange that has ended is in the database (bounded by the server), so that whoever has seen
    /// a reply finds it in `usage` and `exchanges`.
    pub flush_ledger: Box<dyn Fn() -> Later<Result<(), NotFlushed>> + Send + Sync>,
    /// How this node counts budgets and limits.
    pub counters: Box<dyn Fn() -> CountersState + Send + Sync>,
    /// How far the ledger is behind.
    pub ledger: Box<dyn Fn() -> LedgerState + Send + Sync>,
    /// Reads the configuration anew and puts it in force, whole or not at all.
    pub reload: Box<dyn Fn() -> Later<Result<Reloaded, ReloadRefused>> + Send + Sync>,
    /// The configuration in force, without secrets.
    pub effective_config: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// The address of the SCIM endpoints as directories reach it, without a `/` at its end.
    pub scim_base: Box<dyn Fn() -> String + Send + Sync>,
    /// The address where people sign in, without a `/` at its end; none when nobody can.
    pub sign_in_base: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// Where people's machines reach what this deployment offers.
    pub ways: Box<dyn Fn() -> Ways + Send + Sync>,
    /// Where the log is handed to, as configured.
    pub log_forwards: Box<dyn Fn() -> Vec<Destination> + Send + Sync>,
    /// What the rest of the process knows that has its day: certificates, prices, models.
    pub dated: Box<dyn Fn() -> Later<Vec<Due>> + Send + Sync>,
    /// The directories that are read by LDAP, as configured.
    pub directories: Box<dyn Fn() -> Vec<Configured> + Send + Sync>,
    /// Makes the directory of this name ready to be asked; a sentence when that cannot be done.
    pub open_directory: OpenDirectory,
    /// What is known of the inspection of what goes through the forward proxy.
    pub inspection: inspection::Face,
    /// What the configuration says of settings for clients.
    pub settings_rules: Box<dyn Fn() -> Rules + Send + Sync>,
    /// The order of data classes.
    pub data_classes: Box<dyn Fn() -> DataClasses + Send + Sync>,
    /// What is known of a model.
    pub model_state: Box<dyn Fn(&str) -> ModelState + Send + Sync>,
    /// How a budget stands on this node; `None` while it is not counted yet.
    pub budget: Box<dyn Fn(BudgetId) -> Option<Standing> + Send + Sync>,
    /// How the budgets stand that count what somebody spends.
    pub budgets_of: BudgetsOf,
    /// How the limits on rates stand that count what somebody asks.
    pub limits_of: LimitsOf,
    /// How long records are kept.
    pub retention: Box<dyn Fn() -> crate::retention::Rules + Send + Sync>,
    /// The time zone of a budget whose maker names none.
    pub budget_zone: Box<dyn Fn() -> Zone + Send + Sync>,
    /// The most that a request to a model can cost, of so many input and output tokens.
    pub worst_cost: WorstCost,
    /// What the rest of the process knows of the forward proxy.
    pub proxy: crate::proxy::Face,
    /// The prices of a model at ordinary speed, without discount; `None` when they are not known.
    pub rates: RatesOf,
    /// The configured providers.
    pub providers: Box<dyn Fn() -> Vec<ProviderInfo> + Send + Sync>,
    /// Says where a request would go on this node now.
    pub explain_route: ExplainRoute,
    /// Whether requests will be served.
    pub readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
    /// What this node can find out of the readiness checklist. Answers within some seconds.
    pub probes: Box<dyn Fn() -> Later<BTreeMap<Item, Finding>> + Send + Sync>,
    /// What the configuration says of backups; a sentence when the passphrase cannot be had.
    pub backups: Box<dyn Fn() -> Result<backup::Rule, String> + Send + Sync>,
    /// What the rest of the process does for alerts.
    pub alerts: crate::alert::Face,
    /// The metrics in the Prometheus text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

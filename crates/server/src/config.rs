//! The configuration: defaults that the binary carries, a TOML file over them, variables over that, flags over all.
//!
//! [`load`] reports every mistake at once. What each setting does is told in `config.default.toml`, which is also where
//! the defaults come from.

mod mistake;
pub(crate) mod tree;
mod variable;
mod read;
mod section;
mod provider;
mod identity;
mod ci;
mod data_class;
mod data_protection;
mod directory;
mod proxy;
mod egress;
mod provider_report;
mod inspection;
mod tls;
mod pricing;
mod backup;
mod budget;
mod log_forward;
mod routing;
mod retention;
mod export;
mod telemetry;
mod mode;
mod alert;
mod show;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) use alert::{Address, Alerts, Channel, Encryption, HookKind, Mail, Receiver};
pub(crate) use backup::Backup;
pub(crate) use budget::Budgets;
pub(crate) use ci::{Ci, CiRule};
pub(crate) use data_class::DataClass;
pub(crate) use data_protection::DataProtection;
pub(crate) use directory::Directory;
pub(crate) use egress::{Egress, Parent, Special};
pub(crate) use export::Export;
pub(crate) use identity::{ClientAuth, Identity, Oidc};
pub(crate) use inspection::Inspection;
pub(crate) use log_forward::{Confirm, ForwardKind, LogForward, Transport};
pub(crate) use mistake::{Mistake, Mistakes};
pub(crate) use mode::Mode;
pub(crate) use pricing::Pricing;
pub(crate) use provider::{Amazon, Cloud, CloudCredential, Provider, SecretSource, TagOf};
pub(crate) use provider_report::ProviderReport;
pub(crate) use proxy::Proxy;
pub(crate) use retention::Retention;
pub(crate) use routing::Routes;
pub(crate) use section::{
    Audit, Counters, Drain, Gateway, Journal, Listen, Log, LogFormat, MasterKeySource, Policy, Scim, Secrets,
    Settings, Store, WhenOthers, WhenStale,
};
pub(crate) use show::{Shown, changes};
pub(crate) use telemetry::{Collector, Telemetry};
pub(crate) use tls::Tls;
pub(crate) use tree::Origin;

use read::{Reader, Section};
use tree::Node;

/// The defaults and the manual.
pub(crate) const DEFAULTS: &str = include_str!("../../../config.default.toml");

/// Every setting, checked.
pub(crate) struct Config {
    /// Addresses to listen on.
    pub(crate) listen: Listen,
    /// The database.
    pub(crate) store: Store,
    /// Where nodes count together; in this release each counts for itself.
    pub(crate) counters: Counters,
    /// Bounds of the data path.
    pub(crate) gateway: Gateway,
    /// TLS on our listeners.
    pub(crate) tls: Tls,
    /// The forward proxy.
    pub(crate) proxy: Proxy,
    /// The way out.
    pub(crate) egress: Egress,
    /// What the forward proxy looks into.
    pub(crate) inspection: Inspection,
    /// Sizes of the journal.
    pub(crate) journal: Journal,
    /// How the node stops.
    pub(crate) drain: Drain,
    /// How long the node may go by the policy it has.
    pub(crate) policy: Policy,
    /// What settings for clients may do.
    pub(crate) settings: Settings,
    /// How sensitive data can be.
    pub(crate) data_class: DataClass,
    /// What is looked for in requests.
    pub(crate) data_protection: DataProtection,
    /// What is logged and how.
    pub(crate) log: Log,
    /// When the audit log is signed.
    pub(crate) audit: Audit,
    /// Backups that are made by themselves.
    pub(crate) backup: Backup,
    /// What directories are told by SCIM.
    pub(crate) scim: Scim,
    /// Where the master keys come from.
    pub(crate) secrets: Secrets,
    /// How people sign in.
    pub(crate) identity: Identity,
    /// What things cost.
    pub(crate) pricing: Pricing,
    /// What holds for budgets that say nothing else.
    pub(crate) budgets: Budgets,
    /// How long records are kept.
    pub(crate) retention: Retention,
    /// What becomes of telemetry.
    pub(crate) telemetry: Telemetry,
    /// Where the forward proxy is, for who begins.
    pub(crate) mode: Mode,
    /// Providers, in order of preference.
    pub(crate) providers: Vec<Provider>,
    /// The providers' own reports.
    pub(crate) provider_reports: Vec<ProviderReport>,
    /// Which provider a request goes to.
    pub(crate) routes: Routes,
    /// Alerts.
    pub(crate) alerts: Alerts,
    /// Where the log is handed to.
    pub(crate) log_forwards: Vec<LogForward>,
    /// Directories that are read by LDAP.
    pub(crate) directories: Vec<Directory>,
    /// Every effective setting as text, secrets left out.
    pub(crate) shown: Vec<Shown>,
}

/// Where a configuration comes from.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    /// The file, if one was named.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) variables: BTreeMap<String, String>,
    /// `SECTION.KEY=VALUE` texts from the command line.
    pub(crate) flags: Vec<String>,
}

/// Reads and checks a configuration.
pub(crate) fn load(sources: &Sources) -> Result<Config, Mistakes> {
    let mut mistakes = Vec::new();
    let file = sources.file.as_deref().and_then(|path| read_file(path, &mut mistakes));
    let tree = merge(file, sources, &mut mistakes);
    understand(&tree, mistakes)
}

fn read_file(path: &Path, mistakes: &mut Vec<Mistake>) -> Option<Node> {
    let name = path.display().to_string();
    let found = std::fs::read(path).map_err(|error| error.to_string());
    match found.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())) {
        Ok(text) => Some(tree::parse(&name, &text, mistakes)),
        Err(error) => {
            let origin = Origin::File(name.into(), 1);
            mistakes.push(Mistake::new(origin, "", format!("cannot read the configuration: {error}")));
            None
        }
    }
}

fn merge(file: Option<Node>, sources: &Sources, mistakes: &mut Vec<Mistake>) -> Node {
    let mut tree = defaults();
    if let Some(file) = file {
        tree.overlay(file);
    }
    variable::overlay_variables(&mut tree, &sources.variables, mistakes);
    variable::overlay_flags(&mut tree, &sources.flags, mistakes);
    provider::add_default(&mut tree, &sources.variables);
    tree
}

fn defaults() -> Node {
    let mut mistakes = Vec::new();
    let mut tree = tree::parse("config.default.toml", DEFAULTS, &mut mistakes);
    tree.mark_default();
    tree
}

fn understand(tree: &Node, mistakes: Vec<Mistake>) -> Result<Config, Mistakes> {
    let reader = Reader::new(mistakes);
    let config = reader.section("", tree, None, |top| read_all(top, tree));
    let mut mistakes = reader.into_mistakes();
    mistakes.sort_by_key(Mistake::line);
    match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        _ => Err(Mistakes(mistakes)),
    }
}

/// What concerns connections, in and out.
fn network(top: &Section<'_, '_>) -> (Option<Tls>, Option<Proxy>, Option<Egress>, Option<Inspection>) {
    let tls = top.section("tls", tls::tls);
    let proxy = top.section("proxy", proxy::proxy);
    let egress = top.section("egress", egress::egress);
    (tls, proxy, egress, top.section("inspection", inspection::inspection))
}

/// What concerns the data that is sent to models.
fn data(top: &Section<'_, '_>) -> (Option<DataClass>, Option<DataProtection>) {
    let class = top.section("data_class", data_class::data_class);
    (class, top.section("data_protection", data_protection::data_protection))
}

fn read_all(top: &Section<'_, '_>, tree: &Node) -> Option<Config> {
    let listen = top.section("listen", section::listen);
    let store = top.section("store", section::store);
    let counters = top.section("counters", section::counters);
    let gateway = top.section("gateway", section::gateway);
    let (tls, proxy, egress, inspection) = network(top);
    let journal = top.section("journal", section::journal);
    let drain = top.section("drain", section::drain);
    let policy = top.section("policy", section::policy);
    let settings = top.section("settings", section::settings);
    let (data_class, data_protection) = data(top);
    let log = top.section("log", section::log);
    let audit = top.section("audit", section::audit);
    let backup = top.section("backup", backup::backup);
    let scim = top.section("scim", section::scim);
    let secrets = top.section("secrets", section::secrets);
    let identity = top.section("identity", identity::identity);
    let pricing = top.section("pricing", pricing::pricing);
    let budgets = top.section("budgets", budget::budgets);
    let retention = top.section("retention", retention::retention);
    let (telemetry, mode) = (top.section("telemetry", telemetry::telemetry), top.section("mode", mode::mode));
    let providers = provider::providers(top);
    let provider_reports = provider_report::provider_reports(top);
    let routes = routing::routes(top, &providers);
    let log_forwards = log_forward::log_forwards(top);
    let directories = directory::directories(top);
    let alerts = top.section("alerts", alert::alerts);
    Some(Config {
        listen: listen??,
        store: store??,
        counters: counters??,
        gateway: gateway?,
        tls: tls?,
        proxy: proxy?,
        egress: egress?,
        inspection: inspection?,
        journal: journal?,
        drain: drain?,
        policy: policy?,
        settings: settings?,
        data_class: data_class?,
        data_protection: data_protection?,
        log: log??,
        audit: audit?,
        backup: backup?,
        scim: scim??,
        secrets: secrets??,
        identity: identity?,
        budgets: budgets??,
        retention: retention?,
        pricing: pricing?,
        telemetry: telemetry?,
        mode: mode?,
        providers,
        provider_reports,
        routes: routes?,
        log_forwards,
        directories,
        alerts: alerts?,
        shown: show::settings(tree),
    })
}

#[cfg(test)]
mod tests;

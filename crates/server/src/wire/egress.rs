//! The way out, from the configuration: reads certificates and passwords, all mistakes at once, and looks after parents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use gatehouse_domain::proxy::Destination;
use gatehouse_domain::readiness::Finding;
use gatehouse_egress::tls::{Special, Trust};
use gatehouse_egress::{Parent, ParentSpec, ParentState, Settings};
use gatehouse_identity::secret::Secret;
use sha2::{Digest as _, Sha256};
use tokio::time::{MissedTickBehavior, interval};

use super::directory::Resolve;
use super::live::Live;
use crate::config::{self, Config, SecretSource};
use crate::environment::Environment;
use crate::fetch::WayOut;
use crate::secret;

/// How often it is seen whether a parent is to be looked at.
const LOOK: Duration = Duration::from_millis(500);

/// The way out, as it was prepared.
pub(super) struct Way {
    configured: config::Egress,
    /// Digests of the files that were read.
    files: BTreeMap<PathBuf, [u8; 32]>,
    passwords: Vec<Secret>,
    /// What is put in force.
    pub(super) settings: Arc<Settings>,
    /// Hosts with certificates of their own.
    pub(super) special: Arc<[Special]>,
}

/// What is read on the way.
#[derive(Default)]
struct Reading {
    files: BTreeMap<PathBuf, [u8; 32]>,
    passwords: Vec<Secret>,
}

impl Reading {
    fn file(&mut self, setting: &str, path: &Path) -> Result<Vec<u8>, String> {
        let bytes = std::fs::read(path)
            .map_err(|error| format!("{setting}: cannot read `{}`: {error}", path.display()))?;
        self.files.insert(path.to_owned(), Sha256::digest(&bytes).into());
        Ok(bytes)
    }
}

/// Prepares the way out. One that is as it was before is the same one: its parents keep what is known of them. May run commands:
/// blocks.
pub(super) fn prepare(
    configured: &config::Egress,
    before: Option<&Arc<Way>>,
    resolve: Resolve<'_>,
) -> Result<Arc<Way>, Vec<String>> {
    let (mut mistakes, mut reading) = (Vec::new(), Reading::default());
    let mut special = Vec::new();
    for one in &configured.special {
        match special_of(one, &mut reading) {
            Ok(made) => special.push(made),
            Err(what) => mistakes.push(format!("egress.destination[{}].{what}", one.name)),
        }
    }
    let (mut parents, mut trust) = (Vec::new(), Trust::new(&special));
    for one in &configured.parents {
        match parent_of(one, &mut trust, &mut reading, resolve) {
            Ok(made) => parents.push(Arc::new(made)),
            Err(what) => mistakes.push(format!("egress.parent[{}].{what}", one.name)),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let Reading { files, passwords } = reading;
    if let Some(before) = before.filter(|before| before.is_of(configured, &files, &passwords)) {
        return Ok(Arc::clone(before));
    }
    let settings = Arc::new(Settings {
        parents,
        exempt: configured.exempt.clone(),
        internal: configured.internal.clone(),
        connect: configured.connect,
        retry: configured.retry,
    });
    Ok(Arc::new(Way { configured: configured.clone(), files, passwords, settings, special: special.into() }))
}

impl Way {
    /// Whether it is what would be made of these.
    fn is_of(
        &self,
        configured: &config::Egress,
        files: &BTreeMap<PathBuf, [u8; 32]>,
        passwords: &[Secret],
    ) -> bool {
        self.configured == *configured
            && self.files == *files
            && self.passwords.len() == passwords.len()
            && self.passwords.iter().zip(passwords).all(|(own, other)| own.same_as(other))
    }
}

fn special_of(one: &config::Special, reading: &mut Reading) -> Result<Special, String> {
    let ca = one.ca_file.as_deref().map(|path| reading.file("ca_file", path)).transpose()?;
    let identity = match &one.identity {
        None => None,
        Some((chain, key)) => {
            let chain = reading.file("client_certificate", chain)?;
            Some((chain, zeroize::Zeroizing::new(reading.file("client_key", key)?)))
        }
    };
    let identity = identity.as_ref().map(|(chain, key)| (chain.as_slice(), key.as_slice()));
    Special::new(one.hosts.clone(), ca.as_deref(), identity)
}

fn parent_of(
    one: &config::Parent,
    trust: &mut Trust<'_>,
    reading: &mut Reading,
    resolve: Resolve<'_>,
) -> Result<Parent, String> {
    let tls = if one.is_https {
        if let Some(path) = &one.ca_file {
            reading.file("ca_file", path)?;
        }
        let made = trust.with(&one.at.host, one.ca_file.as_deref());
        // What it says begins with the setting where that is known.
        Some(made.map_err(|why| if why.starts_with("ca_file: ") { why } else { format!("ca_file: {why}") })?)
    } else {
        None
    };
    let password = match &one.credentials {
        None => None,
        Some((_, source)) => {
            let found = resolve(source).map_err(|error| format!("password: {error}"))?;
            Some(found.ok_or("password: it cannot be sealed in the store")?)
        }
    };
    let name = one.credentials.as_ref().map(|(name, _)| name.as_str());
    let credentials = name.zip(password.as_ref()).map(|(name, password)| (name, password.expose()));
    let parent = Parent::new(ParentSpec { name: &one.name, at: one.at.clone(), tls, credentials });
    reading.passwords.extend(password);
    Ok(parent)
}

/// What would keep a server with this configuration from starting here. Runs no commands.
pub(crate) fn mistakes(config: &Config, environment: &Environment) -> Vec<String> {
    let resolve = |at: &SecretSource| match at {
        SecretSource::Exec(_) => Ok(Some(Secret::new(b"not looked up".to_vec()))),
        SecretSource::Env(_) | SecretSource::File(_) | SecretSource::Sealed(_) => {
            secret::resolve(at, environment)
        }
    };
    prepare(&config.egress, None, &resolve).err().unwrap_or_default()
}

impl Live {
    /// The way out, as it is in force.
    pub(super) fn way(&self) -> Arc<Way> {
        Arc::clone(&self.way.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The way out to what the configuration names.
    pub(super) fn way_out(&self) -> WayOut {
        WayOut { egress: self.egress.clone(), special: Arc::clone(&self.way().special) }
    }

    /// What a configuration says of the way out.
    pub(super) async fn prepared_way(
        self: &Arc<Self>,
        config: &Arc<Config>,
    ) -> Result<Arc<Way>, Vec<String>> {
        let (live, config) = (Arc::clone(self), Arc::clone(config));
        let read =
            move || prepare(&config.egress, Some(&live.way()), &|at| secret::resolve(at, &live.environment));
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| {
            Err(vec!["the way out could not be prepared by a fault of the server".to_owned()])
        })
    }
}

/// Looks after parents: finds out whether they work before anybody needs them, and when they work again.
pub(super) async fn job(live: Arc<Live>) {
    let mut clock = interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let first: Vec<Destination> = providers(&live);
        live.egress.look_after(&first).await;
    }
}

fn providers(live: &Live) -> Vec<Destination> {
    live.settings.load().providers.iter().map(|provider| provider.place.clone()).collect()
}

/// Why no provider can be reached through parents, where all of them need one; nothing as long as one works, or is not known
/// not to.
pub(super) fn trouble(live: &Live) -> Option<String> {
    let parents = live.egress.parents();
    let is_needed = || {
        let providers = providers(live);
        !providers.is_empty() && providers.iter().all(|place| live.egress.is_by_parent(place))
    };
    if parents.is_empty() || parents.iter().any(|parent| parent.trouble.is_none()) || !is_needed() {
        return None;
    }
    Some(format!("no parent proxy works: {}", told(&parents)))
}

fn told(parents: &[ParentState]) -> String {
    let one = |parent: &ParentState| {
        let state = match (&parent.trouble, parent.asked) {
            (Some(why), _) => why.to_string(),
            (None, true) => "works".to_owned(),
            (None, false) => "was not asked yet".to_owned(),
        };
        format!("`{}`: {state}", parent.name)
    };
    parents.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// How the parents fare, for the checklist; nothing where there are none.
pub(super) fn finding(live: &Live) -> Option<Finding> {
    let parents = live.egress.parents();
    let broken = parents.iter().filter(|parent| parent.trouble.is_some()).count();
    if parents.is_empty() {
        return None;
    }
    let text = format!("parent proxies: {}", told(&parents));
    Some(match broken {
        0 => Finding::Good(text),
        some if some < parents.len() => Finding::Poor(text),
        _ => Finding::Bad(text),
    })
}

/// Figures for `/metrics`.
pub(super) fn figures(live: &Live) {
    for parent in live.egress.parents() {
        let up = if parent.trouble.is_none() { 1.0 } else { 0.0 };
        metrics::gauge!("gatehouse_egress_parent_up", "parent" => parent.name).set(up);
    }
}

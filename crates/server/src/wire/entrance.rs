//! How our listeners (but the forward proxy's) take connections in: rules from the configuration, certificates that are read anew
//! when their files change, and where the listeners are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use gatehouse_listener::tls::{Files, Tls, Trace};
use gatehouse_listener::{Entrance, Rules};
use gatehouse_store::Place;
use metrics::gauge;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::live::Live;
use crate::cli::{Failure, LISTEN_FILE};
use crate::config::Config;
use crate::{clock, secret};

/// How often it is seen whether files have changed.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is said that a certificate ends soon.
const TELL: i64 = 24 * 3600;
/// A certificate that ends within so many seconds is worth a word.
const SOON: i64 = 30 * TELL;

/// The entrances of the process.
pub(super) struct Entrances {
    /// The gateway's.
    pub(super) gateway: Arc<Entrance>,
    /// That of the management API.
    pub(super) admin: Arc<Entrance>,
    /// That for telemetry by gRPC.
    pub(super) otlp: Arc<Entrance>,
    bound: OnceLock<Bound>,
    /// When certificates end, by listener, in seconds since 1970 (UTC).
    ends: Mutex<Vec<(&'static str, i64)>>,
}

/// Where the listeners are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// The gateway.
    pub(super) gateway: SocketAddr,
    /// The management API.
    pub(super) admin: SocketAddr,
    /// The others that are on, by name.
    pub(super) further: [(&'static str, Option<SocketAddr>); 2],
}

/// Rules that were prepared and are not in force.
pub(super) struct Prepared {
    gateway: Rules,
    admin: Rules,
    otlp: Rules,
    ends: Vec<(&'static str, i64)>,
}

/// Reads what a configuration says of the listeners, certificates included.
///
/// # Errors
/// What is wrong with the files, a sentence for each listener.
pub(super) fn prepare(config: &Config) -> Result<Prepared, Vec<String>> {
    let (mut problems, mut ends) = (Vec::new(), Vec::new());
    let mut loaded = |name: &'static str, files: &Option<Files>| {
        let read = files.as_ref()?.load();
        let read = read.map_err(|problem| problems.push(format!("{name}: {problem}"))).ok()?;
        ends.extend(read.ends_at.map(|at| (name.trim_start_matches("tls."), at)));
        Some(read)
    };
    let rules = |tls: Option<Tls>, is_announced: bool, person| Rules {
        tls: tls.map(|tls| tls.config),
        preamble: is_announced.then(|| config.listen.proxies.clone()),
        person,
    };
    let (announced, tls) = (&config.listen.announced, &config.tls);
    let gateway = rules(loaded("tls.gateway", &tls.gateway.files), announced.gateway, tls.gateway.person);
    let admin = rules(loaded("tls.admin", &tls.admin.files), announced.admin, tls.admin.person);
    let for_otlp = config.listen.otlp.and_then(|_| loaded("tls.otlp", &tls.otlp.files));
    let otlp = rules(for_otlp.map(Tls::for_http2), announced.otlp, tls.otlp.person);
    if config.listen.proxy.is_some() {
        loaded("proxy", &config.proxy.tls);
    }
    if problems.is_empty() { Ok(Prepared { gateway, admin, otlp, ends }) } else { Err(problems) }
}

impl Entrances {
    /// The entrances under their first rules.
    pub(super) fn new(prepared: Prepared) -> Self {
        let entrances = Self {
            gateway: Arc::new(Entrance::new("gateway", Rules::default())),
            admin: Arc::new(Entrance::new("admin", Rules::default())),
            otlp: Arc::new(Entrance::new("otlp", Rules::default())),
            bound: OnceLock::new(),
            ends: Mutex::default(),
        };
        entrances.replace(prepared);
        entrances
    }

    /// Puts other rules in force.
    pub(super) fn replace(&self, prepared: Prepared) {
        self.gateway.replace(prepared.gateway);
        self.admin.replace(prepared.admin);
        self.otlp.replace(prepared.otlp);
        for (name, at) in &prepared.ends {
            #[expect(clippy::cast_precision_loss, reason = "seconds of this age are far below 2^52")]
            gauge!("gatehouse_certificate_ends_at_seconds", "listener" => *name).set(*at as f64);
        }
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = prepared.ends;
    }

    /// Notes where the listeners are.
    pub(super) fn are_at(&self, bound: Bound) {
        // There is one set of listeners; a second is never made.
        let _ = self.bound.set(bound);
    }

    /// How to reach the gateway and the management API from this machine.
    pub(super) fn addresses(&self) -> Option<(String, String)> {
        let bound = self.bound.get()?;
        Some((address_of(bound.gateway, &self.gateway), address_of(bound.admin, &self.admin)))
    }

    /// Writes down where the listeners and the database are, for the command line on this machine.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write_addresses(&self, data_dir: &Path, place: &Place) -> Result<(), Failure> {
        let (Some((gateway, admin)), Some(bound)) = (self.addresses(), self.bound.get()) else {
            return Ok(());
        };
        let path = data_dir.join(LISTEN_FILE);
        let mut addresses = json!({"gateway": gateway, "admin": admin});
        for (name, address) in bound.further {
            if let Some(address) = address {
                // The forward proxy takes TLS and plain connections on one port.
                let is_tls = name == "otlp" && self.otlp.rules().tls.is_some();
                addresses[name] = format!("{}://{}", scheme(is_tls), local(address)).into();
            }
        }
        addresses["database"] = match place {
            Place::File(path) => json!({"file": path}),
            Place::Server { host, port, database } => {
                json!({"host": host, "port": port, "database": database})
            }
        };
        let text = format!("{addresses}\n");
        secret::write_private(&path, text.as_bytes())
            .map_err(|error| Failure::Failed(format!("cannot write `{}`: {error}", path.display())))
    }

    /// Says which certificates end soon.
    fn tell(&self) {
        let now = clock::now().0 / 1000;
        for (listener, at) in self.ends.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let days = (at - now).div_euclid(TELL);
            if *at <= now {
                tracing::error!(listener, "the certificate has run out: clients refuse it");
            } else if at - now < SOON {
                tracing::warn!(listener, days, "the certificate ends soon: renew it");
            }
        }
    }
}

/// How to reach a listener from this machine.
fn address_of(bound: SocketAddr, entrance: &Entrance) -> String {
    format!("{}://{}", scheme(entrance.rules().tls.is_some()), local(bound))
}

const fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}

fn local(bound: SocketAddr) -> SocketAddr {
    let local: IpAddr = if bound.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(if bound.ip().is_unspecified() { local } else { bound.ip() }, bound.port())
}

/// Reads certificates anew when their files change, and says when one ends soon.
pub(super) async fn job(live: Arc<Live>) {
    let mut clock = interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut told_at) = (None::<Vec<Trace>>, i64::MIN);
    loop {
        clock.tick().await;
        let config = live.config.load_full();
        let looked = tokio::task::spawn_blocking(move || {
            let tls = &config.tls;
            let all = [&tls.gateway.files, &tls.admin.files, &tls.otlp.files, &config.proxy.tls];
            all.into_iter().flatten().map(Files::trace).collect::<Vec<_>>()
        });
        let Ok(now) = looked.await else { continue };
        // What was changed between the start and the first look is read once more.
        if !now.is_empty() && seen.as_ref() != Some(&now) {
            match live.reload_certificates().await {
                Ok(()) => tracing::info!("the certificates of our listeners were read"),
                Err(problems) => {
                    tracing::error!(?problems, "certificates cannot be read anew; those in force stay");
                }
            }
        }
        seen = Some(now);
        let at = clock::now().0 / 1000;
        if at.saturating_sub(told_at) >= TELL {
            told_at = at;
            live.entrances.tell();
        }
    }
}

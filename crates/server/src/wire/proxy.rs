//! The forward proxy: what it is made of, and what the management plane knows of it.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gatehouse_control::proxy::{Face, Look};
use gatehouse_domain::proxy::{Answer, Destination, Gate, Host, Inspection, Looked, Tunnel};
use gatehouse_gateway::Guests;
use gatehouse_listener::tls::Files;
use gatehouse_proxy::settings::Settings;
use gatehouse_proxy::{NoRoom, Parts, Proxy, Records, Resolver};
use gatehouse_store::tunnel::Spool;
use gatehouse_store::{StoreError, in_time};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::failed;
use super::live::Live;
use crate::cli::Failure;
use crate::clock;
use crate::config::Config;

/// Where records wait for the database, in the data directory.
const FOLDER: &str = "tunnels";
/// How often they are brought into the database.
const BRING: Duration = Duration::from_millis(500);
/// How often old ones are forgotten.
const FORGET: Duration = Duration::from_hours(1);
/// Most turns of forgetting, one after the other.
const TURNS: usize = 500;
/// How long whoever waits to write has between two of them.
const BETWEEN: Duration = Duration::from_millis(20);
/// How long a turn with the database may take.
const TURN: Duration = Duration::from_mins(1);
/// How long a request may wait for the policy to be brought up to date.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How long a reader of the records waits for the newest.
const FLUSH: Duration = Duration::from_secs(5);

/// The proxy as the rest of the process knows it.
pub(super) struct Forward {
    settings: Arc<ArcSwap<Settings>>,
    resolver: Resolver,
    spool: Arc<Spool>,
    own: Vec<SocketAddr>,
    /// The gateway's listener.
    gateway: SocketAddr,
}

struct Recorder(Arc<Spool>);

impl Records for Recorder {
    fn write(&self, tunnel: &Tunnel) -> Result<(), NoRoom> {
        self.0.write(tunnel).map_err(|_| NoRoom)
    }
}

/// Brings in what an earlier run left, and ends in the records what it left open. Without the proxy now and then, nothing.
pub(super) async fn recover(
    live: &Live,
    data_dir: &Path,
    is_on: bool,
) -> Result<Option<Arc<Spool>>, Failure> {
    let folder = data_dir.join(FOLDER);
    if !is_on && !folder.exists() {
        return Ok(None);
    }
    let spool = Arc::new(Spool::open(&folder).map_err(failed)?);
    let brought = in_time(TURN, spool.bring(&live.store, live.org)).await.map_err(failed)?;
    let ended = live.store.interrupt_tunnels(live.org, live.node, clock::now()).await.map_err(failed)?;
    tracing::debug!(brought, ended, "the proxy's records of the last run are in the database");
    Ok(Some(spool))
}

/// Starts the proxy.
pub(super) fn start(
    listener: TcpListener,
    live: &Arc<Live>,
    spool: Arc<Spool>,
    (gateway, admin): (SocketAddr, SocketAddr),
    guests: Guests,
) -> Result<Proxy, Failure> {
    let config = live.config.load_full();
    let settings = prepare(&config, gateway).map_err(|problems| Failure::Usage(problems.join("\n")))?;
    let own = vec![gateway, admin, listener.local_addr().map_err(failed)?];
    let forward = Forward {
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        resolver: Resolver::new(config.proxy.name_servers.clone()),
        spool,
        own,
        gateway,
    };
    let (hashing, catching) = (Arc::clone(live), Arc::clone(live));
    let parts = Parts {
        settings: Arc::clone(&forward.settings),
        policy: Arc::clone(&live.policy),
        records: Arc::new(Recorder(Arc::clone(&forward.spool))),
        resolver: forward.resolver.clone(),
        egress: live.egress.clone(),
        own: forward.own.clone(),
        now: clock::now,
        rehashed: Box::new(move |key, old, new| hashing.rehashes.note(key, old, new)),
        catch_up: Box::new(move || {
            let live = Arc::clone(&catching);
            Box::pin(async move {
                live.fresh.changed();
                // In force or not: the proxy looks again.
                let _ = live.fresh.in_force(CATCH_UP).await;
            })
        }),
        authority: Arc::clone(&live.authority),
        enter: super::inspection::way(guests),
        org: live.org,
        node: live.node,
        threads: config.proxy.workers,
    };
    // There is one; a second is never made.
    drop(live.forward.set(forward));
    gatehouse_proxy::start(listener, parts).map_err(failed)
}

impl Forward {
    /// Reads what a configuration says of the proxy, certificates included.
    pub(super) fn prepare(&self, config: &Config) -> Result<Settings, Vec<String>> {
        prepare(config, self.gateway)
    }

    /// Puts other settings in force. Tunnels that are open go on.
    pub(super) fn replace(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }
}

fn prepare(config: &Config, gateway: SocketAddr) -> Result<Settings, Vec<String>> {
    let proxy = &config.proxy;
    let mut own = proxy.gateway_names.clone();
    if let Some(url) = &config.listen.public_url {
        own.extend(named(url.as_str()));
    }
    let tls = proxy.tls.as_ref().map(Files::load).transpose();
    let tls = tls.map_err(|problem| vec![format!("proxy: {problem}")])?;
    let listen = &config.listen;
    let proxies = |yes: bool| yes.then(|| listen.proxies.clone());
    Ok(Settings {
        gate: Gate {
            connect_ports: proxy.connect_ports.clone(),
            plain_ports: proxy.plain_ports.clone(),
            own,
        },
        gateway: proxy.gateway_address.unwrap_or(gateway),
        sources: proxy.sources.clone(),
        tls: tls.map(|tls| tls.config),
        preamble: proxies(listen.announced.proxy),
        announces: proxies(listen.announced.gateway && proxy.gateway_address.is_none()),
        unnamed: proxy.unnamed,
        contact: proxy.contact.clone(),
        inspection: Inspection {
            hosts: config.inspection.hosts.clone(),
            never: config.inspection.never.clone(),
        },
        limits: proxy.limits.clone(),
    })
}

/// The name and port in an address such as `https://gateway.example.com/gw`.
fn named(url: &str) -> Option<Destination> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    Destination::parse(authority, Some(if scheme == "https" { 443 } else { 80 })).ok()
}

/// What the management plane knows of the proxy.
pub(super) fn face(live: &Arc<Live>) -> Face {
    let (gate, addresses, flush, egress) =
        (Arc::clone(live), Arc::clone(live), Arc::clone(live), live.egress.clone());
    let looks = Arc::clone(live);
    Face {
        gate: Box::new(move || gate.forward.get().map(|forward| forward.settings.load().gate.clone())),
        addresses: Box::new(move |destination| {
            let live = Arc::clone(&addresses);
            Box::pin(async move { looked_up(live.forward.get()?, &destination).await })
        }),
        is_by_parent: Box::new(move |destination| egress.is_by_parent(destination)),
        looks: Box::new(move |host| look(&looks, host)),
        flush: Box::new(move || {
            let live = Arc::clone(&flush);
            Box::pin(async move {
                if let Err(error) = live.bring_tunnels(FLUSH).await {
                    tracing::warn!(%error, "the newest records of the proxy are not in the database yet");
                }
            })
        }),
    }
}

/// Whether a tunnel to this host is looked into, with the authority that this node has now.
fn look(live: &Live, host: &Host) -> Look {
    let Some(forward) = live.forward.get() else { return Look::default() };
    let settings = forward.settings.load();
    let looked = settings.inspection.looks(host);
    let (is_inside, why) = (matches!(looked, Looked::Into(_)), looked.to_string());
    let problem = match (host, live.authority.load_full()) {
        (Host::Name(_), None) => Some("its inspection authority is not set up yet".to_owned()),
        (Host::Name(name), Some(authority)) if is_inside => {
            authority.tls(name, clock::now()).err().map(|error| error.to_string())
        }
        (Host::Name(_) | Host::Address(_), _) => None,
    };
    Look { is_inside, why, problem: problem.filter(|_| is_inside) }
}

async fn looked_up(forward: &Forward, destination: &Destination) -> Option<Vec<Answer>> {
    let found = match &destination.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => {
            let limit = forward.settings.load().limits.resolve;
            forward.resolver.addresses(name, limit).await?
        }
    };
    Some(gatehouse_proxy::answers(&found, destination.port, &forward.own))
}

impl Live {
    /// Brings the proxy's records into the database.
    pub(super) async fn bring_tunnels(&self, limit: Duration) -> Result<(), StoreError> {
        match self.forward.get() {
            Some(forward) => in_time(limit, forward.spool.bring(&self.store, self.org)).await.map(drop),
            None => Ok(()),
        }
    }
}

/// Brings records into the database again and again, and forgets old ones.
pub(super) async fn job(live: Arc<Live>) {
    let mut clock = interval(BRING);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_failing, mut forgotten) = (false, None::<Instant>);
    loop {
        clock.tick().await;
        let done = live.bring_tunnels(TURN).await;
        match &done {
            Err(error) if !is_failing => {
                tracing::warn!(%error, "the proxy's records wait for the database; it is tried again and again");
            }
            Ok(()) if is_failing => tracing::info!("the proxy's records are in the database again"),
            Ok(()) | Err(_) => {}
        }
        is_failing = done.is_err();
        if forgotten.is_some_and(|at| at.elapsed() < FORGET) {
            continue;
        }
        forgotten = Some(Instant::now());
        let keep = i64::try_from(live.config.load().proxy.keep.as_millis()).unwrap_or(i64::MAX);
        let before = clock::now().plus_millis(-keep);
        for _ in 0..TURNS {
            match in_time(TURN, live.store.forget_tunnels(live.org, before)).await {
                Ok(0) => break,
                Ok(_) => tokio::time::sleep(BETWEEN).await,
                Err(error) => {
                    tracing::warn!(%error, "old records of the proxy were not removed");
                    break;
                }
            }
        }
    }
}
